"""A baseline without a comparison network: how well does a phone recogniser's best reading fit the expected text?

Each response is read by the phone classifier of the shipped encoder. Its likeliest way through the phones of the expected text
(CTC forced alignment; of accepted pronunciations that which fits best) falls short of its best way through any phones by so many
nats per phone: a logistic regression on that one number, fitted on the training clips of the same task, gives the probability.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from tqdm import tqdm

from models.base.cli import run
from models.base.files import replace_when_done
from models.clips.batches import pad_together
from models.clips.features import log_mel, magnitude_spectrogram
from models.clips.tables import clip_paths, read_test_table, read_training_table
from models.errors import InputError
from models.localize.edits import join
from models.localize.units import Reading, read_accepted
from models.network.aligned import AlignedNetwork
from models.network.phone_fit import align_phones
from models.network.readings import best_reading
from models.speech.audio import read_audio
from models.speech.pronunciation import accepted_utterances
from tools.phone_reader import MAX_SECONDS, load_reader

MOST_NATS = 60.0  # of a clip that is too short for the expected phones
CLIPS_AT_ONCE = 16


@torch.inference_mode()
def shortfalls(network: AlignedNetwork, table: pd.DataFrame, data_dir: Path) -> NDArray[np.float64]:
    """Nats per phone by which each clip's expected text falls short [shape=(clips,)]."""
    found = []
    paths, texts = (
        clip_paths(data_dir, table["filename"]),
        list(zip(table["task"], table["expected_text"], strict=True)),
    )
    for start in tqdm(range(0, len(paths), CLIPS_AT_ONCE), desc="reading phones", unit=" batch", disable=None):
        accepted = [read_accepted(accepted_utterances(*text)) for text in texts[start : start + CLIPS_AT_ONCE]]
        found.append(_shortfall(network, paths[start : start + CLIPS_AT_ONCE], accepted))
    return torch.cat(found).double().numpy()


def _shortfall(network: AlignedNetwork, paths: Sequence[Path], accepted: Sequence[Sequence[Reading]]) -> Tensor:
    waveforms = [torch.from_numpy(read_audio(path, MAX_SECONDS)) for path in paths]
    n_mels = int(network.encoder.config.num_mel_bins)
    spectra = [log_mel(magnitude_spectrogram(waveform, round(100 * MAX_SECONDS)), n_mels) for waveform in waveforms]
    clips = network.encode(*pad_together(spectra))
    log_probabilities = clips.phone_logits.log_softmax(dim=-1)
    heard = [frames[:length] for frames, length in zip(log_probabilities, clips.lengths.tolist(), strict=True)]
    phones = [torch.tensor(join(best_reading(*one))) for one in zip(heard, accepted, strict=True)]
    counts = torch.tensor([len(sequence) for sequence in phones])
    path = align_phones(
        log_probabilities, clips.lengths, torch.nn.utils.rnn.pad_sequence(phones, batch_first=True), counts
    )
    on_path = log_probabilities.gather(2, path.clamp(min=0)[:, :, None]).squeeze(2)
    short = ((log_probabilities.amax(dim=2) - on_path) * clips.mask).sum(dim=1) / counts.clamp(min=1)
    return torch.where((path < 0).any(dim=1), MOST_NATS, short)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python experiments/likelihood_ratio.py --data_dir kids --output ratio.csv",
    )
    parser.add_argument("--data_dir", type=Path, default=Path("data"), help="folder with tables and audio")
    parser.add_argument("--output", type=Path, default=Path("likelihood_ratio.csv"), help="(default: %(default)s)")
    parser.add_argument("--encoder", default="assets/encoders/phonetic-tiny", help="(default: %(default)s)")
    options = parser.parse_args()
    network = load_reader(options.encoder)
    train, test = read_training_table(options.data_dir), read_test_table(options.data_dir)
    known, asked = (np.log1p(shortfalls(network, table, options.data_dir))[:, None] for table in (train, test))
    scores = np.empty(len(test))
    for task in set(test["task"]):
        heard, new = (train["task"] == task).to_numpy(), (test["task"] == task).to_numpy()
        if not heard.any():
            raise InputError(f"{options.data_dir}: no training clip of the task {task}, which the test clips have")
        fitted = LogisticRegression().fit(known[heard], train["score"][heard] > 0.5)
        scores[new] = fitted.predict_proba(asked[new])[:, 1]
    with replace_when_done(options.output) as temporary:
        pd.DataFrame({"filename": test["filename"], "score": scores}).to_csv(temporary, index=False)
    print(f"wrote {options.output}: {len(test)} clips")


if __name__ == "__main__":
    run(main)
