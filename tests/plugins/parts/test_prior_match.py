"""The two-sample metric, on made-up models whose answer is known.

Shapes: N sequences, B batch, T time, D code width.
"""

import pytest
import torch
from genzoo_rwae_plugins.metrics.prior_match import prior_match

from genzoo_rwae.codes import Codes, DiagonalGaussian, DynamicCode, Latents, StaticCode
from genzoo_rwae.evaluation import Splits
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch, DataInfo, SequenceData

T, D = 3, 2


class Standard(SequenceData):
    """Sequences of standard normal numbers, of two lengths."""

    info = DataInfo((D,), T, False)

    def __init__(self, count, ragged=False):
        self.x_NT = torch.randn(count, T, D, generator=torch.Generator().manual_seed(1))
        self.lengths_N = torch.where(torch.arange(count) % 2 == 0, T, 2 if ragged else T)

    def __len__(self):
        return len(self.x_NT)

    def take(self, indices_B, /, *, draw=0):
        indices_B = torch.as_tensor(indices_B)
        return Batch(self.x_NT[indices_B], self.lengths_N[indices_B], indices_B)


class Codec(SequenceModel):
    """Codes are the data: the static code the first frame, the dynamic ones all.

    Posterior sd² + mean² = 1 makes the aggregated posterior N(0, I), the prior.
    """

    def __init__(self, shrink=0.6, shift=0.0, moving_shift=0.0, tied=False):
        super().__init__(Standard.info)
        self.anchor = torch.nn.Parameter(torch.zeros(()))
        self.shrink, self.shift, self.moving_shift, self.tied = shrink, shift, moving_shift, tied

    def law(self, x, shift=0.0):
        variance = torch.full_like(x, 1 - self.shrink**2)
        return DiagonalGaussian(self.shrink * x + shift, variance.log())

    def infer(self, x_BT, lengths_B, draw):
        first = x_BT[:, 0] if self.tied else x_BT[:, 0].roll(1, 0)
        q_c, q_m = self.law(first, self.shift), self.law(x_BT, self.moving_shift)
        return Codes(StaticCode(draw(q_c), q_c, q_c), DynamicCode(draw(q_m), q_m, q_m, x_BT))

    def decode(self, latents):
        return latents.dynamic_BTD

    def sample_prior(self, count, length, draw):
        def unit(*shape):
            return draw(DiagonalGaussian(torch.zeros(shape), torch.zeros(shape)))

        return Latents(unit(count, D), unit(count, length, D))


def measure(model, count=300, ragged=False, seed=4, **options):
    # at another seed one p-value in twenty of equal laws is below .05
    data = Standard(count, ragged)
    return prior_match(model, Splits(data, data, data), permutations=199, seed=seed, **options)


@pytest.mark.parametrize("ragged", [False, True])
def test_codes_that_are_distributed_as_the_prior_pass(ragged):
    for name, figures in measure(Codec(), ragged=ragged).items():
        assert figures["p-value"].value > 0.05, name
        assert abs(figures["mmd2"].value) < 0.02, name


def test_a_shifted_code_is_found_where_it_is():
    found = measure(Codec(shift=0.4))
    assert found["static code"]["p-value"].value == 1 / 200
    assert found["dynamic path"]["p-value"].value > 0.05
    assert found["both together"]["p-value"].value == 1 / 200
    moving = measure(Codec(moving_shift=0.4), ragged=True)
    assert moving["dynamic path"]["p-value"].value == 1 / 200
    assert moving["static code"]["p-value"].value > 0.05


def test_means_would_pass_for_draws_if_they_were_not_drawn():
    # a posterior that shrinks to its mean has a variance of .36: too narrow for the prior
    class Means(Codec):
        def law(self, x, shift=0.0):
            return DiagonalGaussian(self.shrink * x + shift, torch.full_like(x, -30.0))

    assert measure(Means())["static code"]["p-value"].value == 1 / 200


def test_codes_that_depend_on_each_other_are_found_together_alone():
    found = measure(Codec(shrink=0.99, tied=True))
    assert found["static code"]["p-value"].value > 0.05
    assert found["dynamic path"]["p-value"].value > 0.05
    assert found["both together"]["p-value"].value == 1 / 200


def test_the_same_seed_gives_the_same_figures_and_one_sequence_none():
    assert measure(Codec(), count=40) == measure(Codec(), count=40)
    assert measure(Codec(), count=40) != measure(Codec(), count=40, seed=1)
    lone = measure(Codec(), count=1)
    assert lone["static code"]["p-value"].value is None
    assert measure(Codec(), count=300, sequences=20)["static code"]["p-value"].note.startswith(
        "20 "
    )
