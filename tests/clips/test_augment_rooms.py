"""Answers as a classroom would have them: babble, rooms, clipping, bands and levels, each against what it says it does.

Run: .venv/bin/python -m pytest tests/clips/test_augment_rooms.py
"""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import tone
from scipy.signal import fftconvolve

from models.clips import dataset as datasets
from models.clips.augment import BandLimit, Level
from models.clips.dataset import ComparisonDataset
from models.clips.features import magnitude_spectrogram
from models.clips.rooms import Babble, Clipping, OtherRecordings, Reverberation, Room
from models.clips.tables import read_training_table, utterances
from models.errors import InputError
from models.speech.samples import SAMPLE_RATE_HZ, Waveform

SHORT, LONG = 16_000, 64_000


def speech(n_samples: int, seed: int = 0) -> Waveform:
    """Noise that comes and goes as syllables do."""
    rng = np.random.default_rng(seed)
    swell = 0.05 + np.abs(np.sin(np.arange(n_samples) / SAMPLE_RATE_HZ * np.pi * 3))
    return (0.1 * swell * rng.standard_normal(n_samples)).astype(np.float32)


def nothing(_: np.random.Generator) -> Waveform:
    raise AssertionError("no other recording is needed")


def power(waveform: np.ndarray) -> float:
    return float(np.mean(np.square(waveform, dtype=np.float64)))


def in_db(ratio: float) -> float:
    return 10 * np.log10(ratio)


@pytest.mark.parametrize("n_samples", [SHORT, LONG])
@pytest.mark.parametrize("snr_db", [20.0, 5.0, 0.0])
def test_babble_is_so_much_softer(n_samples: int, snr_db: float) -> None:
    wave, heard = speech(n_samples), [speech(24_000, seed) * seed for seed in range(1, 6)]
    mixed = Babble(min_snr_db=snr_db, max_snr_db=snr_db)(
        wave, lambda rng: heard[rng.integers(5)], np.random.default_rng(1)
    )
    assert mixed.dtype == np.float32
    assert len(mixed) == n_samples
    assert in_db(power(wave) / power(mixed - wave)) == pytest.approx(snr_db, abs=0.01)


def test_voices_of_babble_are_equally_loud() -> None:
    """A low and a high tone, one recorded a hundred times as loud as the other."""
    tones = [np.float32(level) * tone(1.0, hz, np.random.default_rng(0)) for level, hz in ((1.0, 400), (0.01, 2000))]
    turns = iter(tones)
    babble = Babble(2, 2, 0.0, 0.0)(speech(LONG), lambda _: next(turns), np.random.default_rng(0)) - speech(LONG)
    spectrum = np.square(np.abs(np.fft.rfft(babble)))
    middle = 1200 * LONG // SAMPLE_RATE_HZ
    assert in_db(spectrum[:middle].sum() / spectrum[middle:].sum()) == pytest.approx(0.0, abs=1.0)


@pytest.mark.parametrize("rt60_seconds", [0.2, 0.5, 0.8])
def test_a_room_decays_within_its_reverberation_time(rt60_seconds: float) -> None:
    """By Schroeder's backward integration (1965), from 5 to 35 dB below the whole, of the sound of an impulse."""
    room = Reverberation(rt60_seconds, rt60_seconds, -20.0, -20.0)
    impulse = np.zeros(LONG, np.float32)
    impulse[0] = 0.5
    heard = room(impulse, nothing, np.random.default_rng(3))
    left_db = 10 * np.log10(
        np.cumsum(np.square(heard, dtype=np.float64)[::-1])[::-1] / np.sum(np.square(heard)) + 1e-12
    )
    chosen = (left_db < -5) & (left_db > -35)
    slope_db = np.polyfit(np.flatnonzero(chosen) / SAMPLE_RATE_HZ, left_db[chosen], 1)[0]
    assert -60 / slope_db == pytest.approx(rt60_seconds, rel=0.1)


@pytest.mark.parametrize("direct_db", [-3.0, 12.0])
def test_a_room_is_as_far_away_as_it_says(direct_db: float) -> None:
    response = Reverberation(min_direct_db=direct_db, max_direct_db=direct_db).response(np.random.default_rng(0))
    assert int(np.abs(response).argmax()) == 0  # an answer begins when it began
    assert in_db(response[0] ** 2 / np.square(response[1:]).sum()) == pytest.approx(direct_db, abs=0.01)


