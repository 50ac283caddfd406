"""What a spec says, section by section: keyword-only dataclasses, read like a component's options.

The defaults of parts that every spec has (optimiser, schedule) are those that registry.yaml marks:
the host knows no component by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from genzoo_rwae.components import Use
from genzoo_rwae.errors import Problem
from genzoo_rwae.spec.located import Located, Place
from genzoo_rwae.spec.part import Part, scheduled

__all__ = [
    "KIND_DEFAULT",
    "DataSlot",
    "DynamicTermSlot",
    "IndependenceSlot",
    "Information",
    "JudgeSlot",
    "Labels",
    "Objective",
    "Price",
    "Spec",
    "TermSlot",
    "Train",
    "place_values",
]


class KindDefault:
    """Stands for the component that the catalogue marks as its kind's default."""

    def __repr__(self) -> str:
        return "the kind's default"


KIND_DEFAULT: Any = KindDefault()
Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what torch takes


@dataclass(frozen=True, kw_only=True)
class DataSlot:
    """Options of `data:` beside the source's own.

    Attributes:
        batch: sequences in a batch.
    """

    batch: PositiveInt = 64


@dataclass(frozen=True, kw_only=True)
class TermSlot:
    """Options of a term of the objective beside the penalty's own.

    Attributes:
        weight: factor of the term.
        warm_up: share of the run over which the factor rises from 0 to its full value.
        schedule: a further factor that follows the run's progress.
        target: value that the term is to have; the weight is raised while it is above and lowered
            while it is below.
        target_rate: largest relative change of the weight in a step on the way to `target`.
    """

    weight: Weight = 1.0
    warm_up: Fraction = 0.0
    schedule: Annotated[Any, Use("schedule")] = None
    target: PositiveFloat | None = None
    target_rate: Annotated[float, Field(gt=0, le=1)] = 0.01

    def factor(self, progress: float) -> float:
        """Warm-up times schedule when the share `progress` of the run is over."""
        rising = min(1.0, progress / self.warm_up) if self.warm_up else 1.0
        return rising * scheduled(self.schedule, progress)


@dataclass(frozen=True, kw_only=True)
class DynamicTermSlot(TermSlot):
    """Options of the dynamic term.

    Attributes:
        given: what is compared. `none`: per step, the codes with draws of the prior given each
            row's own past, histories marginalised (necessary, not sufficient). `state`: pairs of a
            code and the prior's state. `path`: whole paths with paths sampled from scratch.
        prior_gradient: `learn` lets the term train the prior as well; `stop` does not.
    """

    given: Literal["none", "state", "path"] = "state"
    prior_gradient: Literal["learn", "stop"] = "learn"


@dataclass(frozen=True, kw_only=True)
class IndependenceSlot(TermSlot):
    """Options of the independence term.

    Attributes:
        motion: what is to be independent of the static code: `step`, the dynamic code of every
            step (mean over steps), or `path`, all of them side by side.
    """

    motion: Literal["step", "path"] = "step"


@dataclass(frozen=True, kw_only=True)
class Price(TermSlot):
    """A price on the information in a code.

    Attributes:
        weight: price of a nat; 0: none.
        target: nats that the code is to have; the price is raised while it has more and lowered
            while it has less.
    """

    weight: Weight = 0.0

    def __str__(self) -> str:
        """What a table says of it."""
        if not self.weight:
            return "none"
        towards = f", controlled towards {self.target:g} nats" if self.target else ""
        prices = [self.weight * self.factor(share / 100) for share in range(101)]
        if min(prices) == max(prices):
            return f"{prices[0]:g} a nat{towards}"
        span = f"{min(prices):.3g} to {max(prices):.3g} a nat, {prices[-1]:.3g} at the end"
        return f"{span}{towards}"


@dataclass(frozen=True, kw_only=True)
class Information:
    """Prices λ E_x KL(q(z | x) ‖ P) on the information in the codes, in nats.

    Not part of the published R-WAE, whose divergences of aggregated posteriors reward information
    in a code: KL(Q_Z ‖ P) = E_x KL(q(z | x) ‖ P) − I(X; Z).

    Attributes:
        static: price on z^c.
        dynamic: price on z^m, all steps together.
    """

    static: Price = Price()
    dynamic: Price = Price()


