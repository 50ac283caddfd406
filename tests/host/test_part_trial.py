"""What a plugin's parts make: compared with what their kind promises, and named where it differs.

Shapes: B batch, T time, N frames, H features, D code width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from genzoo_rwae import (
    DiagonalGaussian,
    DynamicPrior,
    StaticPrior,
    action_head,
    augmentation,
    decoder,
    dynamic_head,
    encoder,
    frame_decoder,
    frame_encoder,
    judge,
    optimizer,
    prior,
    schedule,
    static_head,
    tracker,
)
from genzoo_rwae.components import Component, component_of, wired_of
from genzoo_rwae.errors import OptionError, PluginError
from genzoo_rwae.spec.part import Part, scheduled
from genzoo_rwae.testing.net_subject import NetSubject
from genzoo_rwae.testing.nets import FRAME_SHAPES
from genzoo_rwae.testing.parts import part_of
from genzoo_rwae.zoo import Plugin, Registered, Zoo

Write = Callable[[str, str], Path]
Genzoo = Callable[..., Any]

FRAMES, CODES = torch.rand(2, 4, 3, 8, 8), torch.rand(2, 4, 5)
FEATURES = torch.rand(6, 7)
LENGTHS = torch.tensor([4, 3])
WIRED = {
    "encoder": ((3, 8, 8),),
    "frame-encoder": ((3, 8, 8),),
    "static-head": (5, 2),
    "dynamic-head": (5, 2),
    "action-head": (5, 9),
    "decoder": (5, (3, 8, 8)),
    "frame-decoder": (7, (3, 8, 8)),
}
SEEN = {
    "encoder": (FRAMES, LENGTHS),
    "frame-encoder": (FRAMES.flatten(0, 1),),
    "static-head": (CODES, LENGTHS),
    "dynamic-head": (CODES, LENGTHS, None),
    "action-head": (CODES, LENGTHS),
    "decoder": (CODES,),
    "frame-decoder": (FEATURES,),
}
DECORATORS = {
    "encoder": encoder,
    "frame-encoder": frame_encoder,
    "static-head": static_head,
    "dynamic-head": dynamic_head,
    "action-head": action_head,
    "decoder": decoder,
    "frame-decoder": frame_decoder,
}


MINE = Plugin("mine", "python", "mine.py")


def part(build: Callable[..., Any], origin: Any = "python") -> Part:
    component = component_of(build)
    assert component
    return Part(Registered(component, Plugin("mine", origin, "mine.py")), {}, "model.here")


def net_that_gives(kind: str, made: object, width: object = 7) -> Callable[..., Any]:
    class Net(nn.Module):
        def __init__(self, *wired: object) -> None:
            super().__init__()
            if width is not None:
                self.width = width

        def forward(self, *given: object) -> object:
            return made

    def build(one: object, /) -> nn.Module:
        return Net()

    def build_of_two(one: object, two: object, /) -> nn.Module:
        return Net()

    return DECORATORS[kind]("mine")(build if len(WIRED[kind]) == 1 else build_of_two)


def law(*shape: int) -> DiagonalGaussian:
    return DiagonalGaussian(torch.zeros(shape), torch.zeros(shape))


RIGHT = {
    "encoder": torch.zeros(2, 4, 7),
    "frame-encoder": torch.zeros(8, 7),
    "static-head": law(2, 2),
    "dynamic-head": (torch.zeros(2, 4, 2), law(2, 4, 2)),
    "action-head": torch.zeros(2, 9),
    "decoder": torch.zeros(2, 4, 3, 8, 8),
    "frame-decoder": torch.zeros(6, 3, 8, 8),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_a_net_that_gives_what_its_kind_promises_is_left_as_it_is(kind: str) -> None:
    net = part(net_that_gives(kind, RIGHT[kind]))(*WIRED[kind])
    assert net(*SEEN[kind]) is RIGHT[kind]
    assert not net._forward_hooks  # every step would pay for it


@pytest.mark.parametrize(
    ("kind", "made", "said"),
    [
        ("encoder", torch.zeros(2, 7), r"gives a tensor \[2, 7\]; wanted features \[2, 4, 7\] of"),
        ("encoder", (torch.zeros(2, 4, 7), None), r"gives \(a tensor \[2, 4, 7\], None\); wanted"),
        ("encoder", None, "gives None; wanted .*: has it a return?"),
        ("encoder", torch.zeros(2, 4, 7).long(), r"gives torch.int64 \[2, 4, 7\]; wanted features"),
        ("frame-encoder", torch.zeros(2, 4, 7), r"wanted features \[8, 7\] of what it sees, \[8"),
        (
            "static-head",
            torch.zeros(2, 2),
            r"\[2, 2\]; wanted a law \[2, 2\] .* a DiagonalGaussian",
        ),
        ("static-head", law(2, 3), r"a DiagonalGaussian of mean a tensor \[2, 3\]; wanted a law"),
        ("dynamic-head", law(2, 4, 2), r"wanted a path and its laws \[2, 4, 2\] .*as a tensor and"),
        ("dynamic-head", (torch.zeros(2, 3, 2), law(2, 4, 2)), r"\(a tensor \[2, 3, 2\], a Diag"),
        ("action-head", torch.zeros(2, 8), r"wanted logits \[2, 9\]"),
        ("decoder", torch.zeros(2, 4, 8, 8, 3), r"wanted frames \[2, 4, 3, 8, 8\]"),
        ("frame-decoder", torch.zeros(6, 192), r"wanted frames \[6, 3, 8, 8\]"),
    ],
)
def test_a_net_that_gives_something_else_is_named(kind: str, made: object, said: str) -> None:
    net = part(net_that_gives(kind, made))(*WIRED[kind])
    with pytest.raises(PluginError, match=f"the {kind} 'mine' of plugin 'mine' .*{said}"):
        net(*SEEN[kind])
    assert part(net_that_gives(kind, made), "kit")(*WIRED[kind])(*SEEN[kind]) is made


@pytest.mark.parametrize(
    ("width", "said"),
    [(None, "no width"), (7.0, "width 7.0"), (0, "width 0"), ("7", "width '7'")],
)
@pytest.mark.parametrize("kind", ["encoder", "frame-encoder"])
def test_an_encoder_without_a_width_is_named(kind: str, width: object, said: str) -> None:
    with pytest.raises(PluginError, match=f"{said}; wanted the number of features"):
        part(net_that_gives(kind, RIGHT[kind], width))(*WIRED[kind])


def test_what_makes_no_module_is_named() -> None:
    @encoder("mine")
    def mine(frame_shape: object, /) -> object:
        return RIGHT["encoder"]

    with pytest.raises(PluginError, match=r"gives a tensor \[2, 4, 7\]; wanted a torch.nn.Module"):
        part(mine)((3, 8, 8))


class Static(StaticPrior):
    made: object = law(2, 3)

    def __init__(self, size: int, /) -> None:
        super().__init__()

    def law(self, count: int) -> Any:
        return self.made


class Dynamic(DynamicPrior):
    made: object = (law(2, 3, 3), torch.zeros(2, 3, 1))
    path, path_on = torch.zeros(2, 4, 3), torch.zeros(2, 4, 3)
    told: int | None = None

    def __init__(self, size: int, context: int = 0, /) -> None:
        super().__init__()

    def _hear(self, context_BC: torch.Tensor | None) -> None:
        assert (None if context_BC is None else context_BC.shape[1]) == self.told

    def along(self, z_BTD: Any, context_BC: Any = None) -> Any:
        self._hear(context_BC)
        assert not self.training
        return self.made

    def roll_out(
        self, count: int, length: int, draw: Any, start_BTD: Any = None, context_BC: Any = None
    ) -> Any:
        self._hear(context_BC)
        torch.rand(1)
        return self.path if start_BTD is None else self.path_on


def prior_with(base: type, **attributes: object) -> Any:
    return prior("mine")(type("Mine", (base,), attributes))


@pytest.mark.parametrize("base", [Static, Dynamic])
def test_a_prior_that_keeps_its_promises_is_left_as_it_is(base: type) -> None:
    before = torch.random.get_rng_state()
    made = part(prior_with(base))(3)
    assert made.training
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_prior_that_is_told_something_is_tried_with_it() -> None:
    assert part(prior_with(Dynamic, told=5))(3, 5)
    with pytest.raises(AssertionError):
        part(prior_with(Dynamic, told=4))(3, 5)


@pytest.mark.parametrize(
    ("base", "attributes", "said"),
    [
        (
            Static,
            {"made": law(2, 4)},
            r"law\(2\) of .* gives a law of a tensor \[2, 4\]; wanted one",
        ),
        (Static, {"made": None}, r"law\(2\) of the prior 'mine' .* gives None; wanted a law, as"),
        (Static, {"made": torch.zeros(2, 3)}, r"gives a tensor \[2, 3\]; wanted a law, as Diag"),
        (Dynamic, {"made": law(2, 3, 3)}, r"along\(z_BTD\) of .* \[2, 3, 3\] and a tensor of st"),
        (
            Dynamic,
            {"made": (law(2, 3, 4), torch.zeros(2, 3, 1))},
            r"wanted one of values \[2, 3, 3\]",
        ),
        (Dynamic, {"made": (law(2, 3, 3), torch.zeros(2, 1))}, r"wanted a tensor \[2, 3, S\]"),
        (
            Dynamic,
            {"made": (law(2, 3, 3), None)},
            r"along\(z_BTD\) of .* gives None; wanted a tens",
        ),
        (Dynamic, {"path": torch.zeros(2, 3, 3)}, r"roll_out\(2, 4, draw\) of .* \[2, 3, 3\]; wan"),
        (Dynamic, {"path_on": torch.zeros(2, 7, 3)}, r"draw, start_BTD\).* the start not repeated"),
    ],
)
def test_what_a_prior_gives_that_is_wrong_is_named(
    base: type, attributes: dict[str, Any], said: str
) -> None:
    with pytest.raises(PluginError, match=said):
        part(prior_with(base, **attributes))(3)
    assert part(prior_with(base, **attributes), "built-in")(3)


@pytest.mark.parametrize("made", [None, FRAMES[:1], FRAMES.mul(255).byte(), FRAMES.numpy()])
def test_an_augmentation_that_gives_other_frames_is_named(made: object) -> None:
    @augmentation("mine")
    def mine(x_BT: object, generator: object, /) -> object:
        return made

    with pytest.raises(PluginError, match=r"wanted a tensor of floats \[2, 4, 3, 8, 8\], the sha"):
        part(mine)(FRAMES, torch.Generator())


def test_an_augmentation_that_gives_frames_like_those_it_saw_may_do_so() -> None:
    @augmentation("mine")
    def mine(x_BT: torch.Tensor, generator: object, /) -> torch.Tensor:
        return 1 - x_BT

    assert torch.equal(part(mine)(FRAMES, torch.Generator()), 1 - FRAMES)


@pytest.mark.parametrize("factor", [None, "1", float("nan"), torch.ones(2)])
def test_a_schedule_that_gives_no_number_is_named(factor: object) -> None:
    @schedule("mine")
    def mine(progress: float, /) -> object:
        return factor

    with pytest.raises(PluginError, match=r"the schedule 'mine' .* wanted a number, the factor"):
        scheduled(part(mine), 0.5)


def test_a_schedule_may_give_numbers_of_any_kind() -> None:
    @schedule("mine")
    def mine(progress: float, /) -> object:
        return torch.tensor(0.5).numpy()[()]

    assert scheduled(part(mine), 0.5) == 0.5


@pytest.mark.parametrize(
    ("decorator", "said"),
    [
        (optimizer, "wanted a torch.optim.Optimizer"),
        (judge, "wanted a torch.nn.Module"),
        (tracker, r"wanted an object with the methods log\(row\) and close\(\)"),
    ],
)
def test_what_makes_something_else_is_named(decorator: Any, said: str) -> None:
    @decorator("mine")
    def mine(wired: object, /) -> object:
        return object()

    with pytest.raises(PluginError, match=f"'mine' of plugin 'mine' .* gives a object; {said}"):
        part(mine)([nn.Parameter(torch.zeros(1))])


def test_what_an_optimizer_judge_or_tracker_has_to_be_it_may_be() -> None:
    @tracker("mine")
    class Mine:
        def __init__(self, run: object, /) -> None: ...

        def log(self, row: object) -> None: ...

        def close(self) -> None: ...

    @optimizer("mine")
    def mine(parameters: Any, /) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, 0.1)

    @judge("mine")
    def judging(info: object, /) -> nn.Module:
        return nn.Identity()

    assert isinstance(part(Mine)("run"), Mine)
    assert isinstance(part(mine)([nn.Parameter(torch.zeros(1))]), torch.optim.SGD)
    assert isinstance(part(judging)(None), nn.Identity)


ENCODER = """\
from torch import nn
from genzoo_rwae import encoder, hookimpl


