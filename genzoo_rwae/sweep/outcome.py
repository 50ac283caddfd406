"""What a sweep came to: its trials, the best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo_rwae.report.figures import format_number
from genzoo_rwae.sweep.values import as_text

if TYPE_CHECKING:
    from genzoo_rwae.sweep.plan import Plan

__all__ = ["Outcome", "Row", "outcome_of", "trial_folder"]

_STATES = {
    "COMPLETE": "complete", "PRUNED": "given up", "RUNNING": "running", "WAITING": "waiting",
    "FAIL": "failed",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One trial.

    Attributes:
        number: from 0.
        state: "complete", "given up", "running", "waiting" or "failed".
        value: what a complete one came to.
        values: path in the spec -> value.
        measured: (which measurement, figure) while it trained, of the figure of pruning.
        folder: its run folder.
        note: why it is not complete; or the trial that it repeats.
    """

    number: int
    state: str
    value: float | None
    values: Mapping[str, object]
    measured: tuple[tuple[int, float], ...]
    folder: Path
    note: str = ""

    @property
    def shown_value(self) -> str:
        return "" if self.value is None else format_number(self.value)


@dataclass(frozen=True)
class Outcome:
    """A sweep.

    Attributes:
        name: the sweep's.
        description: the sweep's.
        measure: what trials were judged by, with its split.
        on_test: whether that is the test split.
        good: "lower" or "higher".
        pruned_by: the figure of `Row.measured`.
        wanted: how many trials there are to be.
        paths: in the spec, of the values.
        rows: the best first; then those given up, running, failed.
    """

    name: str
    description: str
    measure: str
    on_test: bool
    good: str
    pruned_by: str
    wanted: int
    paths: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def best(self) -> Row | None:
        """The best of those that are complete."""
        return self.rows[0] if self.rows and self.rows[0].value is not None else None

    @property
    def heads(self) -> list[str]:
        """Of the table."""
        return ["trial", f"{self.measure}, {self.good} is better", *self.paths, "state"]

    @property
    def lines(self) -> list[list[str]]:
        """The table, a list of texts a trial."""
        return [
            [
                row.folder.name,
                row.shown_value,
                *(_shown(row.values[path]) if path in row.values else "" for path in self.paths),
                f"{row.state}: {row.note}" if row.note else row.state,
            ]
            for row in self.rows
        ]

    @property
    def caution(self) -> str:
        """What a reader has to know before the table is believed; '' if nothing."""
        if not self.on_test:
            return ""
        return (
            "Values were chosen by a figure of the test split: that split's figures of the chosen "
            "run are optimistic, and no estimate of how it does on data that nobody looked at."
        )

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "sweep": self.name,
            "measure": self.measure,
            "good": self.good,
            "caution": self.caution,
            "best": self.best.number if self.best else None,
            "trials": [{**vars(row), "folder": str(row.folder)} for row in self.rows],
        }


def trial_folder(folder: Path, number: int) -> Path:
    """The run folder of a trial."""
    return folder / f"trial-{number:04}"


def outcome_of(plan: Plan, folder: Path, trials: Sequence[Any]) -> Outcome:
    """The outcome of a sweep's trials, as Optuna has them."""
    said = plan.said
    sense = 1 if said.direction == "minimize" else -1
    rows = [_row(plan, folder, trial) for trial in trials]
    order = list(_STATES.values())

    def key(row: Row) -> tuple[int, float, int]:
        return order.index(row.state), sense * (row.value or 0.0), row.number

    return Outcome(
        name=said.sweep,
        description=said.description,
        measure=str(said.measure),
        on_test=said.measure.split == "test",
        good="lower" if said.direction == "minimize" else "higher",
        pruned_by=plan.pruned_by,
        wanted=said.trials,
        paths=tuple(plan.values),
        rows=tuple(sorted(rows, key=key)),
    )


def _row(plan: Plan, folder: Path, trial: Any) -> Row:
    state = _STATES[trial.state.name]
    same = trial.user_attrs.get("same as")
    note = trial.user_attrs.get("why", "") if state == "failed" else ""
    return Row(
        number=trial.number,
        state=state,
        value=trial.value if state == "complete" else None,
        values={path: plan.values[path].value(drawn) for path, drawn in trial.params.items()},
        measured=tuple((n, v * plan.sense) for n, v in sorted(trial.intermediate_values.items())),
        folder=trial_folder(folder, trial.number if same is None else same),
        note=note.splitlines()[0] if note else f"as trial {same}" if same is not None else "",
    )


def _shown(value: object) -> str:
    if isinstance(value, float):
        return format_number(value)
    return value if isinstance(value, str) else as_text(value)
