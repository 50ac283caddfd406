"""Dynamic priors that may be told something of a sequence, as its action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from genzoo_rwae.codes import DynamicPrior
from genzoo_rwae.components import wired_of
from genzoo_rwae.errors import OptionError
from genzoo_rwae.spec.part import Part

__all__ = ["told_prior"]


def told_prior(prior: Callable[..., Any], size: int, context: int, option: str) -> DynamicPrior:
    """A dynamic prior of codes of width `size` that is told a context of a width; 0: nothing.

    Raises:
        OptionError: it cannot be told anything; `option` is where that was wanted.
    """
    build = prior.registered.component.build if isinstance(prior, Part) else prior
    hears = len(wired_of(build)) > 1
    if context and not hears:
        raise OptionError(
            f"the prior {build.__name__} cannot be told the action; take one that can, as lstm or "
            "gru, or action.prior: same-for-all",
            option=option,
        )
    built: DynamicPrior = prior(size, context) if hears else prior(size)
    return built
