"""A spec's judge: trained once for all runs on the same data, and only for them."""

import io
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from genzoo_rwae.errors import DataError
from genzoo_rwae.evaluation import judge_cache
from genzoo_rwae.evaluation.judge_cache import judge_for, judge_path
from genzoo_rwae.run import open_splits
from genzoo_rwae.spec import load_spec
from genzoo_rwae.zoo import Zoo

SPEC = """\
genzoo: 1
name: judged
data: {use: moving-shapes, length: 3, sequences: 40, held_out: 20, batch: 4}
model: rwae
objective: {}
train: {steps: 1}
judge: {channels: 2, steps: 2, batch: 8}
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A spec and its splits under some settings; the cache is an empty folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "spec.yaml").write_text(SPEC)

    def make(**settings):
        spec = load_spec(
            tmp_path / "spec.yaml",
            zoo=Zoo(use_entry_points=False),
            settings={name.replace("__", "."): value for name, value in settings.items()},
        )
        return spec, open_splits(spec)

    return make


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch):
    """How many judges were trained."""
    calls = []
    real = judge_cache.train_judge

    def train(*arguments):
        calls.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(judge_cache, "train_judge", train)
    return calls


def said(spec, splits):
    """The judge, and what was said on the way."""
    out = io.StringIO()
    return judge_for(spec, splits, Console(file=out, width=1000)), out.getvalue()


def word(judge, splits):
    batch = splits.test.take(np.arange(6))
    return judge.verdict(batch.x_BT, batch.lengths_B).features_BF


def test_a_judge_is_trained_once_and_then_found(load, trained):
    spec, splits = load()
    path = judge_path(spec, splits)
    assert not path.exists()
    first, told = said(spec, splits)
    assert (
        "training the judge 'recurrent' of these data, for up to"
        in told.split("trained a judge")[0]
    )
    assert "trained a judge for 2 steps" in told
    again, told = said(*load())
    assert len(trained) == 1
    assert told == ""
    assert torch.equal(word(first, splits), word(again, splits))
    assert sorted(path.parent.iterdir()) == [path.parent / "digests.json", path]
    assert path.parent.parts[-3:-1] == ("genzoo-rwae", "judges")


def test_models_of_the_same_data_share_a_judge(load):
    here = judge_path(*load())
    assert judge_path(*load(data__batch=8, train__seed=3, name="other")) == here


@pytest.mark.parametrize(
    "settings",
    [
        {"judge__channels": 3},
        {"judge__seed": 1},
        {"judge__steps": 3},
        {"data__length": 4},
        {"data__sequences": 41},
        {"data__background": "coloured"},
    ],
    ids=str,
)
def test_another_judge_or_other_data_have_another_file(load, settings):
    assert judge_path(*load(**settings)) != judge_path(*load())


@pytest.mark.parametrize("split", ["train", "validation"])
def test_data_that_changed_behind_the_same_words_have_another_file(load, split):
    spec, splits = load()
    before = judge_path(spec, splits)
    data = getattr(splits, split)
    take = data.take

    def other(indices_B, /, *, draw=0):
        batch = take(indices_B, draw=draw)
        batch.x_BT[0, 0, 0, 0, 0] ^= 1
        return batch

    data.take = other
    assert judge_path(spec, splits) != before


def test_what_is_measured_on_the_validation_split_is_judged_by_the_same(load):
    spec, splits = load()
    assert judge_path(spec, replace(splits, test=splits.validation)) == judge_path(spec, splits)


@pytest.mark.parametrize("damage", ["cut", "foreign", "empty"])
def test_a_damaged_judge_is_trained_again_with_a_word(load, trained, damage):
    spec, splits = load()
    good, _ = said(spec, splits)
    path = judge_path(spec, splits)
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:-50], "foreign": b"{}", "empty": b""}[damage])
    again, told = said(spec, splits)
    assert "is damaged or of other parts; it is trained again" in told
    assert len(trained) == 2
    assert torch.equal(word(good, splits), word(again, splits))
    assert path.read_bytes() == whole


def flipped(raw, draw):
    """One bit of a file flipped."""
    changed = bytearray(raw)
    changed[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("name", ["judge.safetensors", "digests.json"])
def test_flipped_bits_are_noticed_and_have_no_say(load, monkeypatch, name):
    spec, splits = load()
    good, _ = said(spec, splits)
    path = judge_path(spec, splits).with_name(name)
    whole, draw = path.read_bytes(), random.Random(3)
    monkeypatch.setattr(judge_cache, "train_judge", lambda *arguments: good)  # it takes long
    for _ in range(20):
        path.write_bytes(flipped(whole, draw))
        again, told = said(spec, splits)
        assert "is damaged or of other parts; it is trained again" in told
        assert again is good
        assert path.read_bytes() == whole
    again, told = said(spec, splits)
    assert told == ""
    assert torch.equal(word(good, splits), word(again, splits))


def test_a_judge_that_nothing_vouches_for_is_trained_again(load, trained):
    spec, splits = load()
    said(spec, splits)
    judge_path(spec, splits).with_name("digests.json").unlink()
    assert "it is trained again" in said(spec, splits)[1]
    assert said(spec, splits)[1] == ""
    assert len(trained) == 2


def test_a_judge_that_was_not_written_in_time_is_trained_without_a_word_of_damage(load, trained):
    """As a process leaves it that was killed between the note and the write."""
    spec, splits = load()
    said(spec, splits)
    judge_path(spec, splits).unlink()
    assert "damaged" not in said(spec, splits)[1]
    assert said(spec, splits)[1] == ""
    assert len(trained) == 2


def test_a_judge_that_cannot_be_kept_is_given_all_the_same(load, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    judge, told = said(*load())
    assert "the judge is not kept: " in told
    assert judge.info.factors


def test_data_without_labels_have_no_judge(load, trained):
    spec, splits = load()
    info = splits.train.info
    for data in vars(splits).values():
        data.info = type(info)(info.frame_shape, info.length, info.bounded)
    with pytest.raises(DataError, match="'moving-shapes' have no labelled factors to judge by"):
        said(spec, splits)
    assert not trained


def test_training_sees_no_test_sequence(load, trained):
    spec, splits = load()
    said(spec, splits)
    (arguments,) = trained
    assert splits.test not in arguments
    assert splits.train in arguments
