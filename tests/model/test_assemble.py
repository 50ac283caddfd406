"""From a spec and the shape of the data to a model and its objective."""

from pathlib import Path

import pytest
import torch

from genzoo_rwae.assemble import assemble, open_split
from genzoo_rwae.errors import DataError, SpecError
from genzoo_rwae.sequences import DataInfo
from genzoo_rwae.spec import load_spec
from genzoo_rwae.zoo import Zoo

INFO = DataInfo((1, 16, 16), 4, True)
SPEC = """\
genzoo: 1
name: small
plugins: [./critics.py]
data: {use: moving-shapes, batch: 4}
model:
  use: rwae
  encoder: {use: frame, frames: {use: mlp, hidden: 8, width: 6}}
  static: {size: 3, head: {use: pooled, hidden: 8}}
  dynamic: {size: 2, head: {use: lstm, hidden: 8}, prior: {use: lstm, hidden: 5}}
  decoder: {use: frame, hidden: 8, frames: {use: mlp, hidden: 8}}
objective:
  static: {use: mmd}
  dynamic: {use: mmd, given: none}
train: {steps: 2}
"""
CRITICS = """\
import torch
from genzoo_rwae import DiagonalGaussian, hookimpl, penalty


@penalty("critic")
class Critic(torch.nn.Module):
    '''A learnt direction, and how often it was asked in training.'''

    def __init__(self, width, /):
        super().__init__()
        self.direction = torch.nn.Linear(width, 1)
        self.register_buffer("asked", torch.zeros(()))

    def forward(self, q_ND, p_ND, /):
        if self.training:
            self.asked += 1
        return (self.direction(q_ND).mean() - self.direction(p_ND).mean()).square()


@penalty("law-critic", batch_coupled=False)
class LawCritic(torch.nn.Module):
    '''A learnt direction of means.'''

    def __init__(self, width, /):
        super().__init__()
        self.direction = torch.nn.Linear(width, 1)

    def forward(self, q: DiagonalGaussian, p: DiagonalGaussian, /):
        return self.direction(q.mean - p.mean).square().mean()


@hookimpl
def genzoo_penalties():
    yield Critic
    yield LawCritic
"""


@pytest.fixture
def assembled(tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "critics.py").write_text(CRITICS)

    def make(*settings, info=INFO):
        zoo = Zoo(use_entry_points=False)
        spec = load_spec(tmp_path / "spec.yaml", zoo=zoo, settings=settings)
        return assemble(spec, info)

    return make


def test_weights_follow_the_seed_and_nothing_else(assembled):
    def weights(*settings):
        return torch.cat([p.flatten() for p in assembled(*settings).model.parameters()])

    one = weights()
    torch.manual_seed(5)
    torch.rand(3)
    assert torch.equal(weights(), one)
    assert not torch.equal(weights("train.seed=1"), one)


def test_assembling_leaves_the_callers_random_numbers_alone(assembled):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    assembled()
    assert torch.equal(torch.rand(3), wanted)


