"""Recordings made worse, each way against what it says, and who may be asked about them.

Run: python -m pytest tests/tools/test_rooms_and_noise.py
"""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from experiments import worse_recordings
from experiments.compare import mean_loss
from experiments.held_out_scores import Judge, asked_clips, load_column, read_table, scores
from experiments.level_changes import speech_level
from experiments.rooms_and_noise import others_of, report
from experiments.worse_recordings import WAYS, with_direct_sound, worsen
from models import Answer, Scorer
from models.ensemble.bootstrap import weighted_auc
from models.ensemble.checkpoint import load_checkpoint, save_checkpoint
from models.errors import InputError
from models.speech.samples import SAMPLE_RATE_HZ, Waveform


def speech(seed: int = 0, seconds: float = 2.0) -> Waveform:
    """Noise in syllables, as 16 bits hold it."""
    times = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    loud = 0.05 * np.abs(np.sin(np.pi * 3 * times)) * np.random.default_rng(seed).standard_normal(len(times))
    return (np.round(loud * 32768) / 32768).astype(np.float32)


OTHERS = [speech(seed) * np.float32(0.1 * seed) for seed in range(1, 7)]


def made(way: str, waveform: Waveform, seed: int = 0) -> Waveform:
    if way.startswith("classroom"):
        pytest.importorskip("pyroomacoustics")
    return worsen(way, waveform, np.random.default_rng(seed), OTHERS)


def in_db(ratio: float) -> float:
    return 20 * np.log10(ratio)


def power_from(hz: float, waveform: Waveform) -> float:
    spectrum = np.square(np.abs(np.fft.rfft(waveform)))
    return float(spectrum[np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE_HZ) > hz].sum() / spectrum.sum())


@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_drawn_by_its_seed_and_keeps_what_was_said_in_time(way: str) -> None:
    wave = speech()
    wave[8000] = 0.875  # a click, of which every limit cuts something
    before = wave.copy()
    worse = made(way, wave)
    np.testing.assert_array_equal(wave, before)
    assert worse.dtype == np.float32
    assert -1 <= len(worse) - len(wave) <= (1600 if way.startswith("MP3") else 1)
    assert np.abs(worse).max() <= 1.0
    np.testing.assert_array_equal(worse, made(way, wave))
    assert (way == "as recorded") == (len(worse) == len(wave) and bool((worse == wave).all()))


@pytest.mark.parametrize("snr_db", [20, 10, 5, 0])
def test_babble_is_so_much_softer(snr_db: int) -> None:
    wave = speech()
    added = made(f"babble, {snr_db} dB softer than the child", wave) - wave
    assert in_db(speech_level(wave) / speech_level(added)) == pytest.approx(snr_db, abs=0.1)


@pytest.mark.parametrize("direct_db", [20, 10, 5, 0])
def test_the_direct_sound_is_so_much_stronger(direct_db: int) -> None:
    response = with_direct_sound(direct_db, np.random.default_rng(0).standard_normal(8000))
    assert 10 * np.log10(np.square(response[:40]).sum() / np.square(response[40:]).sum()) == pytest.approx(direct_db)


@pytest.mark.slow
def test_classrooms_reverberate_as_classrooms_do() -> None:
    """From 5 to 25 dB below the whole (Schroeder 1965); Sabine's formula is not exact. The direct sound comes at once."""
    pytest.importorskip("pyroomacoustics")
    for seed in range(6):
        response = worse_recordings.impulse_response(np.random.default_rng(seed))
        left_db = 10 * np.log10(np.cumsum(np.square(response)[::-1])[::-1] / np.square(response).sum() + 1e-15)
        chosen = np.flatnonzero((left_db < -5) & (left_db > -25))
        rt60_seconds = -60 / np.polyfit(chosen / SAMPLE_RATE_HZ, left_db[chosen], 1)[0]
        assert 0.3 < rt60_seconds < 1.5
        assert int(np.abs(response).argmax()) < 40


def test_a_room_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyroomacoustics", None)
    with pytest.raises(InputError, match="pip install pyroomacoustics"):
        worse_recordings.impulse_response(np.random.default_rng(0))


@pytest.mark.parametrize("headroom_db", [10, 0])
def test_clipping_leaves_what_is_softer(headroom_db: int) -> None:
    wave = speech()
    clipped = made(f"clipped {headroom_db} dB over the level of the speech", wave)
    limit = speech_level(wave) * 10 ** (headroom_db / 20)
    assert np.abs(clipped).max() == pytest.approx(limit, abs=1 / 32768)
    np.testing.assert_array_equal(clipped[np.abs(wave) < 0.999 * limit], wave[np.abs(wave) < 0.999 * limit])


def test_levels_change_and_full_scale_clips() -> None:
    assert in_db(speech_level(made("12 dB softer", speech())) / speech_level(speech())) == pytest.approx(-12, abs=0.1)
    assert in_db(speech_level(made("6 dB louder", speech())) / speech_level(speech())) == pytest.approx(6, abs=0.1)
    loud = np.full(SAMPLE_RATE_HZ, 0.9, np.float32)
    assert made("6 dB louder", loud).max() == pytest.approx(1.0, abs=1e-4)


