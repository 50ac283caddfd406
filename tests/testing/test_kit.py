"""What the kit itself promises: strategies, readable examples, reports, the oracle."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from genzoo_rwae_kernels import oracle as kernels_oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genzoo_rwae import Categorical, DiagonalGaussian, encoder, penalty
from genzoo_rwae import testing as kit
from genzoo_rwae.errors import PluginError
from genzoo_rwae.testing import (
    augmentations,
    costs,
    estimators,
    findings,
    kernels,
    nets,
    penalties,
    priors,
)
from genzoo_rwae.testing.estimator_properties import ESTIMATOR
from genzoo_rwae.testing.properties import (
    Falsified,
    Property,
    expect_close,
    investigate,
    property_of,
)

FEW = settings(max_examples=30, deadline=None, derandomize=True)
ALL = [
    *penalties.PENALTY, *penalties.ADVERSARIAL, *kernels.KERNEL, *ESTIMATOR, *nets.NET,
    *priors.STATIC, *priors.DYNAMIC, *augmentations.AUGMENTATION, *costs.COST,
]  # fmt: skip

# -- strategies -----------------------------------------------------------------------------------


@FEW
@given(kit.samples(rows=(2, 5), width=(1, 3), offsets=[0.0, 100.0], dtypes=[torch.float64]))
def test_samples_have_the_sizes_dtype_and_offsets_that_were_asked_for(x_ND: Tensor) -> None:
    assert x_ND.dtype == torch.float64
    assert 2 <= len(x_ND) <= 5
    assert 1 <= x_ND.shape[1] <= 3
    assert bool((x_ND.abs() <= 3).all() or ((x_ND - 100).abs() <= 3).all())
    assert torch.equal(x_ND * 8, (x_ND * 8).round())


@FEW
@given(kit.samples(steps=(1, 3), rows=(2, 20), generic=True))
def test_no_numbers_of_a_generic_sample_coincide(x_TND: Tensor) -> None:
    assert x_TND.unique().numel() == x_TND.numel()


@FEW
@given(st.data())
def test_pairs_may_differ_in_size_and_never_in_width(data: st.DataObject) -> None:
    pair = data.draw(kit.pairs_of_samples(equal_sizes=False, apart=[5.0], generic=True))
    assert pair.q.shape[-1] == pair.p.shape[-1]
    assert pair.q.dtype == pair.p.dtype == torch.float32
    assert not torch.equal(pair.q[:1], pair.p[:1])
    same = data.draw(kit.pairs_of_samples())
    assert same.q.shape == same.p.shape


@FEW
@given(kit.laws(steps=(1, 2)), kit.pairs_of_laws(apart=[2.0]))
def test_laws_have_means_and_log_variances_of_one_shape(law: DiagonalGaussian, pair: Any) -> None:
    for each in (law, pair.q, pair.p):
        assert each.mean.shape == each.log_variance.shape
        assert bool((each.log_variance >= -3).all())
        assert bool((each.log_variance <= 1).all())
        assert each.sample().isfinite().all()


@FEW
@given(kit.weights(5), kit.weights(4, steps=3, fewest=3, masks=True))
def test_enough_weights_are_above_0(some_N: Tensor, masks_TN: Tensor) -> None:
    assert some_N.shape == (5,)
    assert bool((some_N >= 0).all())
    assert int((some_N > 0).sum()) >= 2
    assert masks_TN.shape == (3, 4)
    assert set(masks_TN.unique().tolist()) <= {0.0, 1.0}
    assert bool(((masks_TN > 0).sum(1) >= 3).all())


@FEW
@given(kit.lengths(batch=(1, 3), longest=(2, 4)))
def test_lengths_are_at_least_1(lengths_B: Tensor) -> None:
    assert lengths_B.dtype == torch.int64
    assert 1 <= len(lengths_B) <= 3
    assert bool((lengths_B >= 1).all())
    assert bool((lengths_B <= 4).all())


# -- examples and reports -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([[0.1, -2.0], [1e-7, 3e10]]),
        torch.tensor([1000.125], dtype=torch.float64),
        torch.tensor([[1, 2]]),
        torch.tensor([True, False]),
        torch.tensor([0.5], dtype=torch.bfloat16),
        torch.tensor(2.5),
        torch.tensor([float("nan"), float("inf")]),
    ],
)
def test_a_shown_tensor_reads_back_as_itself(tensor: Tensor) -> None:
    name, text = findings.shown(tensor).split(" = ")
    assert name == "example"
    assert torch.equal(eval(text).nan_to_num(7.0), tensor.nan_to_num(7.0))
    assert eval(text).dtype == tensor.dtype


def test_a_large_tensor_is_shown_by_its_shape() -> None:
    assert findings.shown(torch.zeros(20, 3)).startswith("example = a tensor [20, 3] that starts")


def test_a_pair_of_laws_reads_back() -> None:
    law = DiagonalGaussian(torch.zeros(1, 2), torch.ones(1, 2))
    lines = findings.shown(kit.Pair(law, law)).splitlines()
    assert [line.split(" = ")[0] for line in lines] == ["q", "p"]
    assert torch.equal(eval(lines[0].split(" = ")[1]).log_variance, law.log_variance)


def test_a_pair_of_categorical_laws_reads_back() -> None:
    law = Categorical(torch.tensor([[0.5, 1.0]]))
    lines = findings.shown(kit.Pair(law, law)).splitlines()
    assert [line.split(" = ")[0] for line in lines] == ["q", "p"]
    assert torch.equal(eval(lines[1].split(" = ")[1]).logits, law.logits)


@FEW
@given(kit.pairs_of_categoricals(steps=(1, 2), apart=[2.0]))
def test_categorical_laws_have_two_classes_at_least(pair: Any) -> None:
    assert pair.q.logits.shape == pair.p.logits.shape
    assert pair.q.logits.shape[-1] >= 2
    assert not torch.equal(pair.q.logits, pair.q.log_p)


def test_a_difference_is_shown_with_the_digits_that_tell_it() -> None:
    found = torch.tensor([1.0, 1 + 1e-8], dtype=torch.float64)
    with pytest.raises(Falsified, match=r"x: found 1\.00000001; wanted 1 at \[1\]"):
        expect_close(found, torch.ones(2, dtype=torch.float64), "x", near=1e-9)


def test_nan_is_close_to_nothing() -> None:
    with pytest.raises(Falsified, match="found nan; wanted 1"):
        expect_close(torch.tensor(torch.nan), torch.tensor(1.0), near=1e9)


@property_of(lambda subject: st.integers(0, 100), count=50, mend="take fewer")
def at_most_ten(subject: Any, number: int) -> None:
    """Numbers are at most ten."""
    if number > 10:
        raise Falsified(f"found {number}; wanted 10 at most")


@property_of(lambda subject: st.integers(0, 100), count=50)
def never_raises(subject: Any, number: int) -> None:
    """Numbers are not divided."""
    assert number / (number < 30) >= 0


@property_of(lambda subject: st.integers(), only_if=lambda subject: f"it is {subject}")
def of_no_concern(subject: Any, number: int) -> None:
    """Numbers are of no concern."""
    raise AssertionError


def test_the_smallest_example_is_found() -> None:
    report = investigate("a toy", [at_most_ten, never_raises, of_no_concern], "blue")
    first, second = report.failed
    assert (first.property, first.statement) == ("at most ten", "Numbers are at most ten.")
    assert (first.example, first.message) == (
        "example = 11", "found 11; wanted 10 at most\nmend: take fewer",
    )  # fmt: skip
    assert second.example == "example = 30"
    assert second.message.startswith("raised ZeroDivisionError: division by zero (")
    assert "mend" not in second.message
    assert [finding.message for finding in report.skipped] == ["it is blue"]
    assert str(report).startswith("a toy: 2 of 2 properties do not hold\n\n  at most ten: Numbers")
    with pytest.raises(kit.PropertyError) as caught:
        report.raise_if_failed()
    assert caught.value.report is report
    assert isinstance(caught.value, AssertionError)


def test_every_property_says_its_fact_in_a_sentence() -> None:
    for each in ALL:
        assert each.statement.endswith("."), each.name
        assert len(each.statement) < 120, each.name
        assert each.mend, each.name


def test_names_are_unique_within_a_kit() -> None:
    for properties in (
        (*penalties.PENALTY, *penalties.ADVERSARIAL), kernels.KERNEL, ESTIMATOR,
        nets.NET, priors.STATIC, priors.DYNAMIC, augmentations.AUGMENTATION, costs.COST,
    ):  # fmt: skip
        names = [each.name for each in properties]
        assert len(set(names)) == len(names)


def test_every_property_of_the_kit_s_modules_is_tried() -> None:
    known = {id(each) for each in ALL}
    found = [
        thing
        for module in pkgutil.iter_modules(kit.__path__, "genzoo_rwae.testing.")
        for thing in vars(importlib.import_module(module.name)).values()
        if isinstance(thing, Property)
    ]
    assert len(found) > 70
    assert [each.name for each in found if id(each) not in known] == []


# -- the door -------------------------------------------------------------------------------------


def test_the_kit_of_a_kind_is_found_by_the_component() -> None:
    @penalty("flat")
    def flat(q_ND: Tensor, p_ND: Tensor, /) -> Tensor:
        """Nothing."""
        return 0 * (q_ND.sum() + p_ND.sum())

    report = kit.examine(flat, exceptions={"reacts", "descends"})
    assert report.subject == "the penalty 'flat'"
    assert {finding.property for finding in report.failed} == {"coupled rows"}
    with pytest.raises(PluginError, match="the penalty 'flat' is of another kind; wanted: encoder"):
        kit.check_encoder(flat)


def test_a_kind_without_a_kit_is_an_error() -> None:
    from genzoo_rwae import schedule

    @schedule("nothing")
    def nothing(progress: float, /) -> float:
        """Nothing."""
        return progress

    with pytest.raises(
        PluginError, match="no kit for a schedule; there is one for: penalty, kernel"
    ):
        kit.examine(nothing)
    with pytest.raises(PluginError, match="is no component"):
        kit.examine(str)


def test_checks_of_nets_take_options_and_frame_shapes() -> None:
    @encoder("mean-frame")
    class MeanFrame(torch.nn.Module):
        def __init__(self, frame_shape: tuple[int, ...], /, *, width: int) -> None:
            super().__init__()
            self.width, self.frame_shape = width, frame_shape
            self.net = torch.nn.Linear(1, width)

        def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
            assert self.frame_shape == (2, 2)
            return self.net(x_BT.flatten(2).mean(-1, keepdim=True))

    assert kit.check_encoder(MeanFrame, width=2, frame_shapes=[(2, 2)]).passed


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"estimator": "v"}, "estimator is 'v'; wanted 'biased' or 'unbiased'"),
        ({"estimator": "biased", "kernel": torch.mul}, "kernel and pair belong together"),
        ({"estimator": "biased", "exceptions": "gradint"}, "exceptions names 'gradint'"),
    ],
)
def test_a_wrong_call_is_an_error_in_words(how: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kit.check_estimator(torch.add, **how)


def test_the_oracle_is_that_of_the_kernels() -> None:
    assert kit.oracle.__all__ == kernels_oracle.__all__
    for name in kernels_oracle.__all__:
        assert getattr(kit.oracle, name) is getattr(kernels_oracle, name)


@pytest.mark.parametrize("module", [penalties, kernels, estimators, findings])
def test_examples_in_docstrings_run(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def test_nothing_but_the_kit_imports_hypothesis() -> None:
    room = Path(kit.__file__).parent
    roots = [room.parent, room.parents[1] / "plugins", room.parents[1] / "kernels"]
    others = [p for root in roots for p in root.rglob("*.py") if not p.is_relative_to(room)]
    assert len(others) > 50
    for path in others:
        assert not re.search(r"^\s*(import|from) hypothesis", path.read_text(), re.MULTILINE), path
