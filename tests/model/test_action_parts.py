"""Models with a categorical action, with every prior and every penalty that there is.

Shapes: B batch, T time, A number of actions.
"""

import inspect

import pytest
import torch
from genzoo_rwae_plugins.models.parts import ActionPart
from torch.nn.functional import cross_entropy, one_hot

from genzoo_rwae.assemble import assemble
from genzoo_rwae.codes import Categorical, DynamicPrior
from genzoo_rwae.components import options_of, wired_of
from genzoo_rwae.errors import SpecError
from genzoo_rwae.objective import law_of
from genzoo_rwae.objective.terms import action_term
from genzoo_rwae.sequences import DataInfo, Factor
from genzoo_rwae.spec import load_spec
from genzoo_rwae.zoo import Zoo

ZOO = Zoo(use_entry_points=False)
MOVES = Factor("move", ("up", "down", "still"), "dynamic")
INFO = DataInfo((1, 8, 8), 4, True, factors=(MOVES,))
SPEC = """\
genzoo: 1
name: actions
data: {use: moving-shapes, batch: 6}
model:
  use: rwae
  encoder: {use: frame, frames: {use: mlp, hidden: 8, width: 6}}
  static: {size: 3, head: {use: pooled, hidden: 8}}
  dynamic: {size: 2, head: {use: lstm, hidden: 8}, prior: {use: lstm, hidden: 5}}
  action: {count: 3, head: {use: lstm, hidden: 5}}
  decoder: {use: frame, hidden: 8, frames: {use: mlp, hidden: 8}}
objective:
  static: {use: mmd}
  dynamic: {use: mmd}
train: {steps: 2}
"""
SMALL = {"hidden": 8, "heads": 2, "layers": 1}


def build_of(kind, name):
    return ZOO.find(kind, name).component.build


def small(kind, name):
    known = {option.name for option in options_of(build_of(kind, name))}
    chosen = [f"use: {name}", *(f"{k}: {v}" for k, v in SMALL.items() if k in known)]
    return "{" + ", ".join(chosen) + "}"


def dynamic_priors():
    return [
        name for name in ZOO.names("prior") if issubclass(build_of("prior", name), DynamicPrior)
    ]


def is_told(name):
    return len(wired_of(build_of("prior", name))) > 1


def penalties_of_actions():
    """Penalties of samples, and those of categorical laws."""
    for name in ZOO.names("penalty"):
        build = build_of("penalty", name)
        wired = inspect.signature(getattr(build, "forward", build)).parameters
        if law_of(build) in (None, Categorical) and "split" not in wired:
            yield name


TOLD = [name for name in dynamic_priors() if is_told(name)]
FITTING = list(penalties_of_actions())


@pytest.fixture
def assembled(tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC)

    def make(*settings):
        return assemble(load_spec(tmp_path / "spec.yaml", zoo=ZOO, settings=settings), INFO)

    return make


