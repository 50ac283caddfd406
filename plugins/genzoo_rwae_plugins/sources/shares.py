"""Which items a split gets where the user says shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzoo_rwae.errors import DataError, OptionError
from genzoo_rwae_plugins.sources.draws import held_out_split

if TYPE_CHECKING:
    import numpy as np

    from genzoo_rwae.sequences import Split

__all__ = ["check_shares", "part_of"]

_SPLIT_SEED = 2021


def check_shares(validation: float, test: float) -> None:
    """Refuse shares that leave nothing to train on.

    Raises:
        OptionError: they do.
    """
    if validation + test >= 1:
        raise OptionError(
            f"{validation} for validation and {test} for testing leave nothing to train on; "
            "wanted less than 1 in sum",
            option="test",
        )


def part_of(
    split: Split, count: int, *, validation: float, test: float, place: object, what: str
) -> np.ndarray:
    """The items of one split, from a fixed permutation; a share that is not 0 gets at least one.

    Args:
        split: which part.
        count: N, how many items there are.
        validation, test: shares of the items.
        place: where they come from, for the message.
        what: what they are called, for the message.

    Returns:
        [.] int64 items; the three splits are disjoint and cover all.

    Raises:
        OptionError: the shares leave nothing to train on.
        DataError: there are too few items.
    """
    check_shares(validation, test)
    held = {
        name: max(1, round(share * count)) if share > 0 else 0
        for name, share in (("validation", validation), ("test", test))
    }
    if sum(held.values()) >= count:
        shares = " and ".join(f"{name} takes {taken}" for name, taken in held.items())
        raise DataError(
            f"{place}: found {count} {what}, of which {shares}; wanted at least one more, for "
            f"training; add {what}, or lower the shares"
        )
    return held_out_split(count, split, seed=_SPLIT_SEED, **held)
