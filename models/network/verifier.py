"""The verifier: Whisper's decoder reads the expected text, hears the response, and judges each token.

A token is judged twice. By the product of its embedding and the hidden state at its own position: the decoder has been fed it, so
what is asked is whether this one was said. And by the state before it, which has not seen it: how likely it comes next, as in a
transcript. The end token asks whether that was all.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.clips.groups import SCALAR_STEPS, TASKS
from models.clips.tokens import TextTokenizer
from models.network.comparison import ComparisonNetwork
from models.network.decoder import decode, lower_decoder_precision
from models.network.encoder import encode, encoder_lengths, frame_mask
from models.network.layers import as_weights
from models.network.phone_classifier import PhoneClassifier
from models.network.phone_evidence import PhoneEvidence, evidence_columns
from models.network.phones import usual_phones
from models.network.token_losses import mean_token_loss, transcription_loss
from models.network.whisper import WhisperDecoder, WhisperEncoder
from models.recipe import Recipe

_NATS = 3.0  # of a log-probability that count as one: near its standard deviation before training
_LEAST = -5.0  # of these units: what is less likely is as good as impossible
_ROWS_AT_ONCE = 512  # of a product with the whole vocabulary: 100 MB


class TokenPooling(nn.Module):
    """The tokens' mean and their soft minimum, which the least likely token rules; of the gaps the latter alone.

    Parameters
    ----------
    n_questions
        2 (was the token said, and was it likely to come next?) or 3 (and between these: was nothing said before it that the text
        lacks?).
    """

    def __init__(self, n_questions: int) -> None:
        super().__init__()
        self.out_features = 2 + n_questions

    def forward(self, judged: Tensor, mask: Tensor) -> Tensor:
        """Pool answers [shape=(batch, tokens, questions)] where the mask, bool [shape=(batch, tokens)], is True."""
        counts = mask.sum(dim=1)[:, None]
        said, likely = judged[..., 0], judged[..., -1]
        means = (torch.stack([said, likely], dim=2) * mask[..., None]).sum(dim=1) / counts
        softest = counts.log() - (-judged).masked_fill(~mask[..., None], -torch.inf).logsumexp(dim=1)
        return torch.cat([means, softest], dim=1)


class Judged(NamedTuple):
    """What is asked of each token of some texts, which of them count, and what a transcript would be drawn by.

    Attributes
    ----------
    answers, mask
        As `VerifierNetwork.judge` returns them.
    log_probabilities : float32 [shape=(texts, tokens behind the prompt)]
        Of each token after those before it.
    """

    answers: Tensor
    mask: Tensor
    log_probabilities: Tensor


class VerifierNetwork(ComparisonNetwork):
    """Arguments of a call are those of `batches.collate_text`.

    Parameters
    ----------
    phone_classes
        Of a phone classifier; 0: it has none.
    weighs_phones
        Whether what it tells of the expected text's phones counts; then these have to be given.
    """

    tokenizer: TextTokenizer
    logit_mean: Tensor
    logit_std: Tensor

    def __init__(
        self,
        encoder: WhisperEncoder,
        decoder: WhisperDecoder,
        recipe: Recipe,
        tokenizer: TextTokenizer,
        phone_classes: int = 0,
        weighs_phones: bool = False,
    ) -> None:
        gaps = recipe.drawn_texts > 0  # else nothing is known of them
        super().__init__(encoder, recipe, TokenPooling(2 + gaps))
        width = int(encoder.config.d_model)
        self.phone_classes, self.phone_names = phone_classes, usual_phones(phone_classes)
        self.phone_classifier = PhoneClassifier(width, phone_classes) if phone_classes else None
        self.phone_evidence = PhoneEvidence(len(TASKS)) if weighs_phones else None
        self.gap_head = nn.Linear(width, 1) if gaps else None
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.n_prompt = len(tokenizer.prompt)
        self.token_loss, self.drawn_loss = recipe.token_loss, recipe.drawn_loss
        self.transcription_loss = recipe.transcription_loss
        self.register_buffer("logit_mean", torch.zeros(()))
        self.register_buffer("logit_std", torch.ones(()))
        self._start_head()

    def hear(self, response: Tensor, response_frames: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's frames, and which of them count.

        Parameters
        ----------
        response : [shape=(batch, n_mels, spectrogram frames)]
        response_frames : int64 [shape=(batch,)]

        Returns
        -------
        Tensor, Tensor
            [shape=(batch, frames, width)] and bool [shape=(batch, frames)].
        """
        heard = encode(self.encoder, response, response_frames)
        return heard, frame_mask(encoder_lengths(response_frames), heard.shape[1])

    def judge(
        self, heard: Tensor, heard_mask: Tensor, tokens: Tensor, token_counts: Tensor, text_rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What each token is asked, and which of them are text or its end.

        First a logit of whether the token was said (of the end: whether that was all), in units of the untrained network's; then,
        of networks trained with drawn texts, one of whether nothing was said before it that the text lacks; last the
        log-probability of the token after those before it, in units of three nats.

        Parameters
        ----------
        heard, heard_mask
            Of `hear`.
        tokens : int64 [shape=(texts, tokens)]
            Start tokens, text, end token, padding.
        token_counts : int64 [shape=(texts,)]
        text_rows : int64 [shape=(texts,)]
            Which response each text is read with; None: each with its own.

        Returns
        -------
        Tensor, Tensor
            float32 [shape=(texts, tokens, 2 or 3)] and bool [shape=(texts, tokens)].
        """
        judged = self._judge(heard, heard_mask, tokens, token_counts, text_rows)
        return judged.answers, judged.mask

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
        readings: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Returns what `answer` does of each response and its own text, and of its phones where they count.

        To the loss are added that of the tokens whose label (0 or 1, else nan) is known, and of the texts that were drawn for a
        right answer, log(1 + exp(theirs - its own)): it has to fit better (RankNet, Burges et al. 2005). Right answers are
        transcripts too, and that of their next tokens is added as a recipe says.
        """
        heard, heard_mask = self.hear(response, response_frames)
        logits, judged, written = self._judge(heard, heard_mask, tokens, token_counts, text_rows)
        n = len(response)
        with torch.autocast(logits.device.type, enabled=False):
            pooled = self.pooling(logits, judged)
            outputs = self.answer(pooled[:n], scalars, labels)
            if "loss" in outputs and token_labels is not None:
                asked = logits[..., :-1]  # what is likely to come next has no labels
                of_tokens = mean_token_loss(asked, token_labels[..., : asked.shape[2]])
                outputs["loss"] = outputs["loss"] + self.token_loss * of_tokens
            if "loss" in outputs and text_rows is not None:
                drawn = self.answer(pooled[n:], scalars[text_rows[n:]], None)["logits"]
                behind = nn.functional.softplus(drawn - outputs["logits"][text_rows[n:]])
                outputs["loss"] = outputs["loss"] + self.drawn_loss * behind.mean()
            if labels is not None and self.transcription_loss:
                of_texts = transcription_loss(written[:n], judged[:n, self.n_prompt :], labels)
                outputs["loss"] = outputs["loss"] + self.transcription_loss * of_texts
            if self.phone_evidence is not None:
                if readings is None:
                    raise ValueError("its scores rest on phones: give readings of the texts")
                columns = self.phone_columns(heard, heard_mask, readings)
                outputs["logits"] = self.weigh_phones(outputs["logits"], columns, readings, scalars)
            return outputs

    def weigh_phones(self, logits: Tensor, columns: Tensor, readings: Tensor, scalars: Tensor) -> Tensor:
        """The logits [shape=(batch,)] with what the phones of the texts say, `columns`, where that counts."""
        if self.phone_evidence is None:
            return logits
        tasks = (scalars[:, 0].float() * SCALAR_STEPS).round().long()
        weighed: Tensor = self.phone_evidence(logits, columns, tasks, readings)
        return weighed

    def phone_columns(self, heard: Tensor, heard_mask: Tensor, readings: Tensor) -> Tensor:
        """As `evidence_columns`, of what was heard."""
        assert self.phone_classifier is not None
        log_probabilities = self.phone_classifier(heard, heard_mask)
        return evidence_columns(log_probabilities, heard_mask.sum(dim=1), readings)

    @torch.no_grad()
    def start_from(self, batch: dict[str, Tensor]) -> None:
        """Set the units of the logits, so that those of this batch's own texts have mean 0 and standard deviation 1."""
        names, n = ("response", "response_frames", "tokens", "token_counts"), len(batch["response"])
        self.eval()
        response, frames, tokens, counts = (batch[name][:n].to(self.logit_mean.device) for name in names)
        self.logit_mean.zero_()
        self.logit_std.fill_(1.0)
        raw, judged = self.judge(*self.hear(response, frames), tokens, counts)
        self.logit_mean.copy_(raw[..., 0][judged].mean())
        self.logit_std.copy_(raw[..., 0][judged].std())

    def lower_precision(self, dtype: torch.dtype) -> None:
        """As of all networks; where scores rest on phones the encoder stays as it is, and the decoder alone is lowered."""
        if self.phone_evidence is None:
            super().lower_precision(dtype)
        lower_decoder_precision(self.decoder, dtype)

    def _judge(
        self, heard: Tensor, heard_mask: Tensor, tokens: Tensor, token_counts: Tensor, text_rows: Tensor | None
    ) -> Judged:
        hidden = self.frame_dropout(decode(self.decoder, tokens, heard, heard_mask, text_rows).float())
        places = torch.arange(tokens.shape[1], device=tokens.device)
        judged = (places >= self.n_prompt) & (places < token_counts[:, None])
        before = hidden[:, self.n_prompt - 1 : -1]
        normalisers = self._normalisers(before)
        with torch.autocast(hidden.device.type, enabled=False):
            said = (self._products(hidden, tokens) - self.logit_mean) / self.logit_std
            written = self._products(before, tokens[:, self.n_prompt :]) - normalisers
            likely = nn.functional.pad((written / _NATS).clamp(min=_LEAST), (self.n_prompt, 0))
            if self.gap_head is None:
                return Judged(torch.stack([said, likely], dim=2), judged, written)
            # Whisper's states are too large by far for a layer that begins at random.
            gaps = self.gap_head(nn.functional.layer_norm(hidden, hidden.shape[2:]))
            return Judged(torch.cat([said[..., None], gaps, likely[..., None]], dim=2), judged, written)

    def _products(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        return (hidden * self.decoder.embed_tokens(tokens).float()).sum(dim=2)

    def _normalisers(self, hidden: Tensor) -> Tensor:
        """The logsumexp over the vocabulary for each state, float32 [shape=(texts, positions)]; a share of them at a time."""
        states = as_weights(hidden, self.decoder.layers[0].fc1)
        vocabulary = self.decoder.embed_tokens.weight.to(states.dtype)
        parts = [
            nn.functional.linear(part, vocabulary).float().logsumexp(dim=1)
            for part in states.flatten(0, 1).split(_ROWS_AT_ONCE)
        ]
        return torch.cat(parts).unflatten(0, hidden.shape[:2])

    def _start_head(self) -> None:
        """The mean of what is pooled: the head knows from the start which sign is right."""
        layer: Any = self.head[0]
        nn.init.zeros_(layer.bias)
        nn.init.zeros_(layer.weight)
        layer.weight.data[:, : self.pooling.out_features] = 1 / self.pooling.out_features
