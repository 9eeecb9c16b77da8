"""What stands behind page and API, without them: uploads, answers, tables.

Run: .venv/bin/python -m pytest tests/service/test_service.py
"""

import asyncio
import io
import os
import re
import subprocess
import sys
import time
import unicodedata
import zipfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from fakes import NO_ANSWERS, ROOT, snapshot, tone

from models.classroom.answers import score_answers, scores_table
from models.clips.tables import read_test_table
from models.ensemble.checkpoint import Checkpoint
from models.ensemble.rebuild import rebuild_network
from models.errors import InputError
from models.inference.answers import Answer
from models.inference.published_references import CACHE_VARIABLE
from models.inference.scorer import Scorer
from models.service.answer_tables import batch_from_files, batch_from_folder
from models.service.asking import check_text
from models.service.service import AnswerTable, Service, to_csv
from models.service.thresholds import Thresholds
from models.service.uploads import Uploads, limited


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    made = Uploads(1_000_000)
    yield made
    made.close()


@pytest.fixture
def service(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv(CACHE_VARIABLE, str(work / "cache"))
    scorer = Scorer.from_config(work / "model_configs.pkl", work / "tts_data", device="cpu", precision="fp32")
    made = Service(scorer, max_seconds=5)
    yield made
    made.close()


def send(uploads: Uploads, name: str, content: bytes) -> tuple[str, Path]:
    path = uploads.new_path(name)
    path.write_bytes(content)
    return name, path


def sound(seconds: float = 0.4, kind: str = "WAV", **options: object) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, tone(seconds, 300, np.random.default_rng(0)), 16_000, format=kind, **options)
    return stream.getvalue()


def table_of(names: Sequence[str], texts: Sequence[str] | None = None) -> bytes:
    rows = [(name, "blending", text, "KG") for name, text in zip(names, texts or ["cat"] * len(names), strict=True)]
    return pd.DataFrame(rows, columns=["filename", "task", "expected_text", "grade"]).to_csv(index=False).encode()


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def score_many(service: Service, batch: AnswerTable, *options: Any) -> pd.DataFrame:
    return scores_table(score_answers(service, batch, *options))


# Uploads


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b.wav", "\0.wav", "x" * 5000 + ".wav", "häß.WAV", "", ".wav", "a.sh", "a.wav/.."]
)
def test_the_client_does_not_name_files(uploads: Uploads, name: str) -> None:
    path = uploads.new_path(name)
    assert path.parent == uploads.folder
    assert re.fullmatch(r"[0-9a-f]{32}\.(wav|bin)", path.name)


def test_the_folder_is_private_and_goes(uploads: Uploads) -> None:
    assert uploads.folder.stat().st_mode & 0o077 == 0
    send(uploads, "a.wav", b"x")
    uploads.close()
    assert not uploads.folder.exists()


def test_only_what_was_sent_is_deleted(uploads: Uploads, tmp_path: Path) -> None:
    outside = tmp_path / "thesis.wav"
    outside.write_bytes(b"years of work")
    link = uploads.folder / "link.wav"
    link.symlink_to(outside)
    for path in (outside, uploads.folder / ".." / outside.name, link):
        uploads.delete(path)
    assert outside.is_file()
    _, sent = send(uploads, "a.wav", b"x")
    uploads.delete(sent)
    assert not sent.exists()


def test_what_is_forgotten_is_swept(uploads: Uploads) -> None:
    (_, old), (_, new) = send(uploads, "a.wav", b"x"), send(uploads, "b.wav", b"x")
    os.utime(old, (time.time() - 700, time.time() - 700))
    uploads.sweep()
    assert (old.exists(), new.exists()) == (False, True)


def test_what_is_in_use_is_not_swept(uploads: Uploads) -> None:
    """A large table is scored for longer than what nobody scores is kept."""
    files = [send(uploads, "a.zip", zip_of({"t.csv": table_of(["a.wav"]), "a.wav": sound()}))]
    with batch_from_files(files, uploads) as batch:
        for path in uploads.folder.iterdir():
            os.utime(path, (time.time() - 700, time.time() - 700))
        uploads.sweep()
        assert [isinstance(path, Path) and path.is_file() for path in batch.sources] == [True]
    assert [path.name for path in uploads.folder.iterdir()] == [".lock"]


