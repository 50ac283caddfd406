"""From a spec and the shape of the data to a model and its objective."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from genzoo_rwae.codes import Categorical, Codes
from genzoo_rwae.errors import DataError, GenzooWarning, OptionError, SpecError
from genzoo_rwae.objective import NotFiniteError, Objective, law_of, takes_laws
from genzoo_rwae.sequence_model import Pass, SequenceModel
from genzoo_rwae.sequences import DataInfo, Split
from genzoo_rwae.source_trial import try_source
from genzoo_rwae.spec import PlacedOptionError, Spec, plain
from genzoo_rwae.spec.part import Part, scheduled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genzoo_rwae.sequences import SequenceData

__all__ = ["Assembled", "assemble", "located", "open_split"]


# what torch says of sizes that no memory holds
_TOO_MUCH = ("can't allocate memory", "calculation overflowed", "Overflow when unpacking long")
_TRIAL = 4  # sequences; some estimators compare four distinct rows
_PROGRESS = (0.0, 0.5, 1.0)  # at which schedules are tried


@dataclass(frozen=True)
class Assembled:
    """A model with its initial weights, and what it is to minimise."""

    model: SequenceModel
    objective: Objective


def open_split(spec: Spec, split: Split) -> SequenceData:
    """One split of the spec's data.

    Raises:
        DataError: the data are missing or malformed, or a plugin's source breaks its promises;
            says where the spec asks for them.
        SpecError: the source's options contradict each other.
    """
    try:
        with located(spec):
            data: SequenceData = spec.data(split)
            if spec.data.registered.plugin.origin != "built-in":
                try_source(data, spec.data.name, split)
    except DataError as error:
        place = spec.place("data")
        if place.file:  # the same error: its traceback tells whose it is
            error.args = (f"{place}: data: {error}",)
        raise
    return data


def assemble(spec: Spec, info: DataInfo) -> Assembled:
    """Build the model with the spec's seed, and try it on one batch of zeros.

    The trial finds at once what only shapes can tell: parts that do not fit the frames or each
    other, and a batch that is too small for an estimator. Schedules, and the optimiser of a
    plugin, are tried too.

    Raises:
        SpecError: parts do not fit, at the place of the one that is to blame.
    """
    with located(spec), torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.train.seed)
        model = spec.model(info)
        if not isinstance(model, SequenceModel):
            raise PlacedOptionError(
                f"'{spec.model.name}' makes a {type(model).__name__}; wanted a SequenceModel",
                "model",
            )
        _check_terms(spec)
        _check_actions(spec, model)
        _check_progress(spec, model)
        passed = _trial(model, spec.data.slot.batch)
        objective = Objective(spec.objective, _code_widths(spec, passed.codes))
        objective.eval()  # nor must those of a penalty with state
        try:
            objective(passed, model, progress=1.0, generator=torch.Generator().manual_seed(0))
        except NotFiniteError as error:
            raise PlacedOptionError(
                f"'{error.term}' is not finite on a trial batch; {_why_not_finite(spec, error)}",
                f"objective.{error.term.replace('information-', 'information.')}",
            ) from error
        objective.train()
        optimizer = spec.train.optimizer
        if optimizer.registered.plugin.origin != "built-in":  # torch takes a second for the first
            optimizer([each for each in model.parameters() if each.requires_grad])
    return Assembled(model, objective)


def _why_not_finite(spec: Spec, error: NotFiniteError) -> str:
    mend = "see what is divided by, and what roots and logarithms are taken of"
    if error.term == "cost":
        return f"the cost '{spec.objective.cost.name}' or the frames that the model makes: {mend}"
    penalty = getattr(spec.objective, error.term, None)
    if not isinstance(penalty, Part) or takes_laws(penalty.registered.component.build):
        return (
            "the KL of a deterministic code, for one, never is: take a penalty that compares "
            "samples, as mmd"
        )
    return f"the penalty '{penalty.name}' or the codes that it compares: {mend}"


def _check_terms(spec: Spec) -> None:
    objective = spec.objective
    slots = objective.slots()
    for schedule in (spec.train.schedule, *(slot.schedule for slot in slots.values())):
        for progress in _PROGRESS:  # refuses options that contradict each other
            scheduled(schedule, progress)
    for path, slot in slots.items():
        if slot.target is not None and not slot.weight:
            raise PlacedOptionError(
                f"a target of {slot.target:g} with a weight of 0, which control multiplies; set "
                "`weight` to where it is to begin",
                f"{path}.target",
            )
    term = objective.independence
    if term and takes_laws(term.registered.component.build):
        raise PlacedOptionError(
            f"the penalty '{term.name}' compares laws, and the joint law of both codes is known "
            "by samples alone; take one that compares samples, as hsic or mmd",
            "objective.independence",
        )
    term = objective.dynamic
    if not (term and takes_laws(term.registered.component.build)):
        return
    coupled = term.registered.component.batch_coupled
    wanted = "none" if coupled else "state"
    if term.slot.given != wanted:
        what = "mixtures over the batch, the past marginalised" if coupled else "laws row by row"
        raise PlacedOptionError(
            f"the penalty '{term.name}' compares {what} (batch_coupled={coupled}); found given: "
            f"{term.slot.given}, wanted given: {wanted}",
            "objective.dynamic.given",
        )


def _check_actions(spec: Spec, model: SequenceModel) -> None:
    """What a spec says of actions, the model has to have."""
    objective, factors = spec.objective, {f.name: f for f in model.info.factors}
    for name in ("action", "labels"):
        if getattr(objective, name) and not model.actions:
            raise PlacedOptionError(
                "the model has no actions; give it some, as model.action: {count: 9} of rwae, or "
                f"leave objective.{name} out",
                f"objective.{name}",
            )
    for name in ("static", "dynamic", "independence"):
        term = getattr(objective, name)
        if term and law_of(term.registered.component.build) is Categorical:
            raise PlacedOptionError(
                f"the penalty '{term.name}' compares categorical laws, which {name} codes have "
                "not; use it in objective.action",
                f"objective.{name}",
            )
    term = objective.action
    if term and takes_laws(term.registered.component.build):
        raise PlacedOptionError(
            f"the penalty '{term.name}' compares Gaussian laws, and an action is one of a few; "
            "take one for categorical laws, as categorical-kl, or one for samples, as mmd",
            "objective.action",
        )
    unsaid = term is None and "objective.action" not in spec.places
    if model.actions and unsaid and objective.labels is None:
        said = (
            f"the model has {model.actions} actions and the objective no term for them: nothing "
            "then has them used alike; give objective.action, as {use: categorical-kl}, or say "
            "objective.action: null if that is what you want"
        )
        warnings.warn(GenzooWarning(said), stacklevel=3)
    labels = objective.labels
    if labels is None:
        return
    if labels.factor not in factors:
        known = ", ".join(factors) or "none"
        raise PlacedOptionError(
            f"the data have no factor '{labels.factor}'; known: {known}", "objective.labels.factor"
        )
    classes = len(factors[labels.factor].classes)
    if classes > model.actions:
        raise PlacedOptionError(
            f"the factor '{labels.factor}' has {classes} classes and the model {model.actions} "
            f"actions; wanted {classes} actions or more",
            "objective.labels.factor",
        )


def _check_progress(spec: Spec, model: SequenceModel) -> None:
    if spec.train.epochs or spec.train.steps or not model.follows_progress:
        return
    option = model.follows_progress[0]
    raise PlacedOptionError(
        f"{option} follows the run's progress, which minutes do not tell repeatably; give epochs "
        "or steps as well, or leave it out",
        f"model.{option}",
    )


def _code_widths(spec: Spec, codes: Codes) -> dict[str, int]:
    """Width of what each slot of the objective compares; `code` is z^c's own."""
    static = codes.static.sample.shape[-1]
    action = codes.action.sample.shape[-1] if codes.action else 0
    widths = {"static": static, "code": static, "action": action}
    length, size = codes.dynamic.sample.shape[1:]
    term = spec.objective.dynamic
    samples = term and not takes_laws(term.registered.component.build)
    given = term.slot.given if samples else "none"
    extra = {"none": 0, "state": codes.dynamic.state.shape[-1], "path": size * (length - 1)}
    widths["dynamic"] = size + extra[given]
    term = spec.objective.independence
    by_step = term is None or term.slot.motion == "step"
    widths["independence"] = static + (size if by_step else size * length)
    return widths


