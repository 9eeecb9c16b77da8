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
    spoken = {utterance: len(waveform) / SAMPLE_RATE_HZ for utterance, waveform in references.items()}
    if job.recipe.layout == "text":
        spoken = dict.fromkeys(spoken, 0.0)  # the text itself is read
    text, max_seconds = max(spoken, key=lambda text: spoken[text]), job.recipe.max_seconds
    if spoken[text] + SHORTEST_HEARD_SECONDS > max_seconds:
        raise InputError(
            f"--max_seconds {max_seconds:g}: the reference of {text!r} takes {spoken[text]:.1f} s of it and leaves the "
            "response no room; give more seconds, or speak faster references (preprocess.py --speed)"
        )
    filenames = [*job.train["filename"], *job.validation["filename"]]
    texts = [*utterances(job.train), *utterances(job.validation)]
    lengths = check_audio_files(clip_paths(job.options.data_dir, filenames))
    inputs = [seconds + spoken[text] for seconds, text in zip(lengths, texts, strict=True)]
    cut = sum(seconds > max_seconds for seconds in inputs)
    print(
        f"{job.recipe.name} fold {job.fold}: {len(job.train)} training and {len(job.validation)} validation clips, "
        f"{sum(lengths) / 3600:.2f} h; {cut} inputs are longer than {max_seconds:g} s and are cut"
    )
    return [min(seconds, max_seconds) for seconds in inputs]
