"""What must hold of nets: encoders, decoders, heads, and the nets on single frames.

Shapes: B batch, T time, ... the frame.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from genzoo_rwae.testing.findings import Report
from genzoo_rwae.testing.net_subject import NetSubject, Setting
from genzoo_rwae.testing.parts import component_of_kind, part_of, title_of
from genzoo_rwae.testing.properties import (
    Property,
    expect,
    expect_close,
    expect_gradients,
    expect_same,
    expect_shape,
    investigate,
    not_built,
    property_of,
)
from genzoo_rwae.testing.strategies import seeded

__all__ = [
    "check_action_head",
    "check_decoder",
    "check_dynamic_head",
    "check_encoder",
    "check_frame_decoder",
    "check_frame_encoder",
    "check_static_head",
    "examine_net",
]

FRAME_SHAPES = ((6,), (17,), (1, 8, 8), (3, 16, 16))


def examine_net(
    kind: str,
    thing: Any,
    /,
    *,
    frame_shapes: Sequence[tuple[int, ...]] = FRAME_SHAPES,
    exceptions: Collection[str] = (),
    **options: Any,
) -> Report:
    """Try what must hold of a net of a kind; the report, whatever it says."""
    component = component_of_kind(kind, thing)
    shapes = tuple(tuple(shape) for shape in frame_shapes)
    subject = NetSubject(part_of(component, options), shapes)
    title = title_of(component)
    try:
        subject.usual()
    except Exception as error:  # whatever its author's code raises
        return not_built(title, f"frame_shapes = {list(shapes)}", error)
    return investigate(title, NET, subject, exceptions=exceptions)


def check_encoder(encoder: Any, /, **how: Any) -> Report:
    """Try what must hold of an encoder: module x_BT... -> features_BTH, told the true lengths.

    Args:
        encoder: a function or class under @encoder.
        how: its options; beside them `frame_shapes`, the shapes of frames that it is tried with
            (those that it refuses with an OptionError are left out), and `exceptions`, names of
            properties that need not hold.

    Raises:
        PropertyError: some property does not hold; the message has its smallest example.
        PluginError: it is no encoder, or an option is unknown or missing.
        ValueError: an exception is no name of a property.
    """
    __tracebackhide__ = True
    return examine_net("encoder", encoder, **how).raise_if_failed()


def check_frame_encoder(net: Any, /, **how: Any) -> Report:
    """Try what must hold of a net on single frames; as `check_encoder`."""
    __tracebackhide__ = True
    return examine_net("frame-encoder", net, **how).raise_if_failed()


def check_decoder(decoder: Any, /, **how: Any) -> Report:
    """Try what must hold of a decoder: module z_BTD -> x_BT...; as `check_encoder`."""
    __tracebackhide__ = True
    return examine_net("decoder", decoder, **how).raise_if_failed()


def check_frame_decoder(net: Any, /, **how: Any) -> Report:
    """Try what must hold of a net that draws single frames; as `check_encoder`."""
    __tracebackhide__ = True
    return examine_net("frame-decoder", net, **how).raise_if_failed()


def check_static_head(head: Any, /, **how: Any) -> Report:
    """Try what must hold of a static head: features -> q(z^c | x_1:T); as `check_encoder`."""
    __tracebackhide__ = True
    return examine_net("static-head", head, **how).raise_if_failed()


def check_dynamic_head(head: Any, /, **how: Any) -> Report:
    """Try what must hold of a dynamic head: features -> path and laws; as `check_encoder`."""
    __tracebackhide__ = True
    return examine_net("dynamic-head", head, **how).raise_if_failed()


def check_action_head(head: Any, /, **how: Any) -> Report:
    """Try what must hold of an action head: dynamic codes -> logits; as `check_encoder`."""
    __tracebackhide__ = True
    return examine_net("action-head", head, **how).raise_if_failed()


def _expect_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    for name, tensor in wanted.items():
        expect_same(found[name], tensor, name)


@property_of(
    lambda subject: subject.settings(),
    count=12,
    mend="flatten B and T for nets on frames, and unflatten afterwards; .width is what comes out",
)
def shapes(subject: NetSubject, setting: Setting) -> None:
    """Batches of any size and length give the promised shapes, and finite numbers."""
    net = subject.net(setting)
    if subject.face.has_width:
        width = getattr(net, "width", None)
        features = int(width) if isinstance(width, Integral) else 0
        expect(features > 0, f".width = {width!r}", "a number of features")
    made = subject.face.call(net, subject.inputs(setting), setting.lengths_of_rows)
    for name, shape in subject.face.shapes(net, setting).items():
        expect_shape(name, made[name], shape)
        expect(made[name].isfinite().all(), f"{name} that are not finite", "finite numbers")


@property_of(
    lambda subject: subject.settings(),
    count=3,
    mend="draw nothing in evaluation, and keep no state between calls",
)
def repeats(subject: NetSubject, setting: Setting) -> None:
    """In evaluation it says the same twice."""
    net, x_BT = subject.net(setting), subject.inputs(setting)
    first = subject.outputs(net, x_BT, setting)
    torch.default_generator.manual_seed(1)
    _expect_same(subject.outputs(net, x_BT, setting), first)


@property_of(
    lambda subject: subject.settings(),
    count=3,
    mend="a first layer with inplace=True writes into the batch",
)
def inputs_kept(subject: NetSubject, setting: Setting) -> None:
    """What it is given is not written into."""
    x_BT = subject.inputs(setting)
    kept = x_BT.clone()
    subject.outputs(subject.net(setting), x_BT, setting)
    expect_close(x_BT, kept, "the input afterwards", near=0.0)


@property_of(
    lambda subject: subject.settings(batch=(2, 3)),
    count=6,
    mend="no operation may mix the first axis in evaluation: look for dim=0, a wrong batch_first, "
    ".view across axes",
)
def rows_apart(subject: NetSubject, setting: Setting) -> None:
    """In evaluation a sequence gives the same alone as in a batch."""
    net, x_BT = subject.net(setting), subject.inputs(setting)
    together = subject.face.call(net, x_BT, setting.lengths_of_rows)
    for row, length in enumerate(setting.lengths):
        alone = subject.face.call(net, x_BT[row : row + 1], torch.tensor([length]))
        for name in alone:
            steps = slice(length) if name in subject.face.by_step else slice(None)
            found, wanted = together[name][row][steps], alone[name][0][steps]
            expect_same(found, wanted, f"{name} of row {row}")


def _sees_lengths(subject: NetSubject) -> str:
    return "" if subject.face.sees_lengths else "it is not told the lengths"


@property_of(
    lambda subject: subject.settings(longest=(2, 4)),
    count=8,
    only_if=_sees_lengths,
    mend="pack sequences, or mask with lengths_B, before steps are mixed: in pooling, attention, "
    "the backward direction",
)
def padding_unseen(subject: NetSubject, setting: Setting) -> None:
    """What stands beyond the true lengths changes nothing."""
    net, x_BT = subject.net(setting), subject.inputs(setting)
    away = ~setting.mask.reshape(*x_BT.shape[:2], *[1] * (x_BT.dim() - 2))
    garbage = torch.where(away, 7.0, x_BT)
    wanted = subject.outputs(net, x_BT, setting)
    _expect_same(subject.outputs(net, garbage, setting), wanted)


@property_of(
    lambda subject: subject.settings(),
    count=5,
    only_if=_sees_lengths,
    mend="take the last true step, not the last one; divide by lengths_B, not by T",
)
def padding_adds_nothing(subject: NetSubject, setting: Setting) -> None:
    """Two more steps of padding change nothing."""
    net, longer = subject.net(setting), replace(setting, padding=2)
    wanted = subject.outputs(net, subject.inputs(setting), setting)
    _expect_same(subject.outputs(net, subject.inputs(longer), longer), wanted)


@property_of(
    lambda subject: st.just(subject.usual()),
    count=1,
    mend="use the layer, or drop it; look for .detach() and torch.no_grad()",
)
def parameters_learn(subject: NetSubject, setting: Setting) -> None:
    """The gradient reaches every parameter."""
    net = subject.fresh(setting, seed=0).train()
    made = subject.outputs(net, subject.inputs(setting), setting)
    parts = [
        (tensor * seeded(number, *tensor.shape)).sum()
        for number, tensor in enumerate(made.values())
    ]
    expect_gradients(net, torch.stack(parts).sum())


@property_of(
    lambda subject: subject.settings(),
    count=2,
    mend="keep what it learns in parameters and buffers, and no other state",
)
def state(subject: NetSubject, setting: Setting) -> None:
    """What state_dict saves brings another one to the same outputs."""
    net, other = subject.net(setting), subject.fresh(setting, seed=1).eval()
    other.load_state_dict(net.state_dict())
    x_BT = subject.inputs(setting)
    _expect_same(subject.outputs(other, x_BT, setting), subject.outputs(net, x_BT, setting))


@property_of(
    lambda subject: subject.settings(longest=(2, 4)),
    count=4,
    only_if=lambda subject: (
        "" if getattr(subject.part.registered.component.build, "frame_by_frame", False)
        else "it does not say frame_by_frame"
    ),
    mend="leave frame_by_frame out: the host takes it as leave to decode single steps",
)  # fmt: skip
def frame_by_frame(subject: NetSubject, setting: Setting) -> None:
    """A frame depends on the codes of its own step alone."""
    net, z_BTD = subject.net(setting), subject.inputs(setting)
    every = subject.face.call(net, z_BTD, setting.lengths_of_rows)["frames"]
    alone = subject.face.call(net, z_BTD[:, -1:], setting.lengths_of_rows)["frames"]
    expect_same(every[:, -1:], alone, "the last frame")


@property_of(
    lambda subject: subject.settings(batch=(1, 1)),
    count=3,
    only_if=lambda subject: (
        "" if subject.part.registered.component.kind == "dynamic-head" else "it makes no path"
    ),
    mend="a code is what draw(law) gives, step by step, and nothing else",
)
def path_of_its_laws(subject: NetSubject, setting: Setting) -> None:
    """Drawn as means, the path is the means of its laws."""
    made = subject.outputs(subject.net(setting), subject.inputs(setting), setting)
    expect_same(made["path"], made["mean"], "path")


NET: Sequence[Property] = (
    shapes,
    repeats,
    inputs_kept,
    rows_apart,
    padding_unseen,
    padding_adds_nothing,
    parameters_learn,
    state,
    frame_by_frame,
    path_of_its_laws,
)
