"""How the kernels of a spec say what is wrong with their options."""

from __future__ import annotations

from dataclasses import dataclass

from genzoo_rwae.errors import OptionError

__all__ = ["Placed"]


@dataclass(frozen=True)
class Placed:
    """A kernel whose refusal of its own options is shown at its place in the spec."""

    def __post_init__(self) -> None:
        check = getattr(super(), "__post_init__", None)
        if check is None:
            return
        try:
            check()
        except ValueError as error:
            raise OptionError(str(error)) from error
