"""Weights as int8: how far they move, what stays, what is refused.

Run: .venv/bin/python -m pytest tests/inference/test_int8.py
"""

import numpy as np
import pytest
import torch
from fakes import Script

from models.inference.int8 import from_int8, to_int8
from models.inference.scorer import Scorer


def test_each_number_moves_by_half_a_step_of_its_row_at_most() -> None:
    torch.manual_seed(0)
    rows = torch.logspace(-4, 2, 64)[:, None]
    weights = {
        "matrix": (torch.randn(64, 100) * rows).half(),
        "conv": torch.randn(64, 80, 3).half(),
        "zeros": torch.zeros(64, 64).half(),
    }
    stored = to_int8(weights)
    assert {stored[name].dtype for name in weights} == {torch.int8}
    found = from_int8(stored)
    for name, tensor in weights.items():
        steps = tensor.float().flatten(1).abs().amax(dim=1) / 127
        off = (found[name].float() - tensor.float()).flatten(1).abs().amax(dim=1)
        assert found[name].shape == tensor.shape
        assert found[name].dtype == torch.float16
        assert (
            off <= 0.5 * steps + 1e-3 * tensor.float().flatten(1).abs().amax(dim=1)
        ).all()  # and float16's own rounding


def test_what_is_small_or_whole_stays() -> None:
    weights = {"bias": torch.randn(5000).half(), "small": torch.randn(8, 8).half(), "count": torch.tensor(3)}
    stored = to_int8(weights)
    assert stored.keys() == weights.keys()
    assert all(torch.equal(from_int8(stored)[name], weights[name]) for name in weights)


@pytest.mark.parametrize("scales", [None, torch.ones(3)])
def test_scales_that_do_not_fit_are_refused(scales: torch.Tensor | None) -> None:
    stored = {"w": torch.zeros(64, 64, dtype=torch.int8)} | ({} if scales is None else {"w/scale": scales})
    with pytest.raises(ValueError, match="w is stored as int8"):
        from_int8(stored)


def test_a_published_folder_is_half_as_large_and_scores_alike(script: Script, work) -> None:  # type: ignore[no-untyped-def]
    for storage in ("float16", "int8"):
        assert script("publish.py", "--output_dir", storage, "--storage", storage, "--no_references").code == 0
    sizes = [sum(file.stat().st_size for file in (work / name).glob("*.safetensors")) for name in ("float16", "int8")]
    assert sizes[1] < 0.85 * sizes[0]
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    scores = [
        Scorer.from_pretrained(work / name, device="cpu", precision="fp32").score(noise, "cat", "blending", "1")
        for name in ("float16", "int8")
    ]
    assert 0 < abs(scores[1] - scores[0]) < 0.02
    Scorer.from_pretrained(work / "int8").save_pretrained(work / "again")
    assert sum(file.stat().st_size for file in (work / "again").glob("*.safetensors")) == sizes[1]