def test_a_telephone_keeps_its_band() -> None:
    heard = made("telephone, 8 kHz, mu-law", speech())
    assert power_from(4100, speech()) > 0.4
    assert power_from(4100, heard) < 1e-3
    tone = (0.1 * np.sin(2 * np.pi * 1000 * np.arange(32_000) / SAMPLE_RATE_HZ)).astype(np.float32)
    assert in_db(speech_level(made("telephone, 8 kHz, mu-law", tone)) / speech_level(tone)) == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize(("kbits", "khz"), [(32, "44.1"), (32, "16"), (16, "16")])
def test_mp3_has_its_rate_and_stays_in_time(monkeypatch: pytest.MonkeyPatch, kbits: int, khz: str) -> None:
    contents: list[bytes] = []
    read = worse_recordings.read_audio

    def read_and_keep(path: Path, content: bytes) -> Waveform:
        contents.append(content)
        return read(path, content=content)

    monkeypatch.setattr(worse_recordings, "read_audio", read_and_keep)
    times = np.arange(10 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    sweep = (0.2 * np.sin(2 * np.pi * (300 + 40 * times) * times)).astype(np.float32)
    heard = made(f"MP3, {kbits} kbit/s, {khz} kHz", sweep)
    assert len(contents[0]) * 8 / 10_000 == pytest.approx(kbits, rel=0.05)
    assert soundfile.info(io.BytesIO(contents[0])).samplerate == round(float(khz) * 1000)
    n_fft = 2 * len(heard)
    agreement = np.fft.irfft(np.fft.rfft(heard, n_fft) * np.fft.rfft(sweep, n_fft).conj())
    assert 0 <= int(agreement.argmax()) <= 0.04 * SAMPLE_RATE_HZ
    assert agreement.max() / np.square(sweep).sum() == pytest.approx(1.0, abs=0.1)


# Who may be asked about whom


def table_of(n: int = 24) -> pd.DataFrame:
    """Six speakers of four clips; half of the clips are right."""
    index = np.arange(n)
    return pd.DataFrame(
        {
            "filename": [f"{i}.wav" for i in index],
            "speaker": (index // 4).astype(str),
            "score": (index % 2).astype(float),
            "expected_text": [f"text {i}" for i in index],
            "spoken_text": [f"text {i}" for i in index],
            "task": "blending",
            "grade": "1",
        }
    )


class Oracle:
    """Answers with a constant, and remembers how many clips it was asked about."""

    def __init__(self, answer: float) -> None:
        self.answer, self.asked = answer, 0

    def score_batch(self, answers: list[object]) -> np.ndarray:
        self.asked += len(answers)
        return np.full(len(answers), self.answer)


def judge(speakers: str, model: str = "a", answer: float = 0.5, weight: float = 1.0) -> Judge:
    held_out = frozenset(table_of()["filename"][table_of()["speaker"].isin(list(speakers))])
    return Judge(Oracle(answer), model, weight, held_out)  # type: ignore[arg-type]


def test_each_clip_is_scored_by_those_who_held_it_out() -> None:
    folds = [judge("012", answer=0.2, weight=0.5), judge("345", answer=0.8, weight=0.5)]
    judges = [*folds, judge("012345", "b", answer=0.5, weight=3.0)]  # of which there are fewer folds
    asked = asked_clips({"blend": judges}, table_of(), "train")
    assert len(asked) == 24
    found = scores(judges, asked, [speech()] * 24, "train")
    np.testing.assert_allclose(found, np.repeat([(0.2 + 1.5) / 4, (0.8 + 1.5) / 4], 12))
    assert [one.scorer.asked for one in judges] == [12, 12, 24]  # type: ignore[attr-defined]


def test_test_clips_are_scored_by_all() -> None:
    folds = [judge("", answer=0.2, weight=0.5), judge("", answer=0.8, weight=0.5)]
    judges = [*folds, judge("", "b", answer=0.9)]
    asked = asked_clips({"blend": judges}, table_of(), "test")
    np.testing.assert_allclose(scores(judges, asked, [speech()] * 24, "test"), 0.7)


def test_only_clips_that_all_columns_held_out_are_compared() -> None:
    columns = {"one": [judge("01"), judge("23")], "other": [judge("12")]}
    asked = asked_clips(columns, table_of(), "train")
    assert set(asked["speaker"]) == {"1", "2"}
    assert asked.groupby("speaker")["folds"].nunique().tolist() == [1, 1]
    assert asked["folds"].nunique() == 2
    with pytest.raises(InputError, match="held out by every column"):
        asked_clips({"one": [judge("0")], "other": [judge("1")]}, table_of(), "train")


def test_a_fold_that_knows_the_speaker_is_refused() -> None:
    leaky = replace(judge("01"), held_out=frozenset(["0.wav", "1.wav"]))
    with pytest.raises(InputError, match="--group_by speaker"):
        asked_clips({"one": [leaky]}, table_of(), "train")
    foreign = replace(judge("01"), held_out=frozenset(["elsewhere.wav"]))
    with pytest.raises(InputError, match="--data_dir"):
        asked_clips({"one": [foreign]}, table_of(), "train")


def test_others_are_other_children_of_the_same_folds() -> None:
    asked = asked_clips({"one": [judge("012"), judge("345")]}, table_of(), "train")
    asked.loc[5, "spoken_text"] = "text 0"  # what clip 0 was asked for
    found = others_of(asked.loc[0], asked)
    assert set(found) == {f"{index}.wav" for index in range(4, 12)} - {"5.wav"}
    with pytest.raises(InputError, match="other children"):
        others_of(asked.loc[0], asked[asked["speaker"] == "0"])


def test_the_table_tells_figures_and_differences() -> None:
    table = table_of()[["filename", "speaker", "score"]]
    right = table["score"].to_numpy()
    good, blind = np.where(right > 0.5, 0.9, 0.1), np.full(24, 0.5)
    for name, ways in {"one": (good, blind), "two": (good, good)}.items():
        table[name, "as recorded"], table[name, "12 dB softer"] = ways
    header, _, clean, worse = report(weighted_auc, table).split("\n")
    assert header == "| 24 clips | one | to as recorded | two | to as recorded | to one |"
    assert [cell.split(" ")[0] for cell in clean.split(" | ")[1:]] == ["1.000", "", "1.000", "", "+0.000"]
    assert [cell.split(" ")[0] for cell in worse.split(" | ")[1:]] == ["0.500", "-0.500", "1.000", "+0.000", "+0.500"]
    assert f"{np.log(2):.3f} [{np.log(2):.3f}, {np.log(2):.3f}]" in report(mean_loss, table)


@pytest.fixture
def kids(work: Path) -> Path:
    """The folder `prepared`, with speakers, and two folds that keep them apart."""
    for part in ("train", "test"):
        source = work / "data" / f"{part}_source.csv"
        rows = pd.read_csv(source)
        rows.assign(spoken_text=rows["filename"]).to_csv(source, index=False)
    rows = pd.read_csv(work / "data" / "train_source.csv").merge(pd.read_csv(work / "data" / "train_metadata.csv"))
    labels = pd.read_csv(work / "data" / "train_labels.csv").set_index("filename")["score"]
    for fold, speakers in enumerate((["s0", "s1", "s2"], ["s3", "s4", "s5"])):
        own = rows[rows["speaker"].isin(speakers)]
        checkpoint = load_checkpoint(work / "assets" / f"model2s_{fold}.pth")
        oof = replace(
            checkpoint.oof,
            filenames=own["filename"].tolist(),
            tasks=own["task"].tolist(),
            grades=own["grade"].astype(str).tolist(),
            labels=labels[own["filename"]].to_numpy(),
            predictions=np.full(len(own), 0.5),
        )
        save_checkpoint(work / f"apart_{fold}.pth", replace(checkpoint, oof=oof))
    return work


@pytest.mark.slow
def test_the_script_on_a_small_corpus(kids: Path, script: Callable[..., object]) -> None:
    """Scores of the clips as recorded are those of the checkpoint that held them out, asked by itself."""
    arguments = ["x=apart_?.pth", "--data_dir", "data", "--tts_dir", "tts_data", "--output", "scores.csv", "--ways"]
    outcome = script("experiments/rooms_and_noise.py", *arguments, "12 dB softer", "telephone, 8 kHz, mu-law")
    assert outcome.code == 0, outcome.error  # type: ignore[attr-defined]
    assert outcome.output.count("| 12 dB softer |") == 2  # type: ignore[attr-defined]
    found = pd.read_csv("scores.csv")
    assert len(found) == 24
    table = read_table(Path("data"), "train").set_index("filename")
    for path in (Path("apart_0.pth"), Path("apart_1.pth")):
        own = [name for name in load_checkpoint(path).oof.filenames if name in set(found["filename"])]
        answers = [
            Answer(Path("data") / name, *table.loc[name, ["expected_text", "task", "grade"]].tolist()) for name in own
        ]
        expected = Scorer.from_checkpoints([path], Path("tts_data")).score_batch(answers)
        scored = found.set_index("filename").loc[own, str(("x", "as recorded"))]
        np.testing.assert_allclose(scored, expected, atol=1e-4)


@pytest.mark.slow
def test_a_configuration_is_a_column_too(kids: Path) -> None:
    judges = load_column("model_configs.pkl", Path("tts_data"))
    assert [(one.model, one.weight) for one in judges] == [("model2s", 0.5), ("model2s", 0.5)]
    with pytest.raises(InputError, match="no such file"):
        load_column("nowhere_?.pth", None)
