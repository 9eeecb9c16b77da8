import numpy as np
import pytest
import scipy.special

from models.ensemble.metrics import base_rate_loss, expit, logit


def test_base_rate_loss() -> None:
    assert base_rate_loss(np.array([0.0, 1.0])) == pytest.approx(np.log(2))
    assert base_rate_loss(np.array([1.0, 1.0, 1.0, 0.0])) == pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    assert base_rate_loss(np.array([1.0, 1.0])) == 0.0


@pytest.mark.filterwarnings("error")
def test_expit_is_scipys_however_far_out() -> None:
    odds = np.array([-1e6, -800.0, -40.0, -1.5, 0.0, 1e-9, 3.0, 40.0, 800.0])
    np.testing.assert_allclose(expit(odds), scipy.special.expit(odds), rtol=1e-14, atol=1e-300)


def test_logit_is_scipys() -> None:
    probabilities = np.array([1e-12, 1e-7, 0.2, 0.4999, 0.5, 0.7, 1 - 1e-7])
    np.testing.assert_allclose(logit(probabilities), scipy.special.logit(probabilities), rtol=1e-13, atol=1e-15)
