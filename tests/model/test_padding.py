"""True steps and padding, told by the lengths.

Shapes: B batch, T time, H features.
"""

import pytest
import torch

from genzoo_rwae import mean_of_steps, true_steps
from genzoo_rwae.padding import random_windows

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


def test_windows_are_true_steps_in_a_row_and_begin_anywhere():
    x_BT = 10 * torch.arange(3)[:, None] + torch.arange(4)
    starts = set()
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        windows_BW, lengths_B = random_windows(x_BT, LENGTHS, 2, generator)
        assert windows_BW.shape == (3, 2)
        assert lengths_B.tolist() == [2, 1, 2]
        assert torch.equal(windows_BW[:, 1], windows_BW[:, 0] + 1)
        starts |= {(row, int(first) - 10 * row) for row, first in enumerate(windows_BW[:, 0])}
    assert starts == {(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1)}


def test_a_window_longer_than_the_batch_is_refused():
    with pytest.raises(ValueError, match="windows of 5 steps in sequences of 4"):
        random_windows(torch.zeros(3, 4), LENGTHS, 5, None)
