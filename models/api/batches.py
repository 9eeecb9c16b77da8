"""A table of answers, streamed back line by line as they are scored."""

import json
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import anyio
from fastapi import UploadFile
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Send

from models.api import problems
from models.api.answers import as_json
from models.api.settings import ApiSettings
from models.errors import InputError
from models.service.answer_tables import batch_from_files
from models.service.service import AnswerTable, Result
from models.service.uploads import Uploads

MEDIA_TYPE = "application/x-ndjson"
_PIECE_BYTES = 1 << 20


class Lines(StreamingResponse):
    """What it streams is closed in any case, also where the client hangs up: its files go, and the rest is not scored."""

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        finally:
            with anyio.CancelScope(shield=True):
                await self.body_iterator.aclose()  # type: ignore[union-attr]


async def save(sent: list[UploadFile], uploads: Uploads) -> list[tuple[str, Any]]:
    """Each file's name, as the client gives it, and where it lies."""
    saved = []
    for file in sent:
        path = uploads.new_path(file.filename or "")
        saved.append((file.filename or "", path))
        with open(path, "xb") as target:
            while piece := await file.read(_PIECE_BYTES):
                target.write(piece)
    return saved


async def open_table(sent: list[UploadFile], uploads: Uploads, stack: ExitStack) -> AnswerTable:
    """The table that was sent, with its recordings, which are deleted as `stack` is closed."""
    files = await save(sent, uploads)
    return await run_in_threadpool(stack.enter_context, batch_from_files(files, uploads))


async def lines(
    rows: Generator[tuple[int, Result | InputError], None, None],
    table: AnswerTable,
    settings: ApiSettings,
    count: Callable[[str], None],
    stack: ExitStack,
) -> AsyncIterator[bytes]:
    """A line for each of the rows that are scored, of `Service.score_rows`, and one that says that this is all."""
    total = len(table.table)
    try:
        while (found := await run_in_threadpool(_next, rows)) is not None:
            row, result = found
            named = {"row": row, "filename": str(table.table["filename"].iloc[row]), "done": row + 1, "total": total}
            yield _line(named | _content(result, settings))
            if isinstance(result, Result):
                count(result.verdict)
        yield _line({"finished": True, "total": total})
    finally:
        with anyio.CancelScope(shield=True):
            rows.close()
            await run_in_threadpool(stack.close)


def _next(rows: Iterator[tuple[int, Result | InputError]]) -> tuple[int, Result | InputError] | None:
    return next(rows, None)


def _content(result: Result | InputError, settings: ApiSettings) -> dict[str, Any]:
    if isinstance(result, InputError):
        return {"problem": problems.document(422, "invalid", str(result))}
    return {"answer": as_json(result, settings.model).model_dump()}


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False).encode() + b"\n"
