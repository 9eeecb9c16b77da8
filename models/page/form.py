"""The page: a Gradio form over `Service`. Files go through `Uploads` alone, results are HTML of `app_html`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from models.classroom.answer_lists import KEEP_SECONDS as KEEP_LISTS_SECONDS
from models.classroom.answer_lists import AnswerLists
from models.classroom.answers import score_answers, scores_table
from models.clips.tables import GRADES, METADATA_COLUMNS, TASKS
from models.errors import InputError
from models.page.example import EXPECTED, speak_example
from models.page.example import TASK as EXAMPLE_TASK
from models.page.html import batch_html, escape, message_html, result_html, thresholds_html
from models.page.pictures import picture_of
from models.page.settings import PageSettings
from models.service.answer_tables import MOST_CLIPS, TABLE_FILE, Named, batch_from_files, batch_from_folder
from models.service.asking import LONGEST_TEXT
from models.service.batching import Busy
from models.service.service import AnswerTable, Service
from models.service.thresholds import Thresholds
from models.service.uploads import KEEP_SECONDS, Uploads
from models.speech.audio import Waveform

TITLE = "Right or wrong? Scoring spoken answers"
_STEP = 0.05  # of the thresholds
_QUEUE = "scoring"  # one answer, or one table of answers, at a time
_PROGRESS = gr.Progress()
_BATCH_HELP = (
    f"<p>Send a CSV table with the columns {', '.join(f'<code>{name}</code>' for name in METADATA_COLUMNS)} together with the "
    f"recordings that it names, or all of them in one zip file. Tasks: {', '.join(TASKS)}; grades: {', '.join(GRADES)}. "
    "A column <code>child</code>, of any names or numbers that you choose, makes a summary by child. You then listen to the "
    "answers, correct the scores, and save a table; the recordings stay on the computer that runs this page until you close the "
    f"list, or nobody has used it for {KEEP_LISTS_SECONDS / 3600:.0f} hours. A folder of the competition's layout has its table "
    f"as {TABLE_FILE}.</p>"
)
_TASK_CHOICES = [(task.replace("_", " "), task) for task in TASKS]
_GRADE_CHOICES = [("Kindergarten" if grade == "KG" else grade, grade) for grade in GRADES]


def _only_sent(component: Any, uploads: Uploads, read: Callable[[Any], Any]) -> Any:
    """A component that hands over files that were sent here, as `read` gives them, and never fetches one from an address that
    a client names. Changed in place: Gradio writes a stub file beside the source of a subclass."""

    async def keep(named: str | Path | None) -> str | None:
        if named is not None and not (uploads.holds(Path(named)) and Path(named).is_file()):
            raise gr.Error("This file is not here any more; send it again.", print_exception=False)
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


def build_page(service: Service, uploads: Uploads, settings: PageSettings, lists: AnswerLists) -> gr.Blocks:
    handlers = _Handlers(service, uploads, settings, lists)
    figures = service.scorer.published.figures
    page = gr.Blocks(title=TITLE, analytics_enabled=False)
    with page:
        gr.HTML(_introduction(service))
        low, high = (
            gr.Slider(0, 1, value, step=_STEP, label=label, render=False)
            for value, label in (
                (settings.thresholds.low, "Below this probability: wrong"),
                (settings.thresholds.high, "From this probability on: right"),
            )
        )
        with gr.Tabs():
            with gr.Tab("One answer"):
                _one_answer(handlers, low, high)
            with gr.Tab("Many answers"):
                _many_answers(handlers, low, high)
        with gr.Accordion("When should a person review?", open=False):
            explained = gr.HTML(thresholds_html(settings.thresholds, figures))
            with gr.Row():
                low.render()
                high.render()
        for slider in (low, high):
            slider.change(
                lambda low, high: _or_message(lambda: thresholds_html(_thresholds(low, high), figures)),
                [low, high],
                explained,
                api_visibility="private",
                show_progress="hidden",
            )
    page.queue(max_size=32)
    return page


def _introduction(service: Service) -> str:
    rule = " Self-corrections are accepted." if service.scorer.accept_self_corrections else ""
    return (
        f"<h1>{TITLE}</h1><p>Record or upload a child's answer, type what was expected, and see how likely the answer was right. "
        "A score is a hint for a person who listens, not a grade. Recordings are scored on the computer that runs this page, "
        f"{service.max_seconds:g} s at most each, and a single one is not kept. "
        f"Scored by: {escape(service.scorer.published.blending)}.{rule}</p>"
    )


def _one_answer(handlers: "_Handlers", low: gr.Slider, high: gr.Slider) -> None:
    remembered = gr.State(None, time_to_live=KEEP_SECONDS)
    with gr.Row():
        with gr.Column(min_width=300):
            audio = gr.Audio(
                sources=["microphone", "upload"], type="filepath", label="The answer: record it, or ⇧ upload a file"
            )
            audio = _only_sent(audio, handlers.uploads, _sent_recording)
            text = gr.Textbox(
                label="Expected text", placeholder="we like to play", max_length=LONGEST_TEXT, max_lines=2
            )
            task = gr.Dropdown(_TASK_CHOICES, value=TASKS[-1], label="Task")
            grade = gr.Radio(_GRADE_CHOICES, value=GRADES[1], label="Grade")
            button = gr.Button("Score this answer", variant="primary")
            example = gr.Button("Try an example: a synthetic voice")
        with gr.Column(min_width=300):
            shown = gr.HTML("<p>The result appears here.</p>", min_height=120)
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
    gr.HTML(_BATCH_HELP)
    with gr.Row():
        with gr.Column(min_width=300):
            files = gr.File(file_count="multiple", label="The table and the recordings, or one zip file")
            files = _only_sent(files, handlers.uploads, _sent_files)
            folder = gr.Textbox(
                label="Or a folder on the server",
                info="below the folder that the page was started with",
                visible=handlers.settings.folder_root is not None,
                max_length=500,
            )
            button = gr.Button("Score all answers", variant="primary")
        with gr.Column(min_width=300):
            shown = gr.HTML("<p>The results appear here.</p>", min_height=120)
    button.click(
        handlers.score_many,
        [files, folder, low, high],
        [shown, files],
        concurrency_limit=1,
        concurrency_id=_QUEUE,
        api_visibility="private",
    )


class _Handlers:
    """What happens when a button is pressed. A mistake of the visitor's is shown in place of the result."""

    def __init__(self, service: Service, uploads: Uploads, settings: PageSettings, lists: AnswerLists) -> None:
        self.service = service
        self.uploads = uploads
        self.settings = settings
        self.lists = lists

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
                raise InputError("record or upload an answer first")
            return self._scored(waveform, text or "", task, grade, _thresholds(low, high)), waveform, None
        except (InputError, Busy) as error:
            return message_html(str(error)), waveform, None
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
            shown = message_html(str(error))
        return shown, waveform, None, EXPECTED, EXAMPLE_TASK

    def _scored(self, waveform: Waveform, text: str, task: str, grade: str, thresholds: Thresholds) -> str:
        result = self.service.score(waveform, text, task, grade, thresholds)
        return result_html(result, thresholds, self.service.expected_sound(result.answer), *picture_of(result))

    def score_many(
        self, files: list[Named], folder: str | None, low: float, high: float, progress: gr.Progress = _PROGRESS
    ) -> tuple[str, None]:
        def show(done: int, total: int) -> None:
            progress((done, total), desc="Scoring", unit="clips")

        def work() -> str:
            with ExitStack() as recordings:
                for _, path in files:
                    recordings.callback(self.uploads.delete, path)
                thresholds = _thresholds(low, high)
                progress(0.0, desc="Reading the recordings")
                batch = recordings.enter_context(self._batch(files, folder))
                answers = score_answers(self.service, batch, thresholds, show)
                few = len(answers) <= MOST_CLIPS
                address = f"class/{self.lists.open(answers, batch, recordings)}/" if few else ""
                return batch_html(scores_table(answers), address)

        return _or_message(work), None

    @contextmanager
    def _batch(self, files: list[Named], folder: str | None) -> Iterator[AnswerTable]:
        root = self.settings.folder_root
        if files:
            with batch_from_files(files, self.uploads) as batch:
                yield batch
        elif folder and root is not None:
            yield batch_from_folder(root, folder)
        else:
            raise InputError("send a table with its recordings first")


def _thresholds(low: float, high: float) -> Thresholds:
    return Thresholds(round(low / _STEP) * _STEP, round(high / _STEP) * _STEP)


def _or_message(work: Callable[[], str]) -> str:
    try:
        return work()
    except InputError as error:
        return message_html(str(error))
