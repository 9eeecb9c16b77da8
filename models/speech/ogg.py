"""Ogg and FLAC files that are one after the other, as joined recordings are: libsndfile reads the first of them alone."""

import re
from dataclasses import dataclass

from models.errors import InputError

_CAPTURE = b"OggS"
_HEADER_BYTES = 27  # of a page, before the table of its segments
_BEGINS = 0x02  # a page's flag: the first of a stream
_FLAC_BEGINS = re.compile(
    rb"fLaC[\x00\x80]\x00\x00\x22"
)  # its mark, and the header of the block that always comes first


@dataclass(frozen=True)
class _Page:
    start: int
    end: int
    begins: bool


def ogg_links(content: bytes) -> list[bytes]:
    """Each link of a chain, which is an Ogg file by itself.

    Raises
    ------
    InputError
        Where the last page is not whole.
    """
    pages = _pages(content)
    starts = [
        page.start
        for before, page in zip([None, *pages], pages, strict=False)
        if page.begins and not (before and before.begins)
    ]
    return _split(content, starts)


def flac_links(content: bytes) -> list[bytes]:
    """Each of several FLAC files that were copied into one."""
    return _split(content, [found.start() for found in _FLAC_BEGINS.finditer(content)])


def _split(content: bytes, starts: list[int]) -> list[bytes]:
    return [content[start:end] for start, end in zip(starts, [*starts[1:], len(content)], strict=True)] or [content]


def _pages(content: bytes) -> list[_Page]:
    pages, at = list[_Page](), content.find(_CAPTURE)
    while at >= 0:
        table = content[at + _HEADER_BYTES : at + _HEADER_BYTES + content[at + 26]] if at + 26 < len(content) else b""
        end = at + _HEADER_BYTES + len(table) + sum(table)
        if at + _HEADER_BYTES > len(content) or len(table) < content[at + 26] or end > len(content):
            raise InputError(
                "breaks off in the middle of a page; copy, send or record it again, or convert it to WAV or FLAC if this is "
                "all that there is"
            )
        pages.append(_Page(at, end, bool(content[at + 5] & _BEGINS)))
        at = content.find(_CAPTURE, end)
    return pages
