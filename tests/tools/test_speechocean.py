"""speechocean762 in the competition's layout, from a small corpus like it, and the tables of figures on it.

Run: .venv/bin/python -m pytest tests/tools/test_speechocean.py
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from fakes import ROOT
from sklearn.metrics import log_loss, roc_auc_score

from experiments.compare import draws_of, mean_loss, parts_of
from models.ensemble.bootstrap import weighted_auc
from models.errors import InputError
from models.pretrain.synthesis import Synthesizer
from models.speech.voices import EspeakVoice
from tools.make_speechocean import NEAR_MISSES, TEST_SPEAKERS, TRAIN_SPEAKERS, main

SENTENCES = (
    "MARK IS GOING TO SEE ELEPHANT",
    "WE CALL IT BEAR",
    "THE KIDS ARE GROWING UP",
    "SHE OPENED THE WINDOW",
    "CAR",
)
ADULT = "9001"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two clips of each child, and two of an adult, in Kaldi's layout, with scores: noise, but for every sixth speaker, who reads
    word by word."""
    folder = tmp_path / "speechocean762"
    speakers = [*sorted(TRAIN_SPEAKERS | TEST_SPEAKERS), ADULT]
    rng = np.random.default_rng(0)
    spoken = read_aloud(rng)
    scores = {}
    for part, chosen in (("train", speakers[::2]), ("test", speakers[1::2])):
        lines: dict[str, list[str]] = {name: [] for name in ("wav.scp", "text", "utt2spk", "spk2age")}
        for index, speaker in enumerate(chosen):
            lines["spk2age"].append(f"{speaker}\t{30 if speaker == ADULT else 6 + index % 7}")
            audio = folder / "WAVE" / f"SPEAKER{speaker}"
            audio.mkdir(parents=True)
            for number in range(2):
                clip = f"{speaker}{number:05d}"
                text = SENTENCES[(index + number) % len(SENTENCES)]
                noise = (rng.standard_normal(3200) * 3000).astype(np.int16)
                soundfile.write(audio / f"{clip}.WAV", noise if index % 6 else spoken[text], 16000, format="WAV")
                lines["wav.scp"].append(f"{clip}\tWAVE/SPEAKER{speaker}/{clip}.WAV")
                lines["text"].append(f"{clip}\t{text}")
                scores[clip] = {"accuracy": 8, "words": [word_scores(word) for word in text.split()]}
                lines["utt2spk"].append(f"{clip} {speaker}")
        (folder / part).mkdir()
        for name, rows in lines.items():
            (folder / part / name).write_text("\n".join(rows) + "\n")
    (folder / "resource").mkdir()
    (folder / "resource" / "scores.json").write_text(json.dumps(scores))
    return folder


