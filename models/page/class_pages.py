"""The pages on which a class's answers are worked through, and what they ask of the server: small JSON documents and files."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from models.classroom.answer_lists import AnswerList, AnswerLists
from models.classroom.answers import HeardAnswer
from models.classroom.exports import answers_csv
from models.classroom.judgements import told_in_words
from models.classroom.summary import summarise
from models.classroom.textgrids import textgrids_zip
from models.clips.corrections import SCORES, Judgement
from models.errors import InputError
from models.page.phrases import all_phrases, choose_language
from models.page.requests import is_own_page
from models.service.service import Service

_HERE = Path(__file__).parent
_FILES = {"class.js": "text/javascript", "class.css": "text/css"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src 'self' blob:; img-src data:; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
_UNREADABLE, _UNWRITABLE = "the file of corrections can't be read", "the file of corrections can't be written"


def add_class_pages(app: FastAPI, lists: AnswerLists, service: Service) -> None:
    """Everything below `/class/`."""
    pages = _ClassPages(lists, service)
    here = "/class/{name}"
    app.get("/class/files/{file}")(_file)
    app.get(f"{here}/")(pages.list_page)
    app.get(f"{here}/summary")(pages.summary_page)
    app.get(f"{here}/answers")(pages.answers)
    app.get(f"{here}/sounds/{{row}}")(pages.sound)
    app.get(f"{here}/judgements")(pages.judgements)
    app.put(f"{here}/judgements/{{row}}")(pages.judge)
    app.delete(f"{here}/judgements/{{row}}")(pages.take_back)
    app.get(f"{here}/answers.csv")(pages.answers_csv)
    app.get(f"{here}/corrections.csv")(pages.corrections_csv)
    app.get(f"{here}/textgrids.zip")(pages.textgrids)
    app.delete(f"{here}/")(pages.close)


class _ClassPages:
    """One method for each address. A list that is closed is answered with 404, what can't be done with 422 and a sentence."""

    def __init__(self, lists: AnswerLists, service: Service) -> None:
        self.lists = lists
        self.service = service

    def list_page(self, request: Request, name: str) -> Response:
        return _page("class.html.jinja", request, status=200 if self.lists.get(name) else 404)

    def summary_page(self, request: Request, name: str) -> Response:
        found = self.lists.get(name)
        if found is None:
            return _page("class.html.jinja", request, status=404)
        said, problem = _said(found)
        content: dict[str, Any] = {
            "answers": found.answers,
            "said": said,
            "summary": summarise(found.answers, said),
            "problem": problem,
        }
        return _page("class_summary.html.jinja", request, **content)

    def answers(self, name: str) -> Response:
        def tell(found: AnswerList) -> Response:
            said, problem = _said(found, found.judgements.check)
            answers = [_as_json(answer, source) for answer, source in zip(found.answers, found.sources, strict=True)]
            return JSONResponse({"answers": answers, "order": list(found.order), "said": said, "problem": problem})

        return self._of_list(name, tell)

    def sound(self, name: str, row: int) -> Response:
        def tell(found: AnswerList) -> Response:
            with told_in_words("the recording can't be read"):
                content = found.sound(self.service, _row(found, row))
            return Response(content, media_type="audio/wav", headers={"Cache-Control": "private, max-age=3600"})

        return self._of_list(name, tell)

    def judgements(self, name: str) -> Response:
        return self._of_list(name, lambda found: JSONResponse(_said_or_error(found)))

    def judge(self, request: Request, name: str, row: int, said: str) -> Response:
        if said not in SCORES:
            return _problem(422, f"said: {said[:20]!r}; must be one of {', '.join(SCORES)}")
        return self._save(request, name, row, said)  # type: ignore[arg-type]

    def take_back(self, request: Request, name: str, row: int) -> Response:
        return self._save(request, name, row, None)

    def answers_csv(self, name: str) -> Response:
        return self._of_list(
            name, lambda found: _download("answers.csv", answers_csv(found.answers, _said_or_error(found)))
        )

    def corrections_csv(self, name: str) -> Response:
        return self._of_list(
            name, lambda found: _download("corrections.csv", found.judgements.as_csv(_said_or_error(found)))
        )

    def textgrids(self, name: str) -> Response:
        return self._of_list(
            name, lambda found: _download("textgrids.zip", textgrids_zip(found.answers, _said_or_error(found)))
        )

    def close(self, request: Request, name: str) -> Response:
        if not is_own_page(request):
            return _problem(403, "sent from another page")
        self.lists.close(name)
        return Response(status_code=204)

    def _save(self, request: Request, name: str, row: int, said: Judgement | None) -> Response:
        if not is_own_page(request):
            return _problem(403, "sent from another page")

        def save(found: AnswerList) -> Response:
            with told_in_words(_UNWRITABLE):
                return JSONResponse(found.judge(_row(found, row), said))

        return self._of_list(name, save)

    def _of_list(self, name: str, tell: Callable[[AnswerList], Response]) -> Response:
        found = self.lists.get(name)
        if found is None:
            return _problem(404, "this list is closed")
        try:
            return tell(found)
        except InputError as error:
            return _problem(422, _without_folder(error, self.lists.folder))


