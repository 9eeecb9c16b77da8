"""Localization by a verifier's tokens, and which model is asked. Run: python -m pytest tests/localize/test_tokens.py"""

import difflib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import Outcome, trained_checkpoint, write_rows

from models.base.files import sha256_of_file
from models.ensemble.checkpoint import save_checkpoint
from models.ensemble.config import ModelEntry, read_config, write_config
from models.errors import InputError
from models.inference.scoring import Member
from models.localize import listener
from models.localize.by_tokens import TABLE, _units
from models.localize.choice import choose_member
from models.localize.listener import Listener
from models.localize.localization import localize, needed_utterances
from models.localize.looks import following_heads, word_spans
from models.localize.methods import choose_method
from models.localize.model import LoadedModel, load_model
from models.localize.picture import as_png, draw
from models.localize.read_text import ReadText
from models.localize.result import Localization, to_json
from models.localize.said_well import said_well
from models.localize.unit_scores import WRITING, Probabilities, table_of_width
from models.network.beam_search import Hypothesis
from models.network.verifier import VerifierNetwork
from models.speech.audio import Waveform

SURE = 5.0  # in logits


def no_voice(text: str) -> Waveform:
    pytest.fail(f"a verifier asked for a reference of {text!r}")


@pytest.fixture
def verifier(encoder_dir: Path) -> LoadedModel:
    """Random weights, with an answer for the gaps."""
    return load_model(trained_checkpoint(encoder_dir, "taughtmodel"))