@pytest.fixture
def batch():
    x_BT = torch.rand(6, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    lengths_B = torch.tensor([4, 2, 4, 3, 4, 4])
    x_BT[torch.arange(4) >= lengths_B[:, None]] = 0
    return x_BT, lengths_B


def loss_of(made, batch, *, progress=0.5, labels=None):
    generator = torch.Generator().manual_seed(0)
    passed = made.model(*batch, generator, progress)
    terms = made.objective(
        passed, made.model, progress=progress, generator=generator, labels_B=labels
    )
    return passed, terms


def train_two_steps(made, batch):
    """Two steps, after which everything is finite and samples can be had of every action."""
    optimizer = torch.optim.Adam(made.model.parameters(), lr=1e-2)
    for _ in range(2):
        _, terms = loss_of(made, batch)
        for name, figure in {**terms.figures, "loss": terms.loss}.items():
            assert figure.shape == (), name
            assert figure.isfinite(), name
        optimizer.zero_grad()
        terms.loss.backward()
        optimizer.step()
        made.objective.train_critics()
    for name, parameter in made.model.named_parameters():
        assert parameter.isfinite().all(), name
    made.model.eval()
    for action in range(3):
        sample = made.model.sample(2, 7, torch.Generator().manual_seed(0), action=action)
        assert sample.x_BT.shape == (2, 7, 1, 8, 8)
        assert sample.x_BT.isfinite().all()
        wanted = one_hot(torch.full((2,), action), 3).float()
        assert torch.equal(sample.latents.action_BA, wanted)
    return terms


# -- every penalty ----------------------------------------------------------------------------


def test_there_are_penalties_of_samples_and_of_laws():
    assert {"mmd", "gan", "categorical-kl"} <= set(FITTING)
    assert {"kl", "aggregate-kl", "hsic"} & set(FITTING) == set()


@pytest.mark.parametrize("name", FITTING)
@pytest.mark.parametrize("relaxation", ["relaxed", "straight-through"])
def test_every_penalty_of_actions_trains(assembled, batch, name, relaxation):
    made = assembled(
        f"objective.action={small('penalty', name)}", f"model.action.relaxation={relaxation}"
    )
    terms = train_two_steps(made, batch)
    assert "action" in terms.figures
    made.model.train()
    made.model.zero_grad()
    passed, _ = loss_of(made, batch)
    penalty = made.objective.penalties["action"]
    action_term(penalty, passed.codes.action, torch.Generator().manual_seed(0)).backward()
    for parameter, gradient in made.model.action_head.named_parameters():
        assert gradient.grad is not None, parameter
        assert gradient.grad.isfinite().all(), parameter
    assert sum(p.grad.abs().sum() for p in made.model.action_head.parameters()) > 0


@pytest.mark.parametrize("name", ["kl", "aggregate-kl"])
def test_penalties_of_gaussian_laws_are_refused_for_actions(assembled, name):
    with pytest.raises(SpecError, match="compares Gaussian laws, and an action is one") as caught:
        assembled(f"objective.action={{use: {name}}}")
    assert caught.value.problems[0].path == "objective.action"


def test_a_measure_of_dependence_is_refused_for_actions(assembled):
    with pytest.raises(SpecError, match=r"use it in objective\.independence") as caught:
        assembled("objective.action={use: hsic}")
    assert caught.value.problems[0].path == "objective.action"


@pytest.mark.parametrize("slot", ["static", "dynamic", "independence"])
def test_a_penalty_of_categorical_laws_is_refused_elsewhere(assembled, slot):
    with pytest.raises(SpecError, match=r"use it in objective\.action") as caught:
        assembled(f"objective.{slot}={{use: categorical-kl}}")
    assert caught.value.problems[0].path == f"objective.{slot}"


@pytest.mark.parametrize("term", ["action={use: mmd}", "labels={factor: move}"])
def test_terms_of_actions_are_refused_where_the_model_has_none(assembled, term):
    with pytest.raises(SpecError, match="the model has no actions") as caught:
        assembled("model.action=null", f"objective.{term}")
    assert caught.value.problems[0].path == f"objective.{term.partition('=')[0]}"


# -- every prior ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", dynamic_priors())
@pytest.mark.parametrize("given", ["none", "state", "path"])
def test_every_prior_trains_beside_an_action_that_it_is_not_told(assembled, batch, name, given):
    prior = f"model.dynamic.prior={small('prior', name)}"
    train_two_steps(assembled(prior, f"objective.dynamic.given={given}"), batch)


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("given", ["none", "state", "path"])
@pytest.mark.parametrize("relaxation", ["relaxed", "straight-through"])
def test_a_prior_that_can_be_told_the_action_trains(assembled, batch, name, given, relaxation):
    made = assembled(
        f"model.dynamic.prior={small('prior', name)}",
        "model.action.prior=given-action",
        f"model.action.relaxation={relaxation}",
        f"objective.dynamic.given={given}",
        "objective.action={use: categorical-kl, confidence: 0.1}",
    )
    train_two_steps(made, batch)
    # the same draws under another action are another motion
    paths = [
        made.model.sample(2, 6, torch.Generator().manual_seed(0), action=k).latents.dynamic_BTD
        for k in range(3)
    ]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert not torch.allclose(paths[one][:, 1:], paths[other][:, 1:], atol=1e-6)


@pytest.mark.parametrize("name", [name for name in dynamic_priors() if name not in TOLD])
def test_a_prior_that_cannot_be_told_the_action_is_refused_at_its_place(assembled, name):
    with pytest.raises(SpecError, match="cannot be told the action") as caught:
        assembled(f"model.dynamic.prior.use={name}", "model.action.prior=given-action")
    assert caught.value.problems[0].path == "model.action.prior"


def test_priors_that_are_told_and_those_that_are_not_are_known():
    assert {"lstm", "gru", "transformer", "linear"} <= set(TOLD)
    assert {"iid", "random-walk"} & set(TOLD) == set()


def test_the_gradient_of_a_told_prior_reaches_the_action(assembled, batch):
    made = assembled("model.action.prior=given-action", "objective.dynamic={use: kl}")
    passed = made.model(*batch, torch.Generator().manual_seed(0))
    dynamic = passed.codes.dynamic
    dynamic.posterior.kl(dynamic.prior).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in made.model.action_head.parameters())


def test_paths_are_compared_with_paths_of_the_same_actions(assembled, batch, monkeypatch):
    made = assembled("model.action.prior=given-action", "objective.dynamic.given=path")
    given, sample_prior = [], made.model.sample_prior

    def recorded(count, length, draw, action_BA=None):
        given.append(action_BA)
        return sample_prior(count, length, draw, action_BA)

    monkeypatch.setattr(made.model, "sample_prior", recorded)
    passed, _ = loss_of(made, batch)
    (action_BA,) = given
    assert torch.equal(action_BA, passed.codes.action.sample)
    assert not action_BA.requires_grad


