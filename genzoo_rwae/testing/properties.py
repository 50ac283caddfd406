"""Properties, and the search for the smallest example that breaks one.

A property is a function of a subject and an example that raises `Falsified` where it does not hold;
the first line of its docstring is what a report says.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import HypothesisException, Unsatisfiable
from hypothesis.reporting import with_reporter
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn

from genzoo_rwae.errors import OptionError
from genzoo_rwae.plugin_modules import reason_of
from genzoo_rwae.testing.findings import Finding, Report, shown
from genzoo_rwae.testing.strategies import with_seed

__all__ = [
    "Falsified",
    "Property",
    "expect",
    "expect_close",
    "expect_gradients",
    "expect_same",
    "expect_shape",
    "figure",
    "investigate",
    "not_built",
    "property_of",
]

# Of the search for a smaller example: calls, so that the same one is found at every run, and
# seconds, for components that are slow.
_MOST_CALLS, _MOST_SECONDS = 80, 10.0


class Falsified(Exception):  # noqa: N818  what it says of a property, not an error of the kit
    """An example breaks a property; the message says what was found and what was wanted."""


@dataclass(frozen=True)
class Property:
    """One fact about a kind of component.

    Attributes:
        name: as a report, `claims` and `exceptions` say it.
        statement: the fact in a sentence.
        holds: raises Falsified on an example that breaks it.
        examples: makes the strategy of examples for a subject.
        only_if: why it does not apply to a subject; empty if it does.
        claim: tried only where the author claims it.
        count: number of examples that are tried.
        mend: what usually breaks it, and how to mend that.
        refusable: a component may refuse an example with an OptionError.
    """

    name: str
    statement: str
    holds: Callable[[Any, Any], None]
    examples: Callable[[Any], SearchStrategy[Any]]
    only_if: Callable[[Any], str]
    claim: bool
    count: int
    mend: str
    refusable: bool


def property_of(
    examples: Callable[[Any], SearchStrategy[Any]],
    *,
    only_if: Callable[[Any], str] = lambda subject: "",
    claim: bool = False,
    count: int = 8,
    mend: str = "",
    refusable: bool = True,
) -> Callable[[Callable[[Any, Any], None]], Property]:
    """Make a property of a function; its name and docstring are those of the property."""

    def make(holds: Callable[[Any, Any], None]) -> Property:
        statement = (inspect.getdoc(holds) or "").partition("\n")[0]
        name = holds.__name__.replace("_", " ").strip()
        return Property(name, statement, holds, examples, only_if, claim, count, mend, refusable)

    return make


def expect(condition: bool | Tensor, found: str, wanted: str) -> None:
    """Raise Falsified unless a condition holds."""
    if not bool(condition):
        raise Falsified(f"found {found}; wanted {wanted}")


def expect_shape(what: str, tensor: Tensor, shape: Sequence[int]) -> None:
    """Raise Falsified unless a tensor has a shape."""
    found = list(tensor.shape)
    expect(found == list(shape), f"{what} of shape {found}", f"{list(shape)}")


def expect_close(found: Tensor, wanted: Tensor, of: str = "", *, near: float) -> None:
    """Raise Falsified unless two tensors agree to `near`, entry by entry."""
    expect_shape(of or "a value", found, wanted.shape)
    found, wanted = found.detach().double(), wanted.detach().double()
    gap = (found - wanted).abs()
    if bool((gap <= near).all()):  # false for NaN
        return
    place = int(gap.nan_to_num(torch.inf).argmax())
    index = [int(i) for i in np.unravel_index(place, tuple(found.shape))]
    where = f" at {index}" if index else ""
    got, want = (float(tensor.flatten()[place]) for tensor in (found, wanted))
    digits = next((d for d in (6, 9, 12) if f"{got:.{d}g}" != f"{want:.{d}g}"), 17)
    prefix = f"{of}: " if of else ""
    raise Falsified(f"{prefix}found {got:.{digits}g}; wanted {want:.{digits}g}{where}")


def expect_same(found: Tensor, wanted: Tensor, of: str) -> None:
    """Raise Falsified unless two float32 tensors agree but for the order of their sums."""
    size = float(wanted.detach().abs().max()) if wanted.numel() else 0.0
    expect_close(found, wanted, of, near=1e-4 * max(1.0, size))


def expect_gradients(module: nn.Module, value: Tensor) -> None:
    """Raise Falsified unless a value's gradient reaches every parameter of a module."""
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    if not named:
        return
    expect(value.requires_grad, "a value without a gradient", "one that follows the parameters")
    gradients = torch.autograd.grad(value, [p for _, p in named], allow_unused=True)
    for (name, _), slope in zip(named, gradients, strict=True):
        expect(slope is not None, f"no gradient of {name}", "one that is not zero")
        assert slope is not None
        expect(slope.isfinite().all(), f"a gradient of {name} that is not finite", "finite numbers")
        expect(slope.abs().max() > 0, f"a gradient of {name} that is all zero", "one that is not")


