"""Parts of the MMD that several processes sum up: together they are the whole."""

from __future__ import annotations

import pytest
import torch
from genzoo_rwae_kernels import Energy, Imq, Kernel, Linear, mmd2_unbiased, mmd2_unbiased_part
from torch import Tensor

KERNELS = {"imq": Imq(), "energy": Energy(), "linear": Linear()}


def samples(rows: int, *batch: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (*batch, rows, 3)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    return x.requires_grad_(), (1.0 + x.detach().flip(-1)).requires_grad_()


def gradients(value: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value.sum(), inputs)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize(("rows", "parts"), [(7, 1), (7, 2), (10, 3), (10, 4), (9, 5), (3, 6)])
@pytest.mark.parametrize("paired", [False, True])
def test_parts_add_up_to_the_whole_in_value_and_gradients(
    kernel: Kernel, rows: int, parts: int, paired: bool
) -> None:
    x, y = samples(rows)
    whole = mmd2_unbiased(x, y, kernel, paired=paired)
    total = sum(
        mmd2_unbiased_part(x, y, kernel, part=p, parts=parts, paired=paired) for p in range(parts)
    )
    torch.testing.assert_close(total, whole, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(gradients(total, x, y), gradients(whole, x, y))


@pytest.mark.parametrize("backend", ["eager", "tiled"])
def test_parts_take_weights_and_steps(backend: str) -> None:
    x, y = samples(8, 2)
    weights = torch.tensor([[1.0, 0, 2, 1, 1, 0, 1, 3], [1, 1, 1, 0, 0, 0, 0, 2]])
    given = {"x_weights": weights, "y_weights": weights.flip(0), "backend": backend}
    whole = mmd2_unbiased(x, y, Imq(), paired=True, **given)
    parts = [
        mmd2_unbiased_part(x, y, Imq(), part=p, parts=4, paired=True, **given) for p in range(4)
    ]
    torch.testing.assert_close(torch.stack(parts).sum(0), whole)


@pytest.mark.parametrize("parts", [2, 3, 4, 5, 8])
def test_parts_have_as_many_pairs_as_each_other_and_no_pair_twice(parts: int) -> None:
    rows = 120
    counted = [0] * parts

    def counting(x: Tensor, y: Tensor) -> Tensor:
        counted[part] += x.shape[-2] * y.shape[-2]
        return x @ y.mT

    x, y = (sample.detach() for sample in samples(rows))
    for part in range(parts):
        mmd2_unbiased_part(x, y, counting, part=part, parts=parts, backend="eager")
    # a block with itself is computed whole, and its diagonal taken off
    block = rows // parts
    assert sum(counted) == 2 * rows**2 + parts * block**2
    assert max(counted) - min(counted) <= 2 * block  # halves of an odd block


@pytest.mark.parametrize(
    ("change", "said"),
    [({"part": 2}, "part 2 of 2"), ({"x": torch.zeros(3, 3)}, "x has 3 and y has 4 rows")],
)
def test_what_makes_no_part_is_refused(change: dict, said: str) -> None:
    given = {"x": torch.zeros(4, 3), "y": torch.zeros(4, 3), "part": 0, "parts": 2, **change}
    x, y = given.pop("x"), given.pop("y")
    with pytest.raises(ValueError, match=said):
        mmd2_unbiased_part(x, y, Imq(), **given)
