"""Numbers per sequence, and splits."""

from __future__ import annotations

import numpy as np
import pytest
from genzoo_rwae_plugins.sources.draws import fixed_uniforms, held_out_split, uniforms
from hypothesis import given
from hypothesis import strategies as st


def test_numbers_stay_what_they_were():
    # a change here changes every rendered data set
    found = uniforms("digits", "train", np.array([0, 7]), draw=2, count=2)
    assert found.tolist() == [
        [0.2870382892607932, 0.17281209793933228],
        [0.32871603660275406, 0.9817190697085505],
    ]


def test_numbers_are_uniform_and_rows_are_not_alike():
    u = uniforms("a", "train", np.arange(4000), draw=0, count=3)
    assert ((u >= 0) & (u < 1)).all()
    assert len(np.unique(u)) == u.size
    assert np.histogram(u, 10, (0, 1))[0] == pytest.approx(1200, abs=150)


def test_source_split_draw_and_index_all_matter_and_longer_rows_start_alike():
    here = np.array([3])
    base = uniforms("a", "train", here, draw=0, count=4)
    for other in (
        uniforms("b", "train", here, draw=0, count=4),
        uniforms("a", "test", here, draw=0, count=4),
        uniforms("a", "train", here, draw=1, count=4),
        uniforms("a", "train", here + 1, draw=0, count=4),
        fixed_uniforms("a", "train", count=4)[None],
    ):
        assert not np.isin(other, base).any()
    assert np.array_equal(uniforms("a", "train", here, draw=0, count=9)[:, :4], base)
    zeroth = uniforms("a", "train", np.array([0]), draw=0, count=4)
    assert not np.isin(fixed_uniforms("a", "train", count=4), zeroth).any()


@given(st.integers(3, 60), st.integers(0, 10), st.integers(0, 10), st.integers(0, 5))
def test_splits_are_disjoint_and_cover_all(count, validation, test, seed):
    validation, test = min(validation, count // 3), min(test, count // 3)
    parts = {
        split: held_out_split(count, split, validation=validation, test=test, seed=seed)
        for split in ("train", "validation", "test")
    }
    assert sorted(np.concatenate(list(parts.values()))) == list(range(count))
    assert (len(parts["validation"]), len(parts["test"])) == (validation, test)
