"""What an aligned network says of a clip with a piece cut out of it: is what was cut what it had found wrong?

Occlusion (Zeiler and Fergus 2014) for comparisons. Frames are cut after the encoder, so each clip is encoded once.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.aligned import AlignedNetwork, EncodedClips, join_clips

Span = tuple[int, int]  # encoder frames: first, and the one after the last
NOTHING: Span = (0, 0)

_FEWEST_FRAMES = 5  # that are left of a side: 100 ms
_CLIPS_AT_ONCE = 16


@torch.inference_mode()
def logits_without(
    network: AlignedNetwork,
    reference: EncodedClips,
    response: EncodedClips,
    cuts: Sequence[tuple[Span, Span]],
    scalars: Tensor,
) -> Tensor:
    """The network's logit after each cut: float32 [shape=(cuts,)], on the CPU.

    reference, response : of one clip, without padding
    cuts : what is taken out of the reference and of the response; NOTHING leaves it whole
    scalars : [shape=(1, 2)]
    """
    found = []
    for start in range(0, len(cuts), _CLIPS_AT_ONCE):
        batch = cuts[start : start + _CLIPS_AT_ONCE]
        references = join_clips([_without(reference, span) for span, _ in batch])
        responses = join_clips([_without(response, span) for _, span in batch])
        found.append(network.compare(references, responses, scalars.expand(len(batch), -1))["logits"].float().cpu())
    return torch.cat(found)


def _without(clip: EncodedClips, span: Span) -> EncodedClips:
    """The clip less the span, or whole where too little would be left."""
    start, end = span
    n_frames = clip.frames.shape[1]
    if end <= start or n_frames - (end - start) < _FEWEST_FRAMES:
        return clip
    kept = torch.cat([torch.arange(start), torch.arange(end, n_frames)]).to(clip.frames.device)
    lengths = torch.tensor([len(kept)], device=clip.lengths.device)
    return EncodedClips(clip.frames[:, kept], lengths, clip.phone_logits[:, kept])
