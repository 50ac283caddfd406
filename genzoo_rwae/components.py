"""Components: plain functions and classes that a spec can name.

One rule makes a callable a component: **positional-only parameters are wired by the host,
keyword-only parameters are the user's options.** Nothing else is allowed in its signature, so that
what a YAML file may say can be read off the code.

>>> from genzoo_rwae.components import penalty, options_of
>>> @penalty("mean-gap")
... def mean_gap(q_ND, p_ND, /, *, power: float = 2.0):
...     '''Distance between two means.
...
...     Args:
...         power: exponent of the distance.
...     '''
...     return (q_ND.mean(0) - p_ND.mean(0)).norm() ** power
>>> [(option.name, option.default, option.help) for option in options_of(mean_gap)]
[('power', 2.0, 'exponent of the distance.')]
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import pluggy

from genzoo_rwae.errors import PluginError
from genzoo_rwae.kinds import KINDS

__all__ = [
    "MISSING",
    "Component",
    "Option",
    "Use",
    "action_head",
    "argument_texts",
    "augmentation",
    "component_of",
    "cost",
    "decoder",
    "dynamic_head",
    "encoder",
    "frame_decoder",
    "frame_encoder",
    "hookimpl",
    "hookspec",
    "judge",
    "kernel",
    "metric",
    "model",
    "optimizer",
    "options_of",
    "penalty",
    "prior",
    "schedule",
    "source",
    "static_head",
    "summary_of",
    "tracker",
    "wired_of",
]

hookspec = pluggy.HookspecMarker("genzoo_rwae")
hookimpl = pluggy.HookimplMarker("genzoo_rwae")

F = TypeVar("F", bound=Callable[..., Any])
MISSING: Any = inspect.Parameter.empty
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MARK = "__genzoo_component__"


@dataclass(frozen=True)
class Component:
    """The record of one registered part.

    Attributes:
        kind: a key of `KINDS`.
        name: kebab-case, what a spec calls it.
        build: the decorated callable itself.
        batched: (penalties) accepts [T, N, D] and returns [T]; the host loops over T otherwise.
        batch_coupled: (penalties) its value couples the whole batch, so it must see all ranks'
            codes at once. True unless the penalty is a mean over rows.
        fewest: (penalties of samples) rows that the estimate needs; steps that fewer sequences
            reach are left out.
    """

    kind: str
    name: str
    build: Callable[..., Any]
    batched: bool = False
    batch_coupled: bool = False
    fewest: int = 2


@dataclass(frozen=True)
class Use:
    """Marks an option as a choice of a component, as `Annotated[Kernel, Use("kernel")]`.

    Attributes:
        kind: which kind may stand there.
        of: a base class that the component has to be derived from, or None.
        slot: a keyword-only dataclass with further keys that stand beside `use` and belong to the
            place, not to the component (such as `weight`).
        many: a list of components stands there.
    """

    kind: str
    of: type | None = None
    slot: type | None = None
    many: bool = False


@dataclass(frozen=True)
class Option:
    """One keyword-only parameter: an option of the spec.

    `use` is set where a component is chosen, `group` where a mapping of further options stands.
    """

    name: str
    annotation: Any
    default: Any
    help: str
    use: Use | None = None
    group: type | None = None

    @property
    def required(self) -> bool:
        return self.default is MISSING


class KindDecorator:
    """Decorator that makes a callable a component of one kind; it stays callable as it is."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(
        self,
        name: str,
        *,
        batched: bool = False,
        batch_coupled: bool | None = None,
        fewest: int = 2,
    ) -> Callable[[F], F]:
        """Name the component.

        Args:
            name: kebab-case name, as a spec says it.
            batched: see `Component.batched`.
            batch_coupled: see `Component.batch_coupled`; by default True for penalties.
            fewest: see `Component.fewest`.

        Raises:
            PluginError: the name is not kebab-case, or the signature has a parameter that is
                neither positional-only nor keyword-only, or not what the host wires.
        """
        coupled = self.kind == "penalty" if batch_coupled is None else batch_coupled

        def register(build: F) -> F:
            record = Component(self.kind, name, build, batched, coupled, fewest)
            _check_record(record)
            setattr(build, _MARK, record)
            return build

        return register


