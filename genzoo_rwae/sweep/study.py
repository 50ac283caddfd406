"""The trials of a sweep, in a database that any number of processes of one machine share.

SQLite, and not Optuna's journal: a worker may be killed in the middle of a write, after which a
journal can hold half a line, while SQLite takes the write back; and the kernel frees its locks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genzoo_rwae.errors import CheckpointError, SpecError
from genzoo_rwae.spec import differences
from genzoo_rwae.sweep.claims import CLAIMS, TURN, Claim, turn

if TYPE_CHECKING:
    from genzoo_rwae.sweep.plan import Plan

__all__ = ["Study", "Trial"]

_DATABASE = "sweep.db"
_PATIENCE = 60  # seconds that a write waits for those of others
_SAME, _WHY, _IDENTITY = "same as", "why", "identity"


@dataclass(frozen=True)
class Trial:
    """A trial that is this process's to train.

    Attributes:
        number: from 0.
        drawn: path in the spec -> what was drawn.
        resumed: whether another process began it.
        claim: holds it.
    """

    number: int
    drawn: Mapping[str, Any]
    resumed: bool
    claim: Claim


def _check_free(folder: Path) -> None:
    """Refuse what is no sweep's folder and holds something.

    Raises:
        SpecError: it does, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise SpecError(f"{folder} is a file; give -o a folder for the sweep")
    inside = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if _DATABASE not in inside and (foreign := set(inside) - {TURN, CLAIMS}):
        raise SpecError(
            f"{folder} is no sweep's folder and is left as it is: it holds {min(foreign)} and no "
            f"{_DATABASE}; give -o a new or an empty folder"
        )


