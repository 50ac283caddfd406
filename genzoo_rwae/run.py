"""The main job: `build` trains, measures and reports a spec; `load` brings the model back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape

from genzoo_rwae.assemble import Assembled, assemble, located, open_split
from genzoo_rwae.errors import CheckpointError, DataError, SpecError
from genzoo_rwae.evaluation import Splits
from genzoo_rwae.evaluation.measure import wants_judge
from genzoo_rwae.evaluation.rehearsal import rehearse
from genzoo_rwae.provenance import compare_plugins, with_provenance
from genzoo_rwae.ranks import Ranks
from genzoo_rwae.releases import own_copy
from genzoo_rwae.run_evaluation import (
    measure_again,
    measure_apart,
    measure_run,
    with_metrics,
)
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.run_lock import locked
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import DataInfo, SequenceData
from genzoo_rwae.spec import Spec, load_spec
from genzoo_rwae.training.checkpoint import load_weights
from genzoo_rwae.zoo import Zoo

if TYPE_CHECKING:
    from genzoo_rwae.training.loop import GoesOn

__all__ = ["build", "build_spec", "check", "evaluate", "load", "open_splits"]


def build(
    spec: str | Path,
    *,
    run: str | Path | None = None,
    settings: Mapping[str, object] | Sequence[str] = (),
    zoo: Zoo | None = None,
    console: Console | None = None,
    devices: int | None = None,
    shard_weights: bool = False,
) -> SequenceModel:
    """Check, assemble, train, measure and report; go on from where the run folder is.

    Args:
        spec: a YAML file, or zoo:NAME.
        run: the run folder; default `runs/<name of the spec>`.
        settings: values over the spec's, as {"train.seed": 1}.
        zoo: where components are looked up; default: built-ins and installed plugins.
        console: where progress is shown; default: nowhere.
        devices: processes that train together on this machine; the others run the calling script
            again, which has to be a file, and end here when training is over: what the script does
            afterwards it does once. The weights do not depend on it, but for rounding.
        shard_weights: each of them keeps a shard of weights and optimiser between steps, and not
            the whole. Nor do the weights depend on this.

    Returns:
        The trained model, in evaluation mode.

    Raises:
        SpecError, DataError, PluginError: before anything is written.
        RunError: training could not go on.
        CheckpointError: another process writes to the run folder, or what is in it is damaged.

    >>> model = build("zoo:quickstart", settings={"train.steps": 500})  # doctest: +SKIP
    """
    zoo = zoo or Zoo()
    loaded = load_spec(spec, zoo=zoo, settings=settings)
    folder = Path(run) if run else Path("runs") / loaded.name
    console = console or Console(quiet=True)
    return build_spec(loaded, folder, zoo, console, devices, shard_weights=shard_weights)


def build_spec(
    spec: Spec,
    folder: Path,
    zoo: Zoo,
    console: Console,
    devices: int | None = None,
    goes_on: GoesOn | None = None,
    *,
    shard_weights: bool = False,
) -> SequenceModel:
    """As `build`, from a spec that is loaded already.

    Args:
        goes_on: may end the training early, see `Trainer`; that raises GivenUpError.
    """
    from genzoo_rwae.report.compose import draw
    from genzoo_rwae.training.launch import (
        disconnected_at_exit,
        launch,
        noticed_losses,
        ranks_of,
    )
    from genzoo_rwae.training.loop import Trainer
    from genzoo_rwae.training.memory import keep_freed_memory
    from genzoo_rwae.training.sharding import check_cuttable
    from genzoo_rwae.training.threads import settle_threads, threads_put_back
    from genzoo_rwae.training.trackers import results_of

    began = time.monotonic()
    for metric in spec.evaluate:
        wants_judge(metric)  # refuses what it could not be wired with, before anything is trained
    splits = open_splits(spec)
    _check_batch(spec, len(splits.train))
    info = splits.train.info
    assembled = assemble(spec, info)
    for _ in zoo.call("genzoo_model_built", model=assembled.model, spec=spec):
        pass
    # not before all is known to fit together: it is said once
    engine = launch(devices, shard_weights=shard_weights)
    ranks = ranks_of(engine)
    with ExitStack() as held:
        held.enter_context(threads_put_back())
        with noticed_losses(ranks), located(spec):
            ranks.of_first(lambda: _check_ranks(spec, splits.train, ranks, shard_weights))
            if shard_weights:
                ranks.of_first(lambda: check_cuttable(assembled.model, assembled.objective))
            ranks.of_first(lambda: held.enter_context(locked(folder)))
            if engine.device.type == "cpu":
                keep_freed_memory()
            settle_threads(spec, folder, assembled.model, splits.train, ranks)
            spec = with_provenance(spec, info, zoo)
            run = ranks.of_first(lambda: RunFolder.prepare(folder, spec))
            if ranks.is_first:
                console.print(f"run folder [bold]{escape(str(run.path))}[/]", highlight=False)
                if not run.state.is_file():
                    rehearse(assembled.model, splits, spec, zoo)
            trainer = Trainer(
                spec, assembled, splits.train, splits.validation, run, zoo, console, engine, goes_on
            )
        held.enter_context(closing(trainer.trackers))
        with noticed_losses(ranks), located(spec):
            outcome = trainer.fit()
        disconnected_at_exit(ranks)
        if not ranks.is_first:
            raise SystemExit(0)  # the rest is the first rank's, and so is that of a calling script
        if outcome.step > outcome.first_step:
            console.print(
                f"trained {outcome.step - outcome.first_step:,} steps to the limit of "
                f"{outcome.reason}",
                highlight=False,
            )
        model = assembled.model.cpu().eval()
        try:
            measure_run(spec, model, splits, run, outcome.step, console)
        except Exception:
            draw(run, spec, model, splits)
            said = (
                "the model is trained, and the report has what was measured; the rest, once mended"
            )
            console.print(escape(f"{said}: {run.measuring}"), highlight=False, soft_wrap=True)
            raise
        page = draw(run, spec, model, splits)
        trainer.trackers.show(results_of(run, outcome.step))
    for _ in zoo.call("genzoo_run_done", model=model, spec=spec, run=run.path):
        pass
    seconds = time.monotonic() - began
    for sentence in zoo.calls.slow(seconds):
        console.print(f"[yellow]slow:[/] {escape(sentence)}", highlight=False, soft_wrap=True)
    console.print(
        f"done in {seconds / 60:.1f} minutes; open [bold]{escape(str(page))}[/]", highlight=False
    )
    return model


def check(
    spec: str | Path, *, settings: Mapping[str, object] | Sequence[str] = (), zoo: Zoo | None = None
) -> tuple[Spec, Assembled]:
    """Everything that `build` does before it trains; writes nothing.

    Raises:
        SpecError, DataError, PluginError: as `build`.
    """
    zoo = zoo or Zoo()
    loaded = load_spec(spec, zoo=zoo, settings=settings)
    splits = open_splits(loaded)
    _check_batch(loaded, len(splits.train))
    assembled = assemble(loaded, splits.train.info)
    rehearse(assembled.model, splits, loaded, zoo)
    return loaded, assembled


def load(
    run: str | Path,
    *,
    weights: Literal["last", "best"] = "last",
    zoo: Zoo | None = None,
) -> SequenceModel:
    """The model of a run folder, in evaluation mode; needs none of its data.

    Executes no code but that of the plugins that the folder's spec names.

    Args:
        run: a folder that `build` made, or zoo:NAME for a released run.
        weights: those of the end, or of the lowest loss on the validation split (there are none if
            that split has fewer than four sequences). Priors that are fitted when training is over
            (`ex-post-mixture`, `ex-post-lstm`) are so in those of the end alone. Where weights of
            terms change or critics learn, losses of different steps are different functions: take
            those of the end.
        zoo: where components are looked up.

    Raises:
        CheckpointError: it is no run folder, is not trained to its end, or its weights are damaged.
        SpecError, PluginError: its spec's parts cannot be had any more.
    """
    folder = RunFolder.open(run)
    zoo = zoo or Zoo()
    spec = load_spec(folder.spec, zoo=zoo)
    compare_plugins(spec, zoo)
    try:
        info = DataInfo.from_json((spec.resolved or {})["data"])
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise CheckpointError(
            f"{folder.spec} does not say what the data looked like (resolved.data); it was not "
            "written by `genzoo build`"
        ) from error
    files = {"last": folder.model, "best": folder.best}
    if weights not in files:
        raise CheckpointError(f"weights={weights!r}: wanted one of {', '.join(files)}")
    if weights == "best" and folder.model.is_file() and not folder.best.is_file():
        raise CheckpointError(
            f"{folder.best} is not there: the run had no validation split to tell which weights "
            "are best; take weights='last'"
        )
    folder.check(files[weights])
    model = assemble(spec, info).model
    load_weights(files[weights], model)
    return model.eval()


def evaluate(
    run: str | Path,
    metrics: Sequence[str] | Literal["all"] = (),
    *,
    settings: Sequence[str] = (),
    on: Literal["test", "validation"] = "test",
    zoo: Zoo | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Measure a finished run again, and write its evaluation, report and card.

    Figures of other metrics stay (but those by another judge, if one was asked now), until the
    next build, which keeps what the spec asks for.

    Args:
        run: a folder that `build` made, or zoo:NAME: a released run is copied to runs/zoo-NAME,
            and the copy is measured (on the validation split the release itself).
        metrics: names, or `all`; default: those of its spec. What the spec has keeps its options.
        settings: `metric.option=value`, and `judge.option=value`.
        on: the split that figures are of. `validation` is for choosing between settings, so that
            the test split is not seen before all is chosen: nothing is written then.
        zoo: where components are looked up.
        console: where progress is shown; default: nowhere.

    Returns:
        What evaluation.json holds now; on the validation split, the figures just measured.

    Raises:
        CheckpointError, SpecError, DataError, PluginError: before anything is written.
    """
    from genzoo_rwae.report.compose import compose_report
    from genzoo_rwae.training.threads import threads_of

    folder = RunFolder.open(run if on == "validation" else own_copy(Path(run)))
    zoo, console = zoo or Zoo(), console or Console(quiet=True)
    spec, chosen = with_metrics(load_spec(folder.spec, zoo=zoo), folder, metrics, settings, zoo)
    if on == "validation":
        with threads_of(spec):
            model, splits = load(folder.path, zoo=zoo), open_splits(spec)
            return measure_apart(spec, chosen, model, splits, console)
    with locked(folder.path), threads_of(spec):
        folder.check_shown()
        model = load(folder.path, zoo=zoo)
        splits = open_splits(spec)
        figures = measure_again(spec, chosen, model, splits, folder, console)
        with folder.redrawn(*folder.pages) as written:
            compose_report(folder, spec, model, splits, finished=True)
            written += folder.pages
    return figures


