"""The server around the page: where uploads go, who may ask, and that nothing leaves this computer."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

# Read when Gradio is imported, in models/page/form.py: no figures about its use, no look at newer versions.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.middleware.trustedhost import TrustedHostMiddleware

from models.classroom.answer_lists import AnswerLists
from models.errors import InputError
from models.page.class_pages import add_class_pages
from models.page.html import CSS
from models.page.phrases import all_phrases, choose_language
from models.page.requests import is_own_page
from models.page.settings import PageSettings
from models.service.answer_tables import MOST_CLIPS
from models.service.service import Service
from models.service.uploads import LOCAL_HOSTS, Uploads, limited, sweeping, too_large

if TYPE_CHECKING:
    from gradio import Blocks

_PIECE_BYTES = 1 << 20
_DRAINED = 5  # times the largest upload
# The page may load nothing from elsewhere, send nothing elsewhere, and not be framed by another.
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "frame-ancestors 'none'",
        "form-action 'self'",
        "base-uri 'self'",
    )
)
_READABLE = {  # of Gradio's theme; as it is, these are fainter than WCAG's level AA allows
    "button_primary_background_fill": "*primary_700",
    "button_primary_background_fill_hover": "*primary_800",
    "body_text_color_subdued": "*neutral_500",
    "input_placeholder_color": "*neutral_500",
    "input_placeholder_color_dark": "*neutral_400",
    "input_border_color": "*neutral_500",
    "input_border_color_dark": "*neutral_500",
    "checkbox_border_color": "*neutral_500",
    "checkbox_border_color_dark": "*neutral_500",
}
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}


def build_app(service: Service, uploads: Uploads, settings: PageSettings, host: str) -> FastAPI:
    """The pages as an ASGI application, each language's below its own address; `host` is what they are served on."""
    os.environ["GRADIO_TEMP_DIR"] = str(uploads.folder)  # read when components are made
    from models.page.form import build_page

    lists = AnswerLists(settings.corrections_dir)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=sweeping(uploads, lists))
    if host in LOCAL_HOSTS:  # another name for this address is a trick to read it from a stranger's page
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOCAL_HOSTS, "testserver"])
    app.middleware("http")(_with_headers)
    app.get("/")(_in_their_language)
    app.get("/favicon.ico")(_no_icon)  # browsers ask for one
    add_class_pages(app, lists, service)
    for language, say in all_phrases().items():
        _mount(app, build_page(service, uploads, settings, lists, say), f"/{language}", uploads)
    return app


def _mount(app: FastAPI, page: "Blocks", path: str, uploads: Uploads) -> None:
    import gradio as gr

    app.post(f"{path}/gradio_api/upload")(_receiver(uploads, page.upload_file_set))
    app.get(f"{path}/gradio_api/upload_progress")(_no_progress)
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    theme = gr.themes.Default(primary_hue="blue", font=fonts, font_mono=["ui-monospace", "monospace"])
    theme.set(**_READABLE)
    gr.mount_gradio_app(
        app,
        page,
        path=path,
        theme=theme,
        css=CSS,
        js=f"document.documentElement.lang = {path[1:]!r};",  # Gradio's own words are in the browser's language
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        max_file_size=uploads.max_bytes,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
    )


async def _in_their_language(request: Request) -> Response:
    language = choose_language(request.query_params.get("lang"), request.headers.get("accept-language", ""))
    return RedirectResponse(f"{language}/", headers={"Vary": "Accept-Language", "Cache-Control": "no-store"})


def _receiver(uploads: Uploads, known: set[str]) -> Callable[[Request], Awaitable[Response]]:
    """Stands in place of Gradio's own way of receiving files, which names them as the client does."""

    async def receive(request: Request) -> Response:
        if not is_own_page(request):
            return PlainTextResponse("sent from another page", 403)
        uploads.sweep()
        source = request.stream()
        stream = limited(source, uploads.max_bytes)
        saved: list[str] = []
        try:
            if int(request.headers.get("content-length", 0)) > uploads.max_bytes:
                raise too_large(uploads.max_bytes)
            form = await MultiPartParser(request.headers, stream, max_files=MOST_CLIPS + 1).parse()
            for sent in form.getlist("files"):
                if isinstance(sent, UploadFile):
                    saved.append(await _save(sent, uploads))
            await form.close()
        except InputError as error:
            await _drain(source, _DRAINED * uploads.max_bytes)
            return PlainTextResponse(str(error), 413)
        except (MultiPartException, ValueError, KeyError):
            return PlainTextResponse("not a form with files", 400)
        known.update(saved)
        return JSONResponse(saved)

    return receive


async def _drain(source: AsyncIterator[bytes], most_bytes: int) -> None:
    """Take what is still being sent, within bounds: a browser that is cut off while it sends does not read why."""
    total = 0
    async for piece in source:
        total += len(piece)
        if total > most_bytes:
            return


async def _save(sent: UploadFile, uploads: Uploads) -> str:
    path = uploads.new_path(sent.filename or "")
    with open(path, "xb") as target:
        while piece := await sent.read(_PIECE_BYTES):
            target.write(piece)
    return str(path)


async def _no_icon() -> Response:
    return Response(status_code=204)


async def _no_progress() -> Response:
    """The page asks how far an upload has come, and waits for an answer."""
    return PlainTextResponse('data: {"msg": "done"}\n\n', media_type="text/event-stream")


async def _with_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)  # pages of our own may do less
    return response