model = KindDecorator("model")
encoder = KindDecorator("encoder")
frame_encoder = KindDecorator("frame-encoder")
static_head = KindDecorator("static-head")
dynamic_head = KindDecorator("dynamic-head")
action_head = KindDecorator("action-head")
augmentation = KindDecorator("augmentation")
prior = KindDecorator("prior")
decoder = KindDecorator("decoder")
frame_decoder = KindDecorator("frame-decoder")
cost = KindDecorator("cost")
penalty = KindDecorator("penalty")
kernel = KindDecorator("kernel")
source = KindDecorator("source")
metric = KindDecorator("metric")
judge = KindDecorator("judge")
tracker = KindDecorator("tracker")
optimizer = KindDecorator("optimizer")
schedule = KindDecorator("schedule")


def component_of(thing: object) -> Component | None:
    """The record of a decorated callable (or the record itself); None for anything else."""
    if isinstance(thing, Component):
        return thing
    record = getattr(thing, _MARK, None)
    # a subclass inherits the attribute, but is no component until it is decorated itself
    return record if isinstance(record, Component) and record.build is thing else None


def options_of(build: Callable[..., Any]) -> tuple[Option, ...]:
    """The options of a component or of a keyword-only dataclass, from its signature.

    Raises:
        PluginError: an option has no annotation, or one that cannot be evaluated.
    """
    texts = _option_texts(build)
    return tuple(
        _option(build, parameter, texts.get(parameter.name, ""))
        for parameter in _parameters(build)
        if parameter.kind is parameter.KEYWORD_ONLY
    )


def _option_texts(build: Callable[..., Any]) -> dict[str, str]:
    """What docstrings say of arguments; a class may leave those to the base that has them."""
    if not inspect.isclass(build):
        return argument_texts(inspect.getdoc(build) or "")
    texts: dict[str, str] = {}
    for base in reversed(build.__mro__):
        texts |= argument_texts(inspect.cleandoc(base.__doc__ or ""))
    return texts


@lru_cache(maxsize=1024)  # asked of schedules in every step of training
def wired_of(build: Callable[..., Any]) -> tuple[inspect.Parameter, ...]:
    """The positional-only parameters of a component, which the host wires."""
    return tuple(p for p in _parameters(build) if p.kind is p.POSITIONAL_ONLY)


def annotation_of(build: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """A parameter's annotation, evaluated where it was written; Any where there is none.

    Raises:
        PluginError: the annotation names something that does not exist at run time.
    """
    if parameter.annotation is MISSING:
        return Any
    names = _names_where_written(inspect.unwrap(build), parameter.name)
    holder = type("holder", (), {"__annotations__": {parameter.name: parameter.annotation}})
    try:
        return get_type_hints(holder, globalns=dict(names), include_extras=True)[parameter.name]
    except (NameError, TypeError, SyntaxError) as error:
        raise PluginError(
            f"{_place(build)}: the annotation of '{parameter.name}' cannot be evaluated ({error}); "
            "options need annotations whose names are imported at run time, not only under "
            "TYPE_CHECKING"
        ) from error


def _names_where_written(build: Callable[..., Any], parameter: str) -> dict[str, Any]:
    """The globals that an annotation means: those of a base class's module if it is inherited."""
    written = build
    if inspect.isclass(build) and dataclasses.is_dataclass(build):
        own = (c for c in build.__mro__ if parameter in vars(c).get("__annotations__", {}))
        written = next(own, build)
    elif inspect.isclass(build):
        written = inspect.unwrap(build.__init__)
    module = sys.modules.get(getattr(written, "__module__", ""))
    return getattr(written, "__globals__", vars(module) if module else {})


def summary_of(build: Callable[..., Any]) -> str:
    """The first line of a component's docstring."""
    text = inspect.getdoc(build) or ""
    return text.partition("\n")[0].strip()


def _check_record(record: Component) -> None:
    if record.kind not in KINDS:
        raise PluginError(f"no kind is called '{record.kind}'; known: {', '.join(KINDS)}")
    if not _NAME.fullmatch(record.name):
        raise PluginError(
            f"{_place(record.build)}: '{record.name}' is no name for a component; wanted "
            "kebab-case, as 'sliced-wasserstein'"
        )
    for parameter in _parameters(record.build):
        if parameter.name == "use":
            raise PluginError(
                f"{_place(record.build)}: the {record.kind} '{record.name}' has an option 'use', "
                "which is the key of a spec that chooses the component; give it another name"
            )
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.KEYWORD_ONLY):
            raise PluginError(
                f"{_place(record.build)}: parameter '{parameter}' of the {record.kind} "
                f"'{record.name}' is neither positional-only (wired by the host) nor keyword-only "
                "(an option of the spec); write it as (wired, /, *, option: type = default)"
            )
    kind, count = KINDS[record.kind], len(wired_of(record.build))
    counts = (kind.wired_class if inspect.isclass(record.build) else None) or kind.wired
    if not counts[0] <= count <= counts[1]:
        raise PluginError(
            f"{_place(record.build)}: the {record.kind} '{record.name}' has {count} "
            "positional-only parameters, which are those that the host wires; wanted "
            f"{kind.contract}, and options after /, *"
        )


