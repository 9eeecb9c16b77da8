"""What is measured, and where: the clips, the networks, the device."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.material import Clips, member_of, pretrained_member, recipe_of
from benchmarks.plain import PlainNetwork, PlainSamples
from models.base.compute import resolve_precision
from models.clips.tables import clip_paths, utterances
from models.ensemble.rebuild import rebuild_network
from models.inference.scoring import Member
from models.network.encoder import ARCHITECTURE

STEP_CLIPS = 16


@dataclass(frozen=True)
class Setting:
    """What is measured, and where.

    Attributes
    ----------
    size
        Of the networks: a key of `material.SIZES`.
    turns
        Of ours and of the plain implementation, each.
    processes
        That load.
    encoder
        Weights of a Whisper, a hub id or a folder; None: random ones of this size.
    """

    clips: Clips
    size: str
    turns: int
    device: torch.device
    processes: int = 2
    encoder: str | None = None

    @property
    def weights(self) -> str:
        """What to call the networks by."""
        return f"whisper-{self.size}'s size" if self.encoder is None else Path(self.encoder).name

    def member(self, **changes: Any) -> Member:
        """A checkpoint with these weights and the recipe of `recipe_of`."""
        recipe = recipe_of(**changes)
        return member_of(self.size, recipe) if self.encoder is None else pretrained_member(self.encoder, recipe)

    @property
    def loaders(self) -> int:
        """Processes that load during inference: beside a GPU, which would wait for one; on a CPU, threads are counted."""
        return self.processes if self.device.type == "cuda" else 0

    @property
    def precision(self) -> str:
        return resolve_precision("auto", self.device)

    def plain_data(self, augment: str = "none") -> PlainSamples:
        references = [self.clips.reference_files[said] for said in utterances(self.clips.table)]
        return PlainSamples(references, clip_paths(self.clips.data_dir, self.clips.table["filename"]), augment)

    def plain_network(self, member: Member, checkpointing: bool = False) -> PlainNetwork:
        """With the same weights."""
        encoder = {name: member.checkpoint.encoder[name] for name in ARCHITECTURE}
        network = PlainNetwork(encoder, checkpointing)
        network.load_state_dict(rebuild_network(member.checkpoint).state_dict())
        return network.to(self.device)