@torch.no_grad()
def _trial(model: SequenceModel, batch: int) -> Pass:
    rows = min(batch, _TRIAL)
    x_BT = torch.zeros(rows, model.info.length, *model.info.frame_shape)
    was_training = model.training
    model.eval()  # running statistics must not see zeros
    passed: Pass = model(
        x_BT, torch.full((rows,), model.info.length), torch.Generator().manual_seed(0)
    )
    model.train(was_training)
    return passed


@contextmanager
def located(spec: Spec) -> Iterator[None]:
    """Turn a component's OptionError into a SpecError at the place of the option.

    So is an allocation that no machine has memory for, at the largest number of the spec.
    """
    try:
        yield
    except PlacedOptionError as error:
        raise SpecError([spec.problem(error.path, str(error))]) from error
    except OptionError as error:
        raise SpecError([spec.problem("", str(error))]) from error
    except (MemoryError, RuntimeError, TypeError) as error:
        if not isinstance(error, MemoryError) and not any(said in str(error) for said in _TOO_MUCH):
            raise
        path, number = max(
            _sizes({"data": plain(spec.data), "model": plain(spec.model)}), key=_second
        )
        said = (
            f"the data and the model want more memory than there is; the largest size is {number:,}"
        )
        raise SpecError([spec.problem(path, said, "lower it")]) from error


def _sizes(tree: Any, path: str = "") -> Iterator[tuple[str, int]]:
    """Path and value of every whole number."""
    if isinstance(tree, dict):
        for name, child in tree.items():
            yield from _sizes(child, f"{path}.{name}" if path else name)
    elif type(tree) is int:
        yield path, tree


def _second(pair: tuple[str, int]) -> int:
    return pair[1]
