"""One response, heard once by a verifier, of which anything can be asked: texts to read, and what it would write down itself."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.clips.features import FRAMES_PER_SECOND
from models.clips.readings import readings_tensor
from models.ensemble.metrics import Values
from models.errors import InputError
from models.localize.read_text import ReadText
from models.localize.result import Array
from models.network.beam_search import Hypothesis, search
from models.network.decoder import cross_attention
from models.network.phones import PHONE_CLASSES
from models.network.verifier import VerifierNetwork
from models.speech.reading import accepted_readings

SUREST = 12.0  # logits beyond it say no more
_TEXTS_AT_ONCE = 16  # of a long text there are many
_BEAMS = 6
_TOKENS_PER_SECOND = 6  # more than anyone says
_MORE_TOKENS = 8


class Listener:
    """One response, heard once, of which any text can be asked."""

    @torch.inference_mode()
    def __init__(self, network: VerifierNetwork, log_mel: Tensor, scalars: Tensor) -> None:
        self._network, self._scalars = network, scalars
        self._seconds = log_mel.shape[1] / FRAMES_PER_SECOND
        self._heard, self._mask = network.hear(log_mel[None], torch.tensor([log_mel.shape[1]], device=log_mel.device))

    def read(self, texts: Sequence[str]) -> list[ReadText]:
        parts = (texts[start : start + _TEXTS_AT_ONCE] for start in range(0, len(texts), _TEXTS_AT_ONCE))
        return [found for part in parts for found in self._read_some(part)]

    @torch.inference_mode()
    def _read_some(self, texts: Sequence[str]) -> list[ReadText]:
        network, device = self._network, self._heard.device
        encoded = [torch.tensor(network.tokenizer.encode(text)) for text in texts]
        tokens = nn.utils.rnn.pad_sequence(encoded, batch_first=True).to(device)
        counts = torch.tensor([len(one) for one in encoded], device=device)
        rows = torch.zeros(len(texts), dtype=torch.int64, device=device)
        logits, judged = network.judge(self._heard, self._mask, tokens, counts, rows)
        whole = network.answer(network.pooling(logits, judged), self._scalars.expand(len(texts), -1), None)["logits"]
        of_tokens = logits.double().cpu().numpy().clip(-SUREST, SUREST)
        return [self._of_words(*each) for each in zip(texts, whole.tolist(), of_tokens, strict=True)]

    @torch.inference_mode()
    def look(self, text: str) -> tuple[Array, list[int]]:
        """Where each token of the text looks, by each head [shape=(heads, tokens, frames)], and which word it belongs to."""
        tokens = torch.tensor([self._network.tokenizer.encode(text)], device=self._heard.device)
        weights = cross_attention(self._network.decoder, tokens, self._heard, self._mask)[0].cpu().numpy()
        first = self._network.n_prompt
        return weights[:, first:-1], self._network.tokenizer.words(text)[first:-1]

    @property
    def can_write(self) -> bool:
        """Whether the network has learnt to write down right answers."""
        return self._network.transcription_loss > 0

    def hypotheses(self) -> list[Hypothesis]:
        """The likeliest transcripts of the response, the likeliest first."""
        most = _MORE_TOKENS + round(_TOKENS_PER_SECOND * self._seconds)
        return search(self._network, self._heard, self._mask, _BEAMS, most)

    @torch.inference_mode()
    def phones(self) -> Tensor | None:
        """Log-probabilities of the response's phones, float32 [shape=(frames, classes)], on the CPU; None where none are told."""
        classifier = self._network.phone_classifier
        if classifier is None or self._network.phone_names != PHONE_CLASSES:
            return None
        found: Tensor = classifier(self._heard, self._mask)
        return found[0].cpu()

    @torch.inference_mode()
    def weigh_phones(self, logit: float, utterances: Sequence[str]) -> float:
        """A whole text's logit with what its phones say, by networks that weigh them; utterances: of `accepted_utterances`."""
        network, device = self._network, self._heard.device
        readings = readings_tensor(accepted_readings(utterances))[None].to(device)
        columns = network.phone_columns(self._heard, self._mask, readings)
        logits = torch.tensor([logit], device=device)
        return float(network.weigh_phones(logits, columns, readings, self._scalars)[0])

    def stands_by(self, hypotheses: Sequence[Hypothesis]) -> bool:
        """Whether the network finds its own best text right when it reads it.

        It mostly does not where it has heard another language, song or noise, and then nothing is to be told.
        """
        if not hypotheses:
            return False
        try:
            return self.read([hypotheses[0].text])[0].whole > 0
        except InputError:  # nothing is written down, or what can't be read
            return False

    def _of_words(self, text: str, whole: float, of_tokens: Values) -> ReadText:
        words = np.array(self._network.tokenizer.words(text))
        n = len(text.split())
        said, gaps, likely = of_tokens[: len(words)].T
        least = np.array([said[words == word].min() for word in range(n)])
        of_words = [likely[words == word] for word in range(n + 1)]
        least_likely, means = (np.array([take(word) for word in of_words]) for take in (np.min, np.mean))
        firsts = [int(np.argmax(words == word)) for word in range(n + 1)]
        return ReadText(whole, least, least_likely, means, gaps[firsts], float(said[firsts[-1]]))
