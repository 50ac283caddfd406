"""What a check found: one finding for each property, with the smallest example that breaks it."""

from __future__ import annotations

import dataclasses
import textwrap
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from genzoo_rwae.codes import Categorical, DiagonalGaussian

__all__ = ["Finding", "PropertyError", "Report", "shown"]

_MOST_NUMBERS = 30  # of a tensor; a larger one is shown by its shape and where it starts


@dataclass(frozen=True)
class Finding:
    """What became of one property.

    Attributes:
        property: its name, as in `exceptions` and `claims`.
        statement: the fact that was tried, in a sentence.
        outcome: `skipped` where it does not apply; `message` then says why.
        example: the smallest input that breaks it, as Python that makes it; empty if it holds.
        message: what was found there, what was wanted, and how to mend it.
    """

    property: str
    statement: str
    outcome: Literal["passed", "failed", "skipped"]
    example: str = ""
    message: str = ""

    def __str__(self) -> str:
        head = f"{self.property}: {self.statement}"
        if self.outcome != "failed":
            return f"{head} {self.outcome}" + (f": {self.message}" if self.message else "")
        parts = [head]
        if self.example:
            parts += ["smallest example:", textwrap.indent(self.example, "    ")]
        return "\n".join([*parts, self.message])


@dataclass(frozen=True)
class Report:
    """What a check found about one component.

    Attributes:
        subject: the component, as "the penalty 'mmd'".
        findings: one for each property of the kit, in the kit's order.
    """

    subject: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.outcome == "passed")

    @property
    def failed(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.outcome == "failed")

    @property
    def skipped(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.outcome == "skipped")

    def __str__(self) -> str:
        tried = len(self.passed) + len(self.failed)
        if not self.failed:
            return f"{self.subject}: all {tried} properties hold"
        head = f"{self.subject}: {len(self.failed)} of {tried} properties do not hold"
        blocks = (textwrap.indent(str(finding), "  ") for finding in self.failed)
        return "\n\n".join([head, *blocks])

    def raise_if_failed(self) -> Report:
        """The report itself.

        Raises:
            PropertyError: a property does not hold.
        """
        __tracebackhide__ = True
        if self.failed:
            raise PropertyError(self)
        return self


class PropertyError(AssertionError):
    """Properties of a component do not hold; `report` has them all, the message shows them."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


def shown(example: Any) -> str:
    """An example as lines of Python that make it.

    >>> shown(DiagonalGaussian(torch.zeros(1, 2), torch.ones(1, 2)))
    'example = DiagonalGaussian(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 1.0]]))'
    """
    law = isinstance(example, DiagonalGaussian | Categorical)
    if dataclasses.is_dataclass(example) and not law:
        return _fields("", example)
    return _lines("example", example)


def _fields(prefix: str, example: Any) -> str:
    fields = ((f.name, getattr(example, f.name)) for f in dataclasses.fields(example))
    return "\n".join(_lines(prefix + name, value) for name, value in fields if value is not None)


def _lines(name: str, value: Any) -> str:
    if isinstance(value, DiagonalGaussian):
        mean, log_variance = (_tensor(part.detach()) for part in (value.mean, value.log_variance))
        return f"{name} = DiagonalGaussian({mean}, {log_variance})"
    if isinstance(value, Categorical):
        return f"{name} = Categorical({_tensor(value.logits.detach())})"
    if isinstance(value, Tensor):
        return f"{name} = {_tensor(value.detach())}"
    if dataclasses.is_dataclass(value) and not repr(value).startswith("<"):
        return _fields(f"{name}.", value)
    return f"{name} = {value!r}"


def _tensor(tensor: Tensor) -> str:
    dtype = "" if tensor.dtype in (torch.float32, torch.int64) else f", dtype={tensor.dtype}"
    if tensor.numel() == 0:
        return f"torch.empty({list(tensor.shape)}{dtype})"
    if tensor.numel() > _MOST_NUMBERS:
        start = ", ".join(_number(number) for number in tensor.flatten()[:4])
        return f"a tensor {list(tensor.shape)}{dtype} that starts with {start}"
    return f"torch.tensor({_nested(tensor)}{dtype})"


def _nested(tensor: Tensor) -> str:
    if tensor.dim() == 0:
        return _number(tensor)
    return "[" + ", ".join(_nested(part) for part in tensor) + "]"


def _number(tensor: Tensor) -> str:
    """The shortest text that reads back as the same number."""
    if not tensor.is_floating_point():
        return str(tensor.item())
    value = float(tensor)
    number = np.float64(value) if tensor.dtype == torch.float64 else np.float32(value)
    if not np.isfinite(value):
        return f"float('{value}')"
    if value and not 1e-4 <= abs(value) < 1e7:
        return np.format_float_scientific(number, trim="0")
    return np.format_float_positional(number, trim="0")