def read_aloud(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Each sentence with pauses, in a quiet room."""
    voice, pause = EspeakVoice(0.7), np.zeros(6000)
    found = {}
    for text in SENTENCES:
        pieces = [piece for word in text.lower().split() for piece in (voice.speak(word), pause)]
        speech = np.concatenate([pause, *pieces])
        found[text] = ((speech + rng.normal(0, 1e-3, len(speech))) * 32000).astype(np.int16)
    return found


def word_scores(word: str) -> dict[str, object]:
    """Bears are said badly."""
    if word != "BEAR":
        return {"text": word, "accuracy": 10, "mispronunciations": []}
    missed = [("B", "P"), ("EH0 R", "<unk>")]
    heard = [{"canonical-phone": own, "pronounced-phone": said, "index": 0} for own, said in missed]
    return {"text": word, "accuracy": 2.0, "mispronunciations": heard}


def make(corpus: Path, output: Path) -> None:
    main([str(corpus), str(output)])


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


@pytest.mark.slow
def test_the_layout_is_the_competitions_and_wrong_answers_sound_wrong(corpus: Path, tmp_path: Path) -> None:
    make(corpus, tmp_path / "speech")
    kids, voice = tmp_path / "speech" / "kids", Synthesizer()
    for part, speakers in (("train", TRAIN_SPEAKERS), ("test", TEST_SPEAKERS)):
        tables = [read(kids / f"{part}_{name}.csv") for name in ("metadata", "labels", "source")]
        table = tables[0].merge(tables[1], on="filename").merge(tables[2], on="filename")
        assert len(table) == len(tables[0]) == 2 * len(speakers)
        assert set(table["speaker"]) == speakers
        assert ((table["score"] == "1.0") == (table["kind"] == "match")).all()
        for row in table.itertuples():
            samples, _ = soundfile.read(kids / row.filename, dtype="int16")
            original, _ = soundfile.read(
                corpus / f"WAVE/SPEAKER{row.speaker}/{Path(row.filename).stem}.WAV", dtype="int16"
            )
            assert np.array_equal(samples, original)
            same = voice.phones_of(row.expected_text) == voice.phones_of(row.spoken_text)
            assert same == (row.kind == "match")
    assert {"match", "other sentence", *NEAR_MISSES} == set(read(kids / "train_source.csv")["kind"])
    assert (read(kids / "submission_format.csv")["filename"] == read(kids / "test_metadata.csv")["filename"]).all()
    scores = read(kids / "word_scores.csv")
    assert set(scores["filename"]) == set(read(kids / "train_source.csv")["filename"]) | set(table["filename"])
    bear = scores[scores["word"] == "bear"].iloc[0]
    assert (bear["index"], bear["accuracy"], bear["said_instead"]) == ("3", "2", "B>P;EH R><unk>")
    words = pd.concat([read(tmp_path / "speech" / "words" / f"{part}_source.csv") for part in ("train", "test")])
    assert {"mark", "growing"} <= set(words["spoken_text"])
    assert "bear" not in set(words["spoken_text"])  # never said well
    older = read(tmp_path / "speech" / "adults" / "transcripts.csv")
    assert set(older["speaker"]) == {ADULT}
    assert older["spoken_text"].str.islower().all()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_tables(corpus: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        make(corpus, tmp_path / name)
    for path in (tmp_path / "one" / "kids").glob("*.csv"):
        assert path.read_bytes() == (tmp_path / "two" / "kids" / path.name).read_bytes()


@pytest.mark.slow
def test_a_download_that_is_not_whole_is_named(corpus: Path, tmp_path: Path) -> None:
    (corpus / "test" / "spk2age").unlink()
    command = [sys.executable, "tools/make_speechocean.py", str(corpus), str(tmp_path / "speech")]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert "spk2age" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.slow
def test_scores_of_other_words_are_refused(corpus: Path, tmp_path: Path) -> None:
    file = corpus / "resource" / "scores.json"
    file.write_text(file.read_text().replace("ELEPHANT", "LION", 1))
    with pytest.raises(InputError, match=r"scores\.json.*elephant"):
        make(corpus, tmp_path)


def test_each_kind_of_another_answer_stands_apart_from_near_misses() -> None:
    kinds = np.array(["match", "other word", "other nonword", "missing phone", "swap"])
    parts = {
        part.name: part.chosen.tolist()
        for part in parts_of(np.array([1.0, 0, 0, 0, 0]), kinds, *np.array([["1"] * 5, ["blending"] * 5]))
    }
    assert parts["right against other word"] == [True, True, False, False, False]
    assert parts["right against other nonword"] == [True, False, True, False, False]
    assert parts["right against near miss"] == [True, False, False, True, True]
    assert parts["… missing phone"] == [True, False, False, True, False]


def test_figures_of_draws_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    labels, counts = rng.integers(0, 2, 60).astype(float), rng.integers(0, 4, (60, 3)).astype(np.float32)
    scores = np.round(rng.random(60) + labels / 3, 1)  # with ties
    found = weighted_auc(labels, scores, counts)
    np.testing.assert_allclose(found, [roc_auc_score(labels, scores, sample_weight=own) for own in counts.T])
    expected = [log_loss(labels, np.clip(scores, 0.1, 0.9), sample_weight=own) for own in counts.T]
    np.testing.assert_allclose(mean_loss(labels, np.clip(scores, 0.1, 0.9), counts), expected)
    assert np.isnan(weighted_auc(np.ones(60), scores, counts)).all()
    assert np.isnan(mean_loss(labels, scores, np.zeros((60, 1), np.float32))).all()  # none of a part's speakers drawn


def test_speakers_are_drawn_whole() -> None:
    counts = draws_of(np.array(["a", "b", "b", "c", "a"]))
    assert (counts[0] == counts[4]).all()
    assert (counts[[0, 1, 3]].sum(axis=0) == 3).all()


@pytest.mark.slow
def test_tables_of_a_baseline_and_of_a_perfect_answer(corpus: Path, tmp_path: Path) -> None:
    make(corpus, tmp_path)
    kids = tmp_path / "kids"
    labels = pd.read_csv(kids / "test_labels.csv")
    labels.assign(score=labels["score"].clip(0.01, 0.99)).to_csv(tmp_path / "perfect.csv", index=False)
    baseline = [sys.executable, "experiments/likelihood_ratio.py", "--data_dir", str(kids), "--output"]
    subprocess.run([*baseline, str(tmp_path / "ratio.csv")], cwd=ROOT, check=True)
    scored = pd.read_csv(tmp_path / "ratio.csv")
    assert scored["filename"].tolist() == read(kids / "test_metadata.csv")["filename"].tolist()
    assert scored["score"].between(0, 1).all()
    names = [f"ratio={tmp_path / 'ratio.csv'}", f"perfect={tmp_path / 'perfect.csv'}"]
    command = [sys.executable, "experiments/compare.py", "--data_dir", str(kids), *names]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    losses, areas = shown.split("AUC\n")
    assert "| all | 40 |" in losses
    assert "0.010 [0.010, 0.010] |" in losses
    assert "1.000 [1.000, 1.000] |" in areas
    assert "0.500 [0.500, 0.500] |" in areas  # the prior's
