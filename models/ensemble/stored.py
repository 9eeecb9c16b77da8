"""What torch.save has written, read without torch, whose import takes a second and 0.3 GB: plain values and places of tensors.

Nothing is run: of all that a pickle can say only what plain values and tensors need is understood.
"""

import math
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

_OPCODES = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS),
    *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_TUPLE, pickle.TUPLE),
    *(pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE),
    *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINFLOAT, pickle.BINUNICODE),
    *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET),
    *(pickle.GLOBAL, pickle.BINPERSID, pickle.REDUCE),
)
_KINDS = {
    **{"DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BoolStorage": "?"},
    **{"LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1"},
}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor whose numbers are still in their file.

    Attributes
    ----------
    path, member
        The archive, and what in it holds the numbers.
    kind
        Of the numbers there.
    offset, shape, strides
        In numbers.
    """

    path: Path
    member: str
    kind: "np.dtype[Any]"
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def numpy(self) -> NDArray[Any]:
        """Its numbers. Raises ValueError where they do not lie one after the other, or are not all there."""
        with zipfile.ZipFile(self.path) as archive:
            numbers = np.frombuffer(archive.read(self.member), self.kind)
        after = [math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape))]
        if list(self.strides) != after:
            raise ValueError(f"a tensor of shape {self.shape} has the strides {self.strides}")
        own = numbers[self.offset : self.offset + math.prod(self.shape)]
        return own.reshape(self.shape).astype(self.kind.newbyteorder("="))


def read_stored(path: Path) -> Any:
    """The value that torch.save has written; what was a tensor is a StoredTensor.

    Raises
    ------
    Exception
        Of almost any kind, where the file is damaged, lacks numbers, or holds anything else.
    """
    with zipfile.ZipFile(path) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
        folder = next(name for name in sizes if name.endswith("/data.pkl")).removesuffix(".pkl")
        byte_order = f"{folder.removesuffix('data')}byteorder"
        is_big = byte_order in sizes and archive.read(byte_order) == b"big"
        with archive.open(f"{folder}.pkl") as file:
            return _Reader(file, path, folder, sizes, ">" if is_big else "<").load()


class _Reader(pickle._Unpickler):
    """The standard library's in Python: its memo is a dict, and which opcodes it knows can be said."""

    dispatch: ClassVar = {code[0]: pickle._Unpickler.dispatch[code[0]] for code in _OPCODES}

    def __init__(
        self, file: IO[bytes], path: Path, folder: str, sizes: Mapping[str, int], byte_order: Literal["<", ">"]
    ) -> None:
        super().__init__(file)
        self._path, self._folder, self._sizes, self._byte_order = path, folder, sizes, byte_order

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._rebuild_tensor
        if (module_name, global_name) == ("collections", "OrderedDict"):  # of a tensor's hooks
            return dict
        if module_name == "torch" and global_name in _KINDS:
            return np.dtype(_KINDS[global_name]).newbyteorder(self._byte_order)
        raise pickle.UnpicklingError(f"refused: it asks for {module_name}.{global_name}"[:200])

    def persistent_load(self, pid: Any) -> tuple[str, "np.dtype[Any]"]:
        _, kind, key, _, numbers = pid
        member = f"{self._folder}/{key}"
        if self._sizes[member] != numbers * kind.itemsize:
            raise pickle.UnpicklingError(f"{member} has {self._sizes[member]} bytes for {numbers} numbers")
        return member, kind

    def _rebuild_tensor(self, storage: Any, offset: int, shape: Any, strides: Any, *_: object) -> StoredTensor:
        member, kind = storage
        return StoredTensor(self._path, member, kind, offset, tuple(shape), tuple(strides))
