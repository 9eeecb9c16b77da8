"""Joint networks: from files to scores, per clip, and how far the scores lie apart."""

import functools
from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.material import in_turn
from benchmarks.plain import plain_scores
from benchmarks.rows import Row, timed
from benchmarks.setting import STEP_CLIPS, Setting
from benchmarks.training import encoder_operations, matrix_rate
from models.base.compute import HALF_TYPES
from models.clips.tables import scalars
from models.ensemble.metrics import Values
from models.inference.scoring import Member, score_clips


def our_scores(setting: Setting, member: Member, precision: str) -> Values:
    """Probabilities [shape=(clips,)]"""
    clips = setting.clips
    return score_clips(
        [member], clips.table, clips.data_dir, clips.references, setting.device, precision, setting.loaders
    )


def time_inference(setting: Setting) -> list[Row]:
    member, fixed, precision = setting.member(), setting.member(padding="fixed"), setting.precision
    network, data = setting.plain_network(member).eval(), setting.plain_data()
    given = torch.from_numpy(scalars(setting.clips.table))
    plain = functools.partial(plain_scores, network, data, given, STEP_CLIPS, setting.loaders)
    wanted = {"padded to 16 s, float32": (fixed, "fp32"), "float32": (member, "fp32"), precision: (member, precision)}
    ours = {what: functools.partial(our_scores, setting, *how) for what, how in wanted.items()}
    *seconds, plain_seconds = in_turn(*ours.values(), plain, turns=setting.turns)
    name, n_clips = f"inference, {setting.weights}", len(setting.clips.table)
    found = zip(ours, seconds, strict=True)
    return [
        *(timed("inference", f"{name}, {what}", (own, plain_seconds), n_clips) for what, own in found),
        _share(setting, member, precision, (seconds[-1], plain_seconds)),
        _apart("padded to 16 s and plain", ours["padded to 16 s, float32"](), plain().numpy()),
        _apart(f"{precision} and float32", ours[precision](), ours["float32"]()),
    ]


def _share(setting: Setting, member: Member, precision: str, seconds: Sequence[float]) -> Row:
    """How much of the time, ours and plain, the encoder's products would take at the rate of large ones: no ratio can exceed
    that of `precision` divided by our share."""
    encoder, data = member.checkpoint.encoder, setting.clips.dataset(member.checkpoint.recipe)
    work = sum(encoder_operations(encoder, data[row]["log_mel"].shape[1]) for row in range(len(data)))
    plain_work = len(data) * encoder_operations(encoder, data.max_frames)
    plain_type = torch.float16 if setting.device.type == "cuda" else torch.float32
    rates = [matrix_rate(setting.device, dtype) for dtype in (HALF_TYPES.get(precision, torch.float32), plain_type)]
    shares = [done / taken / rate for done, taken, rate in zip((work, plain_work), seconds, rates, strict=True)]
    return Row("inference", f"inference, {precision}: the encoder's share of the matrix rate", *shares, "share")


def _apart(what: str, one: Values, other: Values) -> Row:
    return Row("inference", f"largest difference of scores, {what}", float(np.abs(one - other).max()))