def _parameters(build: Callable[..., Any]) -> list[inspect.Parameter]:
    if inspect.isclass(build):
        parameters = list(inspect.signature(build.__init__).parameters.values())[1:]
        # a class without an __init__ of its own shows object's (*args, **kwargs)
        return [] if build.__init__ is object.__init__ else parameters
    return list(inspect.signature(build).parameters.values())


def _option(build: Callable[..., Any], parameter: inspect.Parameter, text: str) -> Option:
    if parameter.annotation is MISSING:
        raise PluginError(
            f"{_place(build)}: option '{parameter.name}' has no annotation; its type is what a "
            "spec is checked against"
        )
    annotation = annotation_of(build, parameter)
    use = None
    if get_origin(annotation) is Annotated:
        use = next((mark for mark in get_args(annotation)[1:] if isinstance(mark, Use)), None)
    group = next((kind for kind in _alternatives(annotation) if _is_group(kind)), None)
    default = parameter.default
    if type(default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS":
        field = next(f for f in dataclasses.fields(build) if f.name == parameter.name)  # type: ignore[arg-type]
        assert field.default_factory is not dataclasses.MISSING
        default = field.default_factory()
    return Option(parameter.name, annotation, default, text, use, group)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """`Group | None` is a group that may be left out."""
    both = get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    return tuple(kind for kind in both if kind is not type(None))


def _is_group(annotation: Any) -> bool:
    return inspect.isclass(annotation) and dataclasses.is_dataclass(annotation)


def argument_texts(docstring: str) -> dict[str, str]:
    """The entries of the `Args:` (or `Attributes:`) section of a Google-style docstring."""
    texts: dict[str, str] = {}
    section, name = False, ""
    for line in docstring.splitlines():
        if line.strip() in ("Args:", "Attributes:"):
            section = True
        elif line and not line.startswith(" "):
            section = False
        elif section and (entry := re.match(r" {4}(\w+)(?: \(.*?\))?: (.*)", line)):
            name = entry[1]
            texts[name] = entry[2].strip()
        elif section and name and line.startswith(" " * 8):
            texts[name] += " " + line.strip()
    return texts


def _place(build: Callable[..., Any]) -> str:
    own_init = vars(build).get("__init__") if inspect.isclass(build) else build
    code = getattr(inspect.unwrap(own_init), "__code__", None) if own_init else None
    if code and not code.co_filename.startswith("<"):
        return f"{code.co_filename}:{code.co_firstlineno}"
    try:  # a class without an __init__ that somebody wrote: a dataclass, or an inherited one
        return f"{inspect.getsourcefile(build)}:{inspect.getsourcelines(build)[1]}"
    except (OSError, TypeError):
        return repr(build)
