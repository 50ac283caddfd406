"""The classifier that asks what is there, wherever and whenever.

Shapes: B batch, T time, K classes.
"""

import pytest
import torch
from genzoo_rwae_plugins.judges.pooled import PooledJudge

from genzoo_rwae.errors import OptionError
from genzoo_rwae.sequences import DataInfo, Factor

FACTORS = (Factor("what is.it", tuple("abcde"), "static"), Factor("keys", ("x", "y"), "dynamic"))
LENGTHS = torch.tensor([6, 4, 1])


def make(shape=(1, 24, 24), **options):
    torch.manual_seed(0)
    return PooledJudge(DataInfo(shape, 6, True, FACTORS), **{"channels": 2, **options})


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 8, 8), (2, 9, 31)], ids=str)
def test_images_of_any_shape_get_logits_and_gradients(shape):
    net = make(shape)
    verdict = net(torch.randn(3, 6, *shape), LENGTHS)
    assert {name: logits.shape for name, logits in verdict.logits.items()} == {
        "what is.it": (3, 5),
        "keys": (3, 2),
    }
    assert verdict.features_BF.shape == (3, 16)
    sum(logits.square().sum() for logits in verdict.logits.values()).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []


def test_what_is_there_is_told_alike_wherever_it_is_and_in_any_order():
    net, thing = make((1, 48, 48)).eval(), torch.rand(10, 10)
    x_BT = torch.zeros(2, 2, 1, 48, 48)
    for clip, step, (row, column) in ((0, 0, (10, 11)), (0, 1, (18, 27)), (1, 1, (26, 19))):
        x_BT[clip, step, 0, row : row + 10, column : column + 10] = thing
    x_BT[1, 0] = x_BT[0, 0]  # places differ by multiples of 8, the stride of the features
    x_BT[1] = x_BT[1].flip(0)
    one, other = net(x_BT, torch.tensor([2, 2])).features_BF
    torch.testing.assert_close(one, other)
    x_BT[1, :, 0, 26:36, 19:29] = thing.flip(0)
    changed = net(x_BT, torch.tensor([2, 2])).features_BF[1]
    assert (changed - one).abs().max() > 1e-3


def test_padding_reaches_neither_features_nor_batch_statistics():
    x_BT = torch.rand(3, 6, 1, 24, 24)
    noisy_BT = x_BT.clone()
    noisy_BT[torch.arange(6) >= LENGTHS[:, None]] = 1e4
    one, other = make(longest=6, shortest=6), make(longest=6, shortest=6)
    seen = [net(x, LENGTHS).features_BF for net, x in ((one, x_BT), (other, noisy_BT))]
    assert torch.equal(*seen)
    assert torch.equal(one.frames[1].running_mean, other.frames[1].running_mean)
    assert one.frames[1].running_mean.abs().max() > 0


def test_a_shorter_clip_is_judged_as_if_it_had_no_padding():
    net, x_BT = make().eval(), torch.rand(3, 6, 1, 24, 24)
    padded_BF = net(x_BT, LENGTHS).features_BF
    for row, length in enumerate(LENGTHS.tolist()):
        cut_BF = net(x_BT[row : row + 1, :length], torch.tensor([length])).features_BF
        torch.testing.assert_close(padded_BF[row], cut_BF[0])


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({}, {1, 2, 3, 4, 5, 6}), ({"shortest": 2, "longest": 4}, {2, 3, 4}), ({"longest": 1}, {1})],
)
def test_training_sees_pieces_of_the_lengths_asked_for_and_judging_the_whole(options, wanted):
    net, frames = make(**options), []
    net.frames.register_forward_pre_hook(lambda _, args: frames.append(len(args[0])))
    x_BT, lengths_B = torch.rand(2, 6, 1, 24, 24), torch.tensor([6, 6])
    for _ in range(60):
        net(x_BT, lengths_B)
    assert {count // 2 for count in frames} == wanted
    frames.clear()
    net.eval()(x_BT, lengths_B)
    assert frames == [12]


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((5,), {}, "wants images .* judge 'recurrent'"),
        ((1, 7, 20), {}, "of 8 pixels or more"),
        ((1, 8, 8), {"shortest": 3, "longest": 2}, "pieces of 2 steps at most, and of 3 at least"),
    ],
)
def test_what_it_cannot_see_is_refused(shape, options, words):
    with pytest.raises(OptionError, match=words):
        make(shape, **options)
