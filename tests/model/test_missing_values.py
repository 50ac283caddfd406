"""Values that are missing: what the model sees, what it costs, what is measured.

Shapes: B batch, T time, F values of a frame.
"""

from functools import partial

import pytest
import torch
from genzoo_rwae_plugins.costs.squared_error import squared_error
from genzoo_rwae_plugins.decoders.recurrent import FrameDecoder
from genzoo_rwae_plugins.encoders.recurrent import LstmEncoder
from genzoo_rwae_plugins.frames.mlp import MlpFrameDecoder, MlpFrameEncoder
from genzoo_rwae_plugins.heads.dynamic import LstmHead
from genzoo_rwae_plugins.heads.static import PooledHead
from genzoo_rwae_plugins.metrics.reconstruction import reconstruction
from genzoo_rwae_plugins.metrics.sample import sample
from genzoo_rwae_plugins.models.parts import DynamicPart, StaticPart
from genzoo_rwae_plugins.models.rwae import Rwae
from genzoo_rwae_plugins.priors.lstm import LstmPrior

from genzoo_rwae import Batch, DataInfo, SequenceData
from genzoo_rwae.evaluation import Splits
from genzoo_rwae.sequence_model import squared_error as error_of

NAN = float("nan")
LENGTHS = torch.tensor([5, 3, 5, 4])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Rwae(
        DataInfo((3,), 5, bounded=False, missing=True),
        encoder=partial(LstmEncoder, hidden=7, frames=partial(MlpFrameEncoder, hidden=8, width=6)),
        static=StaticPart(size=3, head=partial(PooledHead, hidden=8)),
        dynamic=DynamicPart(
            size=2, head=partial(LstmHead, hidden=8), prior=partial(LstmPrior, hidden=5)
        ),
        decoder=partial(FrameDecoder, hidden=8, frames=partial(MlpFrameDecoder, hidden=8)),
    )


def gappy():
    x_BTF = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(1))
    gone = torch.rand(4, 5, 3, generator=torch.Generator().manual_seed(2)) < 0.3
    x_BTF = x_BTF.masked_fill(gone, NAN)
    x_BTF[torch.arange(5) >= LENGTHS[:, None]] = 0
    return x_BTF


def test_the_encoder_tells_a_missing_value_from_a_zero(model):
    x_BTF = gappy()
    filled = model.encode(x_BTF.nan_to_num(0.0), LENGTHS)
    assert not torch.allclose(model.encode(x_BTF, LENGTHS).static.mean, filled.static.mean)


def test_what_is_missing_costs_nothing_and_pulls_at_nothing(model, objective):
    x_BTF = gappy()
    passed = model(x_BTF, LENGTHS, torch.Generator().manual_seed(0))
    passed.x_hat_BK.retain_grad()
    terms = objective()(passed, model, progress=1.0, generator=None)
    terms.loss.backward()
    there = ~x_BTF.isnan() & (torch.arange(5) < LENGTHS[:, None])[..., None]
    gradient = passed.x_hat_BK.grad
    assert (gradient[~there] == 0).all()
    assert (gradient[there] != 0).all()
    gap = torch.where(there, passed.x_hat_BK.detach() - x_BTF, 0.0)
    torch.testing.assert_close(terms.loss.detach(), gap.square().sum() / 4)


def test_error_of_a_reconstruction_is_over_values_that_are_there(model):
    x_BTF = gappy()
    made = model.reconstruct(x_BTF, LENGTHS)
    assert made.x_hat_BT.isfinite().all()
    for row, length in enumerate(LENGTHS):
        x, x_hat = x_BTF[row, :length], made.x_hat_BT[row, :length]
        wanted = (x - x_hat)[~x.isnan()].square().mean()
        torch.testing.assert_close(made.mse_B[row], wanted)


def test_a_sequence_without_any_value_has_no_error():
    x_BTF = torch.full((1, 5, 3), NAN)
    assert error_of(x_BTF, torch.ones(1, 5, 3), torch.tensor([5])).tolist() == [0.0]


def test_data_that_must_be_complete_are_refused_with_a_gap(rwae):
    model = rwae(shape=(3,), bounded=False)
    x_BTF = torch.zeros(2, 4, 3)
    x_BTF[1, 2, 0] = NAN
    with pytest.raises(ValueError, match="without missing values; fill them in"):
        model.encode(x_BTF)


class Gappy(SequenceData):
    info = DataInfo((3,), 5, bounded=False, missing=True)

    def __len__(self):
        return 4

    def take(self, indices_B, /, *, draw=0):
        rows = torch.as_tensor(indices_B)
        return Batch(gappy()[rows], LENGTHS[rows], rows)


def test_metrics_measure_what_is_there(model):
    splits = Splits(Gappy(), Gappy(), Gappy())
    model.eval()
    figures = reconstruction(model, splits)
    x_BTF = gappy()
    there = ~x_BTF.isnan() & (torch.arange(5) < LENGTHS[:, None])[..., None]
    # every sequence counts alike: the best constant frame under those weights, by least squares
    weights = there / there.sum((1, 2), keepdim=True)
    values = x_BTF.nan_to_num(0.0)
    mean = (weights * values).sum((0, 1)) / weights.sum((0, 1))
    wanted = (weights * (values - mean).square()).sum() / 4
    found = figures["mse"].baselines["mean frame"]
    assert found == pytest.approx(wanted.item(), rel=1e-5)
    assert sample(model, splits, sequences=4)["mmd2 to test sequences"].value is not None


def test_the_cost_sees_no_gap(model, objective):
    def picky(x_BT, x_hat_BT, /):
        assert x_BT.isfinite().all()
        return squared_error(x_BT, x_hat_BT)

    passed = model(gappy(), LENGTHS, None)
    assert objective(cost=picky)(passed, model, progress=1.0, generator=None).loss.isfinite()


def test_a_shared_encoder_runs_once(model):
    calls = []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    model(gappy(), LENGTHS, None)
    assert calls == [1]
