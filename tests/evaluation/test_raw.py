"""The raw data as features: a rotation in which a linear probe finds what it finds in the values.

Shapes: N fitted sequences, M tested sequences, T time.
"""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from genzoo_rwae.evaluation import raw
from genzoo_rwae.evaluation.probe import linear_probe, score_probe
from genzoo_rwae.evaluation.raw import raw_features
from genzoo_rwae.sequences import Batch, DataInfo, SequenceData


class Clips(SequenceData):
    def __init__(self, x_NT):
        self.info = DataInfo(tuple(x_NT.shape[2:]), x_NT.shape[1], False)
        self.x_NT = x_NT

    def __len__(self):
        return len(self.x_NT)

    def take(self, indices_B, /, *, draw=0):
        i = torch.as_tensor(indices_B)
        return Batch(self.x_NT[i], torch.full((len(i),), self.x_NT.shape[1]), i)


def clips(count, seed, frame=(7,)):
    generator = torch.Generator().manual_seed(seed)
    x_NT = torch.randn(count, 5, *frame, generator=generator)
    return Clips(x_NT * torch.linspace(0.5, 3, 5).reshape(-1, *[1] * len(frame)) + 2)


def scaled(train, test):
    scaler = StandardScaler().fit(train.x_NT.flatten(1))
    return [scaler.transform(data.x_NT.flatten(1)) for data in (train, test)]


@pytest.mark.parametrize("frame", [(7,), (2, 40)], ids=["fewer values than rows", "more"])
def test_inner_products_are_those_of_the_standardised_values(frame):
    train, test = clips(60, 1, frame), clips(30, 2, frame)
    found = raw_features(train, test, 60, 30)
    x, x_test = scaled(train, test)
    assert found.train_NR.shape[1] == min(59, x.shape[1])  # the mean takes one row's freedom
    assert np.allclose(found.train_NR @ found.train_NR.T, x @ x.T, atol=1e-3)
    assert np.allclose(found.test_MR @ found.train_NR.T, x_test @ x.T, atol=1e-3)


def test_linear_probe_answers_as_it_does_on_the_values():
    train, test = clips(80, 1), clips(300, 2)
    direction = torch.randn(35, generator=torch.Generator().manual_seed(3))
    y, y_test = ((d.x_NT.flatten(1) @ direction > 0).long().numpy() for d in (train, test))
    direct = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(
        train.x_NT.flatten(1), y
    )
    found = raw_features(train, test, 80, 300)
    ours = score_probe(linear_probe(scale=False), found.train_NR, y, found.test_MR, y_test)
    assert 0.7 < ours < 1
    assert ours == pytest.approx(direct.score(test.x_NT.flatten(1), y_test), abs=1e-9)


def test_first_columns_are_the_principal_components():
    train, test = clips(60, 1), clips(30, 2)
    x, x_test = scaled(train, test)
    pca = PCA(4).fit(x)
    ours, ours_test = raw_features(train, test, 60, 30).first(4)
    for one, other in ((ours, pca.transform(x)), (ours_test, pca.transform(x_test))):
        assert np.allclose(np.abs(one), np.abs(other), atol=1e-3)
    assert raw_features(train, test, 60, 30).first(999)[0].shape == (60, 35)


def test_blocks_of_columns_make_no_difference(monkeypatch):
    train, test = clips(20, 1), clips(10, 2)
    whole = raw_features(train, test, 20, 10)
    monkeypatch.setattr(raw, "_BLOCK", 4)
    parts = raw_features(train, test, 20, 10)
    one, other = (found.test_MR @ found.train_NR.T for found in (whole, parts))
    # sums of products in float32, which processors round in their own order
    few_roundings = 4 * np.finfo(np.float32).eps * np.abs(one).max()
    assert np.allclose(one, other, rtol=0, atol=few_roundings)


def test_missing_values_are_their_columns_mean():
    train, test = clips(40, 1), clips(10, 2)
    filled = Clips(test.x_NT.clone())
    filled.x_NT[3, 2, 1] = train.x_NT[:, 2, 1].mean()
    test.x_NT[3, 2, 1] = float("nan")
    one, other = (raw_features(train, data, 40, 10) for data in (test, filled))
    assert np.allclose(one.test_MR, other.test_MR, atol=1e-4)
    train.x_NT[5, 0, 0] = float("nan")
    assert np.isfinite(raw_features(train, test, 40, 10).test_MR).all()


def test_bytes_and_columns_that_never_change_are_taken():
    x = torch.randint(0, 256, (12, 5, 1, 2, 2), dtype=torch.uint8)
    x[..., 0] = 7
    found = raw_features(Clips(x), Clips(x), 12, 12)
    assert np.isfinite(found.train_NR).all()
    assert np.allclose(found.train_NR, found.test_MR, atol=1e-3)
