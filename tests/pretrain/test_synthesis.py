"""Synthetic speech for pre-training.

Run: .venv/bin/python -m pytest tests/pretrain/test_synthesis.py
"""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from models.network.phones import PAUSE, PHONE_CLASSES
from models.pretrain import texts
from models.pretrain.phone_labels import frame_labels
from models.pretrain.room import change_speed, record, surround
from models.pretrain.stream import collate, cut_pool, real_share_at
from models.pretrain.synthesis import HELD_OUT_VARIANTS, TRAIN_VARIANTS, Synthesizer
from models.speech.arpabet import espeak_class
from models.speech.audio import SAMPLE_RATE_HZ
from models.speech.espeak import Phone


@pytest.fixture(scope="module")
def synthesizer() -> Iterator[Synthesizer]:
    pytest.importorskip("espeakng_loader", reason="the espeak voice is optional")
    speaker = Synthesizer()
    yield speaker
    speaker.close()


def test_stress_and_length_marks_are_merged() -> None:
    assert espeak_class("'eI") == espeak_class(",eI") == espeak_class("eI") == PHONE_CLASSES.index("eI")
    assert espeak_class("_:") == PAUSE
    assert espeak_class("no such phone") is None


def test_labels_follow_the_phones_at_any_speed_and_delay() -> None:
    phones = (Phone("s", 0), Phone("'i:", 2205), Phone("_", 4410))  # 100 ms each at 22,050 Hz
    at_once = frame_labels(phones, 22050, 15)
    assert [PHONE_CLASSES[index] for index in at_once] == ["s"] * 5 + ["i:"] * 5 + ["sil"] * 5
    faster = frame_labels(phones, 2 * 22050, 10, start_seconds=0.1)
    assert [PHONE_CLASSES[index] for index in faster] == ["sil"] * 5 + ["s"] * 3 + ["i:"] * 2


@pytest.mark.slow
def test_every_phone_of_the_material_has_a_class(synthesizer: Synthesizer) -> None:
    rng = np.random.default_rng(0)
    clips = [synthesizer.response(texts.draw_text(rng)[1], rng) for _ in range(60)]
    labels = torch.cat([clip.labels for clip in clips])
    assert (labels < 0).float().mean() < 0.01
    assert len(labels.unique()) > 35


@pytest.mark.slow
def test_a_group_pairs_a_text_with_an_audible_miss(synthesizer: Synthesizer) -> None:
    rng = np.random.default_rng(1)
    for _ in range(10):
        group = synthesizer.draw_group(rng)
        reference, missed, response, missed_response = group.clips
        assert reference.phones.tolist() != missed.phones.tolist()
        for clip in group.clips:
            assert clip.features.shape[0] == 80
            assert bool(clip.features.isfinite().all())
            assert len(clip.labels) == -(-clip.features.shape[1] // 2)
        assert len(response.phones)
        assert len(missed_response.phones)


def test_references_are_one_clean_voice(synthesizer: Synthesizer) -> None:
    first, again = (synthesizer.reference("the dog ran home").features for _ in range(2))
    assert abs(first.shape[1] - again.shape[1]) <= 2
    frames = min(first.shape[1], again.shape[1])
    assert (first[:, :frames] - again[:, :frames]).abs().mean() < 0.2


def test_misses_that_sound_the_same_are_rejected(synthesizer: Synthesizer, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["see", "sea", "sew"])
    monkeypatch.setattr("models.pretrain.synthesis.near_miss", lambda text, rng, vocabulary: next(drawn))
    assert synthesizer.audible_miss("see", np.random.default_rng(0)) == "sew"


@pytest.mark.parametrize("edit", [texts.swap_words, texts.delete_word, texts.insert_word, texts.substitute_word])
def test_word_edits_change_one_place(edit) -> None:  # type: ignore[no-untyped-def]
    words = ["she", "will", "visit", "her", "uncle"]
    edited = edit(words, np.random.default_rng(2))
    assert abs(len(edited) - len(words)) <= 1
    assert len(set(words) - set(edited)) <= 1
    assert words == ["she", "will", "visit", "her", "uncle"]


def test_texts_repeat_with_the_seed_and_are_plain() -> None:
    first, again = ([texts.draw_text(np.random.default_rng(seed)) for seed in range(200)] for _ in range(2))
    assert first == again
    assert {task for task, _ in first} == set(texts.TASKS)
    assert all(text and text.replace(" ", "").isalpha() and text.islower() for _, text in first)


def test_respelling_never_empties_a_word() -> None:
    rng = np.random.default_rng(3)
    assert all(texts.respell(word, rng) for word in texts.VOCABULARY)


def test_recording_keeps_the_length_and_reaches_the_asked_noise() -> None:
    rng = np.random.default_rng(4)
    tone = np.sin(np.arange(SAMPLE_RATE_HZ) / 5).astype(np.float32)
    heard = record(tone, rng)
    assert heard.shape == tone.shape
    assert heard.dtype == np.float32
    assert np.abs(heard).max() <= 0.91
    assert len(change_speed(tone, SAMPLE_RATE_HZ, 1.25)) == pytest.approx(SAMPLE_RATE_HZ / 1.25, abs=2)
    around, before_seconds = surround(tone, rng)
    assert len(around) >= len(tone)
    assert around[int(before_seconds * SAMPLE_RATE_HZ) + 1] != 0


def test_voices_of_validation_are_not_trained_on() -> None:
    assert not set(TRAIN_VARIANTS) & set(HELD_OUT_VARIANTS)
    assert len(TRAIN_VARIANTS) > 60


@pytest.mark.slow
def test_batches_keep_to_the_budget_and_pad_with_unknown(synthesizer: Synthesizer) -> None:
    rng = np.random.default_rng(5)
    batches = cut_pool([synthesizer.draw_group(rng) for _ in range(12)], 6000)
    for groups in batches:
        batch = collate(groups)
        assert len(groups) >= 2
        assert len(batch.features) == 4 * len(groups)
        assert len(groups) == 2 or batch.features.shape[0] * batch.features.shape[2] <= 6000
        for row, frames in enumerate(batch.frames.tolist()):
            assert bool((batch.labels[row, -(-frames // 2) :] == -1).all())


def test_real_speech_comes_in_gradually() -> None:
    shares = [real_share_at(progress, 0.6) for progress in (0.0, 0.06, 0.13, 0.2, 1.0)]
    assert shares == pytest.approx([0.0, 0.0, 0.3, 0.6, 0.6])
