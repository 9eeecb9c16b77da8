"""Joint networks: from files to scores, per clip, and how far the scores lie apart."""

import functools

import numpy as np
import torch

from benchmarks.material import in_turn
from benchmarks.plain import plain_scores
from benchmarks.rows import Row, timed
from benchmarks.setting import STEP_CLIPS, Setting
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
        _apart("padded to 16 s and plain", ours["padded to 16 s, float32"](), plain().numpy()),
        _apart(f"{precision} and float32", ours[precision](), ours["float32"]()),
    ]


def _apart(what: str, one: Values, other: Values) -> Row:
    return Row("inference", f"largest difference of scores, {what}", float(np.abs(one - other).max()))
