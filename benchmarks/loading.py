"""From files to augmented features: in one process, and in several that load."""

import functools
from collections.abc import Callable

from torch.utils.data import DataLoader

from benchmarks.material import in_turn, recipe_of
from benchmarks.plain import PlainSamples
from benchmarks.rows import Row, timed
from benchmarks.setting import STEP_CLIPS, Setting
from models.clips.dataset import ComparisonDataset

AT_LEAST = 128  # samples in a turn: fewer take too little time to tell, and leave loading processes without a batch

Data = ComparisonDataset | PlainSamples


def rows_of_turn(data: Data) -> list[int]:
    """All rows, as often as it takes."""
    return [*range(len(data))] * -(-AT_LEAST // len(data))


def read_all(data: Data) -> None:
    for row in rows_of_turn(data):
        data[row]


def time_samples(setting: Setting) -> list[Row]:
    """Loading, augmentation and features, per sample, in one process."""
    rows = []
    for what, augment in (("both sides augmented", "both"), ("response augmented", "response"), ("as it is", "none")):
        ours, plain = setting.clips.dataset(recipe_of(augment=augment)), setting.plain_data(augment)
        found = in_turn(functools.partial(read_all, ours), functools.partial(read_all, plain), turns=setting.turns)
        rows.append(timed("samples", f"sample, {what}", found, len(rows_of_turn(ours))))
    return rows


def time_loader(setting: Setting) -> list[Row]:
    """Batches of augmented samples from several processes, per sample."""
    ours, plain = setting.clips.dataset(recipe_of(augment="both")), setting.plain_data("both")
    wanted = rows_of_turn(ours)

    def through(data: Data, collate: Callable[..., object] | None) -> Callable[[], None]:
        loader = DataLoader(
            data, STEP_CLIPS, sampler=wanted, num_workers=setting.processes, collate_fn=collate, persistent_workers=True
        )
        return lambda: [None for _ in loader].clear()

    found = in_turn(through(ours, ours.collate), through(plain, None), turns=setting.turns)
    name = f"sample, both sides augmented, {setting.processes} loading processes"
    return [timed("loader", name, found, len(wanted))]
