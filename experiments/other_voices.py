"""Another child, or the same one again, heard in a recording: for measuring what tells of it."""

from collections.abc import Callable, Sequence

import numpy as np

from models.speech.samples import Waveform
from models.speech.signal import frame_levels, measure_signal

Change = Callable[[Waveform, np.random.Generator], Waveform]


def trimmed(clip: Waveform) -> Waveform:
    """From the first to the last 10 ms within 25 dB of the loudest."""
    levels = frame_levels(clip)
    loud = np.flatnonzero(levels > np.percentile(levels, 95) - 25) * 160
    return clip[loud[0] : loud[-1] + 400]


class OtherVoices:
    """Another child's answer, of the clips that are drawn, is as much softer than each clip as is asked for."""

    def __init__(self, clips: list[Waveform], speakers: Sequence[str]) -> None:
        self._clips, self._speakers, self._places = clips, np.array(speakers), {id(c): p for p, c in enumerate(clips)}

    def _drawn(self, clip: Waveform, db: float, same: bool, rng: np.random.Generator) -> Waveform:
        place = self._places[id(clip)]
        is_same = self._speakers == self._speakers[place]
        others = np.flatnonzero(is_same & (np.arange(len(is_same)) != place) if same else ~is_same)
        other = trimmed(self._clips[rng.choice(others if len(others) else [place])])
        gain_db = measure_signal(clip).level_db - db - measure_signal(other).level_db
        return (other * 10 ** (gain_db / 20)).astype(np.float32)

    def behind(self, db: float) -> Change:
        """Over and over, as long as the clip."""

        def change(clip: Waveform, rng: np.random.Generator) -> Waveform:
            return clip + np.resize(self._drawn(clip, db, False, rng), len(clip))

        return change

    def into(self, db: float) -> Change:
        """Once, from anywhere on."""

        def change(clip: Waveform, rng: np.random.Generator) -> Waveform:
            other = self._drawn(clip, db, False, rng)[: len(clip)]
            start, changed = int(rng.integers(len(clip) - len(other) + 1)), clip.copy()
            changed[start : start + len(other)] += other
            return changed

        return change

    def after(self, db: float, same: bool) -> Change:
        return lambda clip, rng: np.concatenate([clip, self._drawn(clip, db, same, rng)])
