"""The check of a prior, of the static code or of the dynamic ones."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from genzoo_rwae.codes import DynamicPrior, StaticPrior
from genzoo_rwae.errors import OptionError
from genzoo_rwae.testing.findings import Report
from genzoo_rwae.testing.parts import component_of_kind, part_of, title_of
from genzoo_rwae.testing.prior_dynamic import DYNAMIC
from genzoo_rwae.testing.prior_static import STATIC
from genzoo_rwae.testing.prior_subject import PriorSubject
from genzoo_rwae.testing.properties import investigate, not_built

__all__ = ["DYNAMIC", "STATIC", "check_prior", "examine_prior"]


def check_prior(prior: Any, /, *, exceptions: Collection[str] = (), **options: Any) -> Report:
    """Try what must hold of a prior; for a test of one's own.

    Args:
        prior: a StaticPrior or a DynamicPrior under @prior.
        exceptions: names of properties that do not hold of this one, and need not.
        options: its options; the others have their defaults.

    Raises:
        PropertyError: some property does not hold; the message has its smallest example.
        PluginError: it is no prior, or an option is unknown or missing.
        ValueError: an exception is no name of a property.
    """
    __tracebackhide__ = True
    return examine_prior(prior, exceptions=exceptions, **options).raise_if_failed()


def examine_prior(prior: Any, /, *, exceptions: Collection[str] = (), **options: Any) -> Report:
    """As `check_prior`, but returns the report whatever it says."""
    component = component_of_kind("prior", prior)
    subject = PriorSubject(part_of(component, options))
    title = title_of(component)
    try:
        made = subject.fresh(2, seed=0)
    except Exception as error:  # whatever its author's code raises
        return not_built(title, "size = 2", error)
    if not isinstance(made, StaticPrior | DynamicPrior):
        found = f"found a {type(made).__name__}; wanted a StaticPrior or a DynamicPrior"
        return not_built(title, "size = 2", OptionError(found))
    properties = STATIC if isinstance(made, StaticPrior) else DYNAMIC
    return investigate(title, properties, subject, exceptions=exceptions)
