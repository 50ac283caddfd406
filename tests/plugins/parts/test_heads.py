"""Heads: features to posteriors of the codes.

Shapes: B batch, T time, H features, D code width.
"""

from functools import partial

import pytest
import torch
from genzoo_rwae_plugins.heads import dynamic
from genzoo_rwae_plugins.heads.attention import AttentionHead
from genzoo_rwae_plugins.heads.dynamic import LstmHead
from genzoo_rwae_plugins.heads.factorised import FactorisedHead
from genzoo_rwae_plugins.heads.posterior import GaussianLayer, posterior_layer
from genzoo_rwae_plugins.heads.static import BidirectionalHead, PooledHead
from torch import nn

from genzoo_rwae.codes import draw_mean, draw_sample
from genzoo_rwae.errors import OptionError
from genzoo_rwae.testing import check_dynamic_head, check_static_head

STATIC = {"pooled": PooledHead, "bidirectional": BidirectionalHead, "attention": AttentionHead}
DYNAMIC = {"lstm": LstmHead, "factorised": FactorisedHead}
HEADS = {**STATIC, **DYNAMIC}
FULL = torch.full((3,), 5)


def law_of(net, features):
    """What a head says of the features, static or dynamic."""
    if isinstance(net, tuple(DYNAMIC.values())):
        return net(features, FULL, draw_mean)[1]
    return net(features, FULL)


@pytest.fixture
def features():
    return torch.randn(3, 5, 6)


@pytest.mark.parametrize("head", STATIC.values(), ids=STATIC)
def test_static_head_gives_one_law_a_sequence(head, features):
    law = head(6, 2, hidden=4)(features, FULL)
    assert law.mean.shape == law.log_variance.shape == (3, 2)


@pytest.mark.parametrize("head", DYNAMIC.values(), ids=DYNAMIC)
def test_dynamic_head_gives_a_path_and_its_laws(head, features):
    path, law = head(6, 2, hidden=4)(features, FULL, draw_mean)
    assert path.shape == law.mean.shape == law.log_variance.shape == (3, 5, 2)
    assert torch.equal(path, law.mean)


@pytest.mark.parametrize("build", [PooledHead, AttentionHead], ids=["pooled", "attention"])
def test_a_head_that_pools_is_blind_to_the_order_of_true_steps(build, features):
    head, lengths = build(6, 2, hidden=4), torch.tensor([5, 3, 4])
    shuffled = features.clone()
    for row, length in enumerate(lengths.tolist()):
        shuffled[row, :length] = features[row, torch.arange(length).roll(1)]
    torch.testing.assert_close(head(shuffled, lengths).mean, head(features, lengths).mean)


def test_bidirectional_head_sees_the_order_of_steps(features):
    head = BidirectionalHead(6, 2, hidden=4)
    gap = head(features.flip(1), FULL).mean - head(features, FULL).mean
    assert (gap.abs() > 1e-4).any(1).all()


def test_pooled_head_takes_the_mean_over_true_steps_only(features):
    head, lengths = PooledHead(6, 2, hidden=4), torch.tensor([2, 5, 1])
    for row, length in enumerate(lengths.tolist()):
        mean = features[row, :length].mean(0, keepdim=True)[None]
        torch.testing.assert_close(
            head(features, lengths).mean[row], head(mean, torch.ones(1, dtype=torch.long)).mean[0]
        )


def test_bidirectional_head_gives_what_each_sequence_gives_alone(features):
    head, lengths = BidirectionalHead(6, 2, hidden=4), torch.tensor([2, 5, 1])
    together = head(features, lengths).mean
    for row, length in enumerate(lengths.tolist()):
        alone = head(features[row : row + 1, :length], torch.tensor([length])).mean
        torch.testing.assert_close(together[row], alone[0])


@pytest.mark.parametrize("low", [False, True], ids=["float32", "bfloat16"])
def test_a_step_by_parts_is_that_of_torchs_cell(features, low, monkeypatch):
    head, found = LstmHead(6, 2, hidden=4), []
    for by_parts in (True, False):  # as on a CPU, and as on a GPU
        monkeypatch.setattr(
            dynamic, "_has_cheap_launches", lambda device, by_parts=by_parts: by_parts
        )
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            path, law = head(features, FULL, draw_mean)
        value = path.float().square().sum() + law.log_variance.float().sum()
        found.append([path.float(), *torch.autograd.grad(value, list(head.parameters()))])
    close = {True: {"rtol": 0.05, "atol": 0.05}, False: {"rtol": 1e-4, "atol": 1e-6}}[low]
    for own, torchs in zip(*found, strict=True):
        torch.testing.assert_close(own, torchs, **close)


def test_a_cpu_steps_by_parts_and_a_gpu_does_not():
    assert dynamic._has_cheap_launches(torch.device("cpu"))
    assert not dynamic._has_cheap_launches(torch.device("cuda"))


def test_dynamic_code_sees_no_later_feature(features):
    head = LstmHead(6, 2, hidden=4)
    other = features.clone()
    other[:, 3:] += 1
    before, after = (head(x, FULL, draw_mean)[1] for x in (features, other))
    assert torch.equal(before.mean[:, :3], after.mean[:, :3])
    assert torch.equal(before.log_variance[:, :3], after.log_variance[:, :3])
    assert (before.mean[:, 3:] != after.mean[:, 3:]).all()


