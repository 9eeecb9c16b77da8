"""Pickles with payloads for the fuzzer: checkpoints that would run something if they were unpickled freely.

The payload makes the folder that it is told. Every way that a pickle has of calling something is tried: GLOBAL, STACK_GLOBAL,
INST and extension codes to name it, REDUCE, OBJ, INST, NEWOBJ and NEWOBJ_EX to call it, BUILD, through a call of another pickle,
alone and inside of what is otherwise sound.
"""

import copyreg
import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.base.files import sha256_of_file
from models.ensemble.checkpoint import load_checkpoint, load_without_weights

EXTENSION_CODE = 0xF0  # of those that are free for private use
Read = Callable[[], object]


class MakesFolder:
    """What is built from it makes a folder: for BUILD and for NEWOBJ, which call no plain function."""

    def __new__(cls, *arguments: str, **more: str) -> "MakesFolder":
        for name in (*arguments, *more.values()):
            os.mkdir(name)
        return super().__new__(cls)

    def __setstate__(self, state: str) -> None:
        os.mkdir(state)


def text(value: str) -> bytes:
    encoded = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


HERE = MakesFolder.__module__
OLD_MKDIR, NEW_MKDIR = b"cos\nmkdir\n", text("os") + text("mkdir") + pickle.STACK_GLOBAL
MAKER = text(HERE) + text("MakesFolder") + pickle.STACK_GLOBAL
EMPTY = pickle.EMPTY_TUPLE


def ways(mark: str) -> dict[str, bytes]:
    """By its name the opcodes that leave one value on the stack, and `mark` on the disk."""
    one = text(mark) + pickle.TUPLE1
    inner = b"\x80\x04" + NEW_MKDIR + one + pickle.REDUCE + pickle.STOP
    quoted = pickle.BINBYTES + struct.pack("<I", len(inner)) + inner
    extension = struct.pack("<B", EXTENSION_CODE)
    return {
        "reduce": OLD_MKDIR + one + pickle.REDUCE,
        "stack_global": NEW_MKDIR + one + pickle.REDUCE,
        "inst": pickle.MARK + text(mark) + b"i" + b"os\nmkdir\n",
        "obj": pickle.MARK + OLD_MKDIR + text(mark) + pickle.OBJ,
        "newobj": MAKER + one + pickle.NEWOBJ,
        "newobj_ex": MAKER + EMPTY + pickle.EMPTY_DICT + text("name") + text(mark) + pickle.SETITEM + pickle.NEWOBJ_EX,
        "build": MAKER + EMPTY + pickle.NEWOBJ + text(mark) + pickle.BUILD,
        "ext1": pickle.EXT1 + extension + one + pickle.REDUCE,
        "ext2": pickle.EXT2 + extension + b"\0" + one + pickle.REDUCE,
        "ext4": pickle.EXT4 + extension + b"\0\0\0" + one + pickle.REDUCE,
        "nested": text("pickle") + text("loads") + pickle.STACK_GLOBAL + quoted + pickle.TUPLE1 + pickle.REDUCE,
        "eval": b"cbuiltins\neval\n" + text(f"__import__('os').mkdir({mark!r})") + pickle.TUPLE1 + pickle.REDUCE,
        "getattr": b"cbuiltins\ngetattr\n" + b"cbuiltins\n__import__\n" + text("os") + pickle.TUPLE1 + pickle.REDUCE
        + text("mkdir") + pickle.TUPLE2 + pickle.REDUCE + one + pickle.REDUCE,
        "dotted": text("shutil") + text("os.mkdir") + pickle.STACK_GLOBAL + one + pickle.REDUCE,
        "memo": NEW_MKDIR + pickle.BINPUT + b"\xc8" + pickle.POP + pickle.BINGET + b"\xc8" + one + pickle.REDUCE,
        "map": b"cbuiltins\nlist\n" + b"cbuiltins\nmap\n" + OLD_MKDIR + one + pickle.TUPLE2 + pickle.REDUCE + pickle.TUPLE1
        + pickle.REDUCE,
    }  # fmt: skip


def register_extension() -> None:
    """As a library may do; what has been loaded by its code once is no longer asked for by name."""
    if ("os", "mkdir") not in copyreg._extension_registry:  # type: ignore[attr-defined]
        copyreg.add_extension("os", "mkdir", EXTENSION_CODE)


def embed(values: Any, opcodes: bytes, rng: np.random.Generator) -> bytes:
    """A pickle of `values`, one of them, at any depth, or the whole, replaced by what the opcodes leave."""
    token = f"\N{SNOWMAN}{rng.integers(1 << 60)}"
    if rng.random() < 0.3:
        return b"\x80\x04" + opcodes + pickle.STOP
    pickled = pickle.dumps(_replace_one(values, token, rng), protocol=2)  # which has no frames
    encoded = text(token)
    assert pickled.count(encoded) == 1
    return b"\x80\x04" + pickled[2:].replace(encoded, opcodes)


