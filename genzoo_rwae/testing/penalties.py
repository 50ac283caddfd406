"""The check of a penalty, whatever it measures."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from genzoo_rwae.testing import penalty_critic as critic
from genzoo_rwae.testing import penalty_form as form
from genzoo_rwae.testing import penalty_meaning as meaning
from genzoo_rwae.testing.findings import Report
from genzoo_rwae.testing.parts import component_of_kind, part_of, title_of
from genzoo_rwae.testing.penalty_subject import PenaltySubject
from genzoo_rwae.testing.properties import Property, investigate, not_built

__all__ = ["check_penalty", "examine_penalty"]

PENALTY: tuple[Property, ...] = (
    form.takes_a_batch,
    form.steps_as_a_loop,
    form.steps_apart,
    form.repeats,
    form.dtype_kept,
    form.single_precision,
    form.finite,
    form.inputs_kept,
    form.layout,
    form.row_order,
    form.absent_rows,
    form.weights_of_one,
    form.ragged_steps,
    meaning.gradient,
    meaning.reacts,
    meaning.descends,
    meaning.mean_over_rows,
    meaning.coupled_rows,
    meaning.state,
    meaning.parameters_learn,
    meaning.symmetric,
    meaning.nonnegative,
    meaning.zero_at_equal_samples,
    meaning.shift_invariant,
)
ADVERSARIAL: tuple[Property, ...] = (
    critic.critic_settings,
    critic.critic_learns,
    critic.critic_improves,
    critic.critic_is_opposed,
)


def check_penalty(
    penalty: Any,
    /,
    *,
    claims: Collection[str] = (),
    exceptions: Collection[str] = (),
    **options: Any,
) -> Report:
    """Try what must hold of a penalty; for a test of one's own.

    The penalty gets what the host would give it: samples or laws, by its annotations; `paired`,
    `weights_N` and `split` where it takes them; a class is built for the width of the codes.
    Torch's generator has the same seed before every call.

    Args:
        penalty: a function or class under @penalty.
        claims: what holds of this one beyond what must hold of all: `symmetric`, `nonnegative`,
            `zero at equal samples`, `shift invariant`.
        exceptions: names of properties that do not hold of this one, and need not.
        options: its options; the others have their defaults.

    Raises:
        PropertyError: some property does not hold; the message has its smallest example.
        PluginError: it is no penalty, or an option is unknown or missing.
        ValueError: a claim or an exception is no name of a property.

    Example:
        >>> from torch import Tensor
        >>> from genzoo_rwae import penalty
        >>> @penalty("mean-gap")
        ... def mean_gap(q_ND: Tensor, p_ND: Tensor, /) -> Tensor:
        ...     '''Squared distance of two means.'''
        ...     return (q_ND.mean(0) - p_ND.mean(0)).square().sum()
        >>> check_penalty(mean_gap, claims={"symmetric", "nonnegative"}).failed
        ()
    """
    __tracebackhide__ = True
    report = examine_penalty(penalty, claims=claims, exceptions=exceptions, **options)
    return report.raise_if_failed()


def examine_penalty(
    penalty: Any,
    /,
    *,
    claims: Collection[str] = (),
    exceptions: Collection[str] = (),
    **options: Any,
) -> Report:
    """As `check_penalty`, but returns the report whatever it says."""
    component = component_of_kind("penalty", penalty)
    subject = PenaltySubject(part_of(component, options))
    try:
        _ = subject.wants_laws
    except Exception as error:  # whatever its author's code raises
        return not_built(title_of(component), "width = 4", error)
    properties = PENALTY + (ADVERSARIAL if subject.adversarial else ())
    return investigate(
        title_of(component), properties, subject, claims=claims, exceptions=exceptions
    )
