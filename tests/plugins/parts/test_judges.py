"""The published classifier: its layers, and what it sees of a sequence.

Shapes: B batch, T time, K classes.
"""

import pytest
import torch
from genzoo_rwae_plugins.judges.recurrent import RecurrentJudge
from torch import nn

from genzoo_rwae.sequences import DataInfo, Factor

FACTORS = (Factor("who", tuple("abcde"), "static"), Factor("way", ("x", "y"), "dynamic"))


def make(shape, **options):
    torch.manual_seed(0)
    return RecurrentJudge(DataInfo(shape, 4, True, FACTORS), **options)


def test_the_layers_are_the_published_ones():
    net = make((3, 64, 64))
    convolutions = [m for m in net.frames if isinstance(m, nn.Conv2d)]
    table = [(c.in_channels, c.out_channels, *c.kernel_size, *c.stride) for c in convolutions]
    assert table == [
        (3, 64, 4, 4, 2, 2), (64, 128, 4, 4, 2, 2), (128, 256, 4, 4, 2, 2), (256, 512, 4, 4, 2, 2),
        (512, 128, 4, 4, 1, 1),
    ]  # fmt: skip
    assert len([m for m in net.frames if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d)]) == 5
    assert isinstance(net.frames[-1], nn.Tanh)
    assert (net.lstm.input_size, net.lstm.hidden_size, net.lstm.bidirectional) == (128, 256, True)
    assert [[m.out_features for m in head if isinstance(m, nn.Linear)] for head in net.heads] == [
        [256, 5],
        [256, 2],
    ]


@pytest.mark.parametrize(
    "shape", [(3, 64, 64), (1, 32, 32), (3, 40, 24), (2, 7, 9), (5,), (201,), (17, 3)], ids=str
)
def test_frames_of_any_shape_get_logits_and_gradients(shape):
    net = make(shape, channels=2)
    verdict = net(torch.randn(3, 4, *shape), torch.tensor([4, 2, 1]))
    assert {name: logits.shape for name, logits in verdict.logits.items()} == {
        "who": (3, 5),
        "way": (3, 2),
    }
    assert verdict.features_BF.shape == (3, 512)
    sum(logits.square().sum() for logits in verdict.logits.values()).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []


def test_features_are_the_last_true_state_forwards_and_the_first_backwards():
    net = make((5,), channels=2).eval()
    x_BT = torch.randn(2, 4, 5)
    whole = net(x_BT, torch.tensor([4, 3])).features_BF
    cut = net(x_BT[1:, :3], torch.tensor([3])).features_BF
    torch.testing.assert_close(whole[1:], cut)
    longer = torch.cat([x_BT, torch.randn(2, 1, 5)], 1)  # a further step changes both directions
    other = net(longer, torch.tensor([5, 5])).features_BF
    assert (whole - other).abs()[:, :256].max() > 1e-3
    assert (whole - other).abs()[:, 256:].max() > 1e-4


def test_padding_does_not_reach_the_batch_statistics():
    one, other = make((5,), channels=2), make((5,), channels=2)
    x_BT, lengths_B = torch.randn(4, 4, 5), torch.tensor([4, 3, 2, 2])
    noisy_BT = x_BT.clone()
    noisy_BT[torch.arange(4) >= lengths_B[:, None]] = 1e4
    one(x_BT, lengths_B), other(noisy_BT, lengths_B)
    assert torch.equal(one.frames[1].running_mean, other.frames[1].running_mean)


def seen_in_training(lengths_B, **options):
    """Lengths and frames of what reaches the layers in training, drawn often."""
    net = make((1,), channels=2, **options)
    frames = []
    net.frames.register_forward_pre_hook(lambda _, args: frames.append(args[0]))
    x_BT = torch.arange(1.0, 1 + 6 * len(lengths_B)).reshape(len(lengths_B), 6, 1)
    for _ in range(100):
        net.train()(x_BT, torch.tensor(lengths_B))
    return x_BT, frames


def test_pieces_are_runs_of_true_steps_of_every_length_from_the_shortest():
    _, frames = seen_in_training([6, 6], shortest=2)
    assert {len(x_N1) // 2 for x_N1 in frames} == {2, 3, 4, 5, 6}
    for x_N1 in frames:
        for piece in x_N1.reshape(2, -1):
            assert torch.equal(piece, piece[0] + torch.arange(float(len(piece))))
    starts = {int(x_N1[0]) for x_N1 in frames}
    assert starts == {1, 2, 3, 4, 5}


def test_pieces_of_short_sequences_hold_no_padding():
    x_BT, frames = seen_in_training([6, 1], shortest=3)
    padding = set(x_BT[1, 1:, 0].tolist())
    assert padding.isdisjoint(torch.cat(frames)[:, 0].tolist())


def test_whole_sequences_are_seen_in_evaluation_and_where_no_shortest_is_given():
    _, frames = seen_in_training([6, 6])
    assert {len(x_N1) for x_N1 in frames} == {12}
    net = make((5,), channels=2, shortest=1).eval()
    x_BT, lengths_B = torch.randn(3, 6, 5), torch.tensor([6, 4, 2])
    plain = make((5,), channels=2).eval()
    torch.testing.assert_close(net(x_BT, lengths_B).features_BF, plain(x_BT, lengths_B).features_BF)
