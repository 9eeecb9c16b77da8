"""The page: a Gradio form over `Service`. Files go through `Uploads` alone, results are HTML."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from models.classroom.answer_lists import KEEP_SECONDS as KEEP_LISTS_SECONDS
from models.classroom.answer_lists import AnswerLists
from models.classroom.answers import score_answers
from models.clips.groups import GRADES, TASKS
from models.clips.tables import METADATA_COLUMNS
from models.errors import InputError
from models.page.batch_html import batch_html
from models.page.example import EXPECTED, speak_example
from models.page.example import TASK as EXAMPLE_TASK
from models.page.html import escape, introduction_html, message_html, thresholds_html
from models.page.phrases import Phrases
from models.page.pictures import picture_of
from models.page.result_html import result_html
from models.page.settings import PageSettings
from models.service.answer_tables import MOST_CLIPS, TABLE_FILE, Named, batch_from_files, batch_from_folder
from models.service.asking import LONGEST_TEXT
from models.service.batching import Busy
from models.service.service import AnswerTable, Service
from models.service.thresholds import Thresholds
from models.service.uploads import KEEP_SECONDS, Uploads
from models.speech.audio import Waveform

_STEP = 0.05  # of the thresholds
_QUEUE = "scoring"  # one answer, or one table of answers, at a time, of those who see the page in one language
_PROGRESS = gr.Progress()
_EXAMPLE_TEXT = "we like to play"


def _only_sent(component: Any, uploads: Uploads, read: Callable[[Any], Any], say: Phrases) -> Any:
    """A component that hands over files that were sent here, as `read` gives them, and never fetches one from an address that
    a client names. Changed in place: Gradio writes a stub file beside the source of a subclass."""

    async def keep(named: str | Path | None) -> str | None:
        if named is not None and not (uploads.holds(Path(named)) and Path(named).is_file()):
            raise gr.Error(say("error: file gone"), print_exception=False)
        return None if named is None else str(Path(named).resolve())

    component.async_move_resource_to_block_cache = keep
    component.preprocess = read
    return component


def _sent_recording(payload: Any) -> Path | None:
    return None if payload is None else Path(payload.path)


def _sent_files(payload: Any) -> list[Named]:
    """Each file's name, as the client gives it, and its path."""
    files = [] if payload is None else getattr(payload, "root", [payload])
    return [(file.orig_name or "", Path(file.path)) for file in files]


def build_page(
    service: Service, uploads: Uploads, settings: PageSettings, lists: AnswerLists, say: Phrases
) -> gr.Blocks:
    """The page in one language."""
    handlers = _Handlers(service, uploads, settings, lists, say)
    published = service.scorer.published
    page = gr.Blocks(title=say("page_title"), analytics_enabled=False)
    with page:
        gr.HTML(introduction_html(say, service.max_seconds, published.blending, service.scorer.accept_self_corrections))
        low, high = (
            gr.Slider(0, 1, value, step=_STEP, label=say(label), render=False)
            for value, label in ((settings.thresholds.low, "low_label"), (settings.thresholds.high, "high_label"))
        )
        with gr.Tabs():
            with gr.Tab(say("one_answer")):
                _one_answer(handlers, low, high)
            with gr.Tab(say("many_answers")):
                _many_answers(handlers, low, high)
        with gr.Accordion(say("review_question"), open=False):
            _review(low, high, settings.thresholds, published.figures, say)
    page.queue(max_size=32)
    return page


def _review(low: gr.Slider, high: gr.Slider, thresholds: Thresholds, figures: Mapping[str, Any], say: Phrases) -> None:
    """What the thresholds mean, and how they are set."""
    explained = gr.HTML(thresholds_html(thresholds, figures, say))
    with gr.Row():
        low.render()
        high.render()
    for slider in (low, high):
        slider.change(
            lambda low, high: _or_message(lambda: thresholds_html(_thresholds(low, high), figures, say), say),
            [low, high],
            explained,
            api_visibility="private",
            show_progress="hidden",
        )


def _one_answer(handlers: "_Handlers", low: gr.Slider, high: gr.Slider) -> None:
    remembered, say = gr.State(None, time_to_live=KEEP_SECONDS), handlers.say
    with gr.Row():
        with gr.Column(min_width=300):
            audio = gr.Audio(sources=["microphone", "upload"], type="filepath", label=say("audio_label"))
            audio = _only_sent(audio, handlers.uploads, _sent_recording, say)
            text = gr.Textbox(
                label=say("expected_label"), placeholder=_EXAMPLE_TEXT, max_length=LONGEST_TEXT, max_lines=2
            )
            task = gr.Dropdown([(say(task), task) for task in TASKS], value=TASKS[-1], label=say("task"))
            grades = [(say("kindergarten") if grade == "KG" else grade, grade) for grade in GRADES]
            grade = gr.Radio(grades, value=GRADES[1], label=say("grade"))
            button = gr.Button(say("score_button"), variant="primary")
            example = gr.Button(say("example_button"))
        with gr.Column(min_width=300):
            shown = gr.HTML(f"<p>{escape(say('result_here'))}</p>", min_height=120)
    example.click(
        handlers.try_example,
        [grade, low, high],
        [shown, remembered, audio, text, task],
        concurrency_limit=1,
        concurrency_id=_QUEUE,
        api_visibility="private",
    )
    gr.on(
        [button.click, text.submit],
        handlers.score_one,
        [audio, remembered, text, task, grade, low, high],
        [shown, remembered, audio],
        concurrency_limit=1,
        concurrency_id=_QUEUE,
        api_visibility="private",
    )


