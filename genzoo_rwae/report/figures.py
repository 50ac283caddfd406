"""evaluation.json as a flat list of figures, one format for the page, the card and tables.

evaluation.json is an object of groups; a group holds figures or further groups:

    {"reconstruction": {"mse": 0.0021},
     "probes": {"static": {"action": {"value": 0.14, "chance": 0.111, "good": "lower",
                                      "baselines": {"raw data": 0.98},
                                      "note": "linear probe, 2,000 test sequences"}}}}

A figure is a number, or an object with a `value` and any of
    chance      number: what knowing nothing gives
    baselines   name -> number: what simple or published methods give on the same data
    good        "higher" or "lower": which way is better
    spread      number: the +- beside the value; say in the note of what (repeats, seeds)
    note        one sentence: how it was measured, what it does not show
A value may be null (not measured) or a text. Keys are shown with `_` and `-` as spaces.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genzoo_rwae.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ShownFigure", "figures_of", "format_number", "read_figures"]

_SMALL, _LARGE = 1e-4, 1e6  # beyond these, powers of ten are easier to read


@dataclass(frozen=True)
class ShownFigure:
    """One measured quantity; every field that is text is ready to be shown (not yet escaped).

    Attributes:
        group: the groups around it, as `probes / static`.
        name: as `action`.
        value: formatted, with its spread; "not measured" where there is none.
        compared: (what with, value) pairs: chance first, then the baselines.
        good: "higher", "lower" or "" where nobody said.
        note: how it was measured.
    """

    group: str
    name: str
    value: str
    compared: tuple[tuple[str, str], ...] = ()
    good: str = ""
    note: str = ""


def format_number(value: object) -> str:
    """A number as a reader wants it: four significant digits, whole numbers whole.

    Args:
        value: a number, a text, a truth value or None.

    >>> [format_number(v) for v in (0.123456, 12, 1234567, 2.5e-7, None, float("nan"))]
    ['0.1235', '12', '1,234,567', '2.5e-07', 'not measured', 'not a number']
    """
    if value is None:
        return "not measured"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "not a number"
    if value == 0 or _SMALL <= abs(value) < _LARGE:
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:.3g}"


def figures_of(evaluation: Mapping[str, object]) -> tuple[ShownFigure, ...]:
    """Flatten what evaluation.json holds, in its order.

    Args:
        evaluation: nested groups and figures, see the module's text.

    >>> figures_of({"probes": {"action": {"value": 0.5, "chance": 0.25, "good": "higher"}}})
    (ShownFigure(group='probes', name='action', value='0.5', compared=(('chance', '0.25'),), \
good='higher', note=''),)
    """
    return tuple(_walk(evaluation, ()))


def read_figures(path: Path) -> tuple[ShownFigure, ...]:
    """The figures of an evaluation.json.

    Args:
        path: the file.

    Raises:
        CheckpointError: it is not there, not JSON, or not an object.
    """
    try:
        evaluation = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(evaluation, dict):
        raise CheckpointError(
            f"{path}: got {type(evaluation).__name__}, wanted an object of groups; "
            "`genzoo build` writes it anew"
        )
    try:
        return figures_of(evaluation)
    except RecursionError as error:
        raise CheckpointError(f"{path}: found groups in groups without end") from error


def _walk(group: Mapping[str, object], path: tuple[str, ...]) -> Iterator[ShownFigure]:
    """Figures of one group before those of its groups, so that each heading comes once."""
    inner: list[tuple[str, Mapping[str, object]]] = []
    for name, content in group.items():
        if isinstance(content, Mapping) and "value" not in content:
            inner.append((name, content))
        else:
            yield _figure(content, " / ".join(path), _words(name))
    for name, content in inner:
        yield from _walk(content, (*path, _words(name)))


def _figure(content: object, group: str, name: str) -> ShownFigure:
    if not isinstance(content, Mapping):
        return ShownFigure(group, name, _shown(content))
    value = _shown(content["value"])
    if content.get("spread") is not None:
        value += f" ± {_shown(content['spread'])}"
    compared = [("chance", _shown(content["chance"]))] if content.get("chance") is not None else []
    baselines = content.get("baselines")
    if isinstance(baselines, Mapping):
        compared += [(_words(key), _shown(number)) for key, number in baselines.items()]
    good = content.get("good")
    return ShownFigure(
        group=group,
        name=name,
        value=value,
        compared=tuple(compared),
        good=good if good in ("higher", "lower") else "",
        note=str(content.get("note") or ""),
    )


def _shown(value: object) -> str:
    return f"{len(value)} values" if isinstance(value, list) else format_number(value)


def _words(key: str) -> str:
    return str(key).replace("_", " ").replace("-", " ").strip()
