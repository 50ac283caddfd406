"""Moved and exchanged codes, on a model whose frames are its codes.

Shapes: B batch, T time, D code width; a frame is [z^c, z^m_t].
"""

import pytest
import torch

from genzoo_rwae.codes import Codes, DiagonalGaussian, DynamicCode, StaticCode
from genzoo_rwae.evaluation.directions import Directions, Subspace, factor_subspaces
from genzoo_rwae.evaluation.traversal import code_directions, exchange_all, move, traverse
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData

PLACES = torch.tensor([-2.0, 0.0, 2.0])


class Plain(SequenceModel):
    """Frames of four numbers: two of the static code, two of the dynamic one."""

    def __init__(self):
        super().__init__(DataInfo((4,), 3, False))
        self.anchor = torch.nn.Parameter(torch.zeros(()))

    def infer(self, x_BT, lengths_B, draw):
        laws = [DiagonalGaussian(z, torch.zeros_like(z)) for z in (x_BT[:, 0, :2], x_BT[..., 2:])]
        return Codes(
            StaticCode(laws[0].mean, laws[0], laws[0]),
            DynamicCode(laws[1].mean, laws[1], laws[1], laws[1].mean),
        )

    def decode(self, latents):
        static = latents.static_BD[:, None].expand(-1, latents.dynamic_BTD.shape[1], -1)
        return torch.cat([static, latents.dynamic_BTD], -1)

    def sample_prior(self, count, length, draw, action_BA=None):
        raise NotImplementedError


class Clips(SequenceData):
    """The first number tells who, the second which; both stay."""

    def __init__(self, count=400):
        still = (Factor(name, ("x", "y"), "static") for name in ("who", "which"))
        self.info = DataInfo((4,), 3, False, (*still, Factor("way", ("x", "y"), "dynamic")))
        draw = torch.Generator().manual_seed(0)
        self.labels = torch.randint(0, 2, (count, 3), generator=draw)
        still = self.labels[:, None, :2].float().expand(-1, 3, -1) * torch.tensor([4.0, 2.0])
        moving = torch.randn(count, 3, 2, generator=draw) * torch.tensor([1.0, 3.0])
        self.x_NT = torch.cat([still, moving], -1)
        self.lengths_N = 1 + torch.arange(count) % 3

    def __len__(self):
        return len(self.x_NT)

    def take(self, indices_B, /, *, draw=0):
        i = torch.as_tensor(indices_B)
        labels = {f.name: self.labels[i, n] for n, f in enumerate(self.info.factors)}
        return Batch(self.x_NT[i], self.lengths_N[i], i, labels)


def along(axis, mean, sd=1.5):
    return Directions(mean, axis[None], torch.tensor([sd]), torch.ones(1))


def test_codes_are_moved_by_what_is_added_to_them_and_nothing_beyond_the_end():
    x_T = torch.arange(12.0).reshape(3, 4)
    moved_T = move(Plain(), x_T, 2, torch.tensor([10.0, 20.0]), torch.tensor([0.0, -5.0]))
    wanted_T = torch.tensor([[10.0, 21.0, 2.0, -2.0], [10.0, 21.0, 6.0, 2.0], [0.0] * 4])
    assert torch.equal(moved_T, wanted_T)


def test_static_code_takes_the_place_along_the_direction_and_keeps_the_rest():
    x_T = torch.arange(12.0).reshape(3, 4)
    axis, mean = torch.tensor([0.6, 0.8]), torch.tensor([1.0, -1.0])
    moved = traverse(Plain(), x_T, 3, along(axis, mean), "static", PLACES)
    assert moved.shape == (1, 3, 3, 4)
    static = moved[0, :, 0, :2]
    assert ((static - mean) @ axis).tolist() == pytest.approx([-3.0, 0.0, 3.0], abs=1e-5)
    across = torch.tensor([-0.8, 0.6])
    assert torch.allclose(static @ across, (x_T[0, :2] @ across).expand(3))
    assert torch.equal(moved[0, :, :, 2:], x_T[:, 2:].expand(3, -1, -1))


def test_dynamic_codes_are_moved_all_steps_alike():
    x_T = torch.arange(12.0).reshape(3, 4)
    x_T[:, :2] = 7
    axis = torch.tensor([0.6, 0.8])
    moved = traverse(Plain(), x_T, 3, along(axis, torch.zeros(2)), "dynamic", PLACES)
    assert torch.allclose(moved[0, 1], x_T)
    step = moved[0, 2] - x_T
    assert torch.allclose(step[:, 2:], 3 * axis.expand(3, -1))
    assert torch.equal(step[:, :2], torch.zeros(3, 2))


def test_steps_beyond_the_true_length_stay_empty():
    moved = traverse(Plain(), torch.ones(3, 4), 2, along(torch.tensor([1.0, 0]), torch.zeros(2)),
                     "static", PLACES)  # fmt: skip
    assert (moved[:, :, 2] == 0).all()
    assert (moved[:, :, :2, 1:] == 1).all()


def test_directions_of_dynamic_codes_are_those_of_true_steps():
    data = Clips()
    steps = torch.arange(3) < data.lengths_N[:, None]
    data.x_NT[~steps] = 1e3  # padding that nobody may look at
    found = code_directions(Plain(), data, "dynamic", 2)
    assert torch.allclose(found.axes_RD.abs(), torch.tensor([[0.0, 1], [1, 0]]), atol=0.1)
    assert found.sd_R.tolist() == pytest.approx([3.0, 1.0], rel=0.1)
    assert code_directions(Plain(), data, "static", 1).axes_RD[0, 0] > 0.99


def test_factors_are_found_one_by_one_and_dynamic_ones_are_left_out():
    found = factor_subspaces(Plain(), Clips())
    assert set(found) == {"who", "which"}
    assert torch.allclose(found["who"].onto_DR[1], torch.zeros(1), atol=0.3)


def test_exchanged_factor_is_the_donors_and_all_else_ones_own():
    data = Clips()
    donors, kept = data.take([0, 1]), data.take([2, 3, 5])
    first = torch.tensor([[1.0], [0.0]])
    subspace = Subspace(first, first.T, torch.ones(1))
    made = exchange_all(Plain(), subspace, donors.x_BT, kept.x_BT, donors.lengths_B, kept.lengths_B)
    assert made.shape == (2, 3, 3, 4)
    for r in range(2):
        for c in range(3):
            steps = int(kept.lengths_B[c])
            assert torch.equal(made[r, c, :steps, 0], donors.x_BT[r, :1, 0].expand(steps))
            assert torch.equal(made[r, c, :steps, 1:], kept.x_BT[c, :steps, 1:])
            assert (made[r, c, steps:] == 0).all()
