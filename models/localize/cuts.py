"""What an aligned network says of a clip with a piece cut out of it: is what was cut what it had found wrong?

Occlusion (Zeiler and Fergus 2014) for comparisons. Frames are cut after the encoder, so each clip is encoded once.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.network.aligned import AlignedNetwork, EncodedClips, join_clips

Span = tuple[int, int]  # encoder frames: first, and the one after the last
Spans = tuple[Span, ...]

_FEWEST_FRAMES = 5  # that are left of a side: 100 ms
_CLIPS_AT_ONCE = 16


@torch.inference_mode()
def logits_without(
    network: AlignedNetwork,
    reference: EncodedClips,
    response: EncodedClips,
    cuts: Sequence[tuple[Spans, Spans]],
    scalars: Tensor,
) -> Tensor:
    """The network's logit after each cut: float32 [shape=(cuts,)], on the CPU.

    Parameters
    ----------
    reference, response
        Of one clip, without padding.
    cuts
        What is taken out of the reference and of the response.
    scalars : [shape=(1, 2)]
    """
    found = []
    for start in range(0, len(cuts), _CLIPS_AT_ONCE):
        batch = cuts[start : start + _CLIPS_AT_ONCE]
        references = join_clips([_without(reference, spans) for spans, _ in batch])
        responses = join_clips([_without(response, spans) for _, spans in batch])
        found.append(network.compare(references, responses, scalars.expand(len(batch), -1))["logits"].float().cpu())
    return torch.cat(found)


def _without(clip: EncodedClips, spans: Spans) -> EncodedClips:
    """The clip less the spans, or whole where too little would be left."""
    kept = torch.ones(clip.frames.shape[1], dtype=torch.bool, device=clip.frames.device)
    for start, end in spans:
        kept[start:end] = False
    if bool(kept.all()) or int(kept.sum()) < _FEWEST_FRAMES:
        return clip
    return EncodedClips(clip.frames[:, kept], kept.sum()[None], clip.phone_logits[:, kept])
