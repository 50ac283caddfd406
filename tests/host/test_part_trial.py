"""What a plugin's parts make: compared with what their kind promises, and named where it differs.

Shapes: B batch, T time, N frames, H features, D code width.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
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

    globals()["Net"] = Net  # where pickle looks
    Net.__qualname__ = "Net"

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


WRONG_SPREADS = (torch.zeros(2, 3), torch.zeros(3, 1), torch.zeros(1, 2, 2), -4.0, None)


@pytest.mark.parametrize(
    ("kind", "made", "said"),
    [
        (
            "encoder",
            torch.zeros(2, 7),
            r"gives a tensor \[2, 7\]; wanted features \[2, 4, 7\] in fl",
        ),
        ("encoder", (torch.zeros(2, 4, 7), None), r"gives \(a tensor \[2, 4, 7\], None\); wanted"),
        ("encoder", None, "gives None; wanted .*: has it a return?"),
        (
            "encoder",
            torch.zeros(2, 4, 7).long(),
            r"gives a tensor of torch.int64 \[2, 4, 7\]; want",
        ),
        ("encoder", torch.zeros(2, 4, 7).double(), r"gives a tensor of torch.float64 \[2, 4, 7\]"),
        ("frame-encoder", torch.zeros(2, 4, 7), r"\[8, 7\] in float32 of what it sees, \[8"),
        (
            "static-head",
            torch.zeros(2, 2),
            r"wanted a DiagonalGaussian\(mean, log_variance\) of val",
        ),
        (
            "static-head",
            law(2, 3),
            r"a DiagonalGaussian of mean a tensor \[2, 3\], log-variance a te",
        ),
        *(
            (
                "static-head",
                DiagonalGaussian(torch.zeros(2, 2), spread),
                "log-variance .*; wanted a",
            )  # type: ignore[arg-type]
            for spread in WRONG_SPREADS
        ),
        (
            "dynamic-head",
            law(2, 4, 2),
            r"wanted a path and the DiagonalGaussian.* \[2, 4, 2\] in fl",
        ),
        ("dynamic-head", (torch.zeros(2, 3, 2), law(2, 4, 2)), r"\(a tensor \[2, 3, 2\], a Diag"),
        ("dynamic-head", (torch.zeros(2, 4, 2), law(2, 3, 2)), r"mean a tensor \[2, 3, 2\], log-v"),
        ("dynamic-head", [torch.zeros(2, 4, 2)], r"gives \(a tensor \[2, 4, 2\]\); wanted a path"),
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
    ("kind", "made"),
    [
        ("encoder", torch.zeros(2, 4, 7).bfloat16()),
        ("static-head", DiagonalGaussian(torch.zeros(2, 2), torch.zeros(1))),
        ("static-head", DiagonalGaussian(torch.zeros(2, 2), torch.zeros(()))),
        ("dynamic-head", [torch.zeros(2, 4, 2), law(2, 4, 2)]),
    ],
)
def test_what_the_host_can_work_with_may_be_given(kind: str, made: object) -> None:
    assert part(net_that_gives(kind, made))(*WIRED[kind])(*SEEN[kind]) is made


def test_a_width_may_be_a_number_of_numpy() -> None:
    net = part(net_that_gives("encoder", RIGHT["encoder"], np.int64(7)))(*WIRED["encoder"])
    net(*SEEN["encoder"])


def test_the_copy_of_a_net_is_compared_as_well_and_once() -> None:
    net = part(net_that_gives("encoder", torch.zeros(2, 7)))(*WIRED["encoder"])
    for each in (deepcopy(net), pickle.loads(pickle.dumps(deepcopy(net))), net):
        with pytest.raises(PluginError, match="wanted features"):
            each(*SEEN["encoder"])
        assert not each._forward_hooks


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_compiled_script_is_no_net_that_can_be_compared() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.width = 192

        def forward(self, x_BT: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
            return x_BT.flatten(2)

    @encoder("mine")
    def mine(frame_shape: object, /) -> object:
        return torch.jit.script(Flat())

    assert part(mine)((3, 8, 8))(*SEEN["encoder"]).shape == (2, 4, 192)


@pytest.mark.parametrize(
    ("width", "said"),
    [
        (None, "no width"),
        (7.0, "the width 7.0"),
        (0, "the width 0"),
        ("7", "the width '7'"),
        (True, "the width True"),
    ],
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


@dataclass
class Odd:
    """A law of one's own that gives what it is told."""

    shape: tuple[int, ...]
    sampled: Any = None
    density: Any = None

    def typical(self) -> torch.Tensor:
        return torch.zeros(self.shape)

    def sample(self, generator: torch.Generator | None = None) -> Any:
        return torch.randn(self.shape) if self.sampled is None else self.sampled

    def log_density(self, z: torch.Tensor) -> Any:
        return torch.zeros(z.shape[:-1]) if self.density is None else self.density