def test_what_a_killed_page_left_is_deleted_by_the_next(uploads: Uploads) -> None:
    """And not what a page that is alive holds."""
    code = "import os; from models.service.uploads import Uploads; print(Uploads(1).folder, flush=True); os.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    Uploads(1).close()
    assert not left.exists()
    assert uploads.folder.is_dir()


def test_more_than_allowed_stops_at_once() -> None:
    read: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            read.append(1)
            yield bytes(100)

    async def consume() -> None:
        async for _ in limited(endless(), 1_000):
            pass

    with pytest.raises(InputError, match="max_upload_mb"):
        asyncio.run(consume())
    assert len(read) == 11


# One answer


def test_an_answer_is_scored_as_the_scorer_does(service: Service, work: Path) -> None:
    file = work / "data/test0.wav"
    result = service.score(service.hear(file), "  we like\tto play ", "sentence_repetition", "1", Thresholds(0.0, 1.0))
    assert result.probability == pytest.approx(
        service.scorer.score(file, "we like to play", "sentence_repetition", "1"), abs=1e-9
    )
    assert (result.verdict, result.answer.text) == ("review", "we like to play")
    assert result.accepted == (("we like to play", result.probability),)
    reference = service.scorer.references(["we like to play"])["we like to play"]
    np.testing.assert_array_equal(service.expected_sound(result.answer), reference)


@pytest.mark.parametrize(
    ("name", "content", "mentions"),
    [
        ("a.wav", b"", "not readable"),
        ("a.wav", b"RIFF" + bytes(100), "not readable"),
        ("a.wav", sound(5.1), "longer than 5 s"),
        ("a.flac", sound(300, "FLAC"), "longer than 5 s"),
        ("a.ogg", sound(4.9, "OGG")[:300], "breaks off"),
        ("a.wav", sound(0.01), "10 ms only"),
        ("a.zip", zip_of({"a": b"b"}), "not readable"),
        ("page.html", b"<script>alert(1)</script>", "not readable"),
    ],
)
def test_recordings_that_are_refused(
    service: Service, uploads: Uploads, name: str, content: bytes, mentions: str
) -> None:
    """In words that tell nothing of the server's folders."""
    _, path = send(uploads, name, content)
    with pytest.raises(InputError, match=mentions) as refused:
        service.hear(path)
    assert str(uploads.folder) not in str(refused.value)
    assert path.name not in str(refused.value)


@pytest.mark.parametrize(("kind", "options"), [("FLAC", {}), ("OGG", {}), ("MP3", {}), ("WAV", {"subtype": "FLOAT"})])
def test_recordings_that_are_taken(service: Service, uploads: Uploads, kind: str, options: dict[str, str]) -> None:
    _, path = send(uploads, f"a.{kind.lower()}", sound(1.0, kind, **options))
    assert len(service.hear(path)) == pytest.approx(16_000, abs=1600)


@pytest.mark.parametrize("text", ["", " \n ", "x" * 301, "a\0b", "a\x1b[31m", "a\u202eb"])
def test_texts_that_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        check_text(text)


def test_a_text_that_the_voice_cannot_speak(service: Service, work: Path) -> None:
    with pytest.raises(InputError, match="says nothing"):
        service.score(service.hear(work / "data/test0.wav"), "...", "deletion", "KG", Thresholds())


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_what_is_no_answer_is_not_scored(kind: str, service: Service, uploads: Uploads, tmp_path: Path) -> None:
    """One by one and among many, with the same words as infer.py and localize.py have."""
    with pytest.raises(InputError, match="record it again") as alone:
        service.score(NO_ANSWERS[kind], "cat", "blending", "KG", Thresholds())
    soundfile.write(tmp_path / "a.wav", NO_ANSWERS[kind], 16_000, subtype="FLOAT")
    with pytest.raises(InputError, match=re.escape(str(alone.value))):
        service.hear(tmp_path / "a.wav")
    files = {"t.csv": table_of(["a.wav", "b.wav"]), "a.wav": (tmp_path / "a.wav").read_bytes(), "b.wav": sound()}
    with batch_from_files([send(uploads, name, content) for name, content in files.items()], uploads) as batch:
        table = score_many(service, batch, Thresholds())
    assert table["problem"].tolist() == [str(alone.value), ""]
    assert table["probability"].notna().tolist() == [False, True]


