"""Tensors that a part is lent, and that it must not change in place: others see them too."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genzoo_rwae.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["changes", "check_left_alone", "left_alone"]


@contextmanager
def left_alone(who: str, *lent: object) -> Iterator[None]:
    """Tell of tensors that are changed in place meanwhile.

    Raises:
        PluginError: one was.
    """
    before = changes(*lent)
    yield
    check_left_alone(who, before, *lent)


def changes(*lent: object) -> list[int] | None:
    """How often each tensor was changed in place, as torch counts; None while it compiles.

    Those of inference mode are not counted.
    """
    if torch.compiler.is_compiling():
        return None
    return [t._version for t in lent if isinstance(t, Tensor) and not t.is_inference()]


def check_left_alone(who: str, before: list[int] | None, *lent: object) -> None:
    """As `left_alone`, in two calls: what is compiled goes through no context of one's own.

    Raises:
        PluginError: one was changed since `changes` said so.
    """
    if before is not None and changes(*lent) != before:
        raise PluginError(
            f"{who} changes in place what it is given, which others compare or see as well; wanted "
            "it left as it was: x - y in place of x -= y, x.mul(y) in place of x.mul_(y), or a "
            "clone of it"
        )
