"""What no spec is beyond, and a YAML scanner that gives up there: a stranger's text costs nothing.

What a person writes is far from every limit. What `genzoo build` notes under `resolved` has the
names of all classes of the data: it may be larger, and a build that would write what cannot be read
back is refused (run_folder.py). All limits together keep reading a file under two seconds.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml.scanner import RoundTripScanner, ScannerError

from genzoo_rwae.errors import shown

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_NOTED",
    "MAX_PROBLEMS",
    "MAX_VALUES",
    "BoundedScanner",
    "unspeakable",
]

MAX_BYTES = 1_000_000
MAX_VALUES = 10_000  # an alias bomb reaches this before it reaches memory
MAX_NOTED = 20_000  # with those under `resolved`, which nobody validates one by one
MAX_DEPTH = 40
MAX_PROBLEMS = 100  # nobody reads more, and each looks for the nearest known name
_MAX_TOKENS = 2 * (MAX_VALUES + MAX_NOTED) + 1_000  # `key: value` is four, an item of a list two
_WIDEST = 2**64


class BoundedScanner(RoundTripScanner):
    """The scanner of ruamel.yaml, which is quadratic in the depth, made to stop at MAX_DEPTH."""

    def fetch_flow_collection_start(self, *token: Any, **kind: Any) -> None:
        self._deeper()
        super().fetch_flow_collection_start(*token, **kind)

    def add_indent(self, column: int) -> bool:
        self._deeper()
        return bool(super().add_indent(column))

    def fetch_more_tokens(self) -> Any:
        if self.tokens_taken > _MAX_TOKENS:
            self._refuse(f"more than {MAX_VALUES:,} values; no spec is that large")
        return super().fetch_more_tokens()

    def _deeper(self) -> None:
        if len(self.flow_context) + len(self.indents) > MAX_DEPTH:
            self._refuse(f"more than {MAX_DEPTH} levels; no spec is that deep")

    def _refuse(self, message: str) -> None:
        raise ScannerError(None, None, message, self.reader.get_mark())


def unspeakable(value: object) -> str:
    """What is wrong with a scalar that no file, no path and no number type can hold; '' if nothing.

    >>> unspeakable(2**64)
    'found a whole number of more than 64 bits'
    """
    if isinstance(value, int):
        return "" if abs(value) < _WIDEST else "found a whole number of more than 64 bits"
    if not isinstance(value, str):
        return ""
    if "\0" in value:
        return f"found the character NUL in {shown(repr(value), 60)}; no text has it"
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return f"found half a character (a lone surrogate) in {shown(repr(value), 60)}"
    return ""
