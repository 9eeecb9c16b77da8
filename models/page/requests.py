"""Who asks: the page itself, or another."""

from urllib.parse import urlsplit

from fastapi import Request


def is_own_page(request: Request) -> bool:
    """Whether what is sent comes from a page of this server. Browsers name the page that sends something; programs name none."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