def figure(value: Tensor | float) -> str:
    """A number as a message shows it."""
    return f"{value.item() if isinstance(value, Tensor) else value:.6g}"


def investigate(
    title: str,
    properties: Sequence[Property],
    subject: Any,
    *,
    claims: Collection[str] = (),
    exceptions: Collection[str] = (),
) -> Report:
    """Try all properties on a subject.

    Args:
        title: what the report calls the subject.
        properties: of the subject's kind.
        subject: what the properties are about.
        claims: names of further properties that the author claims.
        exceptions: names of properties that the author says do not hold.

    Raises:
        ValueError: a claim or an exception is no name of a property.
    """
    _check_names("claims", claims, [p.name for p in properties if p.claim])
    _check_names("exceptions", exceptions, [p.name for p in properties if not p.claim])
    findings = []
    for each in properties:
        if each.claim and each.name not in claims:
            continue
        reason = "excepted by the author" if each.name in exceptions else each.only_if(subject)
        if reason:
            findings.append(Finding(each.name, each.statement, "skipped", message=reason))
        else:
            findings.append(_try(each, subject))
    return Report(title, tuple(findings))


def not_built(title: str, what: str, error: Exception) -> Report:
    """The report on a component that cannot be made at all.

    Args:
        title: as of `investigate`.
        what: what it was to be made for, as Python.
        error: what it raised.
    """
    message = (
        f"refused: {error}" if isinstance(error, OptionError) else f"raised {reason_of(error)}"
    )
    finding = Finding("built", "The host can build it.", "failed", what, message)
    return Report(title, (finding,))


def _check_names(argument: str, names: Collection[str], known: Sequence[str]) -> None:
    given = {names} if isinstance(names, str) else set(names)
    if unknown := sorted(given - set(known)):
        raise ValueError(
            f"{argument} names {', '.join(map(repr, unknown))}; wanted some of: {', '.join(known)}"
        )


class _EnoughError(BaseException):
    """Ends the search for a smaller example; no Exception, which hypothesis would keep."""


def _try(each: Property, subject: Any) -> Finding:
    """Look for the smallest example that breaks a property."""
    smallest: list[tuple[str, str]] = []
    refusals: list[str] = []
    tried = calls = 0
    started = 0.0

    def fail(example: str, message: str, error: BaseException) -> None:
        nonlocal started
        started = started or time.monotonic()
        smallest[:] = [(example, message)]
        if calls > _MOST_CALLS or time.monotonic() - started > _MOST_SECONDS:
            raise _EnoughError from error

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=each.count,
        print_blob=False,
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(each.examples(subject))
    def search(example: Any) -> None:
        nonlocal tried, calls
        calls += bool(smallest)
        torch.default_generator.manual_seed(0)
        text = shown(example)  # before the subject can write into it
        try:
            each.holds(subject, example)
        except HypothesisException:
            raise
        except Falsified as error:
            mend = f"\nmend: {each.mend}" if each.mend else ""
            fail(text, str(error) + mend, error)
            raise
        except Exception as error:
            if isinstance(error, OptionError) and each.refusable:
                refusals.append(str(error))
                return
            fail(text, f"raised {reason_of(error)}", error)
            # one place, whatever was raised: hypothesis shrinks every place by itself
            raise Falsified(str(error)) from error
        tried += 1

    with with_seed(0), torch.enable_grad(), with_reporter(lambda said: None):
        try:
            search()
        except Unsatisfiable:
            reason = "no example fits the component"
            return Finding(each.name, each.statement, "skipped", message=reason)
        except (Exception, _EnoughError):
            if not smallest:
                raise
    if smallest:
        return Finding(each.name, each.statement, "failed", *smallest[0])
    if not tried:
        reason = f"refused by the component: {refusals[-1]}" if refusals else "no example fits"
        return Finding(each.name, each.statement, "skipped", message=reason)
    return Finding(each.name, each.statement, "passed")