@pytest.mark.parametrize("n_samples", [SHORT, LONG])
def test_reverberation_is_a_convolution_that_keeps_length_and_level(n_samples: int) -> None:
    wave, room = speech(n_samples), Reverberation()
    heard = room(wave, nothing, np.random.default_rng(5))
    expected = fftconvolve(wave.astype(np.float64), room.response(np.random.default_rng(5)))[:n_samples]
    expected *= np.sqrt(power(wave) / power(expected))
    assert heard.dtype == np.float32
    np.testing.assert_allclose(heard, expected, atol=1e-5)


def test_clipping_cuts_at_its_share_of_the_peak_and_nothing_else() -> None:
    wave = speech(LONG)
    clipped = Clipping(6.0, 6.0)(wave, nothing, np.random.default_rng(0))
    limit = np.abs(wave).max() * 10 ** (-6 / 20)
    assert np.abs(clipped).max() == pytest.approx(limit, rel=1e-6)
    soft = np.abs(wave) < limit
    assert soft.any()
    assert not soft.all()
    np.testing.assert_array_equal(clipped[soft], wave[soft])


def test_levels_are_even_in_decibels() -> None:
    spectrum, rng = torch.ones(201, 2), np.random.default_rng(0)
    found = [20 * np.log10(float(Level()(spectrum, rng)[0, 0])) for _ in range(2000)]
    assert -12 <= min(found) < -11.5
    assert 5.5 < max(found) <= 6
    assert np.median(found) == pytest.approx(-3, abs=1)


def test_a_telephone_keeps_its_band() -> None:
    spectrum = magnitude_spectrogram(torch.from_numpy(speech(LONG)), 400)
    heard = BandLimit(((300, 3400),))(spectrum, np.random.default_rng(0))
    hz = torch.arange(201) * 40.0
    inside, outside = (hz >= 300) & (hz <= 3400), (hz < 200) | (hz > 3500)
    torch.testing.assert_close(heard[inside], spectrum[inside])
    assert in_db(float(heard[outside].square().sum() / spectrum[outside].square().sum())) < -12


def test_each_band_is_drawn() -> None:
    spectrum = torch.ones(201, 1)
    widths = {int((BandLimit()(spectrum, np.random.default_rng(seed)) == 1).sum()) for seed in range(60)}
    assert len(widths) == len(BandLimit().bands_hz)


@pytest.mark.parametrize("wave", [np.zeros(SHORT, np.float32), speech(1), speech(100)], ids=["silent", "1", "100"])
def test_what_is_hardly_a_recording_stays_finite(wave: Waveform) -> None:
    for seed in range(40):
        heard = Room()(wave, lambda _: speech(500), np.random.default_rng(seed))
        assert heard.shape == wave.shape
        assert np.isfinite(heard).all()


def test_nothing_is_changed_in_place() -> None:
    wave, before = speech(SHORT), speech(SHORT)
    for seed in range(20):
        Room()(wave, lambda _: speech(500), np.random.default_rng(seed))
    np.testing.assert_array_equal(wave, before)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Babble(min_voices=0),
        lambda: Babble(min_voices=5),
        lambda: Babble(min_snr_db=30),
        lambda: Reverberation(min_rt60_seconds=0.0),
        lambda: Reverberation(min_rt60_seconds=2.0),
        lambda: Reverberation(min_direct_db=20.0),
        lambda: Clipping(20.0),
        lambda: Level(10.0),
        lambda: BandLimit(()),
        lambda: BandLimit(((3400, 300),)),
    ],
)
def test_a_bad_range_fails_at_construction(make: Callable[[], object]) -> None:
    with pytest.raises(InputError):
        make()


# Other rows' recordings


def test_a_row_never_hears_its_own_text_behind_it() -> None:
    texts = ["cat", "dog", "cat", "sun"]
    others = OtherRecordings(texts, seed=0)
    heard = {
        row: {int(others.draw(row, lambda other: np.full(4, other, np.float32), rng)[0]) for _ in range(50)}
        for row, rng in ((row, np.random.default_rng(row)) for row in range(4))
    }
    assert heard == {0: {1, 3}, 1: {0, 2, 3}, 2: {1, 3}, 3: {0, 1, 2}}


def test_where_all_were_asked_the_same_there_is_no_babble() -> None:
    others, wave = OtherRecordings(["cat"] * 5, seed=0), speech(SHORT)
    mixed = Babble()(wave, lambda rng: others.draw(2, lambda _: speech(10), rng), np.random.default_rng(0))
    np.testing.assert_array_equal(mixed, wave)