class Flat:
    def typical(self) -> torch.Tensor:
        return torch.zeros(3, 5)


class Static(StaticPrior):
    made: object = law(3, 5)

    def __init__(self, size: int, /) -> None:
        super().__init__()

    def law(self, count: int) -> Any:
        assert not torch.is_grad_enabled()
        assert not self.training
        return self.made


class Dynamic(DynamicPrior):
    made: object = (law(3, 2, 5), torch.zeros(3, 2, 1))
    told: int | None = None

    def __init__(self, size: int, context: int = 0, /) -> None:
        super().__init__()

    def along(self, z_BTD: Any, context_BC: Any = None) -> Any:
        assert (None if context_BC is None else context_BC.shape[1]) == self.told
        assert not torch.is_grad_enabled()
        assert not self.training
        torch.rand(1)
        return self.made

    def roll_out(self, *given: Any, **more: Any) -> Any:
        raise AssertionError("a prior may want to be fitted before it is sampled")


class Resting(Static):
    def __init__(self, size: int, /) -> None:
        super().__init__(size)
        self.eval()


def prior_with(base: type, **attributes: object) -> Any:
    return prior("mine")(type("Mine", (base,), attributes))


@pytest.mark.parametrize(
    ("base", "attributes"),
    [
        (Static, {}),
        (Static, {"made": Odd((3, 5))}),
        (Static, {"made": DiagonalGaussian(torch.zeros(3, 5), torch.zeros(5))}),
        (Resting, {}),
        (Dynamic, {}),
        (Dynamic, {"made": [law(3, 2, 5), torch.zeros(3, 2, 7)]}),
        (Dynamic, {"made": (Odd((3, 2, 5)), torch.zeros(3, 2, 1))}),
    ],
)
def test_a_prior_that_keeps_its_promises_is_left_as_it_is(
    base: type, attributes: dict[str, Any]
) -> None:
    before = torch.random.get_rng_state()
    made = part(prior_with(base, **attributes))(5)
    assert made.training == (base is not Resting)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_prior_that_is_told_something_is_tried_with_it() -> None:
    assert part(prior_with(Dynamic, told=4))(5, 4)
    with pytest.raises(AssertionError):
        part(prior_with(Dynamic, told=3))(5, 4)


STATES = torch.zeros(3, 2, 1)


