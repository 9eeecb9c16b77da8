"""How the fuzzer damages what is in a file: bytes, and the cells of a table."""

import numpy as np

TOUCHY_BYTES = [b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f"]
TOUCHY_TEXT = ["\0", '"', "'", ",", "\n", "\r\n", "\ufeff", "é", "\ud83d".encode("utf-8", "replace").decode(), "=1+1"]
TOUCHY_TEXT += [
    "../../etc/passwd",
    "/etc/passwd",
    "a" * 200_000,
    "nan",
    "NaN",
    "inf",
    "1e400",
    "-1",
    "",
    " ",
    "KG",
    "0.5",
]


def change_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes, most of them where headers are."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(0, min(len(changed), 200) if rng.random() < 0.7 else len(changed)) if changed else 0)
        kind = rng.integers(5)
        if kind == 0:
            changed[at : at + 1] = rng.bytes(1)
        elif kind == 1:
            touchy = TOUCHY_BYTES[rng.integers(len(TOUCHY_BYTES))]
            changed[at : at + len(touchy)] = touchy
        elif kind == 2:
            del changed[at : at + int(rng.integers(1, 50))]
        elif kind == 3:
            changed[at:at] = changed[at : at + int(rng.integers(1, 50))]
        else:
            del changed[max(at, 1) :]
    return bytes(changed)


def change_table(content: bytes, rng: np.random.Generator) -> bytes:
    """Text put into cells and between them; lines dropped, doubled or exchanged; other encodings and line ends; or bytes."""
    if rng.random() < 0.2:
        return change_bytes(content, rng)
    lines = content.decode().split("\n")
    for _ in range(rng.integers(1, 4)):
        line, touchy = int(rng.integers(len(lines))), TOUCHY_TEXT[rng.integers(len(TOUCHY_TEXT))]
        kind = rng.integers(5)
        if kind == 0:
            cells = lines[line].split(",")
            cells[rng.integers(len(cells))] = touchy
            lines[line] = ",".join(cells)
        elif kind == 1:
            at = int(rng.integers(len(lines[line]) + 1))
            lines[line] = lines[line][:at] + touchy + lines[line][at:]
        elif kind == 2:
            lines[line] = ",".join(lines[line].split(",")[: int(rng.integers(1, 5))])
        elif kind == 3:
            lines.insert(line, lines[rng.integers(len(lines))])
        else:
            del lines[line]
            lines = lines or [""]
    encoding = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1")[rng.integers(6)]
    return ("\r\n" if rng.random() < 0.2 else "\n").join(lines).encode(encoding, "replace")
