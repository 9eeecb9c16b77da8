"""The answer that a visitor can try: another than was expected. Run: .venv/bin/python -m pytest tests/page/test_example.py"""

import numpy as np

from models.page.example import EXPECTED, SAID, TASK, speak_example
from models.speech.signal import measure_signal


def test_something_else_is_said_than_expected_and_well_recorded() -> None:
    expected, said = EXPECTED.split(), SAID.split()
    assert [word for word in expected if word not in said] == ["brother", "old"]
    assert TASK == "sentence_repetition"
    spoken = speak_example()
    assert 2 < len(spoken) / 16_000 < 6
    assert spoken.dtype == np.float32
    assert measure_signal(spoken).problems == ()
