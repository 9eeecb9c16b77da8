"""How long each clip is, with its reference, as far as a recipe reads it."""

from collections.abc import Mapping

from models.clips.hearing import SHORTEST_HEARD_SECONDS
from models.clips.tables import clip_paths, utterances
from models.errors import InputError
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, check_audio_files
from models.training.job import TrainingJob


def input_seconds(job: TrainingJob, references: Mapping[str, Waveform]) -> list[float]:
    """Length of what is read of each training and then of each validation clip; says how many are cut.

    Raises InputError where a clip does not decode, or nothing of it would be heard after the longest reference.
    """
    spoken, max_seconds = (
        {text: len(waveform) / SAMPLE_RATE_HZ for text, waveform in references.items()},
        job.recipe.max_seconds,
    )
    _check_room(spoken, max_seconds)
    filenames = [*job.train["filename"], *job.validation["filename"]]
    texts = [*utterances(job.train), *utterances(job.validation)]
    lengths = check_audio_files(clip_paths(job.options.data_dir, filenames))
    inputs = [seconds + spoken.get(text, 0.0) for seconds, text in zip(lengths, texts, strict=True)]
    cut = sum(seconds > max_seconds for seconds in inputs)
    print(
        f"{job.recipe.name} fold {job.fold}: {len(job.train)} training and {len(job.validation)} validation clips, "
        f"{sum(lengths) / 3600:.2f} h; {cut} inputs are longer than {max_seconds:g} s and are cut"
    )
    return [min(seconds, max_seconds) for seconds in inputs]


def _check_room(spoken: Mapping[str, float], max_seconds: float) -> None:
    """That something of a response would be heard after the longest reference, given the seconds of each."""
    text = max(spoken, key=lambda text: spoken[text], default="")
    if spoken.get(text, 0.0) + SHORTEST_HEARD_SECONDS > max_seconds:
        raise InputError(
            f"--max_seconds {max_seconds:g}: the reference of {text!r} takes {spoken[text]:.1f} s of it and leaves the "
            "response no room; give more seconds, or speak faster references (preprocess.py --speed)"
        )
