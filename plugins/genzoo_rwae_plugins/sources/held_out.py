"""Which speakers, sentences or files a split gets."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from genzoo_rwae.errors import DataError, OptionError
from genzoo_rwae.sequences import Split
from genzoo_rwae_plugins.sources.clip_stores import natural_order
from genzoo_rwae_plugins.sources.draws import held_out_split

__all__ = ["held_out"]

_SEED = 2021


def held_out(
    split: Split, names: Collection[str], /, *, validation: float, test: float, folder: Path
) -> frozenset[str]:
    """The names of one split, by a fixed permutation of all in natural order.

    A share that is not 0 gets at least one name.

    Args:
        split: which part.
        names: of whatever must not be in two parts.
        validation, test: shares.
        folder: where they are, for the message.

    Raises:
        OptionError: the shares leave nothing to train on.
        DataError: there are too few names.
    """
    if validation + test >= 1:
        raise OptionError(
            f"{validation} for validation and {test} for testing leave nothing to train on; "
            "wanted less than 1 in sum",
            option="validation" if test == 0 else "test",
        )
    ordered = sorted(set(names), key=natural_order)
    held = {
        name: max(1, round(share * len(ordered))) if share > 0 else 0
        for name, share in (("validation", validation), ("test", test))
    }
    if sum(held.values()) >= len(ordered):
        found = ", ".join(ordered) or "nothing"
        raise DataError(
            f"{folder}: found {len(ordered)} to split ({found}), of which validation takes "
            f"{held['validation']} and test {held['test']}; wanted at least one more, for training"
        )
    places = held_out_split(len(ordered), split, seed=_SEED, **held)
    return frozenset(ordered[place] for place in places)
