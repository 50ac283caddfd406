"""Probes have as many threads as torch, whatever the libraries below them would take."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from genzoo_rwae.evaluation.probe import fitted_probe, score_probe
from genzoo_rwae.other_threads import torchs_threads


def pools():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


class Noted:
    """A probe that notes how many threads there are for it."""

    def __init__(self):
        self.seen = []

    def fit(self, x_NF, y_N):
        self.seen.append(pools())
        return self

    def score(self, x_MF, y_M):
        self.seen.append(pools())
        return 0.5


@pytest.fixture(autouse=True)
def _three_threads():
    with threadpool_limits(3, user_api="blas"):
        yield


def test_other_libraries_have_torchs_threads_meanwhile():
    assert torch.get_num_threads() == 1
    before = pools()
    with torchs_threads():
        assert pools() == {1}
    assert pools() == before
    assert before != {1}


def test_probes_are_fitted_and_asked_so():
    probe, x_NF, y_N = Noted(), np.zeros((4, 2)), np.array([0, 0, 1, 1])
    fitted_probe(probe, x_NF, y_N)
    assert score_probe(probe, x_NF, y_N, x_NF, y_N) == 0.5
    assert probe.seen == [{1}, {1}, {1}]
