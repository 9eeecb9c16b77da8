"""What verifiers learn of the tokens they judge, beside the loss on whole answers."""

from torch import Tensor, nn


def mean_token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy of what is known, each text's mean first; 0 where nothing is.

    Parameters
    ----------
    logits, labels : [shape=(texts, tokens, questions)]
        A label is 0, 1 or nan, which means not known.
    """
    logits, labels = logits.flatten(1), labels.flatten(1)
    known = ~labels.isnan()
    losses = nn.functional.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none") * known
    texts = known.any(dim=1)
    return (losses.sum(dim=1) / known.sum(dim=1).clamp(min=1)).sum() / texts.sum().clamp(min=1)


def transcription_loss(log_probabilities: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the next token in the texts that were said, each text's mean first; 0 where none was.

    Parameters
    ----------
    log_probabilities, mask : [shape=(texts, tokens)]
    labels : [shape=(texts,)]
        1 where the text is what was said.
    """
    of_texts = -(log_probabilities * mask).sum(dim=1) / mask.sum(dim=1)
    right = labels == 1
    return (of_texts * right).sum() / right.sum().clamp(min=1)
