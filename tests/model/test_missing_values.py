"""Values that are missing cost nothing, pull at nothing, and are seen to be missing.

Shapes: B batch, T time, ... the frame.
"""

from __future__ import annotations

from functools import partial

import pytest
import torch
from genzoo_rwae_plugins.costs.squared_error import squared_error
from genzoo_rwae_plugins.decoders.recurrent import FrameDecoder, LstmDecoder
from genzoo_rwae_plugins.encoders.recurrent import FrameEncoder, LstmEncoder
from genzoo_rwae_plugins.frames.mlp import MlpFrameDecoder, MlpFrameEncoder
from genzoo_rwae_plugins.metrics.reconstruction import reconstruction
from genzoo_rwae_plugins.metrics.sample import sample
from genzoo_rwae_plugins.models.parts import DynamicPart, StaticPart
from genzoo_rwae_plugins.models.rwae import Rwae
from genzoo_rwae_plugins.models.views import with_presence
from hypothesis import given, settings
from hypothesis import strategies as st

from genzoo_rwae import Batch, SequenceData
from genzoo_rwae.evaluation import Splits
from genzoo_rwae.objective.terms import masked_cost
from genzoo_rwae.sequence_model import Pass
from genzoo_rwae.sequence_model import squared_error as error_of
from genzoo_rwae.sequences import DataInfo

T = 5
FRAMES = [(3,), (4, 3), (4, 2)]
NETS = [(FrameEncoder, FrameDecoder), (LstmEncoder, LstmDecoder)]


def model_of(frame, encoder=LstmEncoder, decoder=LstmDecoder, missing=True):
    torch.manual_seed(0)
    return Rwae(
        DataInfo(frame, T, bounded=False, missing=missing),
        encoder=partial(encoder, frames=partial(MlpFrameEncoder, hidden=8, width=6)),
        static=StaticPart(size=3),
        dynamic=DynamicPart(size=2),
        decoder=partial(decoder, hidden=8, frames=partial(MlpFrameDecoder, hidden=8)),
    )


def with_gaps(frame, seed=0, share=0.4):
    generator = torch.Generator().manual_seed(seed)
    x_BT = torch.randn(4, T, *frame, generator=generator)
    gone_BT = torch.rand(x_BT.shape, generator=generator) < share
    return x_BT, gone_BT, x_BT.masked_fill(gone_BT, torch.nan)


@pytest.mark.parametrize("frame", FRAMES)
def test_presence_stands_beside_values_on_the_first_axis_of_a_frame(frame):
    _, gone_BT, x_BT = with_gaps(frame)
    seen_BT = with_presence(x_BT)
    assert seen_BT.shape[2:] == (2 * frame[0], *frame[1:])
    values_BT, there_BT = seen_BT.chunk(2, dim=2)
    assert torch.equal(there_BT, (~gone_BT).float())
    assert torch.equal(values_BT, x_BT.nan_to_num(0.0))


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(("encoder", "decoder"), NETS)
def test_models_of_vectors_and_of_joints_give_back_frames_of_their_shape(frame, encoder, decoder):
    _, _, x_BT = with_gaps(frame)
    model = model_of(frame, encoder, decoder)
    lengths_B = torch.tensor([T, T, 3, 1])
    passed = model(x_BT, lengths_B, torch.Generator().manual_seed(0))
    assert passed.x_hat_BK.shape == x_BT.shape
    assert passed.x_hat_BK.isfinite().all()
    made = model.eval().reconstruct(x_BT, lengths_B)
    assert made.mse_B.isfinite().all()
    assert model.sample(2, 7).x_BT.shape == (2, 7, *frame)


def test_whether_a_value_is_there_changes_what_is_inferred():
    x_BT = torch.zeros(1, T, 3)
    gone_BT = x_BT.clone()
    gone_BT[0, 2, 1] = torch.nan
    model = model_of((3,)).eval()
    there, gone = (model.encode(batch).static.mean for batch in (x_BT, gone_BT))
    assert (there - gone).abs().max() > 1e-6


def passed_of(x_BT, x_hat_BT, lengths_B):
    return Pass(x_BT, x_hat_BT, torch.arange(T), lengths_B, None)