@pytest.mark.parametrize(
    ("base", "attributes", "said"),
    [
        (
            Static,
            {"made": law(3, 4)},
            r"law\(3\) of .* gives a Diag.*; wanted a law of values \[3, 5",
        ),
        (Static, {"made": law(2, 5)}, r"wanted a law of values \[3, 5\] in float32"),
        (Static, {"made": None}, r"law\(3\) of the prior 'mine' .* gives None; wanted a law, as"),
        (Static, {"made": torch.zeros(3, 5)}, r"gives a tensor \[3, 5\]; wanted a law, as Diag"),
        (Static, {"made": Flat()}, "gives a Flat; wanted a law, as Diagonal"),
        (Static, {"made": Odd((3, 4))}, r"typical\(\) of the law of law\(3\) of .*; wanted values"),
        (
            Static,
            {"made": Odd((3, 5), sampled=STATES)},
            r"sample\(generator\) of the law of law\(3",
        ),
        (
            Static,
            {"made": Odd((3, 5), density=STATES)},
            r"log_density\(z\) .*wanted densities \[3\]",
        ),
        (
            Static,
            {"made": DiagonalGaussian(torch.zeros(3, 5).double(), torch.zeros(3, 5).double())},
            r"a tensor of torch.float64 \[3, 5\]",
        ),
        *(
            (Static, {"made": DiagonalGaussian(torch.zeros(3, 5), spread)}, "log-variance .*wanted")  # type: ignore[arg-type]
            for spread in (torch.zeros(3, 4), torch.zeros(2, 5), None, 0.0)
        ),
        (
            Dynamic,
            {"made": law(3, 2, 5)},
            r"along\(z_BTD\) of .* \[3, 2, 5\] and states \[3, 2, S\]",
        ),
        (Dynamic, {"made": (law(3, 2, 4), STATES)}, r"wanted a law of values \[3, 2, 5\]"),
        (Dynamic, {"made": (law(3, 3, 5), STATES)}, r"wanted a law of values \[3, 2, 5\]"),
        (
            Dynamic,
            {"made": (law(3, 2, 5), torch.zeros(3, 1))},
            r"beside its law, .*wanted states \[",
        ),
        (
            Dynamic,
            {"made": (law(3, 2, 5), torch.zeros(3, 3, 1))},
            r"wanted states \[3, 2, S\] in f",
        ),
        (
            Dynamic,
            {"made": (law(3, 2, 5), torch.zeros(2, 2, 1))},
            r"wanted states \[3, 2, S\] in f",
        ),
        (
            Dynamic,
            {"made": (law(3, 2, 5), None)},
            r"along\(z_BTD\) of .* gives None; wanted states",
        ),
    ],
)
def test_what_a_prior_gives_that_is_wrong_is_named(
    base: type, attributes: dict[str, Any], said: str
) -> None:
    with pytest.raises(PluginError, match=said):
        part(prior_with(base, **attributes))(5)
    assert part(prior_with(base, **attributes), "built-in")(5)


@pytest.mark.parametrize(
    "made",
    [None, FRAMES[:1], FRAMES.mul(255).byte(), FRAMES.numpy(), FRAMES.double(), FRAMES.half()],
)
def test_an_augmentation_that_gives_other_frames_is_named(made: object) -> None:
    @augmentation("mine")
    def mine(x_BT: object, generator: object, /) -> object:
        return made

    with pytest.raises(PluginError, match="wanted frames of the shape and the dtype of th"):
        part(mine)(FRAMES, torch.Generator())


def test_an_augmentation_that_gives_frames_like_those_it_saw_may_do_so() -> None:
    @augmentation("mine")
    def mine(x_BT: torch.Tensor, generator: object, /) -> torch.Tensor:
        return 1 - x_BT

    assert torch.equal(part(mine)(FRAMES, torch.Generator()), 1 - FRAMES)


@pytest.mark.parametrize("factor", [None, "1", float("nan"), torch.ones(2), [0.5], -1.0])
@pytest.mark.parametrize("hears", [True, False])
def test_a_schedule_that_gives_no_number_is_named(factor: object, hears: bool) -> None:
    build = (lambda progress, /: factor) if hears else (lambda: factor)
    with pytest.raises(PluginError, match=r"the schedule 'mine' .* wanted a number, the factor"):
        scheduled(part(schedule("mine")(build)), 0.5)


