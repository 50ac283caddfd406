"""Models with actions: codes, decoding, sampling, swapping, labels.

Shapes: B batch, T time, A number of actions.
"""

import warnings
from dataclasses import replace
from functools import partial

import pytest
import torch
from genzoo_rwae_plugins.decoders.recurrent import FrameDecoder
from genzoo_rwae_plugins.encoders.recurrent import FrameEncoder
from genzoo_rwae_plugins.frames.mlp import MlpFrameDecoder, MlpFrameEncoder
from genzoo_rwae_plugins.heads.action import RecurrentActionHead
from genzoo_rwae_plugins.heads.dynamic import LstmHead
from genzoo_rwae_plugins.heads.static import PooledHead
from genzoo_rwae_plugins.models.parts import ActionPart, DynamicPart, StaticPart
from genzoo_rwae_plugins.models.rwae import Rwae
from genzoo_rwae_plugins.priors.lstm import LstmPrior

from genzoo_rwae import DataInfo, SpecError, Zoo, load_spec
from genzoo_rwae.assemble import assemble
from genzoo_rwae.codes import ActionCode, Categorical, Latents, draw_mean, draw_sample
from genzoo_rwae.errors import GenzooWarning
from genzoo_rwae.objective.terms import labels_term
from genzoo_rwae.sequences import Factor
from genzoo_rwae.training.randomness import shown_labels

A = 3
ACTION = partial(ActionPart, count=A, head=partial(RecurrentActionHead, hidden=4))
INFO = DataInfo((5,), 4, bounded=False, factors=(Factor("move", ("a", "b", "c"), "dynamic"),))


def make(action=None, opens=0.0, **dynamic):
    torch.manual_seed(0)
    return Rwae(
        INFO,
        encoder=partial(FrameEncoder, frames=partial(MlpFrameEncoder, hidden=8, width=6)),
        static=StaticPart(size=3, head=partial(PooledHead, hidden=8), opens=opens),
        dynamic=DynamicPart(
            size=2, head=partial(LstmHead, hidden=8), prior=partial(LstmPrior, hidden=5), **dynamic
        ),
        action=action,
        decoder=partial(FrameDecoder, hidden=8, frames=partial(MlpFrameDecoder, hidden=8)),
    )


@pytest.fixture
def clips():
    return torch.randn(6, 4, 5, generator=torch.Generator().manual_seed(5))


LENGTHS = torch.tensor([4, 4, 2, 3, 4, 1])


def test_the_action_is_inferred_from_the_dynamic_codes_alone(clips):
    model = make(ACTION()).eval()
    codes = model.infer(clips, LENGTHS, draw_mean)
    wanted = model.action_head(codes.dynamic.sample, LENGTHS)
    torch.testing.assert_close(codes.action.posterior.logits, wanted)
    assert codes.action.sample.shape == (6, A)
    assert (codes.action.prior.log_p.exp() - 1 / A).abs().max() < 1e-6


def test_samples_cool_as_the_run_goes_on():
    part = ACTION(temperature=2.0, coldest=0.5)
    assert [part.temperature_at(share) for share in (0.0, 0.5, 1.0)] == [2.0, 1.0, 0.5]
    model = make(part)
    temperatures = [
        model(torch.randn(2, 4, 5), torch.tensor([4, 4]), None, share).codes.action.posterior
        for share in (0.0, 1.0)
    ]
    assert [law.temperature for law in temperatures] == [2.0, 0.5]


def test_the_decoder_sees_the_action(clips):
    model = make(ACTION()).eval()
    one, other = (model.sample(4, generator=torch.Generator().manual_seed(0), action=k).x_BT
                  for k in (0, 2))  # fmt: skip
    assert not torch.allclose(one, other)


def test_given_the_action_the_prior_moves_another_way():
    model = make(ACTION(prior="given-action")).eval()
    with torch.no_grad():
        for parameter in model.dynamic_prior.parameters():
            parameter.mul_(3)
    paths = [
        model.sample(4, generator=torch.Generator().manual_seed(0), action=k).latents.dynamic_BTD
        for k in (0, 1)
    ]
    torch.testing.assert_close(paths[0][:, 0], paths[1][:, 0])  # the first code is N(0, I)
    assert not torch.allclose(paths[0], paths[1])
    same = make(ACTION(prior="same-for-all")).eval()
    paths = [
        same.sample(4, generator=torch.Generator().manual_seed(0), action=k).latents.dynamic_BTD
        for k in (0, 1)
    ]
    assert torch.equal(*paths)