@encoder("mine")
class Mine(nn.Module):
    def __init__(self, frame_shape, /):
        super().__init__()
        self.width = 7

    def forward(self, x_BT, lengths_B):
        return x_BT.flatten(2)[..., :5]


@hookimpl
def genzoo_encoders():
    yield Mine
"""


def test_a_check_names_an_encoder_that_gives_something_else(
    write: Write, tiny: str, genzoo: Genzoo
) -> None:
    write("mine.py", ENCODER)
    frame = "{use: frame, frames: {use: mlp, width: 8}}"
    spec = write("spec.yaml", tiny.replace(f"encoder: {frame}", "encoder: mine"))
    ended = genzoo("check", spec, "-p", spec.parent / "mine.py")
    assert ended.code == 3
    assert "the encoder 'mine' of plugin 'mine'" in ended.err
    assert "5]; wanted features [" in ended.err


BUILT_IN = [
    of.component
    for kind in (*RIGHT, "prior", "augmentation", "optimizer", "schedule")
    for of in Zoo(use_entry_points=False).all(kind)
]


@pytest.mark.parametrize("component", BUILT_IN, ids=lambda of: f"{of.kind}-{of.name}")
def test_what_comes_with_the_package_keeps_what_its_kind_promises(component: Component) -> None:
    """As if it were a plugin's."""
    of_kit = part_of(component, {"points": ((0.0, 1.0),)} if component.name == "piecewise" else {})
    tried = replace(of_kit, registered=replace(of_kit.registered, plugin=MINE))
    if component.kind in RIGHT:
        subject = NetSubject(tried, FRAME_SHAPES)
        setting = subject.usual()
        subject.face.call(subject.net(setting), subject.inputs(setting), setting.lengths_of_rows)
        assert not subject.net(setting)._forward_hooks
    elif component.kind == "prior":
        for wired in ((3,), (3, 5))[: len(wired_of(component.build))]:
            assert isinstance(tried(*wired), StaticPrior | DynamicPrior)
    elif component.kind == "augmentation":
        refused = 0  # some are for vectors alone, some for images
        for frames in (FRAMES, FRAMES.flatten(2)):
            try:
                tried(frames, torch.Generator())
            except OptionError:
                refused += 1
        assert refused < 2
    elif component.kind == "optimizer":
        tried([nn.Parameter(torch.zeros(1))])
    else:
        assert 0 <= scheduled(tried, 0.5) <= 1
