"""The cell of a convolutional LSTM, against nn.LSTMCell and against its equations gate by gate.

Shapes: B batch, C channels of the input, S channels of the state, H W a map.
"""

import pytest
import torch
from genzoo_rwae_kernels import ConvLstmCell
from torch import Tensor
from torch.nn.functional import conv2d


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_on_maps_of_one_pixel_it_is_an_lstm() -> None:
    cell, peer = ConvLstmCell(3, 4, kernel=1).double(), torch.nn.LSTMCell(3, 4).double()
    with torch.no_grad():  # the peer's gates come as input, forget, cell, output as well
        weight = torch.cat([peer.weight_ih, peer.weight_hh], 1)
        cell.gates.weight.copy_(weight[:, :, None, None])
        cell.gates.bias.copy_(peer.bias_ih + peer.bias_hh)
    state, peers = None, None
    for step in range(4):
        x = draw(step, 2, 3)
        state, peers = cell(x[:, :, None, None], state), peer(x, peers)
        for got, wanted in zip(state, peers, strict=True):
            torch.testing.assert_close(got[:, :, 0, 0], wanted)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("peephole", [False, True])
def test_a_step_is_that_of_the_paper_gate_by_gate(kernel: int, peephole: bool) -> None:
    sides = (4, 5)
    cell = ConvLstmCell(2, 3, kernel=kernel, peephole=sides if peephole else None).double()
    holes = draw(9, 3, 3, *sides) * peephole
    if peephole:
        cell.peephole.data.copy_(holes)
    x, h, c = draw(0, 2, 2, *sides), draw(1, 2, 3, *sides), draw(2, 2, 3, *sides)
    weights, biases = cell.gates.weight.chunk(4), cell.gates.bias.chunk(4)

    def gate(number: int) -> Tensor:
        own, state = weights[number][:, :2], weights[number][:, 2:]
        both = conv2d(x, own, padding=kernel // 2) + conv2d(h, state, padding=kernel // 2)
        return both + biases[number][:, None, None]

    i, f = torch.sigmoid(gate(0) + holes[0] * c), torch.sigmoid(gate(1) + holes[1] * c)
    after = f * c + i * torch.tanh(gate(2))
    o = torch.sigmoid(gate(3) + holes[2] * after)
    got_h, got_c = cell(x, (h, c))
    torch.testing.assert_close(got_c, after)
    torch.testing.assert_close(got_h, o * torch.tanh(after))


def test_without_a_step_before_both_states_are_zero() -> None:
    cell, x, zero = ConvLstmCell(2, 3).double(), draw(0, 2, 2, 4, 5), torch.zeros(2, 3, 4, 5)
    for got, wanted in zip(cell(x), cell(x, (zero.double(), zero.double())), strict=True):
        assert torch.equal(got, wanted)


def test_the_peephole_is_off_unless_asked_for_and_begins_at_nothing() -> None:
    plain, seeing = ConvLstmCell(2, 3), ConvLstmCell(2, 3, peephole=(4, 5))
    assert [name for name, _ in plain.named_parameters()] == ["gates.weight", "gates.bias"]
    seeing.load_state_dict(plain.state_dict(), strict=False)
    x = torch.rand(2, 2, 4, 5)
    torch.testing.assert_close(plain(x, plain(x))[0], seeing(x, seeing(x))[0])


def test_the_cell_is_kept_in_float32_under_bfloat16() -> None:
    cell = ConvLstmCell(2, 3)
    x = torch.rand(2, 2, 4, 5)
    wanted_h, wanted_c = cell(x, cell(x))
    with torch.autocast("cpu", torch.bfloat16):
        h, c = cell(x.bfloat16(), cell(x.bfloat16()))
    assert (h.dtype, c.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(h.float(), wanted_h, rtol=0.05, atol=0.02)
    torch.testing.assert_close(c, wanted_c, rtol=0.05, atol=0.02)


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel is 4; wanted an odd side"):
        ConvLstmCell(2, 3, kernel=4)
