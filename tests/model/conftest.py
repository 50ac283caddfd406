"""Parts, passes and small models, without a spec.

Shapes: B batch, T time, D code width, S state width.
"""

from dataclasses import dataclass
from functools import partial

import pytest
import torch
from genzoo_rwae_plugins.costs.squared_error import squared_error
from genzoo_rwae_plugins.decoders.recurrent import FrameDecoder
from genzoo_rwae_plugins.encoders.recurrent import LstmEncoder
from genzoo_rwae_plugins.frames.convolution import ConvFrameDecoder, ConvFrameEncoder
from genzoo_rwae_plugins.frames.mlp import MlpFrameDecoder, MlpFrameEncoder
from genzoo_rwae_plugins.heads.dynamic import LstmHead
from genzoo_rwae_plugins.heads.static import PooledHead
from genzoo_rwae_plugins.models.rwae import DynamicPart, Rwae, StaticPart
from genzoo_rwae_plugins.priors.lstm import LstmPrior

from genzoo_rwae import penalty
from genzoo_rwae.codes import Codes, DiagonalGaussian, DynamicCode, StaticCode
from genzoo_rwae.components import component_of
from genzoo_rwae.objective import Objective
from genzoo_rwae.sequence_model import Pass
from genzoo_rwae.sequences import DataInfo
from genzoo_rwae.spec import Part
from genzoo_rwae.spec.sections import DynamicTermSlot, TermSlot
from genzoo_rwae.spec.sections import Objective as Section
from genzoo_rwae.zoo import Plugin, Registered


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(2021)  # no seed that a test gives a generator


@pytest.fixture
def objective():
    """An Objective from penalties as (callable, slot's options), without a spec."""

    def part(build, slot, path):
        registered = Registered(component_of(build), Plugin("test", "python", "here"))
        return Part(registered, {}, path, slot)

    def make(static=None, dynamic=None, cost=squared_error, widths=None):
        terms = {}
        if static:
            terms["static"] = part(static[0], TermSlot(**static[1]), "objective.static")
        if dynamic:
            terms["dynamic"] = part(dynamic[0], DynamicTermSlot(**dynamic[1]), "objective.dynamic")
        return Objective(Section(cost=cost, **terms), widths or {"static": 3, "dynamic": 2})

    return make


@dataclass(frozen=True)
class Recorded:
    q: object
    p: object
    paired: bool


@pytest.fixture
def recorder():
    """A penalty that keeps what it was given, and the list of it."""

    def make(**marks):
        calls = []

        @penalty("recording", **marks)
        def recording(q, p, paired, /):
            """Keeps its inputs."""
            calls.append(Recorded(q, p, paired))
            return (q.mean((-2, -1)) - p.mean((-2, -1))).square()

        return recording, calls

    return make


@pytest.fixture
def law():
    def random_law(*shape):
        return DiagonalGaussian(torch.randn(shape), torch.randn(shape))

    return random_law


@pytest.fixture
def passed(law):
    """A pass of random codes; ragged if lengths are given."""

    def make(B=6, T=4, D=2, S=5, lengths=None, frame=(3,)):
        lengths_B = torch.full((B,), T) if lengths is None else torch.tensor(lengths)
        zero = torch.zeros(B, 3)
        static = StaticCode(torch.randn(B, 3), law(B, 3), DiagonalGaussian(zero, zero))
        dynamic = DynamicCode(
            torch.randn(B, T, D), law(B, T, D), law(B, T, D), torch.randn(B, T, S) * 7 + 3
        )
        x, x_hat = torch.rand(B, T, *frame), torch.rand(B, T, *frame)
        return Pass(x, x_hat, torch.arange(T), lengths_B, Codes(static, dynamic))

    return make


@pytest.fixture
def rwae():
    """Small R-WAEs: on images, or on vectors where the frame has one axis."""

    def make(shape=(1, 9, 12), length=4, bounded=True, decoded=None, **static):
        if len(shape) == 3:
            encode = partial(ConvFrameEncoder, channels=2, width=6)
            decode = partial(ConvFrameDecoder, channels=2)
        else:
            encode = partial(MlpFrameEncoder, hidden=8, width=6)
            decode = partial(MlpFrameDecoder, hidden=8)
        return Rwae(
            DataInfo(shape, length, bounded),
            encoder=partial(LstmEncoder, hidden=7, frames=encode),
            static=StaticPart(**{"size": 3, "head": partial(PooledHead, hidden=8), **static}),
            dynamic=DynamicPart(
                size=2, head=partial(LstmHead, hidden=8), prior=partial(LstmPrior, hidden=5)
            ),
            decoder=partial(FrameDecoder, hidden=8, frames=decode),
            decoded=decoded,
        )

    return make
