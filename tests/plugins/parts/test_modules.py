"""What holds for every part that is a module: weights, repeatability, precision.

Shapes: B batch, T time, D code width.
"""

from functools import partial

import pytest
import torch
from genzoo_rwae_plugins.decoders.recurrent import FrameDecoder, LstmDecoder
from genzoo_rwae_plugins.decoders.transformer import TransformerDecoder
from genzoo_rwae_plugins.encoders.conv_lstm import ConvLstmEncoder
from genzoo_rwae_plugins.encoders.recurrent import FrameEncoder, LstmEncoder
from genzoo_rwae_plugins.encoders.tcn import TcnEncoder
from genzoo_rwae_plugins.encoders.transformer import TransformerEncoder
from genzoo_rwae_plugins.frames.convolution import ConvFrameDecoder, ConvFrameEncoder
from genzoo_rwae_plugins.heads.attention import AttentionHead
from genzoo_rwae_plugins.heads.dynamic import LstmHead
from genzoo_rwae_plugins.heads.factorised import FactorisedHead
from genzoo_rwae_plugins.heads.static import BidirectionalHead, PooledHead
from genzoo_rwae_plugins.priors.gaussian import GaussianPrior
from genzoo_rwae_plugins.priors.lstm import LstmPrior

from genzoo_rwae.codes import draw_mean, draw_sample

SHAPE, RAGGED = (1, 8, 8), torch.tensor([4, 2, 3])
ENCODE = partial(ConvFrameEncoder, channels=2, width=5)
DECODE = partial(ConvFrameDecoder, channels=2)


def laws_of(law):
    return law.mean, law.log_variance


# name -> (how it is built, what it gives for fixed inputs)
PARTS = {
    "frame encoder": (
        lambda: FrameEncoder(SHAPE, frames=ENCODE),
        lambda net, x: (net(x["frames"], RAGGED),),
    ),
    "lstm encoder": (
        lambda: LstmEncoder(SHAPE, hidden=4, frames=ENCODE),
        lambda net, x: (net(x["frames"], RAGGED),),
    ),
    "conv-lstm encoder": (
        lambda: ConvLstmEncoder(SHAPE, channels=2, hidden=3, width=5),
        lambda net, x: (net(x["frames"], RAGGED),),
    ),
    "transformer encoder": (
        lambda: TransformerEncoder(SHAPE, hidden=8, heads=2, frames=ENCODE),
        lambda net, x: (net(x["frames"], RAGGED),),
    ),
    "patches encoder": (
        lambda: TransformerEncoder(SHAPE, hidden=8, heads=2, patch=4, attends="full"),
        lambda net, x: (net(x["frames"], RAGGED),),
    ),
    "tcn encoder": (
        lambda: TcnEncoder(SHAPE, hidden=4, frames=ENCODE),
        lambda net, x: (net(x["frames"], RAGGED),),
    ),
    "pooled head": (
        lambda: PooledHead(6, 2, hidden=4),
        lambda net, x: laws_of(net(x["features"], RAGGED)),
    ),
    "bidirectional head": (
        lambda: BidirectionalHead(6, 2, hidden=4),
        lambda net, x: laws_of(net(x["features"], RAGGED)),
    ),
    "attention head": (
        lambda: AttentionHead(6, 2, hidden=8, heads=2),
        lambda net, x: laws_of(net(x["features"], RAGGED)),
    ),
    "factorised head": (
        lambda: FactorisedHead(6, 2, hidden=4),
        lambda net, x: laws_of(net(x["features"], RAGGED, draw_mean)[1]),
    ),
    "lstm head": (
        lambda: LstmHead(6, 2, hidden=4),
        lambda net, x: laws_of(net(x["features"], RAGGED, draw_mean)[1]),
    ),
    "gaussian prior": (lambda: GaussianPrior(2), lambda net, x: laws_of(net.law(3))),
    "lstm prior": (
        lambda: LstmPrior(2, hidden=4),
        lambda net, x: laws_of(net.along(x["codes"])[0]),
    ),
    "frame decoder": (
        lambda: FrameDecoder(2, SHAPE, hidden=4, frames=DECODE),
        lambda net, x: (net(x["codes"]),),
    ),
    "lstm decoder": (
        lambda: LstmDecoder(2, SHAPE, hidden=4, frames=DECODE),
        lambda net, x: (net(x["codes"]),),
    ),
    "transformer decoder": (
        lambda: TransformerDecoder(2, SHAPE, hidden=8, heads=2, frames=DECODE),
        lambda net, x: (net(x["codes"]),),
    ),
}
WITH_LAWS = [name for name in PARTS if name.endswith(("head", "prior"))]
WITH_WEIGHTS = [name for name in PARTS if name != "gaussian prior"]


@pytest.fixture
def inputs():
    return {
        "frames": torch.rand(3, 4, *SHAPE),
        "features": torch.randn(3, 4, 6),
        "codes": torch.randn(3, 4, 2),
    }


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_weights_carry_all_that_a_part_has_learnt(name, inputs):
    build, give = PARTS[name]
    trained, fresh = build(), build()
    give(trained.train(), inputs)  # running statistics move
    trained, fresh = trained.eval(), fresh.eval()
    wanted = give(trained, inputs)
    assert not all(torch.equal(a, b) for a, b in zip(give(fresh, inputs), wanted, strict=True))
    fresh.load_state_dict(trained.state_dict())
    for got, want in zip(give(fresh, inputs), wanted, strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize("name", PARTS)
def test_evaluation_gives_the_same_twice(name, inputs):
    build, give = PARTS[name]
    net = build().eval()
    for got, want in zip(give(net, inputs), give(net, inputs), strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize("name", WITH_LAWS)
def test_laws_are_float32_under_bfloat16_autocast(name, inputs):
    build, give = PARTS[name]
    net = build()
    wanted = give(net, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        laws = give(net, {key: value.bfloat16() for key, value in inputs.items()})
    for got, want in zip(laws, wanted, strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, want, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", [n for n in PARTS if n.endswith(("encoder", "decoder"))])
def test_nets_run_under_bfloat16_autocast_near_what_float32_gives(name, inputs):
    build, give = PARTS[name]
    net = build().eval()
    (wanted,) = give(net, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        (got,) = give(net, inputs)
    torch.testing.assert_close(got.float(), wanted, rtol=0.05, atol=0.05)


def test_drawn_codes_are_float32_under_bfloat16_autocast(inputs):
    draw = draw_sample(torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        path, _ = LstmHead(6, 2, hidden=4)(inputs["features"].bfloat16(), RAGGED, draw)
        law, state = LstmPrior(2, hidden=4).along(path)
        rolled = LstmPrior(2, hidden=4).roll_out(2, 3, draw)
    assert {path.dtype, law.mean.dtype, state.dtype, rolled.dtype} == {torch.float32}