def test_overlong_answers_are_doubted(service: Service) -> None:
    long = service.score(tone(4.5, 300, np.random.default_rng(0)), "cat", "blending", "KG", Thresholds())
    reference = len(service.expected_sound(long.answer)) / 16_000
    assert (
        f"Only the first {4 - reference:.3g} s of the recording's 4.5 s" in long.notes[0]
    )  # heard after the reference
    near = service.score(tone(3.9, 300, np.random.default_rng(0)), "cat", "blending", "KG", Thresholds())
    assert "recording's 3.9 s" in near.notes[0]
    fine = service.score(tone(1, 300, np.random.default_rng(0)), "cat", "blending", "KG", Thresholds())
    assert fine.notes == ()


LONG_TEXT = "she has a red hat and he has a blue coat and they go to the big house on the hill"


def test_what_the_reference_leaves_no_room_for_is_not_scored(service: Service, uploads: Uploads) -> None:
    with pytest.raises(InputError, match="nothing of the answer is heard"):
        service.score(tone(2.0, 300, np.random.default_rng(0)), LONG_TEXT, "blending", "KG", Thresholds())
    table = table_of(["a.wav", "b.wav", "c.wav"], [LONG_TEXT, "cat", "cat"])
    files = {"t.csv": table, "a.wav": sound(), "b.wav": sound(4.5), "c.wav": sound()}
    with batch_from_files([send(uploads, name, content) for name, content in files.items()], uploads) as batch:
        found = score_many(service, batch, Thresholds())
    assert found["probability"].notna().tolist() == [False, True, True]
    assert "nothing of the answer" in found["problem"][0]
    assert "Only the first" in found["note"][1]
    assert found["problem"].tolist()[1:] == ["", ""]
    assert found["note"].tolist()[::2] == ["", ""]


