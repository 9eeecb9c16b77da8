"""The clips that the models get most wrong, with what is known of them and, where the files are there, what is to be heard."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from models.clips.tables import clip_paths, fingerprint, read_training_table, utterances
from models.ensemble.metrics import clip_losses
from models.errors import InputError
from models.report.held_out import Clips, Predictions, ResamplingUnits
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, read_audio
from models.speech.identity import Identity
from models.speech.pronunciation_table import given_beside
from models.speech.references import References

MOST_SECONDS = 30.0  # of one sound
MOST_SOUND_BYTES = 6_000_000  # of all sounds, before they become text, which takes a third more


@dataclass(frozen=True)
class Sound:
    """A sound for an HTML player.

    Attributes
    ----------
    uri
        Holds the sound itself; None where there is none.
    note
        Why there is none, or what was cut.
    """

    uri: str | None
    note: str = ""


@dataclass(frozen=True)
class WorstClip:
    """A clip and what is known of it.

    Attributes
    ----------
    score, loss
        Of the predictions that the clips are judged by.
    by_model
        The score that each model gives.
    group
        Such as the speaker; None where it is not known.
    text
        The expected text; None where the metadata are not there.
    """

    filename: str
    task: str
    grade: str
    group: str | None
    right: bool
    score: float
    loss: float
    by_model: dict[str, float]
    text: str | None
    response: Sound
    reference: Sound


@dataclass(frozen=True)
class ClipFiles:
    """What lies on disk of the clips.

    Attributes
    ----------
    texts
        The expected text by file name; empty where `notes` say why.
    said
        What the voice says for it, by file name.
    references
        None where there are none to use.
    with_sound
        Whether the page may hold sounds.
    """

    data_dir: Path
    texts: dict[str, str]
    said: dict[str, str]
    references: References | None
    notes: list[str]
    with_sound: bool = True


class SoundBox:
    """Makes sounds until they fill the page."""

    def __init__(self, most_bytes: int = MOST_SOUND_BYTES) -> None:
        self._left = most_bytes

    def take(self, path: Path) -> Sound:
        try:
            waveform = read_audio(path, MOST_SECONDS)
        except (InputError, OSError) as error:
            return Sound(None, str(error).removeprefix(f"{path}: ").partition(";")[0])
        mime, content = _smallest(waveform)
        if len(content) > self._left:
            return Sound(None, "left out: the sounds above fill the page")
        self._left -= len(content)
        cut = f"its first {MOST_SECONDS:g} s" if len(waveform) >= MOST_SECONDS * SAMPLE_RATE_HZ else ""
        return Sound(f"data:{mime};base64,{base64.b64encode(content).decode()}", cut)


def find_files(data_dir: Path, tts_dir: Path, data_fingerprint: str, voice: Identity, with_sound: bool) -> ClipFiles:
    """The metadata and references, if they are those that the checkpoints were trained with."""
    notes, texts, said, spoken = [], {}, {}, None
    try:
        table = read_training_table(data_dir, given_beside(tts_dir))
        if fingerprint(table) == data_fingerprint:
            texts = dict(zip(table["filename"], table["expected_text"], strict=True))
            said = dict(zip(table["filename"], utterances(table), strict=True))
        else:
            notes.append(f"{data_dir}: not the data that these models were trained on, so no texts and no players")
    except InputError as error:
        notes.append(f"No expected texts and no players: {error} (--data_dir)")
    try:
        spoken = References(tts_dir, voice=voice)
    except InputError as error:
        notes.append(f"No players of references: {error} (--tts_dir)")
    return ClipFiles(data_dir, texts, said, spoken, notes, with_sound)


def worst_clips(
    judged_by: Predictions,
    models: Sequence[Predictions],
    clips: Clips,
    units: ResamplingUnits,
    files: ClipFiles,
    n_clips: int,
) -> list[WorstClip]:
    """The clips of the largest loss, the largest first."""
    losses, box = clip_losses(judged_by.labels, judged_by.scores), SoundBox()
    scores_of = {model.name: dict(zip(model.rows.tolist(), model.scores.tolist(), strict=True)) for model in models}
    found = []
    for index in np.argsort(-losses, kind="stable")[:n_clips]:
        row = int(judged_by.rows[index])
        filename = clips.filenames[row]
        text = files.texts.get(filename)
        response, reference = _sounds(filename, text, files, box)
        clip = WorstClip(
            filename=filename,
            task=str(clips.tasks[row]),
            grade=str(clips.grades[row]),
            group=units.groups[row] if units.groups else None,
            right=bool(judged_by.labels[index] > 0.5),
            score=float(judged_by.scores[index]),
            loss=float(losses[index]),
            by_model={name: scores[row] for name, scores in scores_of.items() if row in scores},
            text=text,
            response=response,
            reference=reference,
        )
        found.append(clip)
    return found


def _sounds(filename: str, text: str | None, files: ClipFiles, box: SoundBox) -> tuple[Sound, Sound]:
    if not files.with_sound:
        return Sound(None), Sound(None)
    if text is None:  # other data than the models were trained on would give other recordings
        return Sound(None, "not at hand"), Sound(None, "not at hand")
    try:
        response = box.take(clip_paths(files.data_dir, [filename])[0])
    except InputError:
        response = Sound(None, "its name leads out of the data folder")
    if files.references is None:
        return response, Sound(None, "not at hand")
    return response, box.take(files.references.path(files.said[filename]))


def _smallest(waveform: Waveform) -> tuple[str, bytes]:
    """As FLAC or Ogg Vorbis, which browsers play, whichever is smaller: at 16 kHz mono, as the models hear it."""
    ways = (("audio/flac", "FLAC", "PCM_16"), ("audio/ogg", "OGG", "VORBIS"))
    encoded = [(mime, _encode(waveform, file_format, subtype)) for mime, file_format, subtype in ways]
    return min(encoded, key=lambda way: len(way[1]))


def _encode(waveform: Waveform, file_format: str, subtype: str) -> bytes:
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", SAMPLE_RATE_HZ, 1, subtype, format=file_format) as file:
        for start in range(0, len(waveform), SAMPLE_RATE_HZ):  # libsndfile's Vorbis encoder overflows on long blocks
            file.write(np.clip(waveform[start : start + SAMPLE_RATE_HZ], -1, 1))
    return content.getvalue()
