"""The comparison networks: encoder, pooling, task and grade, head, one logit."""

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.clips.tokens import TextTokenizer
from models.network.encoder import lower_precision
from models.network.phone_fit import N_PHONE_FIT
from models.network.phones import usual_phones
from models.network.whisper import WhisperEncoder
from models.recipe import Recipe, head_width

N_SCALARS = 2  # task and grade


class ComparisonNetwork(nn.Module):
    """What all kinds share: dropout, head and loss. The sigmoid of the logit is the probability of a right answer.

    From pooling on everything is computed in float32, whatever precision the encoder runs in.

    Parameters
    ----------
    phone_classes
        Of a phone classifier on the encoder's frames (the first class is silence), which tells the head how well the
        response carries the reference's phones; 0 where there is none.
    """

    tokenizer: TextTokenizer | None = None  # of those that read the text itself

    def __init__(self, encoder: WhisperEncoder, recipe: Recipe, pooling: Any, phone_classes: int = 0) -> None:
        super().__init__()
        width = int(encoder.config.d_model)
        self.encoder = encoder
        self.pooling = pooling
        self.frame_dropout = nn.Dropout(recipe.dropout if recipe.dropout_on == "frames" else 0.0)
        self.pooled_dropout = nn.Dropout(recipe.dropout if recipe.dropout_on == "pooled" else 0.0)
        self.phone_classes = phone_classes
        self.phone_names = usual_phones(phone_classes)
        n_scalars = N_SCALARS + (N_PHONE_FIT if phone_classes else 0)
        self.head = _make_head(recipe, pooling.out_features + n_scalars, width)
        self.phone_head = nn.Linear(width, phone_classes) if phone_classes else None

    def start_from(self, batch: dict[str, Tensor]) -> None:
        """Called once, before training, with some training clips as arguments of a call."""

    def lower_precision(self, dtype: torch.dtype) -> None:
        """For faster inference, compute in `dtype` where that changes no answer by much.

        Not where phones are read off the frames: rounding turns one phone into another.
        """
        if self.phone_head is None:
            lower_precision(self.encoder, dtype)

    def answer(self, pooled: Tensor, scalars: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """Head and loss.

        Parameters
        ----------
        pooled : [shape=(batch, n)]
        scalars : [shape=(batch, 2)]
            And the phones' fit where there is a phone classifier.
        labels : [shape=(batch,)]
            0 or 1.

        Returns
        -------
        dict[str, Tensor]
            `logits` [shape=(batch,)] in float32 and, with labels, `loss`, the mean binary cross-entropy.
        """
        logits = self.head(torch.cat([self.pooled_dropout(pooled), scalars.float()], dim=-1)).squeeze(-1)
        outputs = {"logits": logits}
        if labels is not None:
            outputs["loss"] = nn.functional.binary_cross_entropy_with_logits(logits, labels.float())
        return outputs


def parameter_groups(network: ComparisonNetwork, recipe: Recipe) -> list[dict[str, Any]]:
    """Groups for AdamW: no weight decay on biases, layer norms and the head, which may have a learning rate of its own."""
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    head: list[Tensor] = []
    norms = {id(p) for module in network.modules() if isinstance(module, nn.LayerNorm) for p in module.parameters()}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            is_pretrained = name.startswith(("encoder.", "decoder."))
            is_free = id(parameter) in norms or name.endswith("bias") or not is_pretrained
            own_rate = recipe.head_learning_rate is not None and name.startswith(("head.", "gap_head."))
            (head if own_rate else free if is_free else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return [*groups, {"params": head, "weight_decay": 0.0, "lr": recipe.head_learning_rate}] if head else groups


def half_weights(network: ComparisonNetwork) -> dict[str, Tensor]:
    """The weights in float16 on the CPU, contiguous, as checkpoints hold them."""
    return {name: tensor.detach().cpu().to(torch.float16).contiguous() for name, tensor in network.state_dict().items()}


def load_weights(network: ComparisonNetwork, weights: Mapping[str, Tensor]) -> None:
    """Put weights of any precision in place, all of them, in the network's own precision."""
    network.load_state_dict({name: tensor.to(torch.float32) for name, tensor in weights.items()}, strict=True)


def _make_head(recipe: Recipe, n_inputs: int, encoder_width: int) -> nn.Sequential:
    """One or two linear layers with no activation between them."""
    hidden = head_width(recipe.head, encoder_width)
    widths = [n_inputs, 1] if hidden is None else [n_inputs, hidden, 1]
    layers = [nn.Linear(n_in, n_out) for n_in, n_out in itertools.pairwise(widths)]
    if recipe.head_init_std is not None and not layers[0].weight.is_meta:  # else drawing would load torch's compiler
        for layer in layers:
            nn.init.normal_(layer.weight, std=recipe.head_init_std)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)
