"""Nonwords said by other synthetic voices: right answers against near misses of one phone, with the old and the new references.

Old references are espeak-ng reading a nonword's letters as English, new ones espeak-ng told its phones. The same networks compare
the same answers with both. Needs flite and festival (Debian: flite, festival, festvox-kallpc16k, festvox-us-slt-hts).
"""

import argparse
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from models.base.cli import run
from models.base.files import replace_when_done
from models.clips.tables import read_metadata, utterances
from models.ensemble.bootstrap import draw_counts, estimate, weighted_auc
from models.ensemble.checkpoint import Checkpoint, load_checkpoint
from models.inference.scoring import Member, score_clips
from models.speech.arpabet import VOWELS, Phones, espeak_notation, from_espeak, with_stress
from models.speech.audio import Waveform, read_audio, resample
from models.speech.espeak import SAMPLE_RATE_HZ, Espeak
from models.speech.options import VoiceOptions
from models.speech.piper import PiperVoice
from models.speech.pronunciation import NONWORDS
from models.speech.reading import read_words
from models.speech.respelling import read_respelling
from models.speech.utterance import join_words
from models.speech.voices import make_voice

KINDS = ("substituted", "missing", "added")  # near misses: what became of one phone
CONSONANTS = "B CH D F G JH K L M N P R S SH T TH V Z".split()  # those that can stand in most places
FULL_VOWELS = sorted(VOWELS - {"AO"})  # many speakers have one vowel for AO and AA
SAME_ENGINE = ("espeak-ng f4", "espeak-ng m5")  # as the references', and heard in pre-training

Speak = Callable[[Sequence[Phones]], list[Waveform]]


def near_miss(phones: Phones, kind: str, rng: np.random.Generator) -> Phones:
    """One phone substituted (a vowel by a vowel), missing or added, so that it can be heard."""
    while True:
        place = int(rng.integers(len(phones) + (kind == "added")))
        alike = FULL_VOWELS if kind == "substituted" and phones[place] in VOWELS else CONSONANTS
        new = () if kind == "missing" else (str(rng.choice(alike)),)
        found = (*phones[:place], *new, *phones[place + (kind != "added") :])
        if _as_heard(found) != _as_heard(phones) and VOWELS.intersection(found):
            return found


def _as_heard(phones: Phones) -> list[str]:
    """Without what is hard to hear: AO or AA, a phone twice, R beside ER."""
    sounds = " ".join(phones).replace("AO", "AA").replace("ER R", "ER").replace("R ER", "ER").split()
    return [sound for sound, before in zip(sounds, ["", *sounds], strict=False) if sound != before]


def answers_of(phones: Sequence[Phones], seed: int) -> pd.DataFrame:
    """For each nonword (a row of `phones`): said right, one near miss of each kind, and another nonword in its place."""
    order = np.random.default_rng(seed).permutation(len(phones))
    others = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    rows = []
    for row, right in enumerate(phones):
        misses = [(kind, near_miss(right, kind, np.random.default_rng([seed, row, n]))) for n, kind in enumerate(KINDS)]
        rows += [(row, kind, said) for kind, said in [("right", right), *misses, ("other", phones[others[row]])]]
    return pd.DataFrame(rows, columns=["nonword", "kind", "phones"])


def cmu_names(phones: Phones, stress_mark: str = "") -> list[str]:
    """As flite and festival name them, with a mark behind each vowel that has some stress: others may be reduced."""
    return [
        "ax" if phone == "AH" and not stress else phone.lower() + (stress_mark if stress else "")
        for phone, stress in with_stress(phones)
    ]


