"""Downstream tasks on made-up series: a class, and what follows a window.

Shapes: N windows, T time; a frame is two channels.
"""

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.metrics.downstream import _Rows, downstream

from genzoo_rwae.errors import OptionError

AHEAD = "1, mean of 1 steps ahead"
CODES = ("static code", "dynamic codes", "both codes")


@pytest.fixture
def series(made_up):
    """Windows of two channels; in steps 1, 3... that follow the second is ten times the first."""

    class Windows(made_up.Rows):
        def following(self, indices_B, steps, /):
            i = torch.as_tensor(indices_B)
            level_B = self.x_NT[i].nanmean(1)[:, 0].double()
            heat_BT = 10 * level_B[:, None] * torch.tensor([1.0, 0.0]).repeat(steps)[:steps]
            after = torch.stack([torch.zeros_like(heat_BT), heat_BT], -1)
            after[i % 7 == 0] = torch.nan  # the end of the record
            return after

    def make(count, seed):
        rows = made_up.rows(count, seed)
        level_N = torch.rand(count, generator=torch.Generator().manual_seed(seed))
        rows.x_NT[..., 0] = level_N[:, None]
        return Windows(rows.x_NT[..., :2], rows.labels, rows.factors)

    return made_up.splits(make)


def told(made_up, splits, channel):
    """The static code is one channel's mean; the dynamic ones hold nothing."""
    return made_up.Told(
        splits.test.info, lambda x: x[..., channel : channel + 1].mean(1), lambda x: 0 * x[..., :1]
    )


def test_class_is_read_from_the_code_that_has_it(series, made_up):
    figures = downstream(told(made_up, series, 1), series, factor="way")["way"]
    assert set(figures) == {f"{score}, {code}" for score in ("accuracy", "AUROC") for code in CODES}
    for head in ("linear", "forest"):
        assert figures["AUROC, static code"][head].value > 0.99
        assert figures["accuracy, both codes"][head].value > 0.95
        assert figures["AUROC, dynamic codes"][head].value == pytest.approx(0.5)
    figure = figures["AUROC, static code"]["linear"]
    assert figure.good == "higher"
    assert set(figure.baselines) == {
        "constant", "linear on raw data", "linear on means over time",
        "forest on raw data", "forest on means over time",
    }  # fmt: skip
    assert figure.baselines["linear on raw data"] > 0.99


def test_what_follows_is_read_from_the_code_that_tells_it(series, made_up):
    figures = downstream(told(made_up, series, 0), series, channel="1")[AHEAD]
    figure = figures["MAE, static code"]["linear"]
    assert figure.good == "lower"
    assert figure.value < 0.1
    assert figure.baselines["linear on means over time"] < 0.1
    # the level is uniform: heat in [0, 10], on average 2.5 from its mean
    assert figure.baselines["training mean"] == pytest.approx(2.5, abs=0.4)
    empty = figures["MAE, dynamic codes"]["linear"].value
    assert empty == pytest.approx(figure.baselines["training mean"], rel=0.01)


def test_windows_that_nothing_follows_are_left_out(series, made_up):
    figures = downstream(told(made_up, series, 0), series, channel="1")[AHEAD]
    note = figures["MAE, static code"]["linear"].note
    # of 400 and 200, every seventh is at the end of the record
    assert note == f"{400 - 58} fitted, {200 - 29} tested"


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_that_nothing_follows_is_not_measured_and_says_so(series, made_up, split):
    data = getattr(series, split)
    data.following = lambda indices_B, steps: torch.full((len(indices_B), steps, 2), torch.nan)
    figures = downstream(told(made_up, series, 0), series, channel="1")
    assert figures[AHEAD]["MAE"].value is None
    assert "what follows" in figures[AHEAD]["MAE"].note


def test_steps_ahead_are_averaged(series, made_up):
    one, two = (
        downstream(told(made_up, series, 0), series, channel="1", ahead=ahead)[
            f"1, mean of {ahead} steps ahead"
        ]["MAE, static code"]["linear"]
        for ahead in (1, 2)
    )
    # the second step is 0 whatever the level
    assert two.baselines["training mean"] == pytest.approx(one.baselines["training mean"] / 2)
    assert max(one.value, two.value) < 0.1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"factor": "way", "channel": "1"}, "either factor"),
        ({"factor": "gone"}, "'gone': the data have who, way"),
        ({"channel": "heat"}, "'heat': the data have 0, 1"),
    ],
)
def test_task_that_the_data_do_not_have_is_refused(series, made_up, options, said):
    with pytest.raises(OptionError, match=said):
        downstream(told(made_up, series, 0), series, **options)


def test_whole_sequences_are_followed_by_nothing(made_up):
    splits = made_up.splits()
    with pytest.raises(OptionError, match="what follows"):
        downstream(made_up.perfect(splits), splits, channel="0")


def test_without_a_task_every_factor_is_one(series, made_up):
    model = told(made_up, series, 1)
    figures = downstream(model, series)
    assert list(figures) == ["who", "way"]
    assert figures["way"] == downstream(model, series, factor="way")["way"]
    unlabelled = made_up.splits(lambda count, seed: made_up.Rows(made_up.rows(count, seed).x_NT))
    assert downstream(made_up.perfect(unlabelled), unlabelled) == {}


def test_shares_that_are_there_count_no_padding(made_up):
    x_NT = torch.ones(2, 4, 1)
    x_NT[:, 0] = torch.nan
    x_NT[0, 2:] = 0
    rows = made_up.Rows(x_NT, lengths_N=torch.tensor([2, 4]))
    assert _Rows(rows, np.arange(2)).raw()["means over time"].tolist() == [[1, 0.5], [1, 0.75]]