def _row(found: AnswerList, row: int) -> int:
    if not 0 <= row < len(found.answers):
        raise InputError(f"the list has {len(found.answers)} answers, and no row {row}")
    return row


def _said_or_error(found: AnswerList) -> dict[int, Judgement]:
    with told_in_words(_UNREADABLE):
        return found.judgements.read()


def _said(found: AnswerList, check: Callable[[], None] = lambda: None) -> tuple[dict[int, Judgement], str]:
    """What people have said, and why corrections can't be read or saved, if that is so."""
    try:
        said = _said_or_error(found)
    except InputError as error:
        return {}, _without_folder(error, found.judgements.file.parent)
    try:
        with told_in_words(_UNWRITABLE):
            check()
    except InputError as error:
        return said, str(error)
    return said, ""


def _as_json(answer: HeardAnswer, source: Path | InputError) -> dict[str, Any]:
    """What the page shows of an answer."""
    return {
        "child": answer.child,
        "task": answer.task,
        "text": answer.expected_text,
        "grade": answer.grade,
        "probability": answer.probability,
        "verdict": answer.verdict,
        "problem": answer.problem,
        "notes": answer.notes,
        "signal": answer.signal,
        "playable": isinstance(source, Path),
        "units": [
            {
                **{"text": unit.text, "kind": unit.kind, "score": unit.score},
                **{"start": unit.start_seconds, "heard": unit.heard},
            }
            for unit in answer.units
        ],
    }


def _page(template: str, request: Request, status: int = 200, **content: Any) -> HTMLResponse:
    language = choose_language(request.query_params.get("lang"), request.headers.get("accept-language", ""))
    phrases = all_phrases()[language]
    shown = (
        _templates(language)
        .get_template(template)
        .render(
            say=phrases,
            language=language,
            is_open=status == 200,
            **content,
        )
    )
    return HTMLResponse(shown, status, headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"})


@cache
def _templates(language: str) -> Environment:
    """`chance` is never 0 or 100 % for what is only nearly so."""
    phrases = all_phrases()[language]
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": partial(_if_known, phrases.number),
        "percent": partial(_if_known, phrases.percent),
        "chance": partial(_if_known, lambda probability: phrases.percent(min(max(probability, 0.01), 0.99))),
    }
    return environment


def _if_known(tell: Callable[..., str], value: float | None, *options: int) -> str:
    return "" if value is None else tell(value, *options)


def _file(file: str) -> Response:
    return FileResponse(_HERE / file, media_type=_FILES[file]) if file in _FILES else Response(status_code=404)


def _download(name: str, content: bytes) -> Response:
    media_type = "application/zip" if name.endswith(".zip") else "text/csv; charset=utf-8"
    return Response(content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _problem(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status)


def _without_folder(error: InputError, folder: Path) -> str:
    """The same words, without where files lie on the server."""
    return str(error).replace(f"{folder}/", "").replace(str(folder), "the folder")
