"""The training loop: steps, checkpoints, measurements on the validation split, signals."""

from __future__ import annotations

import math
import shlex
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import torch
from rich.console import Console
from rich.markup import escape
from torch.optim import Optimizer

from genzoo_rwae.assemble import Assembled
from genzoo_rwae.codes import DrawnCodes
from genzoo_rwae.errors import CheckpointError, DivergedError, GenzooError
from genzoo_rwae.evaluation.codes import drawn_codes
from genzoo_rwae.objective import NotFiniteError
from genzoo_rwae.ranks import RowShares
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.sequences import Batch, SequenceData
from genzoo_rwae.spec import Spec
from genzoo_rwae.spec.part import scheduled
from genzoo_rwae.training.batch_norm import normalised_over_ranks
from genzoo_rwae.training.batches import Batches
from genzoo_rwae.training.checkpoint import State, last_state, load_weights, save_state
from genzoo_rwae.training.compilation import faster_pass
from genzoo_rwae.training.engine import Engine
from genzoo_rwae.training.launch import launch, ranks_of
from genzoo_rwae.training.limits import Limits
from genzoo_rwae.training.memory import trim_freed_memory
from genzoo_rwae.training.precision import choose_execution
from genzoo_rwae.training.progress import TrainingBar
from genzoo_rwae.training.randomness import step_generator
from genzoo_rwae.training.sharding import (
    clip_gradients,
    cut_like,
    cut_state,
    gathered,
    is_sharded,
    lend_weights,
    take_weights,
    whole_weights,
)
from genzoo_rwae.training.signals import (
    GivenUpError,
    InterruptedRunError,
    Signals,
    noted_signals,
)
from genzoo_rwae.training.step import Step
from genzoo_rwae.training.trackers import Trackers
from genzoo_rwae.training.validation import FEWEST_MEASURED, Validation

if TYPE_CHECKING:
    from genzoo_rwae.zoo import Zoo

__all__ = ["FEWEST_MEASURED", "GoesOn", "Outcome", "Trainer"]

_LOG_EVERY = 10  # steps between rows of metrics.jsonl

GoesOn = Callable[[int, Mapping[str, float]], bool]
"""Whether a run goes on, by its step and what was just measured on the validation split."""


@dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
        step: steps taken in all.
        seconds: training time in all.
        reason: the limit that ended it.
        first_step: where this session began.
    """

    step: int
    seconds: float
    reason: str
    first_step: int


class Trainer:
    """Trains an assembled model in a run folder; goes on from the folder's checkpoint.

    Args:
        spec: the resolved spec.
        assembled: model and objective with initial weights.
        train, validation: the splits; validation may be empty.
        run: where checkpoints and metrics go.
        zoo: whose plugins get `genzoo_step_done`.
        console: where progress is shown.
        engine: the processes that train together; default: this one alone.
        goes_on: asked on the first rank after every measurement on the validation split but that of
            the end; where it says no, the state is saved and the run ends.

    On several ranks the first one writes and speaks; all take every decision alike. Each measures
    the whole validation split, which needs no word between them.
    """

    def __init__(
        self,
        spec: Spec,
        assembled: Assembled,
        train: SequenceData,
        validation: SequenceData,
        run: RunFolder,
        zoo: Zoo,
        console: Console,
        engine: Engine | None = None,
        goes_on: GoesOn | None = None,
    ) -> None:
        self.spec, self.run, self.zoo = spec, run, zoo
        self.engine = engine or launch()
        self.ranks = ranks_of(self.engine)
        self.console = console if self.ranks.is_first else Console(quiet=True)
        self.goes_on = goes_on
        settings = spec.train
        self.batches = Batches(train, spec.data.slot.batch, settings.seed)
        self.before = self.ranks.of_first(self._state_before)
        self.execution = choose_execution(
            settings,
            assembled.model.info.frame_shape,
            self.before.precision if self.before else None,
            sharded=is_sharded(self.engine),
        )
        # measured on each processor, which need not agree
        precision = self.ranks.of_first(lambda: self.execution.precision)
        self.execution = replace(self.execution, precision=precision)
        self.limits = Limits(settings, self.batches.per_epoch)
        self.built = self.model = assembled.model
        self.execution.place(self.model)
        if is_sharded(self.engine):
            self.model = lend_weights(self.built)
        self.objective = assembled.objective
        self.shares = RowShares(self.ranks, self.batches.size)
        step = Step(self.model, self.objective, self.execution, settings.seed, self.shares)
        step.to(self.engine.device)  # engines move no shards
        with self.objective.frozen_critics():  # each rank trains its own, on the whole batch
            self.wrapped = self.engine.setup_module(step)
        # of the parameters that the engine leaves, which may be shards
        optimizer = settings.optimizer(step.learnt_parameters())
        self.optimizer = cast("Optimizer", self.engine.setup_optimizers(optimizer))
        self.step_module = step
        self.validation = Validation(step, validation, self.batches.size, settings.seed)
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.step, self.seconds, self.best = 0, 0.0, math.inf
        self.trackers = Trackers((), run.path, self._warn)
        self.ranks.of_first(self._open_trackers)
        self.calls_step_done = self.ranks.is_first and zoo.implements("genzoo_step_done")

    # -- the loop -----------------------------------------------------------------------------

    def fit(self) -> Outcome:
        """Train until a limit is reached. The trackers stay open for what comes of it.

        Raises:
            DivergedError: a value is not finite; the last good checkpoint stays.
            RunError: the device is full; likewise.
            GivenUpError: `goes_on` said no; the state is saved.
            InterruptedRunError: SIGINT or SIGTERM; the state is saved.
            CheckpointError: the folder's checkpoint cannot be read.
        """
        self._resume()
        first_step = self.step
        self._say_how()
        if self.spec.train.compile and not self._over():
            self._try_compiling()
        began = time.monotonic() - self.seconds
        with (
            normalised_over_ranks(self.model, self.ranks),
            noted_signals() as signals,
            TrainingBar(self.console, self._share()) as bar,
        ):
            self._train(began, signals, bar)
        weights = gathered(self.model.state_dict(), self.ranks)
        if self.ranks.is_first:
            if is_sharded(self.engine):
                take_weights(self.built, weights)
            self._settle(first_step)
        return Outcome(self.step, self.seconds, self._reason(), first_step)

    def _settle(self, first_step: int) -> None:
        """Fit what is fitted once training is over, and write the weights of the end."""
        if self.step == first_step and self._takes_what_was_fitted():
            return
        with self.console.status("fitting what is fitted to codes"), torch.no_grad():
            drawn = cache(self._codes_drawn)  # one draw for all priors that want as many
            fitted = self.built.eval().fit_priors(drawn)
        for said in fitted:
            self._say(said)
        self.run.save_model(self.built.state_dict())

    def _takes_what_was_fitted(self) -> bool:
        """Whether this very training has ended before: the model then has what was measured."""
        if not self.run.vouches_for(self.run.model):
            return False
        trained = {name: tensor.clone() for name, tensor in self.built.state_dict().items()}
        try:
            load_weights(self.run.model, self.built)
        except CheckpointError:
            return False
        learnt = ((name, p) for name, p in self.built.named_parameters() if p.requires_grad)
        if all(torch.equal(p, trained[name]) for name, p in learnt):
            return True
        self.built.load_state_dict(trained)  # those were of another step
        return False

    def _codes_drawn(self, most: int) -> DrawnCodes:
        """Draws of the codes of at most so many training sequences."""
        data, seed = self.batches.data, self.spec.train.seed
        self._say(f"a prior is fitted to codes of {min(most, len(data)):,} training sequences")
        return drawn_codes(self.built, data, most, step_generator(seed, "codes", self.step))

    def _try_compiling(self) -> None:
        self._say("compiling the nets, which may take a minute")
        batch = self.batches.at(self.step, self.shares.rows)
        self.step_module.train()
        self.step_module.compiled = faster_pass(
            self.model, batch, self.execution, self.spec.train.seed, self._say
        )

    def _train(self, began: float, signals: Signals, bar: TrainingBar) -> None:
        if self._over():
            return
        self.step_module.train()
        saved_at, clock = time.monotonic(), _Clock()
        between = self.batches.per_epoch * self.spec.train.validate_every
        for batch in self.batches.start(self.step, self.limits.steps, self.shares.rows):
            row = self._train_step(batch, clock)
            self.step += 1
            self.seconds = time.monotonic() - began
            self._record(row, bar)
            # clocks differ, and a signal may reach one rank alone
            late = time.monotonic() - saved_at >= self.spec.train.save_every
            of_first = (self._over(), late) if self.ranks.is_first else (False, False)
            over, due, received = self.ranks.largest(*of_first, signals.received)
            measured = self._validate() if over or self.step % between == 0 else {}
            given_up = not over and self._is_given_up(measured)
            if over or given_up or due:
                self._save()
                saved_at = time.monotonic()
            if received:
                self._save()
                self._stop(received)
            if given_up:
                said = f"given up at step {self.step}, as its measurements so far suggest"
                raise self._alike(GivenUpError(f"{said}; the state is saved"))
            if over:
                return

    def _train_step(self, batch: Batch, clock: _Clock) -> dict[str, Any]:
        settings = self.spec.train
        generator = step_generator(settings.seed, "draws", self.step)
        step_generator(settings.seed, "global", self.step)
        progress = self.limits.share_of_steps(self.step)
        factor = scheduled(settings.schedule, progress)
        for group, rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.zero_grad(set_to_none=True)
        try:
            loss, figures = self.wrapped(batch, progress, generator)
        except NotFiniteError as error:
            raise self._not_finite(f"'{error.term}'") from error
        self.engine.backward(loss)
        norm = self._gradient_norm()
        self.optimizer.step()
        try:
            figures |= self.objective.train_critics()
        except NotFiniteError as error:
            raise self._not_finite(f"'{error.term}'") from error
        return {
            "step": self.step + 1,
            "epoch": self.step // self.batches.per_epoch,
            "split": "train",
            "loss": loss.item(),
            **{name: value.item() for name, value in figures.items()},
            "gradient_norm": norm,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "sequences_per_second": clock.rate(self.batches.size),
        }

    def _gradient_norm(self) -> float:
        parameters = [p for g in self.optimizer.param_groups for p in g["params"]]
        norm = clip_gradients(parameters, self.spec.train.clip or math.inf, self.ranks)
        if not torch.isfinite(norm):
            raise self._not_finite("the gradient")
        return norm.item()

    def _alike(self, error: GenzooError) -> BaseException:
        """An error that every rank comes to: the first one says it.

        The others wait until it has saved and told its trackers: a rank that leaves with an error
        has its launcher end the others.
        """
        self.trackers.close()
        self.ranks.meet()
        return error if self.ranks.is_first else self.ranks.silent_exit(error.exit_code)

    def _not_finite(self, what: str) -> BaseException:
        indices = self.batches.indices(self.step).tolist()
        return self._diverged(
            f"step {self.step + 1}: {what} is not finite; the batch had the sequences "
            f"{indices} of the training split"
        )

    def _diverged(self, said: str) -> BaseException:
        kept = (
            f"the checkpoint in {self.run.state} is from before"
            if (self.run.state.is_file())
            else "no checkpoint had been written yet"
        )
        return self._alike(
            DivergedError(
                f"{said}; {kept}. Try a smaller learning rate, train.clip, or train.precision: "
                "float32"
            )
        )

    # -- measuring, saving, resuming ----------------------------------------------------------

    def _validate(self) -> dict[str, float]:
        """Figures of the validation split; none where it is too small."""
        try:
            with whole_weights(self.step_module):
                means = self.validation.figures(self.step)
        except NotFiniteError as error:
            said = f"after step {self.step}: '{error.term}' is not finite on the validation split"
            raise self._diverged(said) from error
        self.step_module.train()
        if not means:
            return {}
        self._log({"step": self.step, "split": "validation", **means})
        # processors differ in their last digits, and shards are gathered by all or by none
        [better] = self.ranks.largest(self.ranks.is_first and means["loss"] < self.best)
        if better:
            self.best = means["loss"]
            weights = gathered(self.model.state_dict(), self.ranks)
            if self.ranks.is_first:
                self.run.save_best(weights)
        return means

    def _is_given_up(self, measured: Mapping[str, float]) -> bool:
        goes_on = self.goes_on
        if goes_on is None or not measured:
            return False
        return not self.ranks.of_first(lambda: goes_on(self.step, measured))

    def _save(self) -> None:
        state = State(
            spec=self.run.spec_digest,
            step=self.step,
            seconds=self.seconds,
            precision=self.execution.precision,
            best=self.best if math.isfinite(self.best) else None,
            model=gathered(self.model.state_dict(), self.ranks),
            objective=gathered(self.objective.state_dict(), self.ranks),
            optimizer=gathered(self.optimizer.state_dict(), self.ranks),
        )
        if self.ranks.is_first:
            save_state(self.run, state)
        trim_freed_memory()

    def _open_trackers(self) -> None:
        self.trackers = Trackers(self.spec.trackers, self.run.path, self._warn)

    def _state_before(self) -> State | None:
        """The checkpoint that the run folder has, if it is of this very spec."""
        state = last_state(self.run)
        if state and state.spec != self.run.spec_digest:
            raise CheckpointError(
                f"{self.run.state} belongs to a run of another spec; give -o another folder"
            )
        return state

    def _resume(self) -> None:
        state, self.before = self.before, None
        self.ranks.of_first(lambda: self.run.truncate_metrics(state.step if state else 0))
        if state is None:
            return
        try:
            for part, whole in ((self.model, state.model), (self.objective, state.objective)):
                part.load_state_dict(cut_like(whole, part.state_dict()))
            self.optimizer.load_state_dict(cut_state(state.optimizer, self.optimizer))
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise self._alike(
                CheckpointError(
                    f"{self.run.state} does not fit the spec's model ({error}); has a plugin "
                    "changed since? Give -o another folder to start anew"
                )
            ) from error
        self.step, self.seconds = state.step, state.seconds
        self.best = math.inf if state.best is None else state.best

    def _record(self, row: dict[str, Any], bar: TrainingBar) -> None:
        row["seconds"] = round(self.seconds, 3)
        if self.step % _LOG_EVERY == 0 or self.step == 1:
            self._log(row)
            bar.show(self._share(), row)
        if self.calls_step_done:
            figures = {name: value for name, value in row.items() if not isinstance(value, str)}
            self.zoo.call("genzoo_step_done", step=self.step, figures=figures, run=self.run.path)

    def _log(self, row: Mapping[str, Any]) -> None:
        if not self.ranks.is_first:
            return
        self.run.append_metrics(row)
        self.trackers.log(row)

    # -- where the run is ---------------------------------------------------------------------

    def _share(self) -> float:
        return self.limits.share(self.step, self.seconds)

    def _over(self) -> bool:
        return self._reason() != ""

    def _reason(self) -> str:
        return self.limits.reached(self.step, self.seconds)

    def _say_how(self) -> None:
        how = self.execution
        parameters = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        self.console.print(
            f"training {parameters:,} parameters on {how.device}, {how.threads} threads, "
            f"{how.precision}, {how.layout}"
            + (f", on {self.ranks.count} ranks" if self.ranks.count > 1 else "")
            + (", weights in shards" if is_sharded(self.engine) else "")
            + (f"; going on from step {self.step}" if self.step else ""),
            highlight=False,
        )

    def _say(self, sentence: str) -> None:
        self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    def _warn(self, sentence: str) -> None:
        self.console.print(
            f"[yellow]warning:[/] {escape(sentence)}", highlight=False, soft_wrap=True
        )

    def _stop(self, number: int) -> None:
        raise self._alike(
            InterruptedRunError(
                f"stopped by {signal.Signals(number).name} at step {self.step}; the state is "
                "saved, and the same command goes on from it, or this one: genzoo build "
                f"{shlex.quote(str(self.run.path))} -o {shlex.quote(str(self.run.path))}",
                number,
            )
        )


class _Clock:
    """Sequences a second, smoothed over about twenty steps."""

    def __init__(self) -> None:
        self.before = time.monotonic()
        self.smooth = 0.0

    def rate(self, count: int) -> float:
        now = time.monotonic()
        rate = count / max(now - self.before, 1e-9)
        self.before = now
        self.smooth = rate if not self.smooth else 0.95 * self.smooth + 0.05 * rate
        return round(self.smooth, 2)
