"""Clips are checked and scored by this process, where no cluster is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from models.clips.tables import clip_paths
from models.ensemble.correction import Correction
from models.errors import InputError
from models.inference.scoring import Member
from models.inference.self_corrections import Counted, score_counted
from models.speech.audio import Waveform
from models.speech.examining import Examined, examine_all


@dataclass(frozen=True)
class Here:
    """Does what a `ClipCluster` does on other machines."""

    data_dir: Path
    device: torch.device
    precision: str
    num_workers: int
    correction: Correction
    accept_self_corrections: bool

    def check(self, filenames: Sequence[str]) -> list[Examined | InputError]:
        """As `examine_all` of these clips."""
        return examine_all(clip_paths(self.data_dir, filenames))

    def score(self, members: Sequence[Member], table: pd.DataFrame, references: Mapping[str, Waveform]) -> Counted:
        """As `score_counted`; says first how much there is to do."""
        print(f"{len(table)} clips, {len(members)} checkpoints, {self.device} in {self.precision}")
        compute = (self.device, self.precision, self.num_workers)
        return score_counted(
            members,
            table,
            self.data_dir,
            references,
            *compute,
            correction=self.correction,
            accept_self_corrections=self.accept_self_corrections,
        )