@pytest.mark.parametrize("factor", [torch.tensor(0.5), np.array(0.5), np.float32(0.5), 0.5])
def test_a_schedule_may_give_a_number_of_any_kind(factor: object) -> None:
    @schedule("mine")
    def mine(progress: float, /) -> object:
        return factor

    assert scheduled(part(mine), 0.5) == 0.5


class Logs:
    def log(self, row: object) -> None: ...


class Closes:
    def close(self) -> None: ...


class Tracks(Logs, Closes):
    pass


class WithoutRates(torch.optim.Optimizer):
    def step(self, closure: Any = None) -> None: ...


OWN, OTHER = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))


@pytest.mark.parametrize(
    ("decorator", "made", "said"),
    [
        (optimizer, None, "gives None; wanted a torch.optim.Optimizer of parameters that"),
        (optimizer, torch.optim.SGD, "gives the class SGD; wanted a torch.optim.Optimizer"),
        (optimizer, torch.optim.SGD([OTHER], 0.1), "gives a SGD; wanted .* and of no others"),
        (optimizer, WithoutRates([OWN], {}), r"with a learning rate \(lr\) in every group"),
        (judge, nn.Identity, "gives the class Identity; wanted a torch.nn.Module"),
        (judge, len, "gives a builtin_function_or_method; wanted a torch.nn.Module"),
        (
            tracker,
            object(),
            r"gives a object; wanted an object with the methods log\(row\) and clo",
        ),
        (tracker, Logs(), "gives a Logs; wanted an object with the methods"),
        (tracker, Closes(), "gives a Closes; wanted an object with the methods"),
    ],
)
def test_what_makes_something_else_is_named(decorator: Any, made: object, said: str) -> None:
    @decorator("mine")
    def mine(wired: object, /) -> object:
        return made

    with pytest.raises(PluginError, match=f"'mine' of plugin 'mine' .* {said}"):
        part(mine)([OWN])


@pytest.mark.parametrize(
    ("decorator", "made"),
    [(optimizer, torch.optim.SGD([OWN], 0.1)), (judge, nn.Identity()), (tracker, Tracks())],
)
def test_what_an_optimizer_judge_or_tracker_has_to_be_it_may_be(
    decorator: Any, made: object
) -> None:
    @decorator("mine")
    def mine(wired: object, /) -> object:
        return made

    assert part(mine)([OWN, OTHER]) is made


PLUGIN = """\
import torch
from genzoo_rwae import hookimpl, optimizer, schedule


@optimizer("mine")
def moves_others(parameters, /):
    return torch.optim.SGD([torch.zeros(1)], 0.1)


@schedule("mine")
def none_in_between(progress, /):
    return None if progress == 0.5 else 1.0


@hookimpl
def genzoo_optimizers():
    yield moves_others


@hookimpl
def genzoo_schedules():
    yield none_in_between
"""


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.optimizer=mine", "the optimizer 'mine' of plugin 'mine'"),
        ("train.schedule=mine", "the schedule 'mine' of plugin 'mine'"),
        ("objective.static.schedule=mine", "the schedule 'mine' of plugin 'mine'"),
    ],
)
def test_a_check_tries_optimizers_and_schedules(
    setting: str, said: str, write: Write, tiny: str, genzoo: Genzoo
) -> None:
    plugin = write("mine.py", PLUGIN)
    ended = genzoo("check", write("spec.yaml", tiny), "-p", plugin, "--set", setting)
    assert ended.code == 3
    assert said in ended.err


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


def test_a_check_of_what_comes_with_the_package_imports_no_compiler(
    write: Write, tiny: str
) -> None:
    """Torch imports its own for the first optimiser, which takes a second."""
    code = (
        "import sys\n"
        "from genzoo_rwae.run import check\n"
        "check(sys.argv[1])\n"
        "assert 'torch' in sys.modules\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    spec = write("spec.yaml", tiny)
    ended = subprocess.run(
        [sys.executable, "-c", code, str(spec)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