@given(st.integers(0, 10**6), st.sampled_from(FRAMES), st.floats(0.1, 0.9))
@settings(max_examples=25, deadline=None)
def test_what_the_model_makes_of_missing_values_matters_to_nothing(seed, frame, share):
    x_BT, gone_BT, gaps_BT = with_gaps(frame, seed, share)
    lengths_B = torch.tensor([T, T, 3, 1])
    generator = torch.Generator().manual_seed(seed + 1)
    x_hat_BT = torch.randn(x_BT.shape, generator=generator)
    wild_BT = x_hat_BT.masked_fill(gone_BT, 1e6)
    results = []
    for made_BT in (x_hat_BT, wild_BT):
        made_BT = made_BT.clone().requires_grad_()
        cost = masked_cost(squared_error, passed_of(gaps_BT, made_BT, lengths_B))
        cost.backward()
        assert (made_BT.grad[gone_BT] == 0).all()
        results.append(
            (cost.detach(), made_BT.grad, error_of(gaps_BT, made_BT, lengths_B).detach())
        )
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
    # the closed form: squares of what is there, within true lengths
    true_BT = torch.arange(T) < lengths_B[:, None]
    counted = (~gone_BT & true_BT.reshape(4, T, *[1] * len(frame))).float()
    squares = ((x_BT - x_hat_BT).square() * counted).flatten(1).sum(1)
    torch.testing.assert_close(results[0][0], squares.mean())
    torch.testing.assert_close(results[0][2], squares / counted.flatten(1).sum(1).clamp_min(1))


@pytest.mark.parametrize("where", ["channel", "sequence"])
def test_a_channel_or_a_sequence_that_is_missing_as_a_whole_costs_nothing(where):
    x_BT, _, _ = with_gaps((3,), share=0.0)
    if where == "channel":
        x_BT[..., 1] = torch.nan
    else:
        x_BT[2] = torch.nan
    model = model_of((3,))
    lengths_B = torch.full((4,), T)
    passed = model(x_BT, lengths_B, torch.Generator().manual_seed(0))
    masked_cost(squared_error, passed).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
    mse_B = model.eval().reconstruct(x_BT, lengths_B).mse_B
    assert mse_B.isfinite().all()
    if where == "sequence":
        assert mse_B[2] == 0


def test_missing_values_are_refused_by_a_model_that_was_not_told_of_them():
    _, gone_BT, x_BT = with_gaps((3,))
    with pytest.raises(ValueError, match=f"{int(gone_BT.sum())} values are NaN"):
        model_of((3,), missing=False).encode(x_BT)


RAGGED = torch.tensor([5, 3, 5, 4])


def gaps_of_vectors():
    _, _, x_BTF = with_gaps((3,), share=0.3)
    x_BTF[torch.arange(T) >= RAGGED[:, None]] = 0
    return x_BTF


class Gappy(SequenceData):
    info = DataInfo((3,), 5, bounded=False, missing=True)

    def __len__(self):
        return 4

    def take(self, indices_B, /, *, draw=0):
        rows = torch.as_tensor(indices_B)
        return Batch(gaps_of_vectors()[rows], RAGGED[rows], rows)


def test_metrics_measure_what_is_there():
    splits = Splits(Gappy(), Gappy(), Gappy())
    model = model_of((3,)).eval()
    figures = reconstruction(model, splits)
    x_BTF = gaps_of_vectors()
    there = ~x_BTF.isnan() & (torch.arange(5) < RAGGED[:, None])[..., None]
    # every sequence counts alike: the best constant frame under those weights, by least squares
    weights = there / there.sum((1, 2), keepdim=True)
    values = x_BTF.nan_to_num(0.0)
    mean = (weights * values).sum((0, 1)) / weights.sum((0, 1))
    wanted = (weights * (values - mean).square()).sum() / 4
    found = figures["mse"].baselines["mean frame"]
    assert found == pytest.approx(wanted.item(), rel=1e-5)
    assert sample(model, splits, sequences=4)["mmd2 to test sequences"].value is not None


def test_the_cost_sees_no_gap(objective):
    def picky(x_BT, x_hat_BT, /):
        assert x_BT.isfinite().all()
        return squared_error(x_BT, x_hat_BT)

    model = model_of((3,))
    passed = model(gaps_of_vectors(), RAGGED, None)
    assert objective(cost=picky)(passed, model, progress=1.0, generator=None).loss.isfinite()


def test_a_shared_encoder_runs_once():
    model = model_of((3,))
    calls = []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    model(gaps_of_vectors(), RAGGED, None)
    assert calls == [1]


@pytest.mark.parametrize("end", [torch.inf, -torch.inf])
def test_what_is_infinite_is_refused_beside_what_is_missing(end):
    _, _, x_BT = with_gaps((3,))
    x_BT[1, 2, 0] = end
    model = model_of((3,)).eval()
    with pytest.raises(ValueError, match="some values are infinite"):
        model.encode(x_BT)
