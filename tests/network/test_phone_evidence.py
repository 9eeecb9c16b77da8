"""What phones say of an answer. Run: python -m pytest tests/network/test_phone_evidence.py"""

from typing import Any

import numpy as np
import pytest
import torch

from models.clips.readings import readings_tensor, stack_readings
from models.network.phone_evidence import N_EVIDENCE, PhoneEvidence, evidence_columns
from models.network.phones import PAUSE

N_CLASSES = 6


def spoken(*phones: int) -> torch.Tensor:
    classes = [frame for phone in phones for frame in (phone, phone, phone, PAUSE)]
    return torch.nn.functional.one_hot(torch.tensor(classes), N_CLASSES).float().mul(8).log_softmax(dim=1)


def columns_of(*responses: tuple[Any, ...]) -> torch.Tensor:
    """Of responses and the phones of each accepted reading, as one batch; two phones are a word."""
    frames = torch.nn.utils.rnn.pad_sequence([frames for frames, *_ in responses], batch_first=True)
    in_words = [
        [[own[at : at + 2] for at in range(0, max(map(len, readings)), 2)] or [[]] for own in readings]
        for _, *readings in responses
    ]
    lengths = torch.tensor([len(frames) for frames, *_ in responses])
    return evidence_columns(frames, lengths, stack_readings([readings_tensor(own) for own in in_words]))


def test_another_answer_is_further_behind_in_every_column() -> None:
    right, wrong = columns_of((spoken(1, 2, 3), [1, 2, 3]), (spoken(1, 4, 3), [1, 2, 3]))
    assert (wrong[:7] > right[:7] + 0.5).all()  # of stretches and phones
    assert wrong[N_EVIDENCE - 2] > right[N_EVIDENCE - 2] + 0.5
    assert wrong[-1] == right[-1] == pytest.approx(np.log(3))


def test_phones_are_no_worse_on_average_for_being_said_again() -> None:
    once, twice = columns_of((spoken(1, 5), [1, 2]), (spoken(1, 5, 1, 5), [1, 2]))
    assert twice[6] == pytest.approx(float(once[6]), abs=0.1)


def test_what_shares_a_batch_changes_nothing() -> None:
    pairs = [(spoken(1, 2), [1, 2]), (spoken(1, 2, 3, 4, 5), [1, 3], [1, 2, 3, 4, 5], [1, 2]), (spoken(3), [])]
    alone = torch.cat([columns_of(pair) for pair in pairs])
    torch.testing.assert_close(columns_of(*pairs), alone)


def test_of_several_readings_the_one_that_was_said_counts() -> None:
    """Of each word by itself, wherever it stands among them."""
    said = spoken(1, 2, 5, 3)
    usual, other, both = [1, 2, 3, 4], [1, 2, 5, 3], [5, 2, 5, 3]
    (alone,) = columns_of((said, other))
    for readings in ([usual, other], [other, usual], [usual, both, other], [usual, both, [5, 2, 3, 4], other]):
        torch.testing.assert_close(columns_of((said, *readings))[0], alone)
    torch.testing.assert_close(columns_of((said, usual, [5, 2, 3, 4])), columns_of((said, usual)))


def test_a_text_of_more_phones_than_there_are_frames_is_as_bad_as_can_be() -> None:
    too_long, bad = columns_of((spoken(1), [1, 2, 3, 4, 5, 1, 2]), (spoken(1, 1, 1, 1, 1, 1, 1), [2, 3, 4, 5, 2, 3, 4]))
    assert torch.isfinite(too_long).all()
    assert too_long[N_EVIDENCE - 2] >= bad[N_EVIDENCE - 2]


def test_a_text_without_phones_keeps_its_logit_and_others_have_their_tasks_weights() -> None:
    evidence = PhoneEvidence(2)
    torch.nn.init.zeros_(evidence.weigh.weight)
    evidence.weigh.weight.data[0, 0], evidence.weigh.weight.data[1, 1] = 2.0, -1.0
    evidence.weigh.bias.data = torch.tensor([0.5, 0.25])
    columns = torch.zeros(3, N_EVIDENCE)
    columns[:, 0] = 4.0
    readings = stack_readings([readings_tensor([[[1, 2, 3]]]), readings_tensor([[[1], []]]), readings_tensor([[[]]])])
    found = evidence(torch.tensor([1.0, 1.0, 1.0]), columns, torch.tensor([0, 1, 1]), readings)
    torch.testing.assert_close(found, torch.tensor([2.5, -3.75, 1.0]))