def open_splits(spec: Spec) -> Splits:
    """The three splits of a spec's data."""
    return Splits(*(open_split(spec, split) for split in ("train", "validation", "test")))


def _check_batch(spec: Spec, sequences: int) -> None:
    batch = spec.data.slot.batch
    if sequences < batch:
        raise SpecError(
            [
                spec.problem(
                    "data.batch",
                    f"a batch of {batch} from a training split of {sequences} sequences",
                    f"wanted {sequences} or less",
                )
            ]
        )


def _check_ranks(spec: Spec, data: SequenceData, ranks: Ranks, shard_weights: bool = False) -> None:
    if shard_weights and spec.train.layout == "channels-last":
        raise SpecError(
            [
                spec.problem(
                    "train.layout",
                    "channels-last, and weights in shards lie contiguous",
                    "wanted auto or contiguous, or a run without --shard-weights",
                )
            ]
        )
    batch = spec.data.slot.batch
    if batch < ranks.count:
        raise SpecError(
            [
                spec.problem(
                    "data.batch",
                    f"a batch of {batch} over {ranks.count} ranks",
                    f"wanted {ranks.count} or more, of which each gets its share",
                )
            ]
        )
    if ranks.count > 1 and spec.train.compile:
        raise SpecError(
            [
                spec.problem(
                    "train.compile",
                    f"compiled nets on {ranks.count} ranks, of which each would choose for itself",
                    "leave it out, or train on one rank",
                )
            ]
        )
    if ranks.count > 1:
        some_B = np.arange(min(4, len(data)))
        whole, part = (data.take(i_B, draw=1).x_BT for i_B in (some_B, some_B[2:]))
        if not torch.equal(whole[2:].nan_to_num(), part.nan_to_num()):
            raise DataError(
                f"the sequences of '{spec.data.name}' depend on the batch that they are taken in, "
                f"and each of {ranks.count} ranks takes a part of it; wanted a source whose "
                "sequences depend on their index and the draw alone, or one rank"
            )
