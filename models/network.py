"""The comparison networks: encoder, pooling, task and grade, head, one logit."""

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from models.alignment import AlignmentPooling
from models.checkpoint import Checkpoint
from models.encoder import build_encoder, encode, encoder_lengths, frame_mask
from models.errors import InputError
from models.recipe import Recipe, head_width

N_SCALARS = 2  # task and grade


class MeanPooling(nn.Module):
    """The average frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_features = width

    def forward(self, frames: Tensor) -> Tensor:
        return frames.mean(dim=1)


class AttentionPooling(nn.Module):
    """One linear score per frame, softmax over the frames, weighted sum (Safari et al. 2020, self-attention pooling)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_features = width
        self.score = nn.Linear(width, 1)

    def forward(self, frames: Tensor) -> Tensor:
        weights = self.score(frames).softmax(dim=1)  # (batch, frames, 1)
        return (weights * frames).sum(dim=1)


class AttentionAndMeanPooling(nn.Module):
    """Both, side by side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_features = 2 * width
        self.attention = AttentionPooling(width)
        self.mean = MeanPooling(width)

    def forward(self, frames: Tensor) -> Tensor:
        return torch.cat([self.attention(frames), self.mean(frames)], dim=-1)


class ComparisonNetwork(nn.Module):
    """What the two kinds share: dropout, head and loss. The sigmoid of the logit is the probability of a right answer.

    From pooling on everything is computed in float32, whatever precision the encoder runs in.
    """

    def __init__(self, encoder: WhisperEncoder, recipe: Recipe, pooling: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.frame_dropout = nn.Dropout(recipe.dropout if recipe.dropout_on == "frames" else 0.0)
        self.pooled_dropout = nn.Dropout(recipe.dropout if recipe.dropout_on == "pooled" else 0.0)
        self.head = _make_head(recipe, pooling.out_features + N_SCALARS, int(encoder.config.d_model))

    def answer(self, pooled: Tensor, scalars: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """
        pooled : [shape=(batch, n)]
        scalars : [shape=(batch, 2)]
        labels : [shape=(batch,)], 0 or 1
        returns : `logits` [shape=(batch,)] in float32 and, with labels, `loss`, the mean binary cross-entropy
        """
        logits = self.head(torch.cat([self.pooled_dropout(pooled), scalars.float()], dim=-1)).squeeze(-1)
        outputs = {"logits": logits}
        if labels is not None:
            outputs["loss"] = nn.functional.binary_cross_entropy_with_logits(logits, labels.float())
        return outputs


class JointNetwork(ComparisonNetwork):
    """Reads reference and response as one spectrogram."""

    def __init__(self, encoder: WhisperEncoder, recipe: Recipe) -> None:
        super().__init__(encoder, recipe, _make_pooling(recipe.pooling, int(encoder.config.d_model)))

    def forward(self, log_mel: Tensor, scalars: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """log_mel : [shape=(batch, n_mels, frames)]; the rest, and what is returned, as in `answer`."""
        frames = encode(self.encoder, log_mel)
        with torch.autocast(frames.device.type, enabled=False):
            return self.answer(self.pooling(self.frame_dropout(frames.float())), scalars, labels)


class AlignedNetwork(ComparisonNetwork):
    """Reads reference and response apart and compares them frame by frame. Arguments are those of `collate_apart`."""

    def __init__(self, encoder: WhisperEncoder, recipe: Recipe) -> None:
        super().__init__(encoder, recipe, AlignmentPooling(int(encoder.config.d_model)))

    def forward(
        self,
        reference: Tensor,
        reference_frames: Tensor,
        reference_rows: Tensor,
        response: Tensor,
        response_frames: Tensor,
        scalars: Tensor,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Returns what `answer` does."""
        references = encode(self.encoder, reference, reference_frames)
        lengths = encoder_lengths(reference_frames)
        return self.compare(references, lengths, reference_rows, response, response_frames, scalars, labels)

    def compare(
        self,
        references: Tensor,
        reference_lengths: Tensor,
        reference_rows: Tensor,
        response: Tensor,
        response_frames: Tensor,
        scalars: Tensor,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """As `forward`, with references that are encoded already [shape=(references, frames, d_model)]."""
        responses = encode(self.encoder, response, response_frames)
        own = reference_lengths[reference_rows]
        with torch.autocast(responses.device.type, enabled=False):
            left = self.frame_dropout(references[reference_rows, : int(own.max())].float())
            right = self.frame_dropout(responses.float())
            right_mask = frame_mask(encoder_lengths(response_frames), right.shape[1])
            pooled = self.pooling(left, frame_mask(own, left.shape[1]), right, right_mask)
            return self.answer(pooled, scalars, labels)


def make_network(encoder: WhisperEncoder, recipe: Recipe) -> ComparisonNetwork:
    """The kind of network that a recipe asks for."""
    return (JointNetwork if recipe.is_joint else AlignedNetwork)(encoder, recipe)


def rebuild_network(checkpoint: Checkpoint) -> ComparisonNetwork:
    """The trained network on the CPU in float32, in evaluation mode."""
    network = make_network(build_encoder(checkpoint.encoder), checkpoint.recipe)
    load_weights(network, checkpoint.weights)
    return network.eval()


def check_weights(checkpoint: Checkpoint) -> None:
    """That the weights are those of the checkpoint's network, without reading or making any.

    raises : InputError naming the first that is missing, surplus or of another shape
    """
    with torch.device("meta"):
        network = make_network(build_encoder(checkpoint.encoder), checkpoint.recipe)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in checkpoint.weights.items()}
    wrong = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if wrong:
        raise InputError(
            f"{checkpoint.file_name}: {len(wrong)} weights do not fit its recipe and encoder, the first {wrong[0]!r} "
            f"(expected {expected.get(wrong[0])}, found {found.get(wrong[0])}); train it again"
        )


def parameter_groups(network: ComparisonNetwork, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for AdamW: no weight decay on biases, layer norms and the head."""
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    norms = {id(p) for module in network.modules() if isinstance(module, nn.LayerNorm) for p in module.parameters()}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            is_free = id(parameter) in norms or name.endswith("bias") or not name.startswith("encoder.")
            (free if is_free else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def half_weights(network: ComparisonNetwork) -> dict[str, Tensor]:
    """The weights in float16 on the CPU, contiguous, as checkpoints hold them."""
    return {name: tensor.detach().cpu().to(torch.float16).contiguous() for name, tensor in network.state_dict().items()}


def load_weights(network: ComparisonNetwork, weights: Mapping[str, Tensor]) -> None:
    """Put weights of any precision in place, all of them, in the network's own precision."""
    network.load_state_dict({name: tensor.to(torch.float32) for name, tensor in weights.items()}, strict=True)


def _make_pooling(kind: str, width: int) -> Any:
    kinds = {"mean": MeanPooling, "attention": AttentionPooling, "attention+mean": AttentionAndMeanPooling}
    return kinds[kind](width)


def _make_head(recipe: Recipe, n_inputs: int, encoder_width: int) -> nn.Sequential:
    """One or two linear layers with no activation between them."""
    hidden = head_width(recipe.head, encoder_width)
    widths = [n_inputs, 1] if hidden is None else [n_inputs, hidden, 1]
    layers = [nn.Linear(n_in, n_out) for n_in, n_out in itertools.pairwise(widths)]
    if recipe.head_init_std is not None:
        for layer in layers:
            nn.init.normal_(layer.weight, std=recipe.head_init_std)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)
