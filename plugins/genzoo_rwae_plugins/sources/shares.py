"""Which items a split gets where shares say how many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzoo_rwae.errors import DataError, OptionError
from genzoo_rwae_plugins.sources.clip_stores import natural_order
from genzoo_rwae_plugins.sources.draws import held_out_split

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np

    from genzoo_rwae.sequences import Split

__all__ = ["check_shares", "count_of", "names_of", "part_of"]

_SPLIT_SEED = 2021


def check_shares(validation: float, test: float, *, blame: str = "test") -> None:
    """Refuse shares that leave nothing to train on.

    Args:
        validation, test: shares.
        blame: the option to lower, of those that the component has.

    Raises:
        OptionError: they do.
    """
    if validation + test >= 1:
        raise OptionError(
            f"{validation} for validation and {test} for testing leave nothing to train on; "
            "wanted less than 1 in sum",
            option=blame,
        )


def count_of(share: float, count: int) -> int:
    """How many of N items a share is: at least one where it is not 0."""
    return max(1, round(share * count)) if share > 0 else 0


def part_of(
    split: Split,
    count: int,
    *,
    validation: float,
    test: float,
    place: object,
    what: str,
    blame: str = "test",
    fold: int = 0,
) -> np.ndarray:
    """The items of one split, from a fixed permutation; a share that is not 0 gets at least one.

    Args:
        split: which part.
        count: N, how many items there are.
        validation, test: shares of the items.
        place: where they come from, for the message.
        what: what they are called, for the message.
        blame: the option to lower where the shares leave nothing to train on.
        fold: other items are for validation with every one, until all have been that are not for
            testing.

    Returns:
        [.] int64 items; the three splits are disjoint and cover all.

    Raises:
        OptionError: the shares leave nothing to train on.
        DataError: there are too few items.
    """
    check_shares(validation, test, blame=blame)
    held = {"validation": count_of(validation, count), "test": count_of(test, count)}
    if sum(held.values()) >= count:
        shares = " and ".join(f"{name} takes {taken}" for name, taken in held.items())
        raise DataError(
            f"{place}: found {count} {what}, of which {shares}; wanted at least one more, for "
            f"training; add {what}, or lower the shares"
        )
    return held_out_split(count, split, seed=_SPLIT_SEED, fold=fold, **held)


def names_of(
    split: Split,
    names: Collection[str],
    /,
    *,
    validation: float,
    test: float,
    place: object,
    what: str,
    blame: str = "test",
    fold: int = 0,
) -> frozenset[str]:
    """The names of one split: `part_of` all of them, each once and in natural order.

    Args:
        split: which part.
        names: of whatever must not be in two parts.
        validation, test, place, what, blame, fold: as in `part_of`.

    Raises:
        OptionError, DataError: as `part_of`.
    """
    ordered = sorted(set(names), key=natural_order)
    part_N = part_of(
        split,
        len(ordered),
        validation=validation,
        test=test,
        place=place,
        what=what,
        blame=blame,
        fold=fold,
    )
    return frozenset(ordered[item] for item in part_N)
