"""Nets and priors with a fault, each of which the kit has to catch, and right ones that pass.

Shapes: B batch, T time, H features, D code width.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import pytest
import torch
from genzoo_rwae_kernels import ConvLstmCell, attention, rotary
from torch import Tensor, nn

from genzoo_rwae import DiagonalGaussian, DynamicPrior, StaticPrior
from genzoo_rwae import components as kinds
from genzoo_rwae.errors import OptionError
from genzoo_rwae.testing import PropertyError, examine, properties
from genzoo_rwae.testing.nets import NET
from genzoo_rwae.testing.priors import DYNAMIC, STATIC

MUTANTS: dict[str, tuple[Any, str]] = {}
RIGHT: list[Any] = []


def right(kind: str) -> Any:
    def keep(build: Any) -> Any:
        RIGHT.append(decorated(kind, build))
        return build

    return keep


def mutant(kind: str, caught_by: str) -> Any:
    def keep(build: Any) -> Any:
        MUTANTS[build.__name__] = (decorated(kind, build), caught_by)
        return build

    return keep


def decorated(kind: str, build: Any) -> Any:
    return getattr(kinds, kind.replace("-", "_"))(build.__name__.lower())(build)


# -- encoders -------------------------------------------------------------------------------------


@right("encoder")
class PerFrame(nn.Module):
    def __init__(self, frame_shape: tuple[int, ...], /, *, width: int = 3) -> None:
        super().__init__()
        self.width = width
        self.net = nn.Linear(prod(frame_shape), width)

    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        return torch.tanh(self.net(x_BT.flatten(2)))


@right("encoder")
class ImagesOnly(PerFrame):
    def __init__(self, frame_shape: tuple[int, ...], /) -> None:
        if len(frame_shape) != 3:
            raise OptionError(f"frames are {frame_shape}; wanted images")
        super().__init__(frame_shape)


@mutant("encoder", "built")
class NothingFits(PerFrame):
    def __init__(self, frame_shape: tuple[int, ...], /) -> None:
        raise OptionError("wanted frames of eleven sides")


@mutant("encoder", "shapes")
class WidthUnsaid(PerFrame):
    def __init__(self, frame_shape: tuple[int, ...], /) -> None:
        super().__init__(frame_shape)
        del self.width


@mutant("encoder", "shapes")
class TimeLost(PerFrame):
    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        return super().forward(x_BT, lengths_B).mean(1)


@mutant("encoder", "shapes")
class DividesByZero(PerFrame):
    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        return super().forward(x_BT, lengths_B) / (lengths_B - 1)[:, None, None]


@mutant("encoder", "repeats")
class AlwaysDrops(PerFrame):
    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x_BT, lengths_B), 0.5, training=True)


@mutant("encoder", "inputs kept")
class Normalises(PerFrame):
    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        return super().forward(x_BT.sub_(0.5), lengths_B)


@mutant("encoder", "rows apart")
class BatchSecond(PerFrame):
    def __init__(self, frame_shape: tuple[int, ...], /) -> None:
        super().__init__(frame_shape)
        self.lstm = nn.LSTM(self.width, self.width)

    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        out: Tensor = self.lstm(super().forward(x_BT, lengths_B))[0]
        return out


@mutant("encoder", "padding unseen")
class BothDirections(PerFrame):
    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        h_BTH = super().forward(x_BT, lengths_B)
        return h_BTH + h_BTH.flip(1).cumsum(1).flip(1)


@mutant("encoder", "padding adds nothing")
class DividesByT(PerFrame):
    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        return super().forward(x_BT, lengths_B) / x_BT.shape[1]


@mutant("encoder", "parameters learn")
class Frozen(PerFrame):
    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        return super().forward(x_BT, lengths_B).detach()


@mutant("encoder", "parameters learn")
class IdleLayer(PerFrame):
    def __init__(self, frame_shape: tuple[int, ...], /) -> None:
        super().__init__(frame_shape)
        self.idle = nn.Linear(1, 1)


@mutant("encoder", "state")
class HiddenWeights(PerFrame):
    def __init__(self, frame_shape: tuple[int, ...], /) -> None:
        super().__init__(frame_shape)
        self.scale = torch.rand(())

    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        return self.scale * super().forward(x_BT, lengths_B)


@right("encoder")
class Attends(PerFrame):
    """Every step attends to all true ones, by their distance."""

    causal = False

    def __init__(self, frame_shape: tuple[int, ...], /) -> None:
        super().__init__(frame_shape, width=4)

    def mask(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor | None:
        return torch.arange(x_BT.shape[1]) < lengths_B[:, None, None, None]

    def turned(self, h_B1TH: Tensor) -> Tensor:
        return rotary(h_B1TH)

    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        h_B1TH = super().forward(x_BT, lengths_B)[:, None]
        q, mask = self.turned(h_B1TH), self.mask(x_BT, lengths_B)
        return attention(q, q, h_B1TH, mask=mask, causal=self.causal)[:, 0]


@mutant("encoder", "padding unseen")
class AttendsToPadding(Attends):
    def mask(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor | None:
        return None


@mutant("encoder", "padding adds nothing")
class MasksOneStepLess(Attends):
    def mask(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor | None:
        return torch.arange(x_BT.shape[1]) <= lengths_B[:, None, None, None]


@mutant("encoder", "padding adds nothing")
class CountsFromTheEnd(Attends):
    """Positions that are not relative, counted from the last step of the batch."""

    def turned(self, h_B1TH: Tensor) -> Tensor:
        return h_B1TH + torch.arange(h_B1TH.shape[2]).flip(0)[:, None]


@mutant("encoder", "rows apart")
class AttendsAcrossTheBatch(Attends):
    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        h_1TBH = PerFrame.forward(self, x_BT, lengths_B).transpose(0, 1)[None]
        return attention(h_1TBH, h_1TBH, h_1TBH)[0].transpose(0, 1)


@right("encoder")
class AttendsToThePast(Attends):
    causal = True

    def mask(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor | None:
        return None


@right("encoder")
class ConvolvesThePast(PerFrame):
    """A dilated convolution over a step, two before it, and four before it."""

    sides = (4, 0)

    def __init__(self, frame_shape: tuple[int, ...], /) -> None:
        super().__init__(frame_shape)
        self.convolution = nn.Conv1d(self.width, self.width, 3, dilation=2)

    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        h_BHT = super().forward(x_BT, lengths_B).mT
        out: Tensor = self.convolution(nn.functional.pad(h_BHT, self.sides)).mT
        return out


@mutant("encoder", "padding unseen")
class ConvolvesBothWays(ConvolvesThePast):
    sides = (2, 2)


@mutant("encoder", "shapes")
class ConvolvesStepsAway(ConvolvesThePast):
    sides = (0, 0)


@right("encoder")
class Recurs(PerFrame):
    """A convolutional LSTM over frames as one row of pixels."""

    def __init__(self, frame_shape: tuple[int, ...], /) -> None:
        super().__init__(frame_shape)
        self.cell = ConvLstmCell(1, 1)

    def before(self) -> tuple[Tensor, Tensor] | None:
        return None

    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        state, steps = self.before(), []
        for h_BH in super().forward(x_BT, lengths_B).unbind(1):
            state = self.cell(h_BH[:, None, None], state)
            steps.append(state[0].flatten(1))
        self.last = state
        return torch.stack(steps, 1)


@mutant("encoder", "repeats")
class KeepsItsState(Recurs):
    """The state of one call is where the next one begins, if that has as many rows."""

    last: Any = None

    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        if self.last is not None and len(self.last[0]) != len(x_BT):
            self.last = None
        return super().forward(x_BT, lengths_B)

    def before(self) -> tuple[Tensor, Tensor] | None:
        return self.last


# -- other nets -----------------------------------------------------------------------------------


@right("decoder")
class Draws(nn.Module):
    frame_by_frame = True

    def __init__(self, codes: int, frame_shape: tuple[int, ...], /) -> None:
        super().__init__()
        self.frame_shape = frame_shape
        self.net = nn.Linear(codes, prod(frame_shape))

    def forward(self, z_BTD: Tensor) -> Tensor:
        return self.net(z_BTD).unflatten(-1, self.frame_shape)


@mutant("decoder", "shapes")
class DrawsFlat(Draws):
    def forward(self, z_BTD: Tensor) -> Tensor:
        return super().forward(z_BTD).flatten(2)


@mutant("decoder", "shapes")
class OneLength(Draws):
    def forward(self, z_BTD: Tensor) -> Tensor:
        return super().forward(z_BTD)[:, :2]


@mutant("decoder", "frame by frame")
class SmoothsOverTime(Draws):
    def forward(self, z_BTD: Tensor) -> Tensor:
        return super().forward(z_BTD.cumsum(1))


@mutant("decoder", "rows apart")
class CentresTheBatch(Draws):
    def forward(self, z_BTD: Tensor) -> Tensor:
        return super().forward(z_BTD - z_BTD.mean(0))


@right("frame-encoder")
class SeesOne(nn.Module):
    width = 3

    def __init__(self, frame_shape: tuple[int, ...], /) -> None:
        super().__init__()
        self.net = nn.Linear(prod(frame_shape), 3)

    def forward(self, x_N: Tensor) -> Tensor:
        return self.net(x_N.flatten(1))


@mutant("frame-encoder", "shapes")
class WrongWidth(SeesOne):
    width = 4


@right("frame-decoder")
class DrawsOne(nn.Module):
    def __init__(self, width: int, frame_shape: tuple[int, ...], /) -> None:
        super().__init__()
        self.frame_shape = frame_shape
        self.net = nn.Linear(width, prod(frame_shape))

    def forward(self, h_NH: Tensor) -> Tensor:
        return self.net(h_NH).unflatten(-1, self.frame_shape)


@mutant("frame-decoder", "rows apart")
class MixesFrames(DrawsOne):
    def forward(self, h_NH: Tensor) -> Tensor:
        return super().forward(h_NH.roll(1, 0))


@right("static-head")
class Pools(nn.Module):
    def __init__(self, features: int, size: int, /) -> None:
        super().__init__()
        self.mean, self.log_variance = nn.Linear(features, size), nn.Linear(features, size)

    def pooled(self, h_BTH: Tensor, lengths_B: Tensor) -> Tensor:
        mask_BT1 = (torch.arange(h_BTH.shape[1]) < lengths_B[:, None])[..., None]
        return (h_BTH * mask_BT1).sum(1) / lengths_B[:, None]

    def forward(self, h_BTH: Tensor, lengths_B: Tensor) -> DiagonalGaussian:
        h_BH = self.pooled(h_BTH, lengths_B)
        return DiagonalGaussian(self.mean(h_BH), self.log_variance(h_BH))


@mutant("static-head", "padding unseen")
class PoolsPadding(Pools):
    def pooled(self, h_BTH: Tensor, lengths_B: Tensor) -> Tensor:
        return h_BTH.sum(1) / lengths_B[:, None]


@mutant("static-head", "padding adds nothing")
class TakesTheLastStep(Pools):
    def pooled(self, h_BTH: Tensor, lengths_B: Tensor) -> Tensor:
        return h_BTH[:, -1]


@right("static-head")
class Registers(Pools):
    """Two learnt queries that attend to the true steps."""

    def __init__(self, features: int, size: int, /) -> None:
        super().__init__(2 * features, size)
        self.registers_RH = nn.Parameter(torch.randn(2, features))

    def mask(self, h_BTH: Tensor, lengths_B: Tensor) -> Tensor | None:
        return torch.arange(h_BTH.shape[1]) < lengths_B[:, None, None, None]

    def pooled(self, h_BTH: Tensor, lengths_B: Tensor) -> Tensor:
        h_B1TH, q_B1RH = h_BTH[:, None], self.registers_RH.expand(len(h_BTH), 1, -1, -1)
        return attention(q_B1RH, h_B1TH, h_B1TH, mask=self.mask(h_BTH, lengths_B)).flatten(1)


@mutant("static-head", "padding unseen")
class RegistersReadPadding(Registers):
    def mask(self, h_BTH: Tensor, lengths_B: Tensor) -> Tensor | None:
        return None


@mutant("static-head", "parameters learn")
class RegistersStayPut(Registers):
    def pooled(self, h_BTH: Tensor, lengths_B: Tensor) -> Tensor:
        self.registers_RH.data.zero_()  # an even mean, whose registers no gradient moves
        return super().pooled(h_BTH.mean(1, keepdim=True).expand_as(h_BTH), lengths_B)


@right("dynamic-head")
class Steps(nn.Module):
    def __init__(self, features: int, size: int, /) -> None:
        super().__init__()
        self.mean, self.log_variance = nn.Linear(features, size), nn.Linear(features, size)

    def forward(self, h_BTH: Tensor, lengths_B: Tensor, draw: Any) -> Any:
        law = DiagonalGaussian(self.mean(h_BTH), self.log_variance(h_BTH))
        return draw(law), law


@mutant("dynamic-head", "path of its laws")
class ShiftsItsPath(Steps):
    def forward(self, h_BTH: Tensor, lengths_B: Tensor, draw: Any) -> Any:
        path, law = super().forward(h_BTH, lengths_B, draw)
        return path + 1, law


@right("action-head")
class ActionOfTheMean(nn.Module):
    def __init__(self, size: int, count: int, /) -> None:
        super().__init__()
        self.logits = nn.Linear(size, count)

    def mean(self, z_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        mask_BT1 = (torch.arange(z_BTD.shape[1]) < lengths_B[:, None])[..., None]
        return (z_BTD * mask_BT1).sum(1) / lengths_B[:, None]

    def forward(self, z_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        return self.logits(self.mean(z_BTD, lengths_B))


@mutant("action-head", "padding unseen")
class ActionOfPadding(ActionOfTheMean):
    def mean(self, z_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        return z_BTD.sum(1) / lengths_B[:, None]


@mutant("action-head", "padding adds nothing")
class ActionOfTheMeanOfAllSteps(ActionOfTheMean):
    def mean(self, z_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        mask_BT1 = (torch.arange(z_BTD.shape[1]) < lengths_B[:, None])[..., None]
        return (z_BTD * mask_BT1).mean(1)


# -- priors ---------------------------------------------------------------------------------------


@right("prior")
class LearntGaussian(StaticPrior):
    def __init__(self, size: int, /) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(size))
        self.log_variance = nn.Parameter(torch.zeros(size))

    def law(self, count: int) -> DiagonalGaussian:
        return DiagonalGaussian(self.mean.expand(count, -1), self.log_variance.expand(count, -1))


@mutant("prior", "law")
class OneRow(LearntGaussian):
    def law(self, count: int) -> DiagonalGaussian:
        return super().law(1)


@mutant("prior", "law")
class RowsDiffer(LearntGaussian):
    def law(self, count: int) -> DiagonalGaussian:
        law = super().law(count)
        return DiagonalGaussian(law.mean + torch.arange(count)[:, None], law.log_variance)


@mutant("prior", "law learns")
class VarianceUnused(LearntGaussian):
    def law(self, count: int) -> DiagonalGaussian:
        mean = super().law(count).mean
        return DiagonalGaussian(mean, torch.zeros_like(mean))


@mutant("prior", "law state")
class MeanOutside(LearntGaussian):
    def __init__(self, size: int, /) -> None:
        super().__init__(size)
        self.shift = torch.randn(size)

    def law(self, count: int) -> DiagonalGaussian:
        law = super().law(count)
        return DiagonalGaussian(law.mean + self.shift, law.log_variance)


class Scaled(NamedTuple):
    """A Gaussian whose samples, densities and centre a mutant can change one by one."""

    of: DiagonalGaussian
    wider: float = 1.0
    denser: float = 0.0

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return self.of.mean + self.wider * (self.of.sample(generator) - self.of.mean)

    def typical(self) -> Tensor:
        return self.of.mean

    def log_density(self, z: Tensor) -> Tensor:
        return self.of.log_density(z) + self.denser


@right("prior")
class OwnLaw(LearntGaussian):
    def law(self, count: int) -> Any:
        return Scaled(super().law(count))


@mutant("prior", "density")
class DrawsTooWide(LearntGaussian):
    def law(self, count: int) -> Any:
        return Scaled(super().law(count), wider=1.2)


@mutant("prior", "density")
class ForgetsAConstant(LearntGaussian):
    def law(self, count: int) -> Any:
        return Scaled(super().law(count), denser=0.92)


@mutant("prior", "draws")
class DrawsFromElsewhere(LearntGaussian):
    def law(self, count: int) -> Any:
        class Elsewhere(Scaled):
            def sample(self, generator: torch.Generator | None = None) -> Tensor:
                return super().sample()

        return Elsewhere(super().law(count))


@right("prior")
class Chain(DynamicPrior):
    """A linear chain: the mean of a step is a map of the code before."""

    def __init__(self, size: int, /) -> None:
        super().__init__()
        self.size = size
        self.map, self.log_variance = nn.Linear(size, size), nn.Parameter(torch.zeros(size))

    def step(self, z: Tensor) -> DiagonalGaussian:
        mean = torch.tanh(self.map(z))
        return DiagonalGaussian(mean, self.log_variance.expand_as(mean))

    def before(self, z_BTD: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(z_BTD[:, :1]), z_BTD[:, :-1]], 1)

    def along(self, z_BTD: Tensor) -> tuple[DiagonalGaussian, Tensor]:
        before_BTD = self.before(z_BTD)
        return self.step(before_BTD), before_BTD

    def roll_out(
        self, count: int, length: int, draw: Any, start_BTD: Tensor | None = None
    ) -> Tensor:
        z_BD = torch.zeros(count, self.size) if start_BTD is None else start_BTD[:, -1]
        path = []
        for _ in range(length):
            z_BD = draw(self.step(z_BD))
            path.append(z_BD)
        return torch.stack(path, 1)


@right("prior")
class ToldChain(DynamicPrior):
    """A linear chain that something pushes."""

    def __init__(self, size: int, context: int = 0, /) -> None:
        super().__init__()
        self.size = size
        self.map = nn.Linear(size, size)
        self.push = nn.Linear(context, size, bias=False) if context else None
        self.log_variance = nn.Parameter(torch.zeros(size))

    def step(self, z: Tensor, context_BC: Tensor | None) -> DiagonalGaussian:
        told = self.push is not None and context_BC is not None
        pushed = self.push(context_BC)[:, None] if told else 0.0
        mean = torch.tanh(self.map(z) + pushed)
        return DiagonalGaussian(mean, self.log_variance.expand_as(mean))

    def along(
        self, z_BTD: Tensor, context_BC: Tensor | None = None
    ) -> tuple[DiagonalGaussian, Tensor]:
        before_BTD = torch.cat([torch.zeros_like(z_BTD[:, :1]), z_BTD[:, :-1]], 1)
        return self.step(before_BTD, context_BC), before_BTD

    def roll_out(
        self,
        count: int,
        length: int,
        draw: Any,
        start_BTD: Tensor | None = None,
        context_BC: Tensor | None = None,
    ) -> Tensor:
        z_B1D = torch.zeros(count, 1, self.size) if start_BTD is None else start_BTD[:, -1:]
        path = []
        for _ in range(length):
            z_B1D = draw(self.step(z_B1D, context_BC))
            path.append(z_B1D)
        return torch.cat(path, 1)


@mutant("prior", "told")
class DoesNotListen(ToldChain):
    def step(self, z: Tensor, context_BC: Tensor | None) -> DiagonalGaussian:
        return super().step(z, None if context_BC is None else torch.ones_like(context_BC))


@mutant("prior", "told")
class DoesNotListenAtFirst(ToldChain):
    def step(self, z: Tensor, context_BC: Tensor | None) -> DiagonalGaussian:
        law, untold = super().step(z, context_BC), super().step(z, None)
        later_BT1 = z.any(-1, keepdim=True)
        return DiagonalGaussian(torch.where(later_BT1, law.mean, untold.mean), law.log_variance)


@mutant("prior", "along what it rolled")
class ToldInTrainingAlone(ToldChain):
    def roll_out(
        self,
        count: int,
        length: int,
        draw: Any,
        start_BTD: Tensor | None = None,
        context_BC: Tensor | None = None,
    ) -> Tensor:
        return super().roll_out(count, length, draw, start_BTD)


@mutant("prior", "goes on")
class ForgetsWhatItWasTold(ToldChain):
    def roll_out(
        self,
        count: int,
        length: int,
        draw: Any,
        start_BTD: Tensor | None = None,
        context_BC: Tensor | None = None,
    ) -> Tensor:
        told = context_BC if start_BTD is None else None
        return super().roll_out(count, length, draw, start_BTD, told)


@mutant("prior", "log density")
class MeanOverEntries(Chain):
    def log_density(self, z_BTD: Tensor, context_BC: Tensor | None = None) -> Tensor:
        return super().log_density(z_BTD, context_BC) / z_BTD.shape[-1]


@mutant("prior", "far")
class Explodes(Chain):
    def step(self, z: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian(2.0 * self.map(z) + 2.0 * z, self.log_variance.expand_as(z))


@mutant("prior", "far")
class KnowsSomePositions(Chain):
    def along(self, z_BTD: Tensor) -> tuple[DiagonalGaussian, Tensor]:
        assert z_BTD.shape[1] <= 64, "no position is beyond 64"
        return super().along(z_BTD)


@mutant("prior", "path of its draws")
class ScalesItsDraws(Chain):
    def roll_out(self, count: int, length: int, draw: Any, start_BTD: Any = None) -> Tensor:
        return super().roll_out(count, length, lambda law: 2 * draw(law), start_BTD)


@mutant("prior", "along")
class NoState(Chain):
    def along(self, z_BTD: Tensor) -> tuple[DiagonalGaussian, Tensor]:
        law, state = super().along(z_BTD)
        return law, state[:, :1].expand(-1, 1, -1)[:, :0]


@mutant("prior", "causal")
class SeesThePresent(Chain):
    def before(self, z_BTD: Tensor) -> Tensor:
        return z_BTD


@mutant("prior", "causal")
class StateSeesThePresent(Chain):
    def along(self, z_BTD: Tensor) -> tuple[DiagonalGaussian, Tensor]:
        return super().along(z_BTD)[0], z_BTD


@mutant("prior", "starts alike")
class StartsByRow(Chain):
    def along(self, z_BTD: Tensor) -> tuple[DiagonalGaussian, Tensor]:
        law, state = super().along(z_BTD)
        return DiagonalGaussian(law.mean + torch.arange(len(z_BTD))[:, None, None], law.sd), state


@mutant("prior", "remembers")
class Forgets(Chain):
    def before(self, z_BTD: Tensor) -> Tensor:
        return torch.zeros_like(z_BTD)


@mutant("prior", "rows apart")
class MixesPaths(Chain):
    def before(self, z_BTD: Tensor) -> Tensor:
        return super().before(z_BTD) - z_BTD.mean(0, keepdim=True).roll(1, 1)


@mutant("prior", "rolls out")
class OneStepTooMany(Chain):
    def roll_out(self, count: int, length: int, draw: Any, start_BTD: Any = None) -> Tensor:
        return super().roll_out(count, length + 1, draw, start_BTD)


@mutant("prior", "along what it rolled")
class BoundsOneSide(Chain):
    def along(self, z_BTD: Tensor) -> tuple[DiagonalGaussian, Tensor]:
        law, state = super().along(z_BTD)
        return DiagonalGaussian(law.mean.clamp(-0.1, 0.1), law.log_variance), state


@mutant("prior", "along what it rolled")
class DrawsBesideTheDraw(Chain):
    def roll_out(self, count: int, length: int, draw: Any, start_BTD: Any = None) -> Tensor:
        return super().roll_out(count, length, lambda law: law.sample(), start_BTD)


@mutant("prior", "goes on")
class StartsAnew(Chain):
    def roll_out(self, count: int, length: int, draw: Any, start_BTD: Any = None) -> Tensor:
        return super().roll_out(count, length, draw)


@mutant("prior", "draws alone are random")
class AddsNoise(Chain):
    def roll_out(self, count: int, length: int, draw: Any, start_BTD: Any = None) -> Tensor:
        path = super().roll_out(count, length, draw, start_BTD)
        return path + 0.01 * torch.randn_like(path)


@mutant("prior", "laws learn")
class VarianceDetached(Chain):
    def step(self, z: Tensor) -> DiagonalGaussian:
        law = super().step(z)
        return DiagonalGaussian(law.mean, law.log_variance.detach())


@mutant("prior", "laws state")
class StepOutside(Chain):
    def __init__(self, size: int, /) -> None:
        super().__init__(size)
        self.shift = torch.randn(size)

    def step(self, z: Tensor) -> DiagonalGaussian:
        law = super().step(z)
        return DiagonalGaussian(law.mean + self.shift, law.log_variance)


@mutant("prior", "built")
class NoPrior(nn.Linear):
    def __init__(self, size: int, /) -> None:
        super().__init__(size, size)


@pytest.mark.parametrize("build", RIGHT, ids=lambda build: build.__name__)
def test_right_ones_pass(build: Any) -> None:
    report = examine(build)
    assert not report.failed, str(report)
    assert report.passed


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(properties, "_MOST_CALLS", -1)  # no smaller example: for speed
    build, caught_by = MUTANTS[name]
    known = NET
    if issubclass(build, StaticPrior | DynamicPrior):
        known = STATIC if issubclass(build, StaticPrior) else DYNAMIC
    others = {p.name for p in known} - {caught_by} if caught_by != "built" else set()
    (finding,) = examine(build, exceptions=others).failed
    assert finding.property == caught_by
    assert finding.example


def test_a_net_is_tried_with_frames_that_it_takes() -> None:
    (finding,) = examine(ImagesOnly, frame_shapes=[(5,)]).failed
    assert "frames are (5,); wanted images" in finding.message
    assert not examine(ImagesOnly, frame_shapes=[(5,), (2, 4, 6)]).failed


def test_the_smallest_batch_is_shown() -> None:
    report = examine(MUTANTS["BothDirections"][0])
    finding = next(f for f in report.failed if f.property == "padding unseen")
    assert finding.example.splitlines()[:2] == ["frame_shape = (6,)", "lengths = (1, 2)"]
    with pytest.raises(PropertyError, match="padding unseen"):
        report.raise_if_failed()