@dataclass(frozen=True, kw_only=True)
class Labels:
    """A few labelled sequences, for models with actions: −weight · mean ln q(a = label).

    Attributes:
        factor: the factor of the data whose classes are the actions.
        share: share of the training sequences whose label is shown; which they are depends on the
            seed. A source that draws new sequences every epoch has so many labels in each of them.
        weight: factor of the term.
    """

    factor: str
    share: Annotated[float, Field(gt=0, le=1)] = 0.01
    weight: Weight = 1.0


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is minimised: the cost, and weighted divergences of aggregated codes from their priors.

    Attributes:
        cost: reconstruction cost per frame; summed over a sequence, mean over a batch.
        static: D(Q(z^c), P(z^c)).
        dynamic: sum over t of D(Q(z^m_t | z^m_<t), P(z^m_t | z^m_<t)).
        independence: D(Q(z^c, z^m), Q(z^c) Q(z^m)): the prior factorises, so its constraint is on
            the joint law.
        action: D(Q(a), P(a)) of models with actions; the prior is uniform.
        labels: labels of some sequences, which training then sees; without it it sees none.
        information: prices on the information in the codes, apart from the divergences.
    """

    cost: Annotated[Any, Use("cost")] = KIND_DEFAULT
    static: Annotated[Any, Use("penalty", slot=TermSlot)] = None
    dynamic: Annotated[Any, Use("penalty", slot=DynamicTermSlot)] = None
    independence: Annotated[Any, Use("penalty", slot=IndependenceSlot)] = None
    action: Annotated[Any, Use("penalty", slot=TermSlot)] = None
    labels: Labels | None = None
    information: Information = Information()

    def slots(self) -> dict[str, TermSlot]:
        """Path in the spec -> slot, of all terms that there are and both prices."""
        found = {
            f"objective.{name}": getattr(self, name).slot
            for name in ("static", "dynamic", "independence", "action")
            if getattr(self, name) is not None
        }
        prices = vars(self.information).items()
        return found | {f"objective.information.{code}": price for code, price in prices}


@dataclass(frozen=True, kw_only=True)
class Train:
    """How long and how the model is trained. The first limit that is reached ends the run.

    Attributes:
        epochs: limit in passes over the training split.
        steps: limit in optimisation steps.
        minutes: limit in minutes of training, those of earlier sessions of the run included.
        optimizer: the optimiser.
        schedule: factor on the learning rate over the run's progress (in steps or epochs).
        clip: largest norm of the gradient; null does not clip.
        seed: of weights, data order and all draws.
        precision: `bf16` runs the nets (never the penalties) in bfloat16 autocast; `auto` takes it
            where a short trial at the start finds it faster than float32.
        layout: memory layout of images; `auto` is channels-last.
        threads: CPU threads; null tries a batch on one, two, four and so on, and takes more only
            where they pay. A run goes on with those that it began with.
        compile: try torch.compile on the nets (never the penalties) when training starts, for up to
            a minute or so. What is faster in the trial is kept, and said; where nothing can be
            compiled the run goes on as it would without. On one rank alone.
        validate_every: epochs between measurements on the validation split.
        save_every: seconds between checkpoints.
    """

    epochs: PositiveInt | None = None
    steps: PositiveInt | None = None
    minutes: PositiveFloat | None = None
    optimizer: Annotated[Any, Use("optimizer")] = KIND_DEFAULT
    schedule: Annotated[Any, Use("schedule")] = KIND_DEFAULT
    clip: PositiveFloat | None = None
    seed: Seed = 0
    precision: Literal["auto", "bf16", "float32"] = "auto"
    layout: Literal["auto", "channels-last", "contiguous"] = "auto"
    threads: PositiveInt | None = None
    compile: bool = False
    validate_every: PositiveInt = 1
    save_every: NonNegativeFloat = 60.0


@dataclass(frozen=True, kw_only=True)
class JudgeSlot:
    """How the judge is trained, on all factors of the training split.

    Attributes:
        steps: most optimisation steps; the learning rate falls to 0 over them, along a cosine.
        batch: sequences in a batch.
        lr: learning rate of Adam.
        seed: of its weights and of the order of the data.
        enough: accuracy on validation sequences that ends the training, once all factors have it
            twice in a row.
    """

    steps: PositiveInt = 1_000
    batch: Annotated[int, Field(ge=2)] = 64
    lr: PositiveFloat = 1e-3
    seed: Seed = 0
    enough: Fraction = 0.999


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A whole spec.

    Attributes:
        genzoo: version of the spec language.
        name: the run's name, and its folder's unless `-o` says another.
        description: for people; shown in the report and the model card.
        plugins: files (relative to the spec) and modules that the spec's parts come from.
        data: where the sequences come from.
        model: the model and its parts.
        objective: what is minimised.
        train: how long and how.
        evaluate: what is measured when training has ended.
        judge: the classifier by whose word metrics go that ask for one; trained when one does, and
            kept for all runs on the same data.
        trackers: who else gets every row of metrics.jsonl.
        resolved: written by genzoo into a run folder: versions, hashes, shapes of the data.
    """

    genzoo: Literal[1]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    description: str = ""
    plugins: list[str] = field(default_factory=list)
    data: Annotated[Any, Use("source", slot=DataSlot)]
    model: Annotated[Any, Use("model")]
    objective: Objective
    train: Train
    evaluate: Annotated[Any, Use("metric", many=True)] = ()
    judge: Annotated[Any, Use("judge", slot=JudgeSlot)] = KIND_DEFAULT
    trackers: Annotated[Any, Use("tracker", many=True)] = ()
    resolved: dict[str, Any] | None = None
    places: dict[str, Located] = field(init=False, repr=False, compare=False, default_factory=dict)

    def place(self, path: str) -> Place:
        """Where a value was written; for a default, where the nearest mapping round it was."""
        while path and path not in self.places:
            path = path.rpartition(".")[0]
        node = self.places.get(path)
        return node.key if node else Place()

    def problem(self, path: str, message: str, hint: str = "") -> Problem:
        """A problem at the place of a value."""
        node = self.places.get(f"{path}.use") or self.places.get(path)
        place = node.place if node and not isinstance(node.value, dict) else self.place(path)
        return place.problem(path, message, hint)

    def parts(self) -> list[Part]:
        """All parts of the spec, nested ones after those that hold them."""
        found: list[Part] = []
        _collect(self, found)
        return found


def place_values(spec: Spec, places: dict[str, Located]) -> None:
    """Tell a spec where its values were written; done once, when it is made."""
    object.__setattr__(spec, "places", places)


def _collect(thing: object, found: list[Part]) -> None:
    if isinstance(thing, Part):
        found.append(thing)
        for value in thing.options.values():
            _collect(value, found)
        _collect(thing.slot, found)
    elif isinstance(thing, list | tuple):
        for value in thing:
            _collect(value, found)
    elif hasattr(thing, "__dataclass_fields__"):
        for name in thing.__dataclass_fields__:
            if name != "places":
                _collect(getattr(thing, name), found)
