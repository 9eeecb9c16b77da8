"""espeak-ng asked by several threads. Run: python -m pytest tests/speech/test_threads.py"""

import itertools
import subprocess
import sys

import pytest
from fakes import ROOT

pytest.importorskip("espeakng_loader")

WORDS = ("big small red old".split(), "dog cat horse bird".split(), "ball bone hat".split())
ASKING = """
from concurrent.futures import ThreadPoolExecutor
from models.speech.espeak import Espeak
from models.speech.reading import _phone_table
texts = {texts!r}
def ask(text):
    if text.startswith("the big"):  # a voice's own library, loaded anew for each utterance
        with Espeak() as espeak:
            espeak.speak(text)
    return _phone_table(text, False)
with ThreadPoolExecutor(8) as threads:
    found = list(threads.map(ask, texts))
_phone_table.cache_clear()
print([text for text, phones in zip(texts, found) if phones != _phone_table(text, False)])
"""


def test_threads_take_turns() -> None:
    """In a process of its own: it would crash."""
    texts = [f"the {size} {who} has a {what}" for size, who, what in itertools.product(*WORDS)]
    found = subprocess.run(
        [sys.executable, "-c", ASKING.format(texts=texts)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (found.returncode, found.stdout.strip()) == (0, "[]"), found.stderr