# -- every head -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ZOO.names("action-head"))
def test_every_head_trains_and_sees_no_padding(assembled, batch, name):
    made = assembled(f"model.action.head={small('action-head', name)}")
    train_two_steps(made, batch)
    x_BT, lengths_B = batch
    longer_BT = torch.cat([x_BT, torch.zeros_like(x_BT[:, :2])], dim=1)
    wanted = made.model.encode(x_BT, lengths_B).action.logits
    found = made.model.encode(longer_BT, lengths_B).action.logits
    torch.testing.assert_close(found, wanted)


# -- what an action is ------------------------------------------------------------------------


def test_samples_in_training_are_relaxed_or_one_hot(assembled, batch):
    for relaxation, one_hot_ones in (("relaxed", False), ("straight-through", True)):
        made = assembled(f"model.action.relaxation={relaxation}")
        sample = made.model(*batch, torch.Generator().manual_seed(0)).codes.action.sample
        torch.testing.assert_close(sample.sum(-1), torch.ones(6))
        assert bool(((sample == 0) | (sample == 1)).all()) == one_hot_ones


def test_measured_actions_are_the_likeliest_and_prior_is_uniform(assembled, batch):
    made = assembled()
    encoding = made.model.eval().encode(*batch)
    assert encoding.action.logits.shape == (6, 3)
    passed = made.model(*batch, torch.Generator().manual_seed(0))
    torch.testing.assert_close(passed.codes.action.prior.log_p.exp(), torch.full((6, 3), 1 / 3))
    swapped = made.model.swap(batch[0], batch[0].flip(0), batch[1], batch[1].flip(0), action=2)
    likeliest = made.model.swap(batch[0], batch[0].flip(0), batch[1], batch[1].flip(0))
    chosen = encoding.action.typical().flip(0).argmax(-1)
    same = (swapped.x_BT == likeliest.x_BT).flatten(1).all(1)
    assert torch.equal(same, chosen == 2)


def test_the_temperature_falls_geometrically(assembled, batch):
    part = ActionPart(count=3, temperature=2.0, coldest=0.5)
    assert [part.temperature_at(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([2.0, 1.0, 0.5])
    made = assembled("model.action.temperature=2", "model.action.coldest=0.5")
    for progress, wanted in ((0.0, 2.0), (0.5, 1.0), (1.0, 0.5)):
        passed, _ = loss_of(made, batch, progress=progress)
        assert passed.codes.action.posterior.temperature == pytest.approx(wanted)


@pytest.mark.parametrize("action", [-1, 3])
def test_there_is_no_action_beyond_their_number(assembled, action):
    with pytest.raises(ValueError, match=f"action {action}; this model has those from 0 to 2"):
        assembled().model.sample(2, action=action)


def test_actions_that_are_not_given_are_drawn_alike(assembled):
    sample = assembled().model.eval().sample(600, 2, torch.Generator().manual_seed(0))
    counts = sample.latents.action_BA.sum(0)
    assert set(sample.latents.action_BA.unique().tolist()) == {0.0, 1.0}
    assert ((counts - 200).abs() < 4 * (600 * 2 / 9) ** 0.5).all()


# -- labels -----------------------------------------------------------------------------------


def test_labels_cost_their_cross_entropy_and_others_nothing(assembled, batch):
    made = assembled("objective.labels={factor: move, weight: 3}")
    labels = torch.tensor([0, -1, 2, -1, 1, -1])
    passed, terms = loss_of(made, batch, labels=labels)
    wanted = cross_entropy(passed.codes.action.posterior.logits[::2], labels[::2])
    torch.testing.assert_close(terms.figures["labels"], wanted.detach())
    _, without = loss_of(made, batch)
    torch.testing.assert_close(terms.loss - without.loss, 3 * wanted)
    none, zero = loss_of(made, batch, labels=torch.full((6,), -1))
    assert zero.figures["labels"] == 0
    assert none.codes.action is not None


def test_a_model_learns_the_labels_that_it_is_shown(assembled, batch):
    made = assembled("objective.labels={factor: move, weight: 100}")
    labels = torch.arange(6) % 3
    optimizer = torch.optim.Adam(made.model.parameters(), lr=3e-2)
    for _ in range(60):
        passed, terms = loss_of(made, batch, labels=labels)
        optimizer.zero_grad()
        terms.loss.backward()
        optimizer.step()
    assert torch.equal(passed.codes.action.posterior.logits.argmax(-1), labels)


@pytest.mark.parametrize(
    ("settings", "said", "place"),
    [
        ("{factor: colour}", "no factor 'colour'; known: move", "objective.labels.factor"),
        ("{factor: move}", "has 3 classes and the model 2 actions", "objective.labels.factor"),
    ],
)
def test_labels_that_do_not_fit_are_refused_at_their_place(assembled, settings, said, place):
    count = 2 if "move" in settings else 3
    with pytest.raises(SpecError, match=said) as caught:
        assembled(f"model.action.count={count}", f"objective.labels={settings}")
    assert caught.value.problems[0].path == place