def test_unconditional_samples_have_actions_drawn_uniformly():
    model = make(ACTION()).eval()
    drawn = model.sample(3000, 1, torch.Generator().manual_seed(0)).latents.action_BA
    assert (drawn.sum(-1) == 1).all()
    share = drawn.mean(0)
    assert ((share - 1 / A).abs() < 4 * (2 / 9 / 3000) ** 0.5).all()


def test_a_swap_takes_the_motions_action_or_the_one_that_is_given(clips):
    model = make(ACTION()).eval()
    other = clips.flip(0)
    encoding = model.encode(other)
    static = model.encode(clips).static.mean
    codes = Latents(static, encoding.dynamic.mean, encoding.action.typical())
    torch.testing.assert_close(model.swap(clips, other).x_BT, model.decode(codes))
    given = replace(codes, action_BA=torch.eye(A)[1].expand(6, A))
    torch.testing.assert_close(model.swap(clips, other, action=1).x_BT, model.decode(given))


def test_actions_that_the_model_has_not_are_refused(clips):
    with pytest.raises(ValueError, match="action 3; this model has those from 0 to 2"):
        make(ACTION()).eval().sample(2, action=3)
    with pytest.raises(ValueError, match="action 0; this model has none"):
        make().eval().swap(clips, clips, action=0)


def test_gradients_reach_every_parameter_of_a_model_with_actions(clips):
    model = make(ACTION(prior="given-action"))
    passed = model(clips, LENGTHS, torch.Generator().manual_seed(0))
    codes = passed.codes
    loss = (
        passed.x_hat_BK.square().sum()
        + codes.static.posterior.log_variance.sum()
        + codes.dynamic.posterior.log_variance.sum()
        + codes.dynamic.posterior.kl(codes.dynamic.prior).sum()
    )
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_decoder_sees_nothing_of_a_closed_static_code(clips):
    model = make(opens=0.5)
    before, after = (
        model.decoded_codes(model.infer(clips, LENGTHS, draw), draw.progress)
        for draw in (_draw(0.4), _draw(0.5))
    )
    assert (before.static_BD == 0).all()
    assert (after.static_BD != 0).all()
    passed = model(clips, LENGTHS, torch.Generator().manual_seed(0), 0.1)
    assert (passed.codes.static.sample != 0).all()  # its penalty goes on
    measured = model.eval()(clips, LENGTHS, torch.Generator().manual_seed(0), 0.1)
    static, codes = measured.codes.static.sample, measured.codes
    wanted = model.decode(Latents(static, codes.dynamic.sample))
    torch.testing.assert_close(measured.x_hat_BK, wanted)


def _draw(progress):
    return draw_sample(torch.Generator().manual_seed(0), progress)


def test_augmentations_change_what_the_dynamic_encoder_sees_in_training_alone(clips):
    seen = []

    def negate(x_BT, generator):
        seen.append(generator)
        return -x_BT

    model = make(augment=(negate,))
    seen.clear()  # it was tried on zeros
    generator = torch.Generator().manual_seed(0)
    trained = model(clips, LENGTHS, generator).codes
    assert seen == [generator]
    measured = model.eval().infer(clips, LENGTHS, _draw(1.0))
    assert len(seen) == 1
    torch.testing.assert_close(trained.static.posterior.mean, measured.static.posterior.mean)
    negated = model.infer(-clips, LENGTHS, _draw(1.0))
    torch.testing.assert_close(
        trained.dynamic.posterior.mean[:, 0], negated.dynamic.posterior.mean[:, 0]
    )


@pytest.mark.parametrize("gradient", ["all", "own"])
def test_decoder_and_prior_train_the_action_only_where_they_may(clips, gradient):
    model = make(ACTION(prior="given-action", gradient=gradient))
    passed = model(clips, LENGTHS, torch.Generator().manual_seed(0))
    codes = passed.codes
    loss = passed.x_hat_BK.square().sum() + codes.dynamic.posterior.kl(codes.dynamic.prior).sum()
    loss.backward(retain_graph=True)
    told = [p.grad is not None and bool(p.grad.any()) for p in model.action_head.parameters()]
    assert told == [gradient == "all"] * len(told)
    codes.action.sample[:, 0].sum().backward()  # its own terms always do
    for name, parameter in model.action_head.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


# -- labels -----------------------------------------------------------------------------------


