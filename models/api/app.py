"""The addresses of the API. What they do, the service does."""

import asyncio
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, File, Form, Request, Response, UploadFile
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

import models
from models.api import batches, metrics, problems
from models.api.answers import ScoredAnswer, as_json
from models.api.gate import BATCH, SCORE, Gate
from models.api.keys import Keys
from models.api.problems import Problem, ProblemDocument
from models.api.settings import ApiSettings
from models.clips.groups import GRADES, TASKS
from models.clips.tables import METADATA_COLUMNS
from models.errors import InputError
from models.service.service import Result, Service
from models.service.uploads import LOCAL_HOSTS, Uploads, sweeping
from models.speech.samples import Waveform

_TITLE = "Right or wrong? Scoring spoken answers"
_PROBLEM = {"model": ProblemDocument, "content": {problems.MEDIA_TYPE: {}}}
_PROBLEMS: dict[int | str, dict[str, Any]] = dict.fromkeys((401, 408, 413, 422, 429, 503), _PROBLEM)
_LINES: dict[int | str, dict[str, Any]] = {200: {"content": {batches.MEDIA_TYPE: {}}}, **_PROBLEMS}
_WORDS = "whether to look for the word that went wrong, too, which may take several times as long as the score"
_HUNG_UP = 499


def build_api(service: Service, uploads: Uploads, settings: ApiSettings, keys: Keys | None, host: str) -> ASGIApp:
    """The API as an ASGI application; `host` is what it is served on, and without `keys` everybody may ask."""
    counted = metrics.Metrics(service.batcher)
    app = FastAPIOffline(title=_TITLE, version=models.__version__, redoc_url=None, lifespan=sweeping(uploads))
    problems.answer_with_problems(app)
    bearer = [Depends(HTTPBearer(auto_error=False))] if keys else []  # for the documentation; the gate looks at keys
    _add_score(app, service, settings, counted, bearer)
    _add_batch(app, service, uploads, settings, counted, bearer)
    _add_state(app, service, settings, counted, bearer)
    if host in LOCAL_HOSTS:  # another name for this address is a trick to read it from a stranger's page
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOCAL_HOSTS, "testserver"])
    return Gate(app, settings, keys, counted)


def _add_score(
    app: FastAPI, service: Service, settings: ApiSettings, counted: metrics.Metrics, bearer: list[Any]
) -> None:
    @app.post(SCORE, response_model=ScoredAnswer, responses=_PROBLEMS, dependencies=bearer)
    async def score(
        request: Request,
        audio: Annotated[UploadFile, File(description="a recording: WAV, FLAC, MP3, Ogg, WebM, MP4, CAF …")],
        text: Annotated[list[str], Form(description="what was expected; several, where any of them is right")],
        task: Annotated[str, Form(json_schema_extra={"enum": list(TASKS)})],
        grade: Annotated[str, Form(json_schema_extra={"enum": list(GRADES)})],
        pronunciation: Annotated[
            list[str] | None,
            Form(description="phones of each text in ARPAbet, such as `K AY B`, where not the usual ones"),
        ] = None,
        words: Annotated[bool, Form(description=_WORDS)] = True,
    ) -> Any:
        """Score one answer."""
        asked = (text, task, grade, settings.thresholds, pronunciation or [])
        waveform = await run_in_threadpool(_hear, service, await audio.read())
        waiting = await run_in_threadpool(service.ask, waveform, *asked, words)
        result = await _reply(request, waiting, settings.max_wait_seconds)
        if result is None:
            return Response(status_code=_HUNG_UP)
        counted.count_answer(result.verdict)
        return as_json(result, settings.model)


def _add_batch(
    app: FastAPI,
    service: Service,
    uploads: Uploads,
    settings: ApiSettings,
    counted: metrics.Metrics,
    bearer: list[Any],
) -> None:
    @app.post(BATCH, responses=_LINES, dependencies=bearer)
    async def batch(
        files: Annotated[
            list[UploadFile],
            File(description=f"a CSV with {', '.join(METADATA_COLUMNS)} and its recordings, or all in one zip file"),
        ],
        words: Annotated[bool, Form(description=_WORDS)] = True,
        start: Annotated[
            int, Form(ge=0, description="the first row to score: as many as are there from an earlier try")
        ] = 0,
    ) -> Response:
        """Score a table: a line of JSON for each row, in order, as they are scored; `finished` stands in the last."""
        with ExitStack() as stack:
            table = await batches.open_table(files, uploads, stack)
            if start > len(table.table):
                raise InputError(f"start {start}: the table has {len(table.table)} rows only")
            until_streamed = stack.pop_all()
        told = batches.lines(
            service.score_rows(table, settings.thresholds, words, start),
            table,
            settings,
            counted.count_answer,
            until_streamed,
        )
        return batches.Lines(told, media_type=batches.MEDIA_TYPE)


def _add_state(
    app: FastAPI, service: Service, settings: ApiSettings, counted: metrics.Metrics, bearer: list[Any]
) -> None:
    @app.get("/v1/models", dependencies=bearer)
    async def list_models() -> dict[str, Any]:
        """Which model scores, and what it takes."""
        published = service.scorer.published
        networks = [f"{member.checkpoint.recipe.name}_{member.checkpoint.fold}" for member in published.members]
        told = {"networks": networks, "voice": published.voice["engine"], "tasks": TASKS, "grades": GRADES}
        rules = {"accept_self_corrections": service.scorer.accept_self_corrections}
        limits = {"max_seconds": service.max_seconds, "max_bytes": settings.max_score_bytes}
        return {"models": [{"name": settings.model.name, "version": settings.model.version, **told, **rules, **limits}]}

    @app.get("/healthz")
    async def is_alive() -> dict[str, str]:
        """Answers while answers are scored."""
        if not service.batcher.is_alive:
            raise problems.internal()
        return {"status": "ok"}

    @app.get("/metrics", dependencies=bearer, response_class=Response)
    async def count() -> Response:
        """For Prometheus."""
        return Response(counted.text(), media_type=metrics.MEDIA_TYPE)


def _hear(service: Service, content: bytes) -> Waveform:
    if not content:
        raise InputError("the audio is empty (0 bytes); record it again")
    return service.hear(Path("recording"), content)


async def _reply(request: Request, waiting: "Future[Result]", max_wait_seconds: float) -> Result | None:
    """None where the client has hung up: then nobody needs the score."""
    reply, hung_up = asyncio.wrap_future(waiting), asyncio.create_task(_until_hung_up(request))
    either: set[asyncio.Future[Any]] = {reply, hung_up}
    try:
        await asyncio.wait(either, timeout=max_wait_seconds, return_when=asyncio.FIRST_COMPLETED)
        if reply.done():
            return reply.result()
        if hung_up.done():
            return None
        raise Problem(503, "too-late", f"No score after {max_wait_seconds:g} s", {"Retry-After": "5"})
    finally:
        hung_up.cancel()
        reply.cancel()


async def _until_hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
