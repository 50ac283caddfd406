"""Which names a split gets."""

from __future__ import annotations

import numpy as np
import pytest
from genzoo_rwae_plugins.sources.held_out import held_out

from genzoo_rwae.errors import DataError, OptionError

SPLITS = ("train", "validation", "test")
NAMES = [f"take-{k}" for k in range(1, 31)]


def test_names_follow_from_a_fixed_permutation_in_natural_order(tmp_path):
    order = np.random.RandomState(2021).permutation(30)
    shares = {"validation": 0.1, "test": 0.2, "folder": tmp_path}
    for names in (NAMES, NAMES[::-1], NAMES * 2):
        found = {split: held_out(split, names, **shares) for split in SPLITS}
        assert found == {
            "train": {NAMES[k] for k in order[:21]},
            "validation": {NAMES[k] for k in order[21:24]},
            "test": {NAMES[k] for k in order[24:]},
        }


def test_a_share_above_0_gets_at_least_one_name_and_0_none(tmp_path):
    shares = {"validation": 0.0, "test": 0.01, "folder": tmp_path}
    counts = [len(held_out(split, NAMES[:3], **shares)) for split in SPLITS]
    assert counts == [2, 0, 1]


def test_too_few_names_and_too_large_shares_are_named(tmp_path):
    with pytest.raises(DataError, match=r"found 2 to split \(take-1, take-2\)"):
        held_out("train", NAMES[:2], validation=0.1, test=0.1, folder=tmp_path)
    with pytest.raises(OptionError, match="leave nothing to train on") as refused:
        held_out("train", NAMES, validation=0.7, test=0.3, folder=tmp_path)
    assert refused.value.option == "test"
