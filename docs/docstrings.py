"""Docstrings as the reference shows them: griffe takes `Source:` for a box with a title."""

from __future__ import annotations

import re
from typing import Any

import griffe

__all__ = ["Sources"]

_SOURCE = re.compile(r"^Source: (.*(?:\n {4}.*)*)", re.MULTILINE)


class Sources(griffe.Extension):
    """Makes a paragraph of the section `Source:`."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = _SOURCE.sub(
                lambda found: "*Source*: " + re.sub(r"\n {4}", "\n", found[1]), obj.docstring.value
            )