class Study:
    """Asks for trials and is told what they came to.

    Args:
        plan: the sweep.
        folder: the sweep's; made if there is none.
        identity: what may not have changed since the sweep was begun.

    Raises:
        SpecError: Optuna is not installed, or the folder is of another sweep or of none.
        CheckpointError: the database cannot be read.
    """

    def __init__(self, plan: Plan, folder: Path, identity: Mapping[str, Any]) -> None:
        optuna = _optuna()
        self._optuna, self.plan, self.folder = optuna, plan, folder
        pruners = {
            "none": optuna.pruners.NopPruner,
            "median": lambda: optuna.pruners.MedianPruner(
                n_startup_trials=plan.said.prune.trials,
                n_warmup_steps=plan.said.prune.measurements,
            ),
        }
        _check_free(folder)
        with turn(folder):
            path = folder / _DATABASE
            try:
                self._storage = optuna.storages.RDBStorage(
                    f"sqlite:///{path.resolve()}",
                    engine_kwargs={"connect_args": {"timeout": _PATIENCE}},
                )
                self._study = optuna.create_study(
                    storage=self._storage,
                    study_name="sweep",
                    direction=plan.said.direction,
                    pruner=pruners[plan.said.prune.use](),
                    load_if_exists=True,
                )
            except Exception as error:  # SQLAlchemy's or Optuna's, of whatever is in the file
                raise CheckpointError(
                    f"{path} is no database of a sweep, or damaged ({type(error).__name__}); move "
                    "the sweep's folder away, or give -o another, to begin anew"
                ) from error
            there = self._study.user_attrs.get(_IDENTITY)
            if there is None:
                self._study.set_user_attr(_IDENTITY, dict(identity))
            elif lines := differences(there, identity):
                listing = "\n  ".join(lines[:12])
                raise SpecError(
                    f"{folder} is the folder of another sweep and is left as it is. Different are:"
                    f"\n  {listing}\ngive -o another folder; only `trials` of a sweep that "
                    "goes on may change"
                )

    # -- asking ---------------------------------------------------------------------------------

    def ask(self) -> Trial | None:
        """The next trial: one that a dead process left, or a new one; None if there are enough.

        A new one with the values of one that is over comes to the same: it is told that at once.
        """
        with turn(self.folder):
            for trial in self.trials():
                if trial.state.name != "RUNNING":
                    continue
                claim = Claim(self.folder, trial.number)
                if not claim.take():
                    continue
                if set(trial.params) == set(self.plan.values):
                    return Trial(trial.number, trial.params, True, claim)
                # killed while its values were drawn: it is asked for again
                self._finish(trial.number, "FAIL", why="its worker died before it began")
                claim.give_back()
            while self._begun() < self.plan.said.trials:
                asked = self._asked()
                if asked is None:
                    return None
                before = next((t for t in self.trials() if _is_over(t, asked.params)), None)
                if before is None:
                    claim = Claim(self.folder, asked.number)
                    claim.take()
                    return Trial(asked.number, asked.params, False, claim)
                self._mark(asked.number, _SAME, before.number)
                value = before.value if before.state.name == "COMPLETE" else None
                self._finish(asked.number, before.state.name, value=value)
            return None

    def _begun(self) -> int:
        return sum(set(trial.params) == set(self.plan.values) for trial in self.trials())

    def _asked(self) -> Any:
        """A new trial; every one has a seed of its own, so that workers do not draw alike."""
        said, number = self.plan.said, len(self.trials())
        distributions = {path: one.distribution() for path, one in self.plan.values.items()}
        seed = int(np.random.SeedSequence([said.seed, number]).generate_state(1)[0])
        samplers = self._optuna.samplers
        sampler = samplers.TPESampler if said.sampler == "tpe" else samplers.RandomSampler
        self._study.sampler = sampler(seed=seed)
        if said.sampler == "grid":
            waiting = [trial.state.name == "WAITING" for trial in self.trials()]
            done = self._begun()
            if not any(waiting):
                point = next(itertools.islice(_points(self.plan), done, None), None)
                if point is None:
                    return None
                self._study.enqueue_trial(point)
        return self._study.ask(distributions)

    # -- telling --------------------------------------------------------------------------------

    def measured(self, trial: Trial, measurement: int, value: float) -> bool:
        """Note what a trial measured while training; whether it goes on.

        Args:
            measurement: which one, from 1: steps differ where batches do.
            value: of the figure that trials are given up by.
        """
        self._storage.set_trial_intermediate_value(self._id(trial.number), measurement, value)
        frozen = self._storage.get_trial(self._id(trial.number))
        return not self._study.pruner.prune(self._study, frozen)

    def complete(self, trial: Trial, value: float) -> None:
        """A trial came to its end, and to this."""
        self._tell(trial, "COMPLETE", value=value)

    def give_up(self, trial: Trial, why: str) -> None:
        """A trial was pruned."""
        self._tell(trial, "PRUNED", why=why)

    def fail(self, trial: Trial, why: str) -> None:
        """A trial came to nothing, by its own values' doing."""
        self._tell(trial, "FAIL", why=why)

    def _tell(self, trial: Trial, state: str, *, value: float | None = None, why: str = "") -> None:
        with turn(self.folder):  # else another could find the claim free and the trial running
            self._finish(trial.number, state, value=value, why=why)
            trial.claim.give_back()

    def _finish(
        self, number: int, state: str, *, value: float | None = None, why: str = ""
    ) -> None:
        if why:
            self._mark(number, _WHY, why)
        self._study.tell(number, value, state=self._optuna.trial.TrialState[state])

    # -- looking --------------------------------------------------------------------------------

    def trials(self) -> Sequence[Any]:
        """All trials, as Optuna has them."""
        found: Sequence[Any] = self._study.get_trials(deepcopy=False)
        return found

    def _mark(self, number: int, name: str, value: object) -> None:
        self._storage.set_trial_user_attr(self._id(number), name, value)

    def _id(self, number: int) -> int:
        study = self._storage.get_study_id_from_name(self._study.study_name)
        found: int = self._storage.get_trial_id_from_study_id_trial_number(study, number)
        return found


def _is_over(trial: Any, params: Mapping[str, Any]) -> bool:
    return trial.state.is_finished() and dict(trial.params) == dict(params)


def _points(plan: Plan) -> Iterator[dict[str, Any]]:
    """Every combination of a grid, the last value changing fastest."""
    grids = [one.grid() for one in plan.values.values()]
    return (dict(zip(plan.values, point, strict=True)) for point in itertools.product(*grids))


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise SpecError(
            "a sweep needs Optuna, which is not installed: pip install 'genzoo-rwae[sweep]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