def test_shown_labels_are_the_share_that_was_asked_for_and_always_the_same():
    labels, indices = torch.arange(2000) % 9, torch.arange(2000)
    shown = shown_labels(labels, indices, 0, 0.1)
    known = shown >= 0
    assert (shown[known] == labels[known]).all()
    assert abs(known.float().mean().item() - 0.1) < 4 * (0.09 / 2000) ** 0.5
    flipped = shown_labels(labels.flip(0), indices.flip(0), 0, 0.1).flip(0)
    assert torch.equal(shown, flipped)
    assert not torch.equal(shown, shown_labels(labels, indices, 1, 0.1))
    assert (shown_labels(labels, indices, 0, 1.0) == labels).all()


def test_labels_cost_the_cross_entropy_of_rows_that_have_one():
    logits = torch.randn(4, A)
    action = ActionCode(torch.eye(A)[[0, 1, 2, 0]], Categorical(logits), Categorical(logits * 0))
    labels = torch.tensor([2, -1, 0, -1])
    wanted = torch.nn.functional.cross_entropy(logits[[0, 2]], labels[[0, 2]])
    torch.testing.assert_close(labels_term(action, labels), wanted)
    assert labels_term(action, torch.full((4,), -1)) == 0


# -- what a spec may say ----------------------------------------------------------------------

SPEC = """\
genzoo: 1
extends: zoo:moving-shapes
name: acting
model:
  encoder: {use: frame, frames: {use: conv, channels: 2}}
  action: {count: 4, head: {use: lstm, hidden: 4}}
objective:
  action: {use: mmd, weight: 1}
"""


def problem_of(tmp_path, *settings, text=SPEC):
    path = tmp_path / "acting.yaml"
    path.write_text(text)
    info = DataInfo((1, 8, 8), 4, True, (Factor("path", ("a", "b"), "dynamic"),))
    with pytest.raises(SpecError) as caught:
        assemble(load_spec(path, zoo=Zoo(), settings=settings), info)
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["model.action.count=1"], "greater than or equal to 2"),
        (["model.action=null"], "the model has no actions; give it some"),
        (["objective.labels.factor=motion"], "the data have no factor 'motion'; known: path"),
        (["objective.action.use=kl"], "compares Gaussian laws, and an action is one of a few"),
        (["objective.action.use=hsic"], "use it in objective.independence"),
    ],
)
def test_what_does_not_fit_is_said_at_its_place(tmp_path, settings, said):
    assert said in problem_of(tmp_path, *settings)


@pytest.mark.parametrize(
    ("objective", "warned"),
    [("", True), ("  action: null\n", False), ("  labels: {factor: path}\n", False)],
)
def test_actions_that_nothing_keeps_in_use_are_told_unless_it_is_meant(tmp_path, objective, warned):
    path = tmp_path / "acting.yaml"
    path.write_text(
        SPEC.replace("  action: {use: mmd, weight: 1}\n", objective + "  static: null\n")
    )
    info = DataInfo((1, 8, 8), 4, True, (Factor("path", ("a", "b"), "dynamic"),))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assemble(load_spec(path, zoo=Zoo()), info)
    said = [str(w.message) for w in caught if issubclass(w.category, GenzooWarning)]
    assert ["objective no term for them" in line for line in said] == [True] * warned


def test_labels_without_actions_and_with_too_few_are_refused(tmp_path):
    without = SPEC.replace("  action: {use: mmd, weight: 1}\n", "  labels: {factor: path}\n")
    assert "the model has no actions" in problem_of(tmp_path, "model.action=null", text=without)
    path = tmp_path / "few.yaml"
    path.write_text(without)
    spec = load_spec(path, zoo=Zoo())
    classes = tuple("abcde")
    info = DataInfo((1, 8, 8), 4, True, (Factor("path", classes, "dynamic"),))
    with pytest.raises(SpecError, match="has 5 classes and the model 4 actions"):
        assemble(spec, info)


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        (["model.static.opens=0.3"], "model.static.opens"),
        (["model.action.temperature=2"], "model.action.temperature"),
    ],
)
def test_what_follows_progress_wants_a_run_whose_length_is_known(tmp_path, settings, place):
    minutes = [
        "train.steps=null",
        "train.epochs=null",
        "train.minutes=1",
        "train.schedule=constant",
    ]
    still = ["model.action.temperature=0.5"]  # as cold as it gets
    said = problem_of(tmp_path, *minutes, *still, *settings)
    assert place in said
    assert "minutes do not tell repeatably" in said
