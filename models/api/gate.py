"""What every request passes first: its key, how often it comes, how large it is and how slow. And the log, which holds nothing
of what was sent: no text, no audio, no name."""

import asyncio
import logging
import time
import traceback
from collections import Counter

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.utils import ClientDisconnected

from models.api import problems
from models.api.keys import Keys, RateLimiter
from models.api.metrics import Metrics
from models.api.problems import Problem
from models.api.settings import ApiSettings

LOGGER = logging.getLogger("serve")
SCORE, BATCH = "/v1/score", "/v1/batch"
_KEYED = (SCORE, BATCH, "/v1/models", "/metrics")
_KNOWN = (*_KEYED, "/healthz", "/docs", "/openapi.json")
_RECEIVED_SECONDS = {SCORE: 30.0, BATCH: 600.0}  # until all of a request must have come
_MOST_BATCHES = 2  # at a time, which lie on disk while they are scored
_DRAINED = 5  # times what may be sent
_HUNG_UP = 499  # in the log; nobody reads it


class Gate:
    """Around an application."""

    def __init__(self, app: ASGIApp, settings: ApiSettings, keys: Keys | None, metrics: Metrics) -> None:
        self._app, self._keys, self._metrics = app, keys, metrics
        self._limiter = RateLimiter(settings.requests_per_minute)
        self._most_bytes = {SCORE: settings.max_score_bytes, BATCH: settings.max_batch_bytes}
        self._most_inside = {SCORE: 2 * settings.max_waiting, BATCH: _MOST_BATCHES}  # waiting, and coming or going
        self._inside: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, path, statuses = time.perf_counter(), _known_path(scope["path"]), list[int]()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            await send(message)

        self._inside[path] += 1
        try:
            await self._pass(scope, path, receive, watched)
        except Exception as error:
            await _end(error, scope, receive, watched, statuses)
        finally:
            self._inside[path] -= 1
            seconds, status = time.perf_counter() - started, statuses[-1] if statuses else _HUNG_UP
            self._metrics.count_request(path, status, seconds)
            LOGGER.info("%s %s %d %.0f ms", _known_method(scope["method"]), path, status, 1000 * seconds)

    async def _pass(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        body = _Body(receive, self._most_bytes.get(path, 0), _RECEIVED_SECONDS.get(path, 10.0))
        try:
            self._check_asker(path, headers.get(b"authorization", b""))
        except Problem:
            await body.drain()
            raise
        await body.check_length(headers.get(b"content-length", b"0"))
        await self._app(scope, body.receive, send)

    def _check_asker(self, path: str, authorization: bytes) -> None:
        if path in _KEYED:
            self._check_key(authorization)
        if self._inside[path] > self._most_inside.get(path, self._inside[path]):
            raise Problem(
                429, "busy", f"{self._inside[path] - 1} such requests are being answered", {"Retry-After": "5"}
            )

    def _check_key(self, authorization: bytes) -> None:
        name: str | None = "everybody"
        if self._keys is not None:
            scheme, _, key = authorization.partition(b" ")
            name = self._keys.name_of(key.strip()) if scheme.lower() == b"bearer" else None
        if name is None:
            told = "Send a key that is known here in a header, Authorization: Bearer KEY"
            raise Problem(401, "no-key", told, {"WWW-Authenticate": "Bearer"})
        if wait := self._limiter.seconds_to_wait(name):
            told = f"This key has been used too often in the last minute; wait for {wait:.1f} s"
            raise Problem(429, "too-many", told, {"Retry-After": str(int(wait) + 1)})


class _Body:
    """Receives a request's body, and ends it where it is too large or comes too slowly."""

    def __init__(self, receive: Receive, most_bytes: int, seconds: float) -> None:
        self._receive, self._most_bytes = receive, most_bytes
        self._until = time.monotonic() + seconds
        self._seconds = seconds
        self._n_bytes = 0
        self._done = False

    async def check_length(self, told: bytes) -> None:
        if told.isdigit() and int(told) > self._most_bytes:
            await self._refuse()

    async def receive(self) -> Message:
        if self._done:  # what comes now is that the client hangs up, which it may do at any time
            return await self._receive()
        message = await self._next()
        if self._n_bytes > self._most_bytes:
            await self._refuse()
        return message

    async def _next(self) -> Message:
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._until - time.monotonic()))
        except asyncio.TimeoutError as error:
            told = f"After {self._seconds:g} s not all of the request had come"
            raise Problem(408, "too-slow", told, {"Connection": "close"}) from error
        self._n_bytes += len(message.get("body", b""))
        self._done = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Take what is still being sent, within bounds: who is cut off while sending does not read why."""
        while not self._done and self._n_bytes <= _DRAINED * self._most_bytes:
            await self._next()

    async def _refuse(self) -> None:
        await self.drain()
        told = f"More than {self._most_bytes / 1e6:g} MB were sent; send less"
        raise Problem(413, "too-large", told, {"Connection": "close"})


async def _end(error: Exception, scope: Scope, receive: Receive, send: Send, statuses: list[int]) -> None:
    """Where nothing has been answered yet, a problem document. Of an error in the program, its kind and place are logged: its
    message could hold a text."""
    problem = error if isinstance(error, HTTPException) else problems.internal()
    if problem is not error and not _is_hang_up(error):
        frame = traceback.extract_tb(error.__traceback__)[-1]
        LOGGER.error("%s at %s:%d", type(error).__name__, frame.filename, frame.lineno or 0)
    if not statuses and not _is_hang_up(error):
        await problems.response(problem)(scope, receive, send)


def _is_hang_up(error: Exception) -> bool:
    return isinstance(error, ClientDisconnect | ClientDisconnected)


def _known_path(path: str) -> str:
    """As it is logged and counted: what a stranger writes into an address is not."""
    return path if path in _KNOWN else "other"


def _known_method(method: str) -> str:
    return method if method in ("GET", "HEAD", "POST", "OPTIONS") else "other"
