"""Draws for some rows of a batch are those rows of the whole batch's draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from genzoo_rwae_plugins.priors.mixture import MixturePrior
from torch import nn

import genzoo_rwae as gz
from genzoo_rwae.draws import RowDraws, normal_draws, shared_draws, uniform_draws
from genzoo_rwae.ranks import Ranks, RowShares
from genzoo_rwae.training.step import _draws_of_one_rank

ROWS, TOTAL = slice(2, 5), 7


def whole() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def part() -> RowDraws:
    return RowDraws(whole(), ROWS, TOTAL)


@dataclass(frozen=True)
class OneOfTwo:
    """As Ranks, of which nobody else is there."""

    number: int = 1
    count: int = 2


LAWS: dict[str, Callable[[int], Any]] = {
    "gaussian": lambda n: gz.DiagonalGaussian(torch.zeros(n, 2), torch.zeros(n, 2)),
    "gaussian paths": lambda n: gz.DiagonalGaussian(torch.zeros(n, 5, 2), torch.zeros(n, 5, 2)),
    "categorical": lambda n: gz.Categorical(torch.zeros(n, 3)),
    "one-hot": lambda n: gz.Categorical(torch.zeros(n, 3), hard=True),
    "mixture": MixturePrior(2).law,
}
ZOO = gz.Zoo(use_entry_points=False)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_a_sample_of_some_rows_is_that_of_the_whole(law: Callable[[int], Any]) -> None:
    assert torch.equal(law(3).sample(part()), law(TOTAL).sample(whole())[ROWS])


@pytest.mark.parametrize("frame", [(4,), (3, 8, 8)], ids=["vectors", "images"])
@pytest.mark.parametrize("name", ZOO.names("augmentation"))
def test_every_augmentation_does_to_some_rows_what_it_does_to_them_in_the_whole(
    name: str, frame: tuple[int, ...]
) -> None:
    augment = ZOO.find("augmentation", name).component.build
    x_BT = torch.rand(TOTAL, 5, *frame, generator=torch.Generator().manual_seed(0))
    try:
        wanted = augment(x_BT, whole())[ROWS]
    except gz.OptionError:
        pytest.skip("takes other frames")
    torch.testing.assert_close(augment(x_BT[ROWS], part()), wanted)


@pytest.mark.parametrize("draw", [normal_draws, uniform_draws])
def test_the_whole_batch_has_drawn_as_much_after_some_rows(draw: Callable[..., Any]) -> None:
    one, of_rows = whole(), part()
    draw([TOTAL, 4], one)
    draw([3, 4], of_rows)
    assert torch.equal(one.get_state(), of_rows.whole.get_state())
    assert torch.equal(
        torch.randperm(9, generator=one), torch.randperm(9, generator=shared_draws(of_rows))
    )


def test_draws_without_a_generator_and_with_a_plain_one_are_those_of_torch() -> None:
    assert torch.equal(normal_draws([4, 2], whole()), torch.randn(4, 2, generator=whole()))
    torch.manual_seed(0)
    drawn = uniform_draws([4, 2], None)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(4, 2))
    assert shared_draws(None) is None


def test_draws_for_another_number_of_rows_are_refused() -> None:
    said = r"\[5, 2\] from the generator of 3 rows.*wanted 3 on axis 0"
    with pytest.raises(ValueError, match=said):
        normal_draws([5, 2], part())


@pytest.mark.parametrize(
    ("draws", "said"),
    [
        (lambda generator: torch.rand(3, generator=generator), "torch's own functions"),
        (lambda _: nn.Dropout()(torch.ones(3, 2)), "global generator, as dropout does"),
    ],
)
def test_a_model_that_draws_otherwise_is_refused_on_several_ranks(
    draws: Callable[[torch.Generator], object], said: str
) -> None:
    shares = RowShares(OneOfTwo(), TOTAL)  # type: ignore[arg-type]
    with (
        pytest.raises(gz.PluginError, match=said),
        _draws_of_one_rank(whole(), shares) as generator,
    ):
        draws(generator)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_row_of_a_batch_is_one_ranks(count: int) -> None:
    ranks = Ranks()
    ranks.count = count
    shares = RowShares(ranks, 10)
    rows = [list(range(10))[shares.rows_of(number)] for number in range(count)]
    assert [row for of_rank in rows for row in of_rank] == list(range(10))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_what_is_no_dataclass_of_rows_cannot_be_gathered() -> None:
    shares = RowShares(OneOfTwo(), TOTAL)  # type: ignore[arg-type]
    with pytest.raises(gz.PluginError, match="a list among the codes"):
        shares.gather([torch.zeros(4)])
    with pytest.raises(gz.PluginError, match=r"a tensor \[3, 2\] among the codes of 4 sequences"):
        shares.gather(torch.zeros(3, 2))