def _many_answers(handlers: "_Handlers", low: gr.Slider, high: gr.Slider) -> None:
    say = handlers.say
    gr.HTML(_table_help(say))
    with gr.Row():
        with gr.Column(min_width=300):
            files = gr.File(file_count="multiple", label=say("table_label"))
            files = _only_sent(files, handlers.uploads, _sent_files, say)
            folder = gr.Textbox(
                label=say("folder_label"),
                info=say("folder_hint"),
                visible=handlers.settings.folder_root is not None,
                max_length=500,
            )
            button = gr.Button(say("score_all_button"), variant="primary")
        with gr.Column(min_width=300):
            shown = gr.HTML(f"<p>{escape(say('results_here'))}</p>", min_height=120)
    button.click(
        handlers.score_many,
        [files, folder, low, high],
        [shown, files],
        concurrency_limit=1,
        concurrency_id=_QUEUE,
        api_visibility="private",
    )


def _table_help(say: Phrases) -> str:
    """With the names of columns and files as they are to be written."""
    told = say(
        "table_help",
        columns=_code(*METADATA_COLUMNS),
        tasks=_code(*TASKS),
        grades=_code(*GRADES),
        child=_code("child"),
        hours=f"{KEEP_LISTS_SECONDS / 3600:.0f}",
        file=_code(TABLE_FILE),
    )
    return f"<p>{told}</p>"


def _code(*names: str) -> str:
    return ", ".join(f"<code>{name}</code>" for name in names)


class _Handlers:
    """What happens when a button is pressed. A mistake of the visitor's is shown in place of the result."""

    def __init__(
        self, service: Service, uploads: Uploads, settings: PageSettings, lists: AnswerLists, say: Phrases
    ) -> None:
        self.service = service
        self.uploads = uploads
        self.settings = settings
        self.lists = lists
        self.say = say

    def score_one(
        self,
        sent: Path | None,
        remembered: Waveform | None,
        text: str | None,
        task: str,
        grade: str,
        low: float,
        high: float,
    ) -> tuple[str, Waveform | None, None]:
        """The result; the recording, kept in memory so that another text can be tried with it; and an empty input."""
        waveform = remembered
        try:
            if sent is not None:
                waveform = None
                waveform = self.service.hear(sent)
            if waveform is None:
                raise InputError("record or upload an answer first", "no recording")
            return self._scored(waveform, text or "", task, grade, _thresholds(low, high)), waveform, None
        except (InputError, Busy) as error:
            return message_html(error, self.say), waveform, None
        finally:
            if sent is not None:
                self.uploads.delete(sent)

    def try_example(self, grade: str, low: float, high: float) -> tuple[str, Waveform | None, None, str, str]:
        """The result, and what `score_one` needs to try other texts with the same recording."""
        waveform = None
        try:
            waveform = speak_example()
            shown = self._scored(waveform, EXPECTED, EXAMPLE_TASK, grade, _thresholds(low, high))
        except (InputError, Busy) as error:
            shown = message_html(error, self.say)
        return shown, waveform, None, EXPECTED, EXAMPLE_TASK

    def _scored(self, waveform: Waveform, text: str, task: str, grade: str, thresholds: Thresholds) -> str:
        result = self.service.score(waveform, text, task, grade, thresholds)
        expected = self.service.expected_sound(result.answer)
        picture, note = picture_of(result, self.say)
        return result_html(result, thresholds, expected, picture, self.say, note)

    def score_many(
        self, files: list[Named], folder: str | None, low: float, high: float, progress: gr.Progress = _PROGRESS
    ) -> tuple[str, None]:
        def show(done: int, total: int) -> None:
            progress((done, total), desc=self.say("scoring"), unit=self.say("clips"))

        def work() -> str:
            with ExitStack() as recordings:
                for _, path in files:
                    recordings.callback(self.uploads.delete, path)
                thresholds = _thresholds(low, high)
                progress(0.0, desc=self.say("reading"))
                batch = recordings.enter_context(self._batch(files, folder))
                answers = score_answers(self.service, batch, thresholds, show)
                few = len(answers) <= MOST_CLIPS
                address = self._list_address(self.lists.open(answers, batch, recordings)) if few else ""
                return batch_html(answers, address, self.say)

        return _or_message(work, self.say), None

    def _list_address(self, name: str) -> str:
        return f"../class/{name}/?lang={self.say.language}"

    @contextmanager
    def _batch(self, files: list[Named], folder: str | None) -> Iterator[AnswerTable]:
        root = self.settings.folder_root
        if files:
            with batch_from_files(files, self.uploads) as batch:
                yield batch
        elif folder and root is not None:
            yield batch_from_folder(root, folder)
        else:
            raise InputError("send a table with its recordings first", "no table")


def _thresholds(low: float, high: float) -> Thresholds:
    return Thresholds(round(low / _STEP) * _STEP, round(high / _STEP) * _STEP)


def _or_message(work: Callable[[], str], say: Phrases) -> str:
    try:
        return work()
    except InputError as error:
        return message_html(error, say)
