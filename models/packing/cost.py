"""How long inference takes: the encoders' operations over the clips, divided by what the machine does in a second."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.clips.features import frames_for_seconds
from models.clips.tables import clip_paths, read_metadata
from models.ensemble.checkpoint import Checkpoint
from models.errors import InputError
from models.inference.scoring import CHUNK_CLIPS
from models.network.encoder import build_encoder, encode
from models.speech.audio import SAMPLE_RATE_HZ, try_audio_files
from models.speech.references import load_references, missing_texts, read_identity

MEASURED_CLIPS = 200  # as many clips tell the mean length well enough
START_SECONDS = 30.0  # importing the libraries, checking checksums, decoding the first clips
LOAD_BYTES_PER_SECOND = 1e9  # weights from the disk's cache to the device, in float32


@dataclass(frozen=True)
class Work:
    """What is to be scored: so many clips with so many distinct expected texts, and mean lengths."""

    clips: int
    texts: int
    reference_seconds: float
    response_seconds: float


def measure_work(data_dir: Path, tts_dir: Path, clips: int | None = None) -> Work:
    """The test clips of a data folder or, where it has none, its training clips, as an example of the others.

    clips : how many there will be; None means as many as in the folder
    raises : InputError where lengths can't be measured
    """
    parts = [part for part in ("test", "train") if (data_dir / f"{part}_metadata.csv").is_file()]
    if not parts:
        raise InputError(
            f"{data_dir}: has neither test_metadata.csv nor train_metadata.csv; give the folder as --data_dir"
        )
    if parts[0] == "train" and clips is None:
        raise InputError(
            f"{data_dir}: has no test_metadata.csv; say with --clips how many clips there will be to score"
        )
    table = read_metadata(data_dir / f"{parts[0]}_metadata.csv")
    sample = table.sample(min(MEASURED_CLIPS, len(table)), random_state=0)
    lengths = [item for item in try_audio_files(clip_paths(data_dir, sample["filename"])) if isinstance(item, float)]
    if not lengths:
        raise InputError(f"{data_dir}: none of {len(sample)} clips of {parts[0]}_metadata.csv can be read")
    texts = sample["expected_text"].tolist()
    spoken = set(texts).difference(missing_texts(tts_dir, read_identity(tts_dir), texts))
    if not spoken:
        raise InputError(f"{tts_dir}: holds none of the references for {data_dir}; run preprocess.py")
    references = load_references(tts_dir, spoken)
    reference_samples = [len(references[text]) for text in texts if text in spoken]
    n_texts = int(table["expected_text"].nunique())
    seconds = float(np.mean(reference_samples)) / SAMPLE_RATE_HZ, float(np.mean(lengths))
    return Work(clips or len(table), n_texts, *seconds)


def encoder_operations(settings: dict[str, Any], n_frames: int) -> float:
    """Floating-point operations of a Whisper encoder on so many spectrogram frames, counted by torch without doing them.

    settings : of `encoder.architecture`
    """
    with torch.device("meta"):
        encoder = build_encoder(settings)
        features = torch.empty(1, int(settings["num_mel_bins"]), n_frames)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encode(encoder, features)
    return float(counter.get_total_flops())


def checkpoint_operations(checkpoint: Checkpoint, work: Work) -> float:
    """The encoder's operations over all clips; what is done with its frames afterwards is little for large encoders."""
    recipe, settings = checkpoint.recipe, checkpoint.encoder
    longest = frames_for_seconds(recipe.max_seconds)

    def operations(seconds: float) -> float:
        return encoder_operations(settings, max(2, min(frames_for_seconds(seconds), longest)))

    if recipe.padding == "fixed":
        return work.clips * operations(recipe.max_seconds)
    if recipe.layout != "apart":
        return work.clips * operations(work.reference_seconds + work.response_seconds)
    encoded_references = min(work.clips, work.texts * _chunks(work))  # once in each chunk of clips
    return work.clips * operations(work.response_seconds) + encoded_references * operations(work.reference_seconds)


def checkpoint_seconds(checkpoint: Checkpoint, work: Work, teraflops: float) -> float:
    """Seconds that a checkpoint takes on a machine of so many 10^12 operations a second: its encoder's, and loading it."""
    weight_bytes = 4 * sum(tensor.numel() for tensor in checkpoint.weights.values())
    loading = _chunks(work) * weight_bytes / LOAD_BYTES_PER_SECOND
    return checkpoint_operations(checkpoint, work) / (teraflops * 1e12) + loading


def _chunks(work: Work) -> int:
    return -(-work.clips // CHUNK_CLIPS)