def who_knows(verifier: LoadedModel, spoken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the network judge as one would who knows what was spoken."""
    network = verifier.network
    assert isinstance(network, VerifierNetwork)
    tokenizer = network.tokenizer

    def logits_of(text: str, n_tokens: int) -> torch.Tensor:
        words, owners = text.split(), tokenizer.words(text)
        said, gaps = np.ones(len(words) + 1, bool), np.ones(len(words) + 1, bool)
        for kind, start, stop, first, last in difflib.SequenceMatcher(a=words, b=spoken.split()).get_opcodes():
            if kind != "equal":
                said[start:stop] = False
                gaps[start] = last - first <= stop - start
        said[-1] &= gaps.all()  # where more was said, that was not all
        found = torch.full((n_tokens, 3), SURE)
        for place, owner in enumerate(owners):
            found[place, 0] = -SURE if owner >= 0 and not said[owner] else SURE
            is_behind_more = owner >= 0 and owners[place - 1] != owner and not gaps[owner]
            found[place, 1] = -SURE if is_behind_more else 2 * SURE  # of gaps networks are surer
            is_unlikely = 0 <= owner < len(words) and not said[owner]
            found[place, 2] = -SURE if is_behind_more or is_unlikely else 0.0
        return found

    def judge(
        heard: torch.Tensor, mask: torch.Tensor, tokens: torch.Tensor, counts: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ends = counts.tolist()
        texts = [letters(row[network.n_prompt : end - 1]) for row, end in zip(tokens.tolist(), ends, strict=True)]
        places = torch.arange(tokens.shape[1])
        judged = (places >= network.n_prompt) & (places < counts[:, None])
        return torch.stack([logits_of(text, tokens.shape[1]) for text in texts]), judged

    names = {index: piece for piece, index in json.loads(tokenizer.content)["model"]["vocab"].items()}

    def letters(row: list[int]) -> str:
        return "".join(names[index] for index in row).replace("\u0120", " ").strip().removesuffix(".").lower()

    monkeypatch.setattr(network, "judge", judge)
    monkeypatch.setattr(network, "answer", lambda pooled, *_: {"logits": pooled[:, 2:4].amin(dim=1)})


def ask(verifier: LoadedModel, text: str) -> Localization:
    noise = np.random.default_rng(0).standard_normal(16000 * 2).astype(np.float32) * 0.1
    return localize(verifier, text, "sentence_repetition", "1", noise, no_voice)


@pytest.mark.parametrize(
    ("spoken", "found"),
    [
        ("we like big cats", "right right right right"),
        ("we like cats", "right right missing right"),
        ("we like small cats", "right right different right"),
        ("we like big fat cats", "right right right inserted right"),
        ("so we like big cats", "inserted right right right right"),
        ("we like big cats now", "right right right right inserted"),
    ],
)
def test_what_was_said_is_found(
    spoken: str, found: str, verifier: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    who_knows(verifier, spoken, monkeypatch)
    answer = ask(verifier, "we like big  cats")
    assert " ".join(unit.kind for unit in answer.units) == found
    assert [unit.text for unit in answer.expected_units] == "we like big cats".split()
    assert len(answer.gap_scores) == 5
    assert (np.array(answer.gap_scores) < 0.5).sum() == found.split().count("inserted")
    assert (answer.method, answer.unit) == ("tokens", "word")


def test_of_two_words_that_lack_neither_is_right(verifier: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    who_knows(verifier, "like cats", monkeypatch)
    kinds = [unit.kind for unit in ask(verifier, "we like big cats").units]
    assert [kind == "right" for kind in kinds] == [False, True, False, True]


def test_a_single_word_is_as_right_as_the_answer(verifier: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    for spoken, kind in (("cats", "right"), ("dogs", "different")):
        who_knows(verifier, spoken, monkeypatch)
        answer = ask(verifier, "cats")
        assert [unit.kind for unit in answer.expected_units] == [kind]
        assert answer.expected_units[0].score == pytest.approx(answer.probability)


@pytest.mark.parametrize(("nothing", "marks"), [(0.3, 0), (0.05, 1)])
def test_a_word_that_is_doubted_more_explains_what_was_said_beside_it(nothing: float, marks: int) -> None:
    units, gaps = (
        np.array([[0.1, 0.0, 0.9], [0.9, 0.1, 0.0]]),
        np.array([[1.0, 0.0], [nothing, 1 - nothing], [1.0, 0.0]]),
    )
    found = _units(["we", "like"], Probabilities(units, gaps), np.ones(2), [(0.0, 0.5), (0.5, 1.0)])
    assert [unit.kind for unit in found] == ["different", *["inserted"] * marks, "right"]


def test_times_run_through_the_answer(verifier: LoadedModel) -> None:
    answer = ask(verifier, "we like big cats")
    edges = [time for unit in answer.units for time in (unit.start_seconds, unit.end_seconds)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= answer.response_seconds == pytest.approx(2.0, abs=0.05)
    assert 0 < answer.probability < 1
    pytest.importorskip("matplotlib")
    assert as_png(draw(answer))[:4] == b"\x89PNG"


def made_looks(rng: np.random.Generator) -> np.ndarray:
    """Of two tokens of the first word, one of the second and one of the third."""
    looks = rng.uniform(0.001, 0.01, (4, 50))
    for token, (start, stop) in enumerate([(0, 10), (10, 20), (20, 35), (35, 50)]):
        looks[token, start:stop] += 0.1
    return looks / looks.sum(axis=1, keepdims=True)


def test_words_begin_and_end_with_the_sound(verifier: LoadedModel) -> None:
    noise = np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.1
    silence = np.zeros(8000, np.float32)
    response = np.concatenate([silence, noise, silence])
    units = localize(verifier, "we like cats", "sentence_repetition", "1", response, no_voice).units
    times = [time for unit in units for time in (unit.start_seconds, unit.end_seconds)]
    assert min(times) == pytest.approx(0.5, abs=0.05)
    assert max(times) == pytest.approx(1.5, abs=0.05)


def test_a_word_begins_where_its_first_token_looks() -> None:
    looks = made_looks(np.random.default_rng(0))
    np.testing.assert_allclose(word_spans(looks, [0, 0, 1, 2], 3), [(0, 20), (20, 35), (35, 50)], atol=1)


def test_the_heads_that_follow_the_speech_are_found() -> None:
    """Beside heads that look at the start, at their own place in another order, or anywhere."""
    rng = np.random.default_rng(0)
    following = [made_looks(rng) for _ in range(3)]
    at_start = np.tile(np.eye(1, 50)[0] * 0.9 + 0.002, (4, 1))
    others = [at_start, made_looks(rng)[::-1], np.full((4, 50), 0.02), rng.dirichlet(np.ones(50), 4)]
    heads = np.stack([others[0], following[0], *others[1:], *following[1:]])
    np.testing.assert_allclose(following_heads(heads), np.mean(following, axis=0))


def test_several_texts_are_asked_at_once_as_alone(verifier: LoadedModel) -> None:
    log_mel = torch.randn(80, 150, generator=torch.Generator().manual_seed(1))
    assert isinstance(verifier.network, VerifierNetwork)
    listener = Listener(verifier.network, log_mel, torch.zeros(1, 2))
    texts = ["we like big cats", "a dog", "x"] * 6  # more than are read at once
    for text, together in zip(texts, listener.read(texts), strict=True):
        (alone,) = listener.read([text])
        assert (together.whole, together.end) == pytest.approx((alone.whole, alone.end), abs=1e-5)
        for name in ("least", "likely", "gaps"):
            np.testing.assert_allclose(getattr(together, name), getattr(alone, name), atol=1e-5)
        n = len(text.split())
        assert (len(alone.least), len(alone.likely), len(alone.gaps)) == (n, n + 1, n + 1)


def test_the_model_that_tells_best_is_asked(encoder_dir: Path) -> None:
    """Not a verifier that was trained without drawn texts."""
    plain = Member(trained_checkpoint(encoder_dir, "verifymodel"), 4, 0.7)
    verifier = Member(trained_checkpoint(encoder_dir, "taughtmodel"), 4, 0.05)
    aligned = Member(trained_checkpoint(encoder_dir, "alignmodel"), 4, 0.1)
    joint = Member(trained_checkpoint(encoder_dir), 4, 0.15)
    everyone = [plain, joint, aligned, verifier]
    assert choose_member(everyone, "auto", "here", "we like cats") is verifier
    assert choose_member([plain, joint, verifier], "auto", "here", "we like cats") is verifier
    assert choose_member([plain, joint, aligned], "auto", "here", "we like cats") is aligned
    assert choose_member(everyone, "tokens", "here", "we like cats") is verifier
    assert choose_member(everyone, "alignment", "here", "we like cats") is aligned
    assert choose_member(everyone, "auto", "here", "cats") is aligned  # which tells phones
    assert choose_member([verifier, joint], "auto", "here", "cats") is verifier
    assert choose_member([verifier], "auto", "here", "cats") is verifier
    for method in ("auto", "tokens"):
        with pytest.raises(
            InputError, match=rf"here: none of its models \(model2s, verifymodel\) .*{method}; .*drawn texts"
        ):
            choose_member([plain, joint], method, "here", "cats")
    with pytest.raises(InputError, match=r"alignment.*aligntiny"):
        choose_method(verifier.checkpoint.recipe, "alignment", "a verifier")
    with pytest.raises(InputError, match="drawn texts"):
        choose_method(plain.checkpoint.recipe, "auto", "a verifier")


def test_no_reference_is_asked_for() -> None:
    assert needed_utterances("we like cats", "sentence_repetition", "tokens") == []


@pytest.mark.slow
def test_the_command_asks_a_verifier(
    work: Path, script: Callable[..., Outcome], encoder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any folder of references."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(work)
    save_checkpoint(work / "assets" / "taughtmodel_0.pth", trained_checkpoint(encoder_dir, "taughtmodel"))
    clip = str(next((work / "data").glob("test*.wav")))
    asked = ["--checkpoints", "assets/taughtmodel_0.pth", "--audio", clip, "--text", "it is cold", "--picture"]
    outcome = script("localize.py", *asked, "--tts_dir", "nowhere", "--output_dir", "by_tokens")
    assert outcome.code == 0, outcome.error
    assert sorted(path.suffix for path in (work / "by_tokens").iterdir()) == [".json", ".png"]
    assert not (work / "nowhere").exists()


@pytest.mark.slow
def test_the_command_asks_another_model_about_single_words(
    work: Path, script: Callable[..., Outcome], encoder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    config, entries = read_config(work / "model_configs.pkl"), []
    for name in ("taughtmodel", "alignmodel"):
        path = work / "assets" / f"{name}_0.pth"
        same = {"voice": config.voice, "n_folds": config.n_folds, "data_fingerprint": config.data_fingerprint}
        save_checkpoint(path, replace(trained_checkpoint(encoder_dir, name), **same))
        entries.append(ModelEntry(name, 0.5, [f"assets/{name}_0.pth"], [0], [sha256_of_file(path)], 4.0, 4))
    write_config(work / "model_configs.pkl", replace(config, models=entries))
    clips = sorted((work / "data").glob("test*.wav"))[:2]
    rows = [[clips[0].name, "blending", "cold", "1"], [clips[1].name, "sentence_repetition", "it is cold", "1"]]
    write_rows(work / "asked.csv", [["filename", "task", "expected_text", "grade"], *rows])
    outcome = script("localize.py", "--csv", "asked.csv", "--data_dir", "data", "--output_dir", "both")
    assert outcome.code == 0, outcome.error
    found = [json.loads((work / "both" / f"{clip.name}.json").read_text())["method"] for clip in clips]
    assert found == ["alignment", "tokens"]


def test_a_word_that_nobody_would_write_down_was_said_badly() -> None:
    """Though its tokens were heard."""
    n = 3
    sure = ReadText(SURE, np.full(n, SURE), np.zeros(n + 1), np.zeros(n + 1), np.full(n + 1, SURE), SURE)
    likely = np.array([0.0, -5.0, 0.0, 0.0])
    good, bad = said_well(sure, 512), said_well(replace(sure, likely=likely, likely_means=likely), 512)
    assert good.shape == (n,)
    assert (good > 0.9).all()
    assert bad[1] < min(bad[0], bad[2]) - 0.1


def test_a_word_that_was_written_down_otherwise_was_said_worse() -> None:
    """By networks that write, whose coefficients know it; of others it is not asked."""
    n = 3
    read = ReadText(SURE, np.full(n, SURE), np.full(n + 1, -1.0), np.full(n + 1, -1.0), np.full(n + 1, SURE), SURE)
    found = said_well(read, 384, np.array([4.0, -4.0, 4.0]))
    assert found[1] < found[0] == found[2]
    assert len(set(said_well(read, 512))) == 1


def test_coefficients_are_those_of_the_network_s_size() -> None:
    assert table_of_width(TABLE, 16) == "word, tokens, width 512"  # of these there are none
    assert table_of_width(TABLE, 384) == "word, tokens, width 384"
    assert table_of_width(TABLE, 384, WRITING) == "word, tokens, width 384, transcripts"
    assert table_of_width(TABLE, 512, WRITING) == "word, tokens, width 512"  # of those that write there are none


def test_how_well_a_word_was_said_is_told_of_words_that_were_said(
    verifier: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    who_knows(verifier, "we like cats", monkeypatch)
    answer = ask(verifier, "we like big cats")
    told = {unit["text"]: unit.get("said_well") for unit in to_json(answer)["units"]}
    assert told["big"] is None
    assert all(0 <= told[word] <= 1 for word in ("we", "like", "cats"))


def writes_down(verifier: LoadedModel, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the network write one text; it can."""
    monkeypatch.setattr(verifier.network, "transcription_loss", 0.2)
    monkeypatch.setattr(listener, "search", lambda *_: [Hypothesis(text, -0.1), Hypothesis("So.", -9.0)])


def test_what_was_heard_is_told_of_a_word_that_differs(verifier: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    who_knows(verifier, "we like small cats", monkeypatch)
    writes_down(verifier, "We like small cats.", monkeypatch)
    told = to_json(ask(verifier, "we like big cats"))
    assert [unit.get("heard") for unit in told["units"]] == [None, None, "small", None]
    assert [word["text"] for word in told["transcript"]] == ["we", "like", "small", "cats"]
    assert told["units"][2]["alternatives"][0]["probability"] > 0.9
    assert all("alternatives" not in unit for unit in told["units"] if unit["kind"] == "right")


def test_what_the_network_itself_finds_wrong_is_not_said_to_be_heard(
    verifier: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    who_knows(verifier, "we like small cats", monkeypatch)
    writes_down(verifier, "They play.", monkeypatch)
    answer = ask(verifier, "we like big cats")
    assert answer.transcript is None
    assert [unit.heard for unit in answer.units] == [None] * 4


@pytest.mark.parametrize("text", ["", "naïve"])
def test_what_can_not_be_read_is_not_said_to_be_heard(
    text: str, verifier: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes_down(verifier, text, monkeypatch)
    assert ask(verifier, "we like big cats").transcript is None


def test_networks_that_have_not_learnt_to_write_are_not_asked(
    verifier: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes_down(verifier, "We play.", monkeypatch)
    monkeypatch.setattr(verifier.network, "transcription_loss", 0.0)
    monkeypatch.setattr(listener, "search", lambda *_: pytest.fail("asked"))
    assert ask(verifier, "we like big cats").transcript is None


def test_transcripts_speak_for_the_words_that_they_hold(verifier: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """And against those that they lack, and for what they hold besides, where all else is the same."""
    who_knows(verifier, "we like big cats", monkeypatch)
    monkeypatch.setattr(verifier.network.decoder.config, "d_model", 384)  # of which coefficients know transcripts
    writes_down(verifier, "We like big cats.", monkeypatch)
    agreed = ask(verifier, "we like big cats")
    writes_down(verifier, "We like cats all.", monkeypatch)
    other = ask(verifier, "we like big cats")
    scores, others = ([unit.score for unit in each.expected_units] for each in (agreed, other))
    assert others[2] < scores[2]
    assert [others[place] == pytest.approx(scores[place]) for place in (0, 1)] == [True, True]
    assert other.gap_scores[4] < agreed.gap_scores[4]
    assert other.gap_scores[0] == pytest.approx(agreed.gap_scores[0])