def test_dynamic_code_depends_on_the_drawn_code_before_it(features):
    head = LstmHead(6, 2, hidden=4)
    seen = []

    def draw(law):
        seen.append(law)
        return law.mean + (10.0 if len(seen) == 2 else 0.0)  # at t = 2 alone

    moved, law = head(features, FULL, draw)
    plain, law_of_means = head(features, FULL, draw_mean)
    assert torch.equal(law.mean[:, :2], law_of_means.mean[:, :2])
    torch.testing.assert_close(moved[:, 1], plain[:, 1] + 10)
    assert ((law.mean - law_of_means.mean)[:, 2].abs() > 1e-3).all()


def test_dynamic_head_steps_as_torchs_cell_does(features):
    head = LstmHead(6, 2, hidden=4)
    nn.init.normal_(head.law.log_variance.weight)
    code, state = torch.zeros(len(features), 2), None
    means, log_variances = [], []
    for feature in features.unbind(1):
        state = head.cell(torch.cat([feature, code], -1), state)
        law = head.law(state[0])
        code = law.mean
        means.append(law.mean)
        log_variances.append(law.log_variance)
    path, law = head(features, FULL, draw_mean)
    torch.testing.assert_close(path, torch.stack(means, 1))
    torch.testing.assert_close(law.log_variance, torch.stack(log_variances, 1))