def test_trial_leaves_no_trace_in_running_statistics(assembled):
    nets = ["model.encoder.frames.use=conv", "model.decoder.frames.use=conv"]
    made = assembled(*nets, "objective.static.use=critic")
    batches = [m for m in made.model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert batches
    for module in batches:
        assert module.num_batches_tracked == 0
        assert (module.running_mean == 0).all()
    assert made.objective.static.asked == 0
    assert made.model.training
    assert made.objective.training


@pytest.mark.parametrize(
    ("use", "given", "width"),
    [
        ("critic", "none", 2),
        ("critic", "state", 2 + 5),
        ("critic", "path", 2 * 4),
        ("law-critic", "state", 2),
    ],
)
def test_penalty_with_weights_is_told_the_width_of_what_it_compares(assembled, use, given, width):
    objective = assembled(
        f"objective.dynamic.use={use}", f"objective.dynamic.given={given}"
    ).objective
    assert objective.dynamic.direction.in_features == width


@pytest.mark.parametrize(("use", "given"), [("law-critic", "path"), ("kl", "none"), ("kl", "path")])
def test_given_is_refused_for_a_penalty_of_laws_at_its_place(assembled, use, given):
    with pytest.raises(SpecError, match=f"laws row by row .*; found given: {given}") as caught:
        assembled(f"objective.dynamic.use={use}", f"objective.dynamic.given={given}")
    assert caught.value.problems[0].path == "objective.dynamic.given"


@pytest.mark.parametrize(
    ("code", "settings", "place"),
    [
        ("static", ["objective.static.use=kl"], "objective.static"),
        ("static", ["objective.static.use=aggregate-kl"], "objective.static"),
        ("dynamic", ["objective.dynamic={use: kl, given: state}"], "objective.dynamic"),
        ("dynamic", ["objective.dynamic={use: aggregate-kl}"], "objective.dynamic"),
        ("static", ["objective.information.static.weight=1"], "objective.information.static"),
        ("dynamic", ["objective.information.dynamic.weight=1"], "objective.information.dynamic"),
        (
            "static",
            ["model.static.prior=mixture", "objective.information.static.weight=1"],
            "objective.information.static",
        ),
    ],
)
def test_a_kl_of_deterministic_codes_is_refused_at_its_place(assembled, code, settings, place):
    settings = [f"model.{code}.head.posterior=deterministic", *settings]
    with pytest.raises(SpecError, match="the KL of a deterministic code") as caught:
        assembled(*settings)
    assert caught.value.problems[0].path == place


@pytest.mark.parametrize("code", ["static", "dynamic"])
def test_deterministic_codes_go_with_penalties_of_samples(assembled, code):
    made = assembled(f"model.{code}.head.posterior=deterministic")
    x_BT, lengths_B = torch.rand(3, 4, 1, 16, 16), torch.full((3,), 4)
    passed = made.model(x_BT, lengths_B, torch.Generator().manual_seed(0))
    found = getattr(passed.codes, code)
    assert torch.equal(found.sample, found.posterior.mean)


@pytest.mark.parametrize("use", ["kl", "aggregate-kl"])
def test_penalties_of_gaussian_laws_refuse_a_mixture_prior_at_their_place(assembled, use):
    with pytest.raises(SpecError, match=r"static prior is a GaussianMixture.*as mmd") as caught:
        assembled("model.static.prior=mixture", f"objective.static.use={use}")
    assert caught.value.problems[0].path == "objective.static"


def test_a_floor_above_the_ceiling_is_blamed_at_its_place(assembled):
    settings = ["model.dynamic.head.floor=-2", "model.dynamic.head.ceiling=-3"]
    with pytest.raises(SpecError, match="floor is -2, above ceiling: -3") as caught:
        assembled(*settings)
    assert caught.value.problems[0].path == "model.dynamic.head.floor"


def test_parts_that_do_not_fit_the_frames_are_blamed_at_their_place(assembled):
    with pytest.raises(SpecError, match=r"frames are \[6\].*'mlp'") as caught:
        assembled("model.encoder.frames.use=conv", info=DataInfo((6,), 4, False))
    assert caught.value.problems[0].path == "model.encoder.frames"


def test_batch_too_small_for_the_estimator_is_blamed_before_training(assembled):
    with pytest.raises(SpecError, match=r"raise data\.batch, or take estimator: biased") as caught:
        assembled("data.batch=1")
    assert caught.value.problems[0].path == "objective.static.estimator"


@pytest.mark.parametrize("value", ["-12.5", "2.5"])
def test_start_that_could_not_be_left_again_is_refused(assembled, value):
    with pytest.raises(SpecError) as caught:
        assembled(f"model.static.head.log_variance={value}")
    assert caught.value.problems[0].path == "model.static.head.log_variance"


def test_splits_are_those_of_the_source(tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC.replace("plugins: [./critics.py]\n", ""))
    spec = load_spec(tmp_path / "spec.yaml", settings=["data.sequences=70", "data.held_out=20"])
    assert len(open_split(spec, "train")) == 70
    assert len(open_split(spec, "test")) == 20


@pytest.mark.parametrize("size", [10**7, 2**62, 2**63])
def test_sizes_that_no_memory_holds_are_a_problem_of_the_largest_number(
    tiny_spec: Path, size: int
) -> None:
    spec = load_spec(tiny_spec, settings={"model.dynamic.prior.hidden": size})
    with pytest.raises(SpecError, match=f"the largest size is {size:,}") as wrong:
        assemble(spec, open_split(spec, "train").info)
    (problem,) = wrong.value.problems
    assert (problem.path, problem.hint) == ("model.dynamic.prior.hidden", "lower it")


def test_data_that_are_not_there_are_told_with_where_the_spec_asks_for_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    asked = SPEC.replace("plugins: [./critics.py]\n", "").replace(
        "{use: moving-shapes, batch: 4}", "{use: clips, path: none.npy}"
    )
    path.write_text(asked)
    with pytest.raises(DataError, match=r"mine\.yaml:3:1: data: .*none\.npy: found nothing"):
        open_split(load_spec(path, zoo=Zoo()), "train")
