"""Options come from signatures, and nothing that breaks the one rule becomes a component."""

import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Annotated, Any

import pytest

from genzoo_rwae import components
from genzoo_rwae.components import (
    KINDS,
    MISSING,
    Component,
    KindDecorator,
    Use,
    component_of,
    cost,
    encoder,
    kernel,
    metric,
    options_of,
    penalty,
    prior,
    schedule,
    static_head,
    summary_of,
    wired_of,
)
from genzoo_rwae.errors import PluginError


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Options of a group.

    Attributes:
        size: how wide.
        scales: which scales.
    """

    size: int = 4
    scales: list[float] = field(default_factory=lambda: [1.0, 2.0])


@penalty("sum-gap")
def sum_gap(
    q: float,
    p: float,
    /,
    *,
    power: float = 2.0,
    kernel: Annotated[Callable[..., Any], Use("kernel")] = max,
    inner: Inner = Inner(),
    count: int,
) -> float:
    """Distance of two sums.

    Args:
        power: exponent of the distance,
            in full.
        count: how often.

    Returns:
        count: not the option.
    """
    return float(abs(q - p) ** power * count)


@prior("base-prior", batch_coupled=True)
class BasePrior:
    """A prior."""

    def __init__(self, size: int, /, *, bound: float = 3.0) -> None:
        self.size, self.bound = size, bound


def options(build: Callable[..., Any]) -> dict[str, components.Option]:
    return {option.name: option for option in options_of(build)}


def test_keyword_only_parameters_are_options_and_positional_only_ones_are_wired():
    assert list(options(sum_gap)) == ["power", "kernel", "inner", "count"]
    assert [parameter.name for parameter in wired_of(sum_gap)] == ["q", "p"]


def test_a_class_is_read_by_its_init_without_self():
    assert list(options(BasePrior)) == ["bound"]
    assert [parameter.name for parameter in wired_of(BasePrior)] == ["size"]


def test_a_class_without_an_init_has_no_options():
    @kernel("bare")
    class Bare:
        """Nothing to say."""

    assert options_of(Bare) == ()
    assert wired_of(Bare) == ()


def test_an_option_without_a_default_is_required_and_others_keep_theirs():
    found = options(sum_gap)
    assert found["count"].required
    assert found["count"].default is MISSING
    assert not found["power"].required
    assert found["power"].default == 2.0


def test_an_option_whose_default_is_none_is_not_required():
    @penalty("maybe")
    def maybe(q: float, p: float, /, *, clip: float | None = None) -> float:
        return q

    assert not options(maybe)["clip"].required


def test_help_is_the_entry_under_args_with_its_further_lines_and_no_other_section():
    found = options(sum_gap)
    assert found["power"].help == "exponent of the distance, in full."
    assert found["count"].help == "how often."
    assert found["inner"].help == ""


def test_a_use_mark_makes_an_option_a_choice_of_a_component():
    assert options(sum_gap)["kernel"].use == Use("kernel")
    assert options(sum_gap)["power"].use is None


def test_a_keyword_only_dataclass_is_a_group_with_options_and_help_of_its_own():
    group = options(sum_gap)["inner"].group
    assert group is Inner
    inner = options(Inner)
    assert list(inner) == ["size", "scales"]
    assert inner["size"].help == "how wide."


def test_a_default_factory_is_called_for_the_default():
    scales = options(Inner)["scales"]
    assert scales.default == [1.0, 2.0]
    assert not scales.required
    assert scales.default is not options(Inner)["scales"].default


def test_a_decorated_function_is_the_function_itself():
    assert sum_gap(5.0, 2.0, count=3) == 27.0
    assert inspect.isfunction(sum_gap)
    assert BasePrior(2, bound=1.0).size == 2


def test_the_record_says_kind_name_and_callable():
    assert component_of(sum_gap) == Component("penalty", "sum-gap", sum_gap, batch_coupled=True)
    assert component_of(component_of(sum_gap)) is component_of(sum_gap)
    assert component_of(print) is None


def test_only_penalties_are_batch_coupled_unless_they_say_otherwise():
    @penalty("row-wise", batch_coupled=False)
    def row_wise(q: float, p: float, /) -> float:
        return q - p

    @prior("other-prior")
    class Other:
        def __init__(self, size: int, /) -> None:
            self.size = size

    assert component_of(sum_gap).batch_coupled
    assert not component_of(row_wise).batch_coupled
    assert not component_of(Other).batch_coupled
    assert component_of(BasePrior).batch_coupled


def test_a_subclass_of_a_component_is_none_until_it_is_decorated_itself():
    class Kid(BasePrior):
        pass

    assert component_of(Kid) is None
    assert component_of(prior("kid")(Kid)).name == "kid"
    assert component_of(BasePrior).name == "base-prior"


@pytest.mark.parametrize("name", ["Mmd", "m_md", "-mmd", "mmd-", "m--md", "", "mmd kl", "mmd\n"])
def test_a_name_that_is_not_kebab_case_is_refused_with_its_place(name: str):
    def build(q: float, /) -> float:
        return q

    line = build.__code__.co_firstlineno
    with pytest.raises(PluginError, match=rf"(?s){re.escape(__file__)}:{line}: .*kebab-case"):
        penalty(name)(build)


@pytest.mark.parametrize("name", ["mmd", "sliced-w2", "2d", "a-b-c"])
def test_kebab_case_names_are_taken(name: str):
    assert component_of(penalty(name)(lambda q, p, /: q)).name == name


def _plain(q, p):
    return q


def _star(q, /, *rest):
    return q


def _keywords(q, /, **rest):
    return q


class _Init:
    def __init__(self, size, /, bound=3):
        pass


@pytest.mark.parametrize(
    ("build", "parameter"),
    [(_plain, "q"), (_star, "*rest"), (_keywords, "**rest"), (_Init, "bound=3")],
)
def test_a_parameter_that_is_neither_is_refused_with_file_and_line(build: Any, parameter: str):
    code = getattr(build, "__code__", None) or build.__init__.__code__
    with pytest.raises(PluginError) as refused:
        penalty("wrong")(build)
    message = str(refused.value)
    assert message.startswith(f"{__file__}:{code.co_firstlineno}: parameter '{parameter}'")
    assert "neither positional-only" in message
    assert component_of(build) is None


def test_an_option_without_annotation_is_refused_with_its_place():
    @penalty("untyped")
    def untyped(q, p, /, *, power=2):
        return q

    line = untyped.__code__.co_firstlineno
    with pytest.raises(PluginError, match=f"{re.escape(__file__)}:{line}: option 'power' has no"):
        options_of(untyped)


def test_an_annotation_that_cannot_be_evaluated_is_refused_with_its_place():
    @penalty("absent-type")
    def absent(q, p, /, *, power: "OnlyUnderTypeChecking" = 2):  # noqa: F821
        return q

    line = absent.__code__.co_firstlineno
    with pytest.raises(PluginError, match=f"{re.escape(__file__)}:{line}: .*TYPE_CHECKING"):
        options_of(absent)


def test_a_class_that_inherits_its_init_is_refused_at_its_own_place():
    class Loose:
        def __init__(self, *sizes):
            pass

    class Kid(Loose):
        pass

    line = inspect.getsourcelines(Kid)[1]
    with pytest.raises(PluginError, match=rf"^{re.escape(__file__)}:{line}: parameter '\*sizes'"):
        penalty("kid")(Kid)


def test_a_group_without_evaluable_annotations_is_refused_at_its_class():
    @dataclass(kw_only=True)
    class Group:
        size: "Absent" = 1  # noqa: F821

    line = inspect.getsourcelines(Group)[1]
    with pytest.raises(PluginError, match=rf"^{re.escape(__file__)}:{line}: .*'size'"):
        options_of(Group)


def test_an_option_called_use_is_refused_since_no_spec_could_give_it():
    def build(q: float, /, *, use: str = "x") -> float:
        return q

    with pytest.raises(PluginError, match="'use'"):
        penalty("shadowing")(build)


@pytest.mark.parametrize(
    ("decorator", "build", "count"),
    [
        (encoder, lambda frame_shape, width, /: None, 2),
        (encoder, lambda *, width=3: None, 0),
        (static_head, lambda features, /, *, size=3: None, 1),
        (prior, lambda size, context, length, /: None, 3),
        (cost, lambda x, x_hat, lengths, /: None, 3),
        (metric, lambda model, /: None, 1),
        (schedule, lambda progress, step, /: None, 2),
        (penalty, lambda q, /: None, 1),
        (kernel, lambda x, /: None, 1),
        (kernel, lambda x, y, z, /: None, 3),
    ],
)
def test_parameters_that_the_host_would_not_wire_are_refused(
    decorator: Any, build: Any, count: int
) -> None:
    with pytest.raises(PluginError) as caught:
        decorator("mine")(build)
    message = str(caught.value)
    assert message.startswith(f"{__file__}:{build.__code__.co_firstlineno}: the {decorator.kind}")
    assert f"has {count} positional-only parameters" in message
    assert f"wanted {KINDS[decorator.kind].contract}, and options after /, *" in message


@pytest.mark.parametrize("kind", KINDS)
def test_a_function_and_a_class_may_have_what_the_host_wires_and_no_more(kind: str) -> None:
    def of_count(count: int, is_class: bool) -> Any:
        names = ", ".join(f"wired_{number}" for number in range(count))
        wired = f"{names}, /, *, option: int = 1" if count else "*, option: int = 1"
        code = f"def build({wired}): ...\nclass Build:\n    def __init__(self, {wired}): ..."
        written: dict[str, Any] = {}
        exec(code, written)
        return written["Build" if is_class else "build"]

    info, decorator = KINDS[kind], KindDecorator(kind)
    for is_class, (least, most) in ((False, info.wired), (True, info.wired_class or info.wired)):
        for count in range(most + 2):
            build = of_count(count, is_class)
            if least <= count <= most:
                assert component_of(decorator("mine")(build)).kind == kind
            else:
                with pytest.raises(PluginError, match=f"has {count} positional-only"):
                    decorator("mine")(build)


def test_an_unknown_kind_is_refused():
    with pytest.raises(PluginError, match="no kind is called 'penalties'; known: "):
        KindDecorator("penalties")("x")(lambda q, p, /: q)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_decorator_of_its_name(kind: str):
    decorator = getattr(components, kind.replace("-", "_"))
    assert isinstance(decorator, KindDecorator)
    assert decorator.kind == kind
    assert kind.replace("-", "_") in components.__all__


def test_the_summary_is_the_first_line_of_the_docstring():
    assert summary_of(sum_gap) == "Distance of two sums."
    assert summary_of(lambda: None) == ""


def test_an_inherited_init_is_read_with_the_names_of_its_own_module(tmp_path, monkeypatch):
    """Under postponed annotations the base's names need not be known where it is derived from."""
    (tmp_path / "genzoo_base_of_test.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from fractions import Fraction as F\n"
        "class Base:\n"
        "    def __init__(self, size, /, *, share: F = F(1, 2)):\n"
        "        pass\n"
        "@dataclass(kw_only=True)\n"
        "class Group:\n"
        "    share: F = F(1, 3)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    base = importlib.import_module("genzoo_base_of_test")

    class Kid(base.Base):
        pass

    @dataclass(kw_only=True)
    class KidGroup(base.Group):
        more: int = 1

    assert [option.annotation for option in options_of(Kid)] == [Fraction]
    assert [option.annotation for option in options_of(KidGroup)] == [Fraction, int]


def test_what_a_base_says_of_its_arguments_need_not_be_said_again():
    class Base:
        """A base.

        Args:
            share: of the base.
            width: of everything.
        """

        def __init__(self, size, /, *, share: float = 0.5, width: int = 2):
            pass

    class Kid(Base):
        """A kid.

        Args:
            share: of the kid.
        """

    class Silent(Base):
        pass

    assert [option.help for option in options_of(Kid)] == ["of the kid.", "of everything."]
    assert [option.help for option in options_of(Silent)] == ["of the base.", "of everything."]
