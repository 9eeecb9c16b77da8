"""How the fuzzer damages the bytes of a file."""

import numpy as np

TOUCHY_BYTES = [b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f"]


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
