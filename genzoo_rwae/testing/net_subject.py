"""Nets as their properties see them: one way to build and to call every kind.

Shapes: B batch, T time, H features, D code width, N frames, ... the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn

from genzoo_rwae.codes import DiagonalGaussian, draw_mean
from genzoo_rwae.errors import OptionError
from genzoo_rwae.spec.part import Part
from genzoo_rwae.testing.strategies import lengths, seeded, with_seed

__all__ = ["FACES", "Face", "NetSubject", "Setting"]


@dataclass(frozen=True)
class Setting:
    """What a net is built for and given.

    Attributes:
        frame_shape: of the data; None where no frames are.
        width: of what it sees, where that is no frame.
        lengths: true lengths of the sequences of a batch; T is the longest of them.
        padding: steps by which the batch is longer than its longest sequence.
    """

    frame_shape: tuple[int, ...] | None
    width: int | None
    lengths: tuple[int, ...]
    padding: int = 0

    @property
    def steps(self) -> int:
        return max(self.lengths) + self.padding

    @property
    def lengths_of_rows(self) -> Tensor:
        return torch.tensor(self.lengths)

    @property
    def mask(self) -> Tensor:
        """True at true steps."""
        return torch.arange(self.steps) < self.lengths_of_rows[:, None]


@dataclass(frozen=True)
class Face:
    """How the nets of one kind are built and called.

    Attributes:
        sees_frames: it is given frames, not rows of features or codes.
        makes_frames: it makes frames.
        wired: what the host builds it with.
        call: outputs by name for a net, its inputs [B, T, ...] and the true lengths.
        shapes: of the outputs.
        sees_lengths: it is told the true lengths.
        has_width: it has to say how wide its features are.
        by_step: outputs that have a time axis.
    """

    sees_frames: bool
    makes_frames: bool
    wired: Callable[[Setting], tuple[Any, ...]]
    call: Callable[[nn.Module, Tensor, Tensor], Mapping[str, Tensor]]
    shapes: Callable[[nn.Module, Setting], Mapping[str, Sequence[int]]]
    sees_lengths: bool = False
    has_width: bool = False
    by_step: tuple[str, ...] = ()


_SIZE = 3  # of a code, or number of actions, where a head makes one


def _law(law: DiagonalGaussian) -> dict[str, Tensor]:
    # not the log-variance: that of a deterministic code is −∞
    return {"mean": law.mean, "sd": law.sd}


def _dynamic_head(net: nn.Module, x_BTH: Tensor, lengths_B: Tensor) -> dict[str, Tensor]:
    path_BTD, law = net(x_BTH, lengths_B, draw_mean)
    return {"path": path_BTD, **_law(law)}


def _frames_of(setting: Setting) -> tuple[int, ...]:
    assert setting.frame_shape is not None
    return setting.frame_shape


def _flat(x_BT: Tensor) -> Tensor:
    return x_BT.flatten(0, 1)


FACES: Mapping[str, Face] = {
    "encoder": Face(
        sees_frames=True,
        makes_frames=False,
        wired=lambda s: (s.frame_shape,),
        call=lambda net, x, n: {"features": net(x, n)},
        shapes=lambda net, s: {"features": [len(s.lengths), s.steps, int(net.width)]},  # type: ignore[arg-type]
        sees_lengths=True,
        has_width=True,
        by_step=("features",),
    ),
    "frame-encoder": Face(
        sees_frames=True,
        makes_frames=False,
        wired=lambda s: (s.frame_shape,),
        call=lambda net, x, n: {"features": net(_flat(x)).unflatten(0, x.shape[:2])},
        shapes=lambda net, s: {"features": [len(s.lengths), s.steps, int(net.width)]},  # type: ignore[arg-type]
        has_width=True,
        by_step=("features",),
    ),
    "static-head": Face(
        sees_frames=False,
        makes_frames=False,
        wired=lambda s: (s.width, _SIZE),
        call=lambda net, x, n: _law(net(x, n)),
        shapes=lambda net, s: {name: [len(s.lengths), _SIZE] for name in ("mean", "sd")},
        sees_lengths=True,
    ),
    "dynamic-head": Face(
        sees_frames=False,
        makes_frames=False,
        wired=lambda s: (s.width, _SIZE),
        call=_dynamic_head,
        shapes=lambda net, s: {
            name: [len(s.lengths), s.steps, _SIZE] for name in ("path", "mean", "sd")
        },
        sees_lengths=True,
        by_step=("path", "mean", "sd"),
    ),
    "action-head": Face(
        sees_frames=False,
        makes_frames=False,
        wired=lambda s: (s.width, _SIZE),
        call=lambda net, x, n: {"logits": net(x, n)},
        shapes=lambda net, s: {"logits": [len(s.lengths), _SIZE]},
        sees_lengths=True,
    ),
    "decoder": Face(
        sees_frames=False,
        makes_frames=True,
        wired=lambda s: (s.width, s.frame_shape),
        call=lambda net, x, n: {"frames": net(x)},
        shapes=lambda net, s: {"frames": [len(s.lengths), s.steps, *_frames_of(s)]},
        by_step=("frames",),
    ),
    "frame-decoder": Face(
        sees_frames=False,
        makes_frames=True,
        wired=lambda s: (s.width, s.frame_shape),
        call=lambda net, x, n: {"frames": net(_flat(x)).unflatten(0, x.shape[:2])},
        shapes=lambda net, s: {"frames": [len(s.lengths), s.steps, *_frames_of(s)]},
        by_step=("frames",),
    ),
}


@dataclass
class NetSubject:
    """A net of some kind with its options."""

    part: Part
    frame_shapes: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        self.face = FACES[self.part.registered.component.kind]
        self.built: dict[tuple[object, ...], nn.Module] = {}

    def fresh(self, setting: Setting, *, seed: int) -> nn.Module:
        """The net with the initial weights of a seed."""
        with with_seed(seed):
            net: nn.Module = self.part(*self.face.wired(setting))
        return net

    def net(self, setting: Setting) -> nn.Module:
        """The net for a setting, in evaluation; the same one every time."""
        key = (setting.frame_shape, setting.width)
        if key not in self.built:
            self.built[key] = self.fresh(setting, seed=0).eval()
        return self.built[key]

    def inputs(self, setting: Setting, *, seed: int = 0) -> Tensor:
        """Frames in [0, 1], or rows, [B, T, ...]; zero beyond the true lengths."""
        shape = setting.frame_shape if self.face.sees_frames else (setting.width,)
        assert shape is not None
        # every row by itself, so that a row of a batch is found again in a smaller one
        rows = [
            seeded(100 * seed + 10 * i, max(setting.lengths), *map(int, shape))  # type: ignore[arg-type]
            for i in range(len(setting.lengths))
        ]
        x_BT = torch.stack(rows)
        x_BT = torch.sigmoid(x_BT) if self.face.sees_frames else x_BT
        padding = x_BT.new_zeros(len(x_BT), setting.padding, *x_BT.shape[2:])
        x_BT = torch.cat([x_BT, padding], 1)
        mask_BT = setting.mask.reshape(*x_BT.shape[:2], *[1] * (x_BT.dim() - 2))
        return x_BT * mask_BT

    def outputs(self, net: nn.Module, x_BT: Tensor, setting: Setting) -> dict[str, Tensor]:
        """What the net makes, at the true steps."""
        made = dict(self.face.call(net, x_BT, setting.lengths_of_rows))
        mask_BT = setting.mask
        for name in self.face.by_step:
            made[name] = made[name][mask_BT]
        return made

    def settings(
        self, *, batch: tuple[int, int] = (1, 3), longest: tuple[int, int] = (1, 4)
    ) -> SearchStrategy[Setting]:
        """Examples; of frame shapes those that the net takes."""
        frames = self.takes if self.face.sees_frames or self.face.makes_frames else [None]
        widths = st.none() if self.face.sees_frames else st.integers(1, 5)
        drawn = lengths(batch=batch, longest=longest).map(lambda n: tuple(n.tolist()))
        return st.builds(Setting, st.sampled_from(frames), widths, drawn)

    @cached_property
    def takes(self) -> list[tuple[int, ...]]:
        """The frame shapes that the net can be built for.

        Raises:
            OptionError: it can be built for none.
        """
        found, refusal = [], None
        for shape in self.frame_shapes:
            setting = Setting(shape, None if self.face.sees_frames else 4, (1,))
            try:
                self.net(setting)
            except OptionError as error:
                refusal = error
            else:
                found.append(shape)
        if refusal is not None and not found:
            raise refusal
        return found

    def usual(self, **changes: Any) -> Setting:
        """One batch of four sequences of three lengths."""
        frames = self.takes[-1] if self.face.sees_frames or self.face.makes_frames else None
        width = None if self.face.sees_frames else 4
        return replace(Setting(frames, width, (3, 4, 2, 4)), **changes)
