"""Which items and names a split gets."""

from __future__ import annotations

import numpy as np
import pytest
from genzoo_rwae_plugins.sources.shares import count_of, names_of, part_of

from genzoo_rwae.errors import DataError, OptionError

SPLITS = ("train", "validation", "test")
NAMES = [f"take-{k}" for k in range(1, 31)]


def test_names_follow_from_a_fixed_permutation_in_natural_order(tmp_path):
    order = np.random.RandomState(2021).permutation(30)
    shares = {"validation": 0.1, "test": 0.2, "place": tmp_path, "what": "takes"}
    for names in (NAMES, NAMES[::-1], NAMES * 2):
        found = {split: names_of(split, names, **shares) for split in SPLITS}
        assert found == {
            "train": {NAMES[k] for k in order[:21]},
            "validation": {NAMES[k] for k in order[21:24]},
            "test": {NAMES[k] for k in order[24:]},
        }


def test_a_share_above_0_gets_at_least_one_name_and_0_none(tmp_path):
    shares = {"validation": 0.0, "test": 0.01, "place": tmp_path, "what": "takes"}
    counts = [len(names_of(split, NAMES[:3], **shares)) for split in SPLITS]
    assert counts == [2, 0, 1]


def test_items_are_those_of_the_names(tmp_path):
    shares = {"validation": 0.1, "test": 0.2, "place": tmp_path, "what": "takes"}
    for split in SPLITS:
        items = part_of(split, 30, **shares).tolist()
        assert {NAMES[k] for k in items} == names_of(split, NAMES, **shares)


def test_folds_hold_out_each_name_once_that_is_not_for_testing(tmp_path):
    shares = {"validation": 0.2, "test": 0.2, "place": tmp_path, "what": "takes"}
    held, tested = [], set()
    for fold in range(4):
        found = {split: names_of(split, NAMES, fold=fold, **shares) for split in SPLITS}
        assert sorted(name for names in found.values() for name in names) == sorted(NAMES)
        held += found["validation"]
        tested.add(found["test"])
    assert tested == {names_of("test", NAMES, **shares)}
    assert len(held) == 24
    assert set(held) == set(NAMES) - tested.pop()
    first = names_of("validation", NAMES, **shares)
    assert names_of("validation", NAMES, fold=0, **shares) == first
    assert names_of("validation", NAMES, fold=4, **shares) == first


@pytest.mark.parametrize(
    ("share", "count", "wanted"), [(0, 10, 0), (0.01, 10, 1), (0.25, 10, 2), (0.26, 10, 3)]
)
def test_a_share_above_0_counts_at_least_one(share, count, wanted):
    assert count_of(share, count) == wanted


def test_too_few_names_and_too_large_shares_are_named(tmp_path):
    where = {"place": tmp_path, "what": "takes"}
    with pytest.raises(DataError, match=r"found 2 takes, of which validation takes 1 and test ta"):
        names_of("train", NAMES[:2], validation=0.1, test=0.1, **where)
    for blame, options in (("test", {}), ("validation", {"blame": "validation"})):
        with pytest.raises(OptionError, match="leave nothing to train on") as refused:
            names_of("train", NAMES, validation=0.7, test=0.3, **where, **options)
        assert refused.value.option == blame
