"""Problem documents: what went wrong, for programs and for people (RFC 9457)."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException as AnyHTTPException

from models.errors import InputError
from models.service.batching import Busy

MEDIA_TYPE = "application/problem+json"
_TYPES = "urn:speech-text-comparison:problem:"
TITLES = {
    "invalid": "The request can't be answered",
    "no-key": "A key is needed",
    "not-found": "There is no such address",
    "not-allowed": "This address takes another method",
    "too-slow": "The request came too slowly",
    "too-large": "The request is too large",
    "too-many": "Too many requests",
    "busy": "Too many answers are waiting",
    "too-late": "The answer took too long",
    "internal": "Something went wrong here",
}
_CODES = {401: "no-key", 404: "not-found", 405: "not-allowed", 413: "too-large", 429: "too-many"}


class ProblemDocument(BaseModel):
    """As RFC 9457 has it; `detail` is a sentence for a person."""

    type: str
    title: str
    status: int
    detail: str


class Problem(HTTPException):
    """Ends a request. `code` is a key of TITLES."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.code = code


def busy(error: Busy) -> Problem:
    return Problem(429, "busy", _sentence(str(error)), {"Retry-After": str(error.retry_after_seconds)})


def document(status: int, code: str, detail: str) -> dict[str, Any]:
    """Plain values, of ProblemDocument."""
    return ProblemDocument(type=_TYPES + code, title=TITLES[code], status=status, detail=_sentence(detail)).model_dump()


def response(problem: AnyHTTPException) -> JSONResponse:
    code = problem.code if isinstance(problem, Problem) else _CODES.get(problem.status_code, "invalid")
    content = document(problem.status_code, code, str(problem.detail))
    return JSONResponse(content, problem.status_code, problem.headers, MEDIA_TYPE)


def answer_with_problems(app: FastAPI) -> None:
    """Whatever goes wrong in `app`, a problem document tells."""

    @app.exception_handler(AnyHTTPException)
    async def known(request: Request, error: AnyHTTPException) -> JSONResponse:
        return response(error)

    @app.exception_handler(InputError)
    async def wrong_input(request: Request, error: InputError) -> JSONResponse:
        return response(Problem(422, "invalid", str(error)))

    @app.exception_handler(Busy)
    async def full(request: Request, error: Busy) -> JSONResponse:
        return response(busy(error))

    @app.exception_handler(RequestValidationError)
    async def incomplete(request: Request, error: RequestValidationError) -> JSONResponse:
        return response(Problem(422, "invalid", _told(error.errors())))

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> JSONResponse:
        return response(internal())


def internal() -> Problem:
    return Problem(500, "internal", "The answer was not scored, through no fault of the request; ask again later")


def _told(errors: Sequence[Any]) -> str:
    """Which fields are wrong, without what was in them."""
    told = []
    for error in errors:
        name = str(error["loc"][-1])
        rule = "is missing; send it as a field of a form (multipart/form-data)"
        told.append(f"{name}: {rule if error['type'] == 'missing' else error['msg']}")
    return "; ".join(told)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