def output_of(*command: str) -> list[str]:
    """The phones that an engine says it spoke."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def by_flite(voice: str, said: Sequence[Phones], folder: Path) -> list[Waveform]:
    spoken = []
    for phones in said:
        told, file = f"pau {' '.join(cmu_names(phones))} pau", folder / "flite.wav"
        assert output_of("flite", "-voice", voice, "-p", told, "-ps", "-o", str(file)) == told.split()
        spoken.append(read_audio(file))
    return spoken


def by_festival(voice: str, said: Sequence[Phones], folder: Path) -> list[Waveform]:
    """Each is entered into the lexicon as a word, so that the voice gives it its own rhythm and melody."""
    script = [f"({voice})"]
    for index, phones in enumerate(said):
        script += [
            f"(lex.add.entry (list \"xq\" 'n (lex.syllabify.phstress '({' '.join(cmu_names(phones, '1'))}))))",
            '(set! spoken (utt.synth (Utterance Text "xq")))',
            '(mapcar (lambda (phone) (format t "%s " (item.name phone))) (utt.relation.items spoken \'Segment))',
            f'(utt.save.wave spoken "{folder / f"{index}.wav"}" \'riff)',
        ]
    (folder / "say.scm").write_text("\n".join(script))
    told = [name for phones in said for name in ("pau", *cmu_names(phones), "pau")]
    assert output_of("festival", "--batch", str(folder / "say.scm")) == told
    return [read_audio(folder / f"{index}.wav") for index in range(len(said))]


def by_espeak(variant: str, said: Sequence[Phones]) -> list[Waveform]:
    with Espeak() as engine:
        spoken = [engine.speak(espeak_notation(phones), f"en-us+{variant}", told_phones=True) for phones in said]
    return [resample(one.samples / np.float32(32768), SAMPLE_RATE_HZ) for one in spoken]


def voices(piper: Path, folder: Path) -> dict[str, Speak]:
    joe = PiperVoice(piper, 1.0)
    return {
        "Piper joe (VITS)": lambda said: [joe.speak(join_words([("x", phones)])) for phones in said],
        "flite rms (Clustergen)": lambda said: by_flite("rms", said, folder),
        "festival slt (HTS)": lambda said: by_festival("voice_cmu_us_slt_arctic_hts", said, folder),
        "festival kal (diphones)": lambda said: by_festival("voice_kal_diphone", said, folder),
        SAME_ENGINE[0]: lambda said: by_espeak("f4", said),
        SAME_ENGINE[1]: lambda said: by_espeak("m5", said),
    }


def score_all(
    checkpoints: Sequence[Checkpoint], nonwords: pd.DataFrame, answers: pd.DataFrame, spoken: dict[str, Speak]
) -> Iterator[pd.DataFrame]:
    """For each voice and model a table of the answers, with the mean probability of its checkpoints by each reference."""
    told = utterances(nonwords)
    voice = make_voice(VoiceOptions(checkpoints[0].voice["source"], checkpoints[0].voice["speed"]))
    references = {
        "old": {key: voice.speak(text) for key, text in zip(told, nonwords["expected_text"], strict=True)},
        "new": {key: voice.speak(key) for key in told},
    }
    table, distinct = nonwords.iloc[answers["nonword"]], list(answers["phones"].unique())
    for name, speak in tqdm(spoken.items(), "voices", disable=None):
        sounds = dict(zip(distinct, speak(distinct), strict=True))
        for model in dict.fromkeys(one.recipe.name for one in checkpoints):
            folds = [one for one in checkpoints if one.recipe.name == model]
            members = [Member(one, batch_size=16, share=1 / len(folds)) for one in folds]
            rest = (torch.device("cpu"), "fp32", 0, [sounds[phones] for phones in answers["phones"]])
            found = {side: score_clips(members, table, Path(), said, *rest) for side, said in references.items()}
            yield answers.assign(voice=name, model=model, **found)


def row_of(label: str, scores: pd.DataFrame, kinds: Sequence[str]) -> str:
    """A row of the table in Markdown: AUC of right answers against those of `kinds`; intervals over nonwords."""
    rows = scores[scores["kind"].isin(["right", *kinds])]
    counts = draw_counts(np.arange(scores["nonword"].max() + 1))[rows["nonword"]]
    labels, cells, found = (rows["kind"] == "right").to_numpy(np.float64), [], {}
    for side in ("old", "new"):
        predictions = rows[side].to_numpy()
        value = float(weighted_auc(labels, predictions, np.ones((len(rows), 1), np.float32))[0])
        found[side] = estimate(value, weighted_auc(labels, predictions, counts))
        cells.append(f"{value:.3f} [{found[side].low:.3f}, {found[side].high:.3f}]")
    gain = estimate(found["new"].value - found["old"].value, found["new"].draws - found["old"].draws)
    return f"| {label} | {' | '.join(cells)} | {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] |"


def report(scores: pd.DataFrame) -> Iterator[str]:
    others = scores[~scores["voice"].isin(SAME_ENGINE)]
    for model in dict.fromkeys(scores["model"]):
        yield f"\n| {model} | old references | new references | difference |\n|---|---|---|---|"
        own, pooled = scores[scores["model"] == model], others[others["model"] == model]
        for voice in dict.fromkeys(scores["voice"]):
            yield row_of(f"near misses, {voice}", own[own["voice"] == voice], KINDS)
        yield row_of("near misses, other engines", pooled, KINDS)
        yield row_of("… nonwords that the old reference misreads", pooled[pooled["misread"]], KINDS)
        yield row_of("… nonwords that it reads well", pooled[~pooled["misread"]], KINDS)
        yield from (row_of(f"… a phone {kind}", pooled, [kind]) for kind in KINDS)
        yield row_of("other nonwords, other engines", pooled, ["other"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="the competition's train_metadata.csv is there")
    parser.add_argument("--piper", type=Path, required=True, help="FILE.onnx of the voice joe")
    parser.add_argument("--seed", type=int, default=0, help="of the near misses (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("nonword_voices.csv"), help="scores (default: %(default)s)")
    parser.add_argument("checkpoints", type=Path, nargs="+")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = read_metadata(options.data_dir / "train_metadata.csv")
    nonwords = table[table["task"] == NONWORDS].drop_duplicates("expected_text").reset_index(drop=True)
    right = [read_respelling(word) or () for word in nonwords["expected_text"]]
    read = [from_espeak(*read_words(word)) for word in nonwords["expected_text"]]
    answers = answers_of(right, options.seed)
    answers["misread"] = [read[row] != right[row] for row in answers["nonword"]]
    checkpoints = [load_checkpoint(file) for file in options.checkpoints]
    with tempfile.TemporaryDirectory() as folder:
        scores = pd.concat(score_all(checkpoints, nonwords, answers, voices(options.piper, Path(folder))))
    with replace_when_done(options.output) as temporary:
        scores.assign(phones=scores["phones"].str.join(" ")).to_csv(temporary, index=False)
    print("\n".join(report(scores)))


if __name__ == "__main__":
    run(main)