def test_dynamic_head_steps_in_float32_whatever_its_features_are(features):
    head, seen = LstmHead(6, 2, hidden=4), []
    head.law.mean.register_forward_hook(lambda _, given, mean: seen.append(mean.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        path, _ = head(features.bfloat16(), FULL, draw_mean)
    assert path.dtype == torch.float32
    assert set(seen) == {torch.float32}
    torch.testing.assert_close(path, head(features, FULL, draw_mean)[0], rtol=0, atol=0.01)


@pytest.mark.parametrize("start", [-6.0, -4.0, 0.0])
@pytest.mark.parametrize("name", [*STATIC, *DYNAMIC])
def test_initial_log_variances_are_the_options(name, start, features):
    if name in DYNAMIC:
        law = DYNAMIC[name](6, 2, hidden=4, log_variance=start)(features, FULL, draw_mean)[1]
    else:
        law = STATIC[name](6, 2, hidden=4, log_variance=start)(features, FULL)
    torch.testing.assert_close(law.log_variance, torch.full_like(law.log_variance, start))


@pytest.mark.parametrize("head", [*STATIC.values(), *DYNAMIC.values()], ids=[*STATIC, *DYNAMIC])
@pytest.mark.parametrize("start", [-11.9, 2.0])
def test_log_variance_can_be_learnt_from_wherever_it_starts(head, start, features):
    net = head(6, 2, hidden=4, log_variance=start)
    out = net(features, FULL, draw_mean)[1] if head in DYNAMIC.values() else net(features, FULL)
    out.log_variance.sum().backward()
    assert (net.law.log_variance.bias.grad != 0).all()


def test_posterior_never_falls_below_its_floor():
    layer = GaussianLayer(3, 2, -4.0, -5.0)
    torch.nn.init.normal_(layer.log_variance.weight, std=100.0)
    log_variance = layer(torch.randn(200, 3) * 10).log_variance
    assert log_variance.min() == -5.0
    assert log_variance.max() == 2.0


@pytest.mark.parametrize("build", DYNAMIC.values(), ids=DYNAMIC)
def test_dynamic_floor_holds_and_lifts_a_lower_start(build, features):
    head = build(6, 2, hidden=4, log_variance=-8.0, floor=-3.0)
    law = head(features, FULL, draw_mean)[1]
    assert (law.log_variance == -3.0).all()
    law.log_variance.sum().backward()
    assert (head.law.log_variance.bias.grad != 0).all()  # it can rise from there


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_every_head_keeps_within_floor_and_ceiling(head, features):
    net = head(6, 2, hidden=4, log_variance=-3.0, floor=-5.0, ceiling=-1.5)
    assert (law_of(net, features).log_variance == -3.0).all()
    with torch.no_grad():
        net.law.log_variance.bias.copy_(torch.tensor([-1e4, 1e4]))
    found = law_of(net, features).log_variance
    assert (found[..., 0] == -5.0).all()
    assert (found[..., 1] == -1.5).all()


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize(("start", "begins"), [(-8.0, -5.0), (1.0, -1.5)])
def test_a_start_beyond_floor_or_ceiling_begins_there_and_can_leave(head, start, begins, features):
    net = head(6, 2, hidden=4, log_variance=start, floor=-5.0, ceiling=-1.5)
    found = law_of(net, features).log_variance
    assert (found == begins).all()
    found.sum().backward()
    assert (net.law.log_variance.bias.grad != 0).all()


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_floor_above_the_ceiling_is_refused_at_the_option(head):
    with pytest.raises(OptionError, match="floor is -1, above ceiling: -4") as caught:
        head(6, 2, floor=-1.0, ceiling=-4.0)
    assert caught.value.option == "floor"
    head(6, 2, floor=-4.0, ceiling=-4.0)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_samples_of_a_deterministic_posterior_are_its_means_exactly(head, features):
    net = head(6, 2, hidden=4, posterior="deterministic")
    law = law_of(net, features)
    assert (law.log_variance == -torch.inf).all()
    assert (law.sd == 0).all()
    sample = law.sample(torch.Generator().manual_seed(0))
    assert torch.equal(sample, law.mean)
    sample.sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_a_deterministic_path_is_fed_back_as_it_is(features):
    net = LstmHead(6, 2, hidden=4, posterior="deterministic")
    drawn = draw_sample(torch.Generator().manual_seed(0))
    assert torch.equal(net(features, FULL, drawn)[0], net(features, FULL, draw_mean)[0])


def test_deterministic_heads_pass_the_kit():
    for head in STATIC.values():
        check_static_head(head, hidden=4, posterior="deterministic")
    for head in DYNAMIC.values():
        check_dynamic_head(head, hidden=4, posterior="deterministic")


def test_a_deterministic_layer_learns_no_variance():
    layer = posterior_layer(3, 2, -4.0, -12.0, 2.0, "deterministic")
    assert [name for name, _ in layer.named_parameters()] == ["mean.weight", "mean.bias"]


def test_posterior_of_extreme_features_is_finite_with_finite_gradients():
    layer = GaussianLayer(3, 2, -4.0)
    torch.nn.init.normal_(layer.log_variance.weight, std=100.0)
    law = layer(torch.randn(50, 3) * 1e4)
    law.sd.sum().backward()
    assert law.sd.isfinite().all()
    for name, parameter in layer.log_variance.named_parameters():
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("head", [*STATIC.values(), *DYNAMIC.values()], ids=[*STATIC, *DYNAMIC])
def test_every_parameter_of_a_head_gets_a_gradient(head, features, gradients):
    net = head(6, 2, hidden=4)
    law = net(features, FULL, draw_mean)[1] if head in DYNAMIC.values() else net(features, FULL)
    for name, gradient in gradients(net, law.mean + law.log_variance).items():
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 1e-7, name


# -- registers that attend ------------------------------------------------------------------------


def test_attention_head_is_the_softmax_of_its_registers_over_true_steps(features):
    head, lengths = AttentionHead(6, 2, hidden=8, heads=2, registers=3), torch.tensor([2, 5, 1])
    for row, length in enumerate(lengths.tolist()):
        k, v = head.kv(features[row, :length]).chunk(2, -1)
        found = torch.zeros(3, 8)
        for part in range(2):
            columns = slice(4 * part, 4 * part + 4)
            fits = head.registers_HRK[part] @ k[:, columns].mT / 2  # the root of its width
            found[:, columns] = fits.softmax(-1) @ v[:, columns]
        wanted = head.law(head.hidden(found.flatten()))
        torch.testing.assert_close(head(features, lengths).mean[row], wanted.mean)


def test_each_register_may_look_for_another_step():
    """Registers along the keys of two steps find those two."""
    head = AttentionHead(2, 1, hidden=2, heads=1, registers=2)
    with torch.no_grad():
        head.kv.weight.copy_(torch.eye(2).repeat(2, 1))
        head.kv.bias.zero_()
        head.registers_HRK.copy_(100 * torch.eye(2)[None])
    head.hidden = torch.nn.Identity()
    head.law = torch.nn.Identity()
    steps = torch.tensor([[[0.1, 0.2], [3.0, 0.0], [0.0, 4.0], [0.3, 0.1]]])
    near = partial(torch.testing.assert_close, rtol=0, atol=1e-3)
    near(head(steps, torch.tensor([4])), torch.tensor([[3.0, 0.0, 0.0, 4.0]]))
    # a register whose step is padding finds another one
    near(head(steps, torch.tensor([2])), torch.tensor([[3.0, 0.0, 0.1, 0.2]]))


def test_heads_that_do_not_fit_the_registers_are_refused():
    with pytest.raises(
        OptionError, match=r"hidden is 6.*4 heads; wanted a multiple of 4"
    ) as caught:
        AttentionHead(6, 2, hidden=6)
    assert caught.value.option == "hidden"


# -- codes that are inferred each by itself -------------------------------------------------------


def test_factorised_code_sees_its_own_features_alone(features):
    head = FactorisedHead(6, 2, hidden=4)
    other = features.clone()
    other[:, 2] += 1
    before, after = (head(x, FULL, draw_mean)[1].mean for x in (features, other))
    assert [bool((before[:, t] != after[:, t]).any()) for t in range(5)] == [
        False, False, True, False, False,
    ]  # fmt: skip


def test_factorised_code_does_not_see_what_was_drawn_before_it(features):
    head = FactorisedHead(6, 2, hidden=4, log_variance=0.0)
    draws = [draw_sample(torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    (one, law), (other, same) = (head(features, FULL, draw) for draw in draws)
    assert (one != other).all()
    assert torch.equal(law.mean, same.mean)