def test_a_few_recordings_are_read_once() -> None:
    read: list[int] = []

    def read_row(row: int) -> Waveform:
        read.append(row)
        return speech(10, row)

    others, rng = OtherRecordings([str(row) for row in range(5000)], seed=1, n_clips=8), np.random.default_rng(0)
    for row in range(200):
        others.draw(row, read_row, rng)
    assert len(read) == len(set(read)) == 8


# In a dataset


@pytest.fixture
def data(make_data: Callable[..., Path]) -> tuple[Path, dict[str, Waveform]]:
    folder = make_data(train=24)
    return folder, {said: tone(0.4, 333, np.random.default_rng(0)) for said in utterances(read_training_table(folder))}


def make(data: tuple[Path, dict[str, Waveform]], augment: str = "rooms", seed: int = 0, layout: str = "apart"):  # type: ignore[no-untyped-def]
    folder, references = data
    table = read_training_table(folder)
    return ComparisonDataset(table, folder, references, 80, 400, augment, seed, layout)  # type: ignore[arg-type]


def responses(dataset: ComparisonDataset, rows: range = range(24)) -> list[torch.Tensor]:
    return [dataset[row]["response"] for row in rows]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> int:
    return sum(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_rooms_change_responses_and_never_references(data: tuple[Path, dict[str, Waveform]]) -> None:
    plain, rooms, response = make(data, "none"), make(data), make(data, "response")
    assert all(torch.equal(plain[row]["reference"], rooms[row]["reference"]) for row in range(24))
    assert same(responses(plain), responses(rooms)) <= 2
    assert same(responses(response), responses(rooms)) <= 5


def test_draws_depend_on_seed_epoch_and_row_alone(data: tuple[Path, dict[str, Waveform]]) -> None:
    """Whatever was read before: a run that goes on from its middle hears what it would have heard."""
    first, again = make(data), make(data)
    found = responses(first)
    assert all(torch.equal(again[row]["response"], found[row]) for row in (17, 3, 17, 0))
    assert same(found, responses(make(data, seed=1))) <= 2
    first.set_epoch(1)
    assert same(found, responses(first)) <= 2
    first.set_epoch(0)
    assert same(found, responses(first)) == 24


def test_a_pickled_copy_draws_the_same(data: tuple[Path, dict[str, Waveform]]) -> None:
    dataset = make(data)
    fresh = pickle.loads(pickle.dumps(dataset))
    found = responses(dataset)
    used = pickle.loads(pickle.dumps(dataset))
    assert same(found, responses(fresh)) == same(found, responses(used)) == 24


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_loading_processes_change_nothing(data: tuple[Path, dict[str, Waveform]], start: str) -> None:
    dataset = make(data)
    dataset.share_epoch()
    dataset.set_epoch(2)
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=4, num_workers=2, collate_fn=list, multiprocessing_context=start
    )
    loaded = [clip["response"] for clips in loader for clip in clips]
    assert same(loaded, responses(dataset)) == 24


def test_only_training_clips_are_heard_behind(
    data: tuple[Path, dict[str, Waveform]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dataset opens no file but those of its own rows, and behind one row it opens others'."""
    folder, references = data
    table, opened = read_training_table(folder), set[str]()
    read = datasets.read_audio
    monkeypatch.setattr(datasets, "read_audio", lambda path, *more: opened.add(path.name) or read(path, *more))
    dataset = ComparisonDataset(table[:6], folder, references, 80, 400, "rooms", 0, "apart")
    for epoch in range(10):
        dataset.set_epoch(epoch)
        responses(dataset, [0])
    assert {table["filename"][0]} < opened <= set(table["filename"][:6])


@pytest.mark.parametrize("layout", ["joined", "matched"])
def test_a_joined_reference_stays_untouched(data: tuple[Path, dict[str, Waveform]], layout: str) -> None:
    plain, rooms = make(data, "none", layout=layout), make(data, layout=layout)
    folder, references = data
    said = utterances(read_training_table(folder))
    for row in range(24):
        sides = references[said[row]], plain.read_response(row)
        whole, other = (
            one._joined_spectrogram(*sides, np.random.default_rng(row))[0][:, :38] for one in (plain, rooms)
        )
        torch.testing.assert_close(whole, other)  # 0.4 s of reference, less what the next window sees
        assert rooms[row]["log_mel"].shape[0] == 80
