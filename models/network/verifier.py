"""The verifier: Whisper's decoder reads the expected text, hears the response, and judges each token.

A token is judged by the product of its embedding and the hidden state at its own position: the decoder has been fed it, so what
is asked is not which token comes next but whether this one was said. The end token asks whether that was all.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.whisper.modeling_whisper import WhisperDecoder, WhisperEncoder

from models.clips.tokens import TextTokenizer
from models.network.comparison import ComparisonNetwork
from models.network.decoder import decode, lower_decoder_precision
from models.network.encoder import encode, encoder_lengths, frame_mask
from models.recipe import Recipe


class TokenPooling(nn.Module):
    """The mean of the tokens' logits and their soft minimum, which the least likely token rules."""

    out_features = 2

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Pool logits [shape=(batch, tokens)] where the mask, bool of the same shape, is True: [shape=(batch, 2)]."""
        counts = mask.sum(dim=1)
        mean = (logits * mask).sum(dim=1) / counts
        softest = counts.log() - (-logits).masked_fill(~mask, -torch.inf).logsumexp(dim=1)
        return torch.stack([mean, softest], dim=1)


def mean_token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy over the tokens whose label is not nan, each clip's mean first; 0 where none is known."""
    known = ~labels.isnan()
    losses = nn.functional.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none") * known
    clips = known.any(dim=1)
    return (losses.sum(dim=1) / known.sum(dim=1).clamp(min=1)).sum() / clips.sum().clamp(min=1)


class VerifierNetwork(ComparisonNetwork):
    """Arguments of a call are those of `batches.collate_text`."""

    tokenizer: TextTokenizer
    logit_mean: Tensor
    logit_std: Tensor

    def __init__(
        self, encoder: WhisperEncoder, decoder: WhisperDecoder, recipe: Recipe, tokenizer: TextTokenizer
    ) -> None:
        super().__init__(encoder, recipe, TokenPooling())
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.n_prompt = len(tokenizer.prompt)
        self.token_loss, self.drawn_loss = recipe.token_loss, recipe.drawn_loss
        decoder.embed_tokens.weight.requires_grad_(False)
        decoder.embed_positions.weight.requires_grad_(False)
        self.register_buffer("logit_mean", torch.zeros(()))
        self.register_buffer("logit_std", torch.ones(()))
        self._start_head()

    def token_logits(
        self,
        response: Tensor,
        response_frames: Tensor,
        tokens: Tensor,
        token_counts: Tensor,
        text_rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Each token's logit, in units of the untrained network's, and which of them are text or its end.

        Parameters
        ----------
        response : [shape=(batch, n_mels, spectrogram frames)]
        response_frames : int64 [shape=(batch,)]
        tokens : int64 [shape=(texts, tokens)]
            Start tokens, text, end token, padding.
        token_counts : int64 [shape=(texts,)]
        text_rows : int64 [shape=(texts,)]
            Which response each text is read with; None: each with its own.

        Returns
        -------
        Tensor, Tensor
            float32 and bool [shape=(texts, tokens)].
        """
        raw, judged = self._raw_logits(response, response_frames, tokens, token_counts, text_rows)
        return (raw - self.logit_mean) / self.logit_std, judged

    def forward(
        self,
        response: Tensor,
        response_frames: Tensor,
        tokens: Tensor,
        token_counts: Tensor,
        scalars: Tensor,
        labels: Tensor | None = None,
        token_labels: Tensor | None = None,
        text_rows: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Returns what `answer` does of each response and its own text.

        To the loss are added that of the tokens whose label (0 or 1, else nan) is known, and of the texts that were drawn for a
        right answer, log(1 + exp(theirs - its own)): it has to fit better (RankNet, Burges et al. 2005).
        """
        logits, judged = self.token_logits(response, response_frames, tokens, token_counts, text_rows)
        n = len(response)
        with torch.autocast(logits.device.type, enabled=False):
            pooled = self.pooling(logits, judged)
            outputs = self.answer(pooled[:n], scalars, labels)
            if "loss" in outputs and token_labels is not None:
                outputs["loss"] = outputs["loss"] + self.token_loss * mean_token_loss(logits, token_labels)
            if "loss" in outputs and text_rows is not None:
                drawn = self.answer(pooled[n:], scalars[text_rows[n:]], None)["logits"]
                behind = nn.functional.softplus(drawn - outputs["logits"][text_rows[n:]])
                outputs["loss"] = outputs["loss"] + self.drawn_loss * behind.mean()
            return outputs

    @torch.no_grad()
    def start_from(self, batch: dict[str, Tensor]) -> None:
        """Set the units of the logits, so that those of this batch's own texts have mean 0 and standard deviation 1."""
        names, n = ("response", "response_frames", "tokens", "token_counts"), len(batch["response"])
        self.eval()
        raw, judged = self._raw_logits(*(batch[name][:n].to(self.logit_mean.device) for name in names))
        self.logit_mean.copy_(raw[judged].mean())
        self.logit_std.copy_(raw[judged].std())

    def lower_precision(self, dtype: torch.dtype) -> None:
        super().lower_precision(dtype)
        lower_decoder_precision(self.decoder, dtype)

    def _raw_logits(
        self, response: Tensor, frames: Tensor, tokens: Tensor, counts: Tensor, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        heard = encode(self.encoder, response, frames)
        mask = frame_mask(encoder_lengths(frames), heard.shape[1])
        hidden = self.frame_dropout(decode(self.decoder, tokens, heard, mask, rows).float())
        places = torch.arange(tokens.shape[1], device=tokens.device)
        judged = (places >= self.n_prompt) & (places < counts[:, None])
        return (hidden * self.decoder.embed_tokens(tokens).float()).sum(dim=2), judged

    def _start_head(self) -> None:
        """The mean of what is pooled: the head knows from the start which sign is right."""
        layer: Any = self.head[0]
        nn.init.zeros_(layer.bias)
        nn.init.zeros_(layer.weight)
        layer.weight.data[:, : self.pooling.out_features] = 1 / self.pooling.out_features