def test_where_the_explanation_fails_the_score_is_told(
    aligned_work: Path, service: Service, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waveform = service.hear(work / "data/test0.wav")
    result = service.score(waveform, "we like", "sentence_repetition", "1", Thresholds())
    assert result.localization is not None
    assert [unit.text for unit in result.localization.expected_units] == ["we", "like"]

    def fail(*_: object) -> None:
        raise InputError("too short to look into")

    monkeypatch.setattr("models.service.explain.localize", fail)
    failed = service.score(waveform, "we like", "sentence_repetition", "1", Thresholds())
    assert failed.localization is None
    assert failed.probability == pytest.approx(result.probability, abs=1e-6)
    assert "too short to look into" in failed.notes[-1]


# Many answers


def test_a_zip_file_scores_as_its_folder_and_as_its_files(service: Service, uploads: Uploads, work: Path) -> None:
    table = read_test_table(work / "data")
    files = {path.name: path.read_bytes() for path in (work / "data").iterdir() if path.name.startswith("test")}
    files = {name: content for name, content in files.items() if name.endswith(".wav") or name == "test_metadata.csv"}
    inside = {f"some where/{name}": content for name, content in files.items()}
    batches = [
        [send(uploads, name, content) for name, content in files.items()],
        [
            send(
                uploads,
                "all.zip",
                zip_of({**inside, "__MACOSX/some where/._test0.wav": b"x", "some where/.hidden": b"x"}),
            )
        ],
    ]
    found = []
    for sent in batches:
        with batch_from_files(sent, uploads) as batch:
            found.append(score_many(service, batch, Thresholds(0.5, 0.5)))
    found.append(score_many(service, batch_from_folder(work, "data"), Thresholds(0.5, 0.5)))
    wanted = service.scorer.score_batch(
        [
            Answer(work / "data" / row.filename, row.expected_text, row.task, row.grade)
            for row in table.sort_values("filename").itertuples()
        ]
    )
    for scored in found:
        scored = scored.sort_values("filename")
        assert scored["filename"].tolist() == sorted(table["filename"])
        np.testing.assert_allclose(scored["probability"], wanted, atol=1e-6)
        assert set(scored["problem"]) == {""}
        assert (scored["verdict"] == np.where(wanted >= 0.5, "right", "wrong")).all()
    assert not [path for path in uploads.folder.iterdir() if path.name != ".lock"]  # nothing is kept


def test_broken_missing_and_long_clips_are_listed_and_the_rest_is_scored(service: Service, uploads: Uploads) -> None:
    files = {
        "good.wav": sound(),
        "long.wav": sound(6),
        "broken.wav": b"RIFF",
        "a/twice.wav": sound(),
        "b/twice.wav": sound(),
    }
    names = ["long.wav", "good.wav", "missing.wav", "broken.wav", "twice.wav"]
    told: list[tuple[int, int]] = []
    with batch_from_files(
        [send(uploads, "all.zip", zip_of({**files, "table.csv": table_of(names)}))], uploads
    ) as batch:
        scored = score_many(service, batch, Thresholds(), lambda done, total: told.append((done, total)))
    assert np.isfinite(scored["probability"]).tolist() == [False, True, False, False, False]
    problems = dict(zip(scored["filename"], scored["problem"], strict=True))
    assert "longer than 5 s" in problems["long.wav"]
    assert "no such recording" in problems["missing.wav"]
    assert "no such recording" in problems["twice.wav"]  # which of the two is meant, nobody knows
    assert "not readable" in problems["broken.wav"]
    assert str(uploads.folder) not in problems["broken.wav"]
    assert told[-1][0] == told[-1][1] > 0
    csv = pd.read_csv(io.BytesIO(to_csv(scored)), keep_default_na=False)
    assert csv["filename"].tolist() == names
    assert csv["verdict"].tolist()[0] == ""


def test_texts_that_cannot_be_spoken_or_taken_are_listed_and_the_rest_is_scored(
    service: Service, uploads: Uploads
) -> None:
    texts = {"good.wav": "cat", "odd.wav": "?!", "long.wav": "cat " * 100, "new.wav": "never spoken before"}
    files = {"table.csv": table_of(list(texts), list(texts.values())), **{name: sound() for name in texts}}
    sent = [send(uploads, name, content) for name, content in files.items()]
    with batch_from_files(sent, uploads) as batch:
        scored = score_many(service, batch, Thresholds())
    assert np.isfinite(scored["probability"]).tolist() == [True, False, False, True]
    problems = dict(zip(scored["filename"], scored["problem"], strict=True))
    assert "'?!' can't be spoken" in problems["odd.wav"]
    assert "300" in problems["long.wav"]


@pytest.mark.parametrize(("lies", "named"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_recording_is_found_whose_name_looks_the_same(uploads: Uploads, lies: str, named: str) -> None:
    names = [unicodedata.normalize(named, name) for name in ("some/né.wav", "è.wav")]
    files = {unicodedata.normalize(lies, name): name.encode() for name in ("some/né.wav", "others/è.wav")}
    sent = [send(uploads, name, content) for name, content in {**files, "a.csv": table_of(names)}.items()]
    with batch_from_files(sent, uploads) as batch:
        assert [path.read_bytes().decode()[-5:] for path in batch.sources] == ["é.wav", "è.wav"]


@pytest.mark.parametrize(
    ("files", "mentions"),
    [
        ({"a.wav": sound()}, "0 CSV files"),
        ({"a.csv": table_of(["a.wav"]), "b.csv": table_of(["a.wav"])}, "2 CSV files"),
        ({"a.csv": b"filename,task\n"}, "the column"),
        ({"a.csv": table_of(["../../etc/passwd"])}, "leads out"),
        ({"a.csv": table_of(["/etc/passwd"])}, "leads out"),
        ({"a.csv": b"\xff\xfe"}, "UTF-8"),
        ({"a.csv": table_of([f"{index}.wav" for index in range(5_001)])}, "5000 at once"),
        ({"all.zip": zip_of({"a.csv": table_of(["a.wav"])})[:-30]}, "CSV|read"),
        (
            {"all.zip": zip_of({"bomb.wav": bytes(25_000_000), "a.csv": table_of(["bomb.wav"])})},
            "far more than its size",
        ),
        ({"all.zip": zip_of({f"{index}.wav": b"" for index in range(5_002)})}, "5002 files"),
    ],
)
def test_batches_that_are_refused(uploads: Uploads, files: dict[str, bytes], mentions: str) -> None:
    """By name, without the server's paths, and with nothing left behind."""
    sent = [send(uploads, name, content) for name, content in files.items()]
    with pytest.raises(InputError, match=mentions) as refused, batch_from_files(sent, uploads):
        pytest.fail("was taken")
    assert str(uploads.folder) not in str(refused.value)
    assert not [path for path in uploads.folder.iterdir() if path.name != ".lock"]


def test_a_zip_file_cannot_write_elsewhere(service: Service, uploads: Uploads, tmp_path: Path) -> None:
    """Whatever its entries are called; damaged ones are refused, and links are left out."""
    before = snapshot(tmp_path)
    link = zipfile.ZipInfo("link.wav")
    link.external_attr = 0o120777 << 16
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("../../../evil.wav", sound())
        archive.writestr("/abs.wav", sound())
        archive.writestr(link, "/etc/passwd")
        archive.writestr("t.csv", table_of(["evil.wav", "abs.wav", "link.wav"]))
    with batch_from_files([send(uploads, "a.zip", stream.getvalue())], uploads) as batch:
        assert all(source.parent == uploads.folder for source in batch.sources if isinstance(source, Path))
        assert isinstance(batch.sources[2], InputError)
    assert snapshot(tmp_path) == before
    damaged = bytearray(zip_of({"a.wav": sound(1), "t.csv": table_of(["a.wav"])}))
    damaged[60:3_000] = bytes(2_940)
    with (
        pytest.raises(InputError, match="can't be read"),
        batch_from_files([send(uploads, "a.zip", bytes(damaged))], uploads),
    ):
        pytest.fail("was taken")


@pytest.mark.parametrize("name", ["..", "../other", "/etc", "nowhere", "a\0b", "link"])
def test_folders_elsewhere_are_refused(work: Path, name: str) -> None:
    (work / "root").mkdir()
    (work / "root/link").symlink_to(work / "data")
    with pytest.raises(InputError, match="no such folder"):
        batch_from_folder(work / "root", name)


# Networks


def test_each_network_is_built_once(aligned_work: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For scoring, and the most suitable one to be asked about words."""
    built: list[str] = []
    for module in ("models.inference.networks", "models.localize.model"):

        def build(checkpoint: Checkpoint, device: object, module: str = module) -> object:
            built.append(f"{module} {checkpoint.file_name}")
            return rebuild_network(checkpoint, device)  # type: ignore[arg-type]

        monkeypatch.setattr(f"{module}.rebuild_network", build)
    options = {"device": "cpu", "precision": "fp32", "cache_dir": work / "cache"}
    service = Service(Scorer.from_config(work / "model_configs.pkl", work / "tts_data", **options), max_seconds=5)
    for _ in range(3):
        service.score(service.hear(work / "data/test0.wav"), "cat", "blending", "1", Thresholds())
    score_many(service, batch_from_folder(work, "data"), Thresholds())
    service.close()
    assert sorted(built) == [
        "models.inference.networks alignmodel_0.pth",
        "models.inference.networks alignmodel_1.pth",
        "models.localize.model alignmodel_0.pth",
    ]


def test_pages_that_begin_at_once_leave_each_other_s_folders(tmp_path: Path) -> None:
    """Each looks for the folders of dead pages while others are being made."""
    code = "import time; from models.service.uploads import Uploads\nfor _ in range(60):\n    made = Uploads(1)\n    "
    code += (
        "made.new_path().write_bytes(b'x')\n    time.sleep(0.002)\n    assert made.folder.is_dir()\n    made.close()"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    running = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment) for _ in range(3)]
    assert [one.wait() for one in running] == [0, 0, 0]
    assert not list(tmp_path.iterdir())


def test_what_lies_on_no_disk_has_no_path_to_hide(service: Service) -> None:
    """Whatever it is called, the words stay what they are."""
    for seconds, named in ((0.01, "the recording lasts 10 ms only"), (0.0, "the audio is empty")):
        with pytest.raises(InputError) as caught:
            service.hear(Path("recording"), sound(seconds))
        assert str(caught.value).startswith(named)
