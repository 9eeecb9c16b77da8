"""What get_config.py makes of a fabricated ensemble, to a millionth: making it faster must not change it.

Run: python -m pytest tests/golden/test_golden_blend.py
"""

import numpy as np
import pytest
from scipy.special import expit

from models.clips.groups import GRADES, TASKS
from models.ensemble.blend import Blend
from models.ensemble.choice import Choice, choose


def made_blend() -> tuple[Blend, list[str]]:
    """Four models that hear an answer with the same error for the most part, and items of very different difficulty."""
    rng = np.random.default_rng(42)
    item = rng.integers(0, 80, 3000)
    difficulty = rng.normal(0, 1.5, 80)[item]
    labels = (rng.random(3000) < expit(difficulty)).astype(float)
    shared = rng.normal(0, 1, 3000)
    heard = [2 * (2 * labels - 1) + 1.3 * shared + rng.normal(0, own, 3000) for own in (0.8, 0.9, 1.0, 1.1)]
    predictions = expit(1.5 * np.array(heard)).T
    tasks, grades = ([names[place % 4] for place in item] for names in (TASKS, GRADES))
    names = [f"{row}.wav" for row in range(3000)]
    blend = Blend(["a", "b", "c", "d"], names, labels, predictions, rng.integers(0, 5, 3000), tasks, grades)
    return blend, [f"text {place}" for place in item]


def told(choice: Choice) -> dict[str, list[float]]:
    """All numbers of a choice that end in a configuration or on the screen, but for the bounds of intervals."""
    correction = choice.correction
    found = {"weights": choice.weights.tolist(), "losses": [one.log_loss for one in choice.candidates]}
    found["differences"] = [one.difference.value for one in choice.candidates if one.difference is not None]
    for name, stack in (("by_sound", correction.by_sound), ("by_item", correction.by_item)):
        if stack is not None:
            intercepts = [value for row in stack.intercepts.values() for value in row.values()]
            found[name] = [*stack.slopes.values(), sum(intercepts), stack.item_slope]
    if correction.items is not None:
        found["items"] = [correction.items.overall, *correction.items.strengths]
    return found


GOLDEN: dict[bool, dict[str, list[float]]] = {
    True: {
        "weights": [0.441297973, 0.235287055, 0.179120763, 0.144294209],
        "losses": [0.224161807, 0.19495414, 0.162117751, 0.162107392, 0.162258811],
        "differences": [-0.029207667, -0.062044056, -1.0359e-05, 0.00014106],
        "by_sound": [0.09012944, 0.105964488, 0.150014035, 0.170173615, -2.86890422, 0.0],
        "by_item": [0.070346364, 0.139544207, 0.122277931, 0.145843772, -2.632722923, 0.909835508],
        "items": [0.467688208, 50.4732366, 2.468202541, 99387.3702302],
    },
    False: {
        "weights": [0.441297973, 0.235287055, 0.179120763, 0.144294209],
        "losses": [0.224161807, 0.19495414, 0.194963431, 0.195578113],
        "differences": [-0.029207667, 9.291e-06, 0.000623973],
        "by_sound": [0.09012944, 0.105964488, 0.150014035, 0.170173615, -2.86890422, 0.0],
    },
}


@pytest.mark.parametrize("with_texts", [True, False], ids=["with texts", "without"])
def test_the_choice_among_blends(with_texts: bool) -> None:
    blend, texts = made_blend()
    found = told(choose(blend, texts if with_texts else None, "stack"))
    assert found.keys() == GOLDEN[with_texts].keys()
    for name, numbers in GOLDEN[with_texts].items():
        np.testing.assert_allclose(found[name], numbers, rtol=1e-6, atol=1e-6, err_msg=name)
