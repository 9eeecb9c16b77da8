"""The words of the attempt that counts, where self-corrections are accepted, with their times in the whole recording."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from models.clips.features import frames_for_samples, log_mel, magnitude_spectrogram
from models.inference.self_corrections import counting_attempt
from models.localize.localization import localize
from models.localize.model import LoadedModel, check_response
from models.localize.result import Alignment, Localization, Unit
from models.speech.attempts import later_attempts
from models.speech.samples import SAMPLE_RATE_HZ, Waveform


def localize_counted(
    model: LoadedModel, text: str, task: str, grade: str, response: Waveform, *asked: Any
) -> Localization:
    """As `localize`, of the whole answer or of the later attempt that counts instead of it by the model's probabilities.

    Parameters
    ----------
    response
        The whole recording, of which an attempt has to be heard to its end.
    asked
        What follows in `localize`: speak, method, pronunciation.
    """
    response = check_response(response)
    most = round(model.recipe.max_seconds * SAMPLE_RATE_HZ)
    whole = replace(localize(model, text, task, grade, response[:most], *asked), counted_from_seconds=0.0)
    attempts = [each for each in later_attempts(response, text) if len(each.waveform) <= most]
    if not attempts:
        return whole
    found = [localize(model, text, task, grade, attempt.waveform, *asked) for attempt in attempts]
    best = counting_attempt(whole.probability, [each.probability for each in found])
    return whole if best is None else _in_whole(model, found[best], attempts[best].start_seconds, response)


def localize_from(
    model: LoadedModel, text: str, task: str, grade: str, response: Waveform, start_seconds: float, *asked: Any
) -> Localization:
    """As `localize`, of what was said from a second of the recording on, which counts by whatever has judged it before."""
    response = check_response(response)
    rest = response[round(start_seconds * SAMPLE_RATE_HZ) :]
    found = localize(model, text, task, grade, rest, *asked)
    return (
        _in_whole(model, found, start_seconds, response) if start_seconds else replace(found, counted_from_seconds=0.0)
    )


def _in_whole(model: LoadedModel, found: Localization, start_seconds: float, response: Waveform) -> Localization:
    """What was found of a recording's end, with times and pictures of the whole recording."""
    magnitudes = magnitude_spectrogram(torch.from_numpy(response), frames_for_samples(len(response)))
    return replace(
        found,
        units=tuple(_later(unit, start_seconds) for unit in found.units),
        response_seconds=start_seconds + found.response_seconds,
        response_log_mel=log_mel(magnitudes, model.n_mels).numpy(),
        alignment=_behind(found.alignment, start_seconds / found.response_seconds),
        counted_from_seconds=start_seconds,
    )


def _later(unit: Unit, seconds: float) -> Unit:
    start, end = (None if time is None else time + seconds for time in (unit.start_seconds, unit.end_seconds))
    return replace(unit, start_seconds=start, end_seconds=end)


def _behind(alignment: Alignment, silent: float) -> Alignment:
    """With nothing in front, `silent` times as long as it is."""
    columns = round(alignment.weights.shape[1] * silent)
    return replace(alignment, weights=np.pad(alignment.weights, ((0, 0), (columns, 0))))
