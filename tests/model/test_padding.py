"""True steps and padding, told by the lengths.

Shapes: B batch, T time, H features.
"""

import pytest
import torch

from genzoo_rwae import mean_of_steps, true_steps

LENGTHS = torch.tensor([4, 1, 3])


@pytest.mark.parametrize("length", [1, 4, 6])
def test_a_row_has_as_many_true_steps_as_it_is_long_and_they_come_first(length):
    true_BT = true_steps(length, LENGTHS)
    assert true_BT.dtype == torch.bool
    wanted = [[t < n for t in range(length)] for n in LENGTHS.tolist()]
    assert true_BT.tolist() == wanted


def test_the_mask_is_where_it_is_wanted():
    assert true_steps(4, LENGTHS, torch.device("meta")).device.type == "meta"


def test_the_mean_of_steps_is_that_of_every_row_without_its_padding():
    x_BTH = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0))
    found_BH = mean_of_steps(x_BTH, LENGTHS)
    for x_TH, n, found_H in zip(x_BTH, LENGTHS.tolist(), found_BH, strict=True):
        torch.testing.assert_close(found_H, x_TH[:n].mean(0))
