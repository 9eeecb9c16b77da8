"""Weights in half of float16's room: whole numbers of 8 bits, and for each row what one of them is worth.

Only the file is smaller: networks compute with the weights that come back, which differ from those before by up to half a step,
1/254 of the largest in their row.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

_STEPS = 127  # on either side of zero
_LEAST_NUMBERS = 1024  # smaller tensors stay as they are, and so do vectors
_SCALE = "/scale"  # behind the name of a tensor; state dictionaries have no slashes


def to_int8(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices as int8 of their own shape, with float32 scales [shape=(rows,)] beside them; the rest in float16."""
    stored: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if tensor.dim() < 2 or tensor.numel() < _LEAST_NUMBERS:
            stored[name] = tensor
            continue
        rows = tensor.float().flatten(1)
        scales = (rows.abs().amax(dim=1) / _STEPS).clamp(min=torch.finfo(torch.float32).tiny)
        stored[name] = (rows / scales[:, None]).round().to(torch.int8).reshape(tensor.shape)
        stored[name + _SCALE] = scales
    return stored


def from_int8(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `to_int8`, in float16; weights that never were int8 come back as they are.

    Raises
    ------
    ValueError
        Naming a tensor whose scales are missing or do not fit.
    """
    weights: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if name.endswith(_SCALE):
            continue
        if tensor.dtype != torch.int8:
            weights[name] = tensor
            continue
        scales = stored.get(name + _SCALE)
        if scales is None or scales.shape != tensor.shape[:1]:
            raise ValueError(f"{name} is stored as int8, and its scales are not there")
        weights[name] = (tensor.flatten(1).float() * scales.float()[:, None]).reshape(tensor.shape).half()
    return weights
