"""When each word was spoken, from where a decoder's tokens look: some heads follow the speech, and these are found by that.

Whisper's time stamps come from such heads too, which a list names for each of its sizes (Radford et al. 2022, its word-level time
stamps); here any decoder's are found, fine-tuned ones too.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from models.localize.cuts import Span
from models.localize.result import Array

_HEADS = 3  # that are averaged
_SMOOTHED_FRAMES = 7


def following_heads(looks: Array) -> Array:
    """The mean of the heads whose attention lies most on one way forward through the response: [shape=(tokens, frames)].

    Parameters
    ----------
    looks : [shape=(heads, tokens, frames)]
        Attention weights.
    """
    shares = [_share_on_path(head) for head in looks]
    return np.asarray(looks[np.argsort(shares)[-_HEADS:]].mean(axis=0))


def word_spans(looks: Array, owners: Sequence[int], n_words: int) -> list[Span]:
    """Frames of each word, on the way along which its tokens look most.

    Parameters
    ----------
    looks : [shape=(tokens, frames)]
    owners
        Which word each token belongs to; each word has at least one.
    """
    path = _path(looks)
    words = np.array(owners)[path[:, 0]]
    starts = [int(path[np.argmax(words == word), 1]) for word in range(n_words)]
    return list(zip(starts, [*starts[1:], looks.shape[1]], strict=True))


def _share_on_path(looks: Array) -> float:
    path = _path(looks)
    return float(looks[path[:, 0], path[:, 1]].sum() / looks.sum())


def _path(looks: Array) -> NDArray[np.int64]:
    """The way forward of dynamic time warping, in steps of (token, frame): [shape=(steps, 2)].

    What many tokens look at tells little: each frame's weights are standardised over the tokens.
    """
    from librosa.sequence import dtw

    spread = looks.std(axis=0) + 1e-9
    smooth = median_filter((looks - looks.mean(axis=0)) / spread, size=(1, _SMOOTHED_FRAMES))
    return np.asarray(dtw(C=-smooth, backtrack=True)[1][::-1])
