"""The kit of every kind that has one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from genzoo_rwae.components import component_of
from genzoo_rwae.errors import PluginError
from genzoo_rwae.testing.augmentations import examine_augmentation
from genzoo_rwae.testing.costs import examine_cost
from genzoo_rwae.testing.findings import Report
from genzoo_rwae.testing.kernels import examine_kernel
from genzoo_rwae.testing.net_subject import FACES
from genzoo_rwae.testing.nets import examine_net
from genzoo_rwae.testing.penalties import examine_penalty
from genzoo_rwae.testing.priors import examine_prior

__all__ = ["KITS", "examine"]

KITS: Mapping[str, Callable[..., Report]] = {
    "penalty": examine_penalty,
    "kernel": examine_kernel,
    "prior": examine_prior,
    "augmentation": examine_augmentation,
    "cost": examine_cost,
    **{kind: partial(examine_net, kind) for kind in FACES},
}
"""What tries a component of a kind: (component, **how) -> Report."""


def examine(component: Any, /, **how: Any) -> Report:
    """Try what must hold of a component, by the kit of its kind; the report, whatever it says.

    Args:
        component: a function or class under a kind's decorator, or its record.
        how: `claims`, `exceptions` and options, as of the kind's check.

    Raises:
        PluginError: it is no component, or there is no kit for its kind.
    """
    record = component_of(component)
    if record is None:
        raise PluginError(f"{component!r} is no component; wanted one under a kind's decorator")
    if record.kind not in KITS:
        known = ", ".join(KITS)
        raise PluginError(f"there is no kit for a {record.kind}; there is one for: {known}")
    return KITS[record.kind](component, **how)