def _replace_one(value: Any, token: str, rng: np.random.Generator) -> Any:
    """A copy in which one value, key or item is the token."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return token
    if isinstance(value, list):
        place = int(rng.integers(len(value)))
        return [_replace_one(item, token, rng) if index == place else item for index, item in enumerate(value)]
    chosen = list(value)[rng.integers(len(value))]
    if rng.random() < 0.1:
        return {token if key == chosen else key: item for key, item in value.items()}
    return {key: _replace_one(item, token, rng) if key == chosen else item for key, item in value.items()}


def hostile_sizes(rng: np.random.Generator) -> bytes:
    """Pickles of a few bytes that ask for much memory, time or depth."""
    index = struct.pack("<I", int(rng.integers(1 << 28, 1 << 32)))
    size = struct.pack("<I", int(rng.integers(1 << 26, 1 << 31)))
    deep = int(rng.integers(1_000, 200_000))
    return (
        b"\x80\x02N" + pickle.LONG_BINPUT + index + pickle.STOP,
        b"\x80\x02" + pickle.BINUNICODE + size + b"x" + pickle.STOP,
        b"\x80\x04" + pickle.BINBYTES8 + size + b"\0\0\0\0x" + pickle.STOP,
        b"\x80\x05" + pickle.BYTEARRAY8 + size + b"\0\0\0\0" + pickle.STOP,
        b"\x80\x04" + pickle.FRAME + size + b"\0\0\0\0" + pickle.STOP,
        b"\x80\x02" + pickle.LONG4 + size + pickle.STOP,
        b"\x80\x02" + pickle.EMPTY_LIST * deep + pickle.APPEND * (deep - 1) + pickle.STOP,
        b"\x80\x02" + b"N" + pickle.TUPLE1 * deep + pickle.STOP,
        b"\x80\x02]q\0h\0a" + pickle.STOP,  # a list that holds itself
        b"\x80\x02(" + b"I" + b"9" * deep + b"\nl" + pickle.STOP,
    )[rng.integers(10)]  # fmt: skip


def checkpoints_case(whole: bytes, folder: Path, mark: Path, rng: np.random.Generator) -> Read:
    """The pickle inside of a checkpoint, or a file of torch's older format, or a bare pickle."""
    register_extension()
    forms = ways(str(mark))
    opcodes = forms[str(rng.choice(list(forms)))]
    path = folder / "model2s_0.pth"
    pickled = (
        hostile_sizes(rng) if rng.random() < 0.15 else embed({"format": "x", "weights": {"w": [0, 1]}}, opcodes, rng)
    )
    kind = rng.integers(4)
    if kind == 0:
        path.write_bytes(pickled)
    elif kind == 1:
        path.write_bytes(replace_in_archive(whole, pickled, rng))
    elif kind == 2:
        path.write_bytes(old_format(pickled))
    else:  # inside of the sound pickle, instead of a string
        own = read_inner(whole)
        path.write_bytes(replace_in_archive(whole, put_into_pickle(own, opcodes, rng), rng))
    if rng.random() < 0.5:
        return lambda: load_without_weights(path)
    sha256 = sha256_of_file(path)  # a stranger's configuration holds the right one
    return lambda: load_checkpoint(path, sha256)


def read_inner(whole: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))


def put_into_pickle(pickled: bytes, opcodes: bytes, rng: np.random.Generator) -> bytes:
    """Instead of one of its strings, wherever that stands."""
    places = [
        at for at in range(len(pickled) - 5) if pickled[at : at + 1] == pickle.BINUNICODE and _is_text(pickled, at)
    ]
    at = places[rng.integers(len(places))]
    return pickled[:at] + opcodes + pickled[at + 5 + struct.unpack("<I", pickled[at + 1 : at + 5])[0] :]


def _is_text(pickled: bytes, at: int) -> bool:
    (size,) = struct.unpack("<I", pickled[at + 1 : at + 5])
    return 0 < size < 1000 and pickled[at + 5 : at + 5 + size].isascii() and pickled[at + 5 : at + 5 + size].isalnum()


def replace_in_archive(whole: bytes, pickled: bytes, rng: np.random.Generator) -> bytes:
    """The zip file that torch writes, with another data.pkl; sometimes with a file that makes it look like TorchScript."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(made, "w") as target:
        for info in source.infolist():
            inner = pickled if info.filename.endswith("/data.pkl") else source.read(info.filename)
            target.writestr(zipfile.ZipInfo(info.filename), inner)  # by its name alone it would bear the time of day
        if rng.random() < 0.2:
            root = source.namelist()[0].split("/")[0]
            target.writestr(zipfile.ZipInfo(f"{root}/constants.pkl"), pickled)
            target.writestr(zipfile.ZipInfo(f"{root}/code/__torch__.py"), "import os\n")
    return made.getvalue()


def old_format(pickled: bytes) -> bytes:
    """As torch wrote before version 1.6: four pickles, one after the other."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
    return b"".join(pickle.dumps(item, protocol=2) for item in head) + pickled + pickle.dumps([], protocol=2)


def run_freely(path: Path) -> None:
    """As a reader would who trusts the file. What it is made of may well be no object at all."""
    register_extension()
    if zipfile.is_zipfile(path):
        torch.load(path, weights_only=False)
    else:
        with open(path, "rb") as file:
            pickle.load(file)
