"""What is measured, and where: the clips, the size of the networks, the device."""

from dataclasses import dataclass

import torch

from benchmarks.material import Clips, architecture_of
from benchmarks.plain import PlainNetwork, PlainSamples
from models.base.compute import resolve_precision
from models.clips.tables import clip_paths, utterances
from models.ensemble.rebuild import rebuild_network
from models.inference.scoring import Member

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
        The verifier's weights, a hub id or a folder; None: random ones of this size.
    """

    clips: Clips
    size: str
    turns: int
    device: torch.device
    processes: int = 2
    encoder: str | None = None

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
        network = PlainNetwork(architecture_of(self.size), checkpointing)
        network.load_state_dict(rebuild_network(member.checkpoint).state_dict())
        return network.to(self.device)
