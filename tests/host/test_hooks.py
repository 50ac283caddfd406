"""Every hook is documented by a whole plugin file, and every such file works."""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from genzoo_rwae import (
    Batch,
    DataInfo,
    Factor,
    Figure,
    SequenceData,
    SequenceModel,
    StaticPrior,
    hookspecs,
)
from genzoo_rwae.cli import main
from genzoo_rwae.errors import SpecError
from genzoo_rwae.hookspecs import HOOKS
from genzoo_rwae.kinds import KINDS
from genzoo_rwae.spec import load_spec
from genzoo_rwae.training.trackers import Results
from genzoo_rwae.zoo import Zoo

EVENTS = {
    "genzoo_check_spec", "genzoo_model_built", "genzoo_step_done", "genzoo_run_done",
    "genzoo_commands",
}  # fmt: skip
MAKERS = {kind.hook: kind.name for kind in KINDS.values()}
FRAME = (3, 8, 8)


def example(hook: str) -> str:
    """The plugin file in a hook's docstring: from its first import on."""
    text = inspect.getdoc(getattr(hookspecs, hook)) or ""
    lines = text.splitlines()
    start = next(
        n for n, line in enumerate(lines) if line.lstrip().startswith(("from ", "import "))
    )
    return dedent("\n".join(lines[start:])) + "\n"


@pytest.fixture
def loaded(zoo: Zoo, write: Callable[[str, str], Path]) -> Callable[[str], Zoo]:
    def load(hook: str) -> Zoo:
        path = write(f"example_{hook}.py", example(hook))
        zoo.load(str(path), base=path.parent)
        return zoo

    return load


@pytest.fixture
def made(loaded: Callable[[str], Zoo]) -> Callable[[str], Any]:
    """The one component of a hook's example."""

    def make(hook: str) -> Any:
        (name,) = [plugin.name for plugin in loaded(hook).plugins()]
        (component,) = loaded(hook).offered_by(name)
        return component.build

    return make


def test_hooks_are_those_of_the_kinds_and_the_events():
    assert set(HOOKS) == set(MAKERS) | EVENTS
    assert len(MAKERS) == len(KINDS)
    assert list(HOOKS) == sorted(HOOKS)


def test_every_hook_is_a_specification_with_a_docstring():
    for name in HOOKS:
        hook = getattr(hookspecs, name)
        assert hasattr(hook, "genzoo_rwae_spec"), name
        assert (inspect.getdoc(hook) or "").partition("\n")[0].endswith("."), name


def test_every_hook_has_a_test_of_what_its_example_does():
    """Beside the tests of all hooks at once, one that names it and looks at what comes out."""
    tests = [
        node
        for node in ast.parse(Path(__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    named = {
        constant.value
        for test in tests
        for statement in test.body
        for constant in ast.walk(statement)
        if isinstance(constant, ast.Constant)
    }
    assert [hook for hook in HOOKS if hook not in named] == []


@pytest.mark.parametrize("hook", HOOKS)
def test_the_text_of_a_hook_says_what_each_of_its_arguments_is(hook: str):
    text = inspect.getdoc(getattr(hookspecs, hook)) or ""
    signature = inspect.signature(getattr(hookspecs, hook))
    assert [name for name in signature.parameters if f"`{name}`" not in text] == []


def test_every_kind_is_keyed_by_its_name():
    for name, kind in KINDS.items():
        assert kind.name == name
        assert kind.plural
        assert kind.contract


@pytest.mark.parametrize("hook", sorted(MAKERS))
def test_the_example_of_a_kinds_hook_brings_a_component_that_is_found(hook: str, loaded):
    zoo = loaded(hook)
    (plugin,) = zoo.plugins()
    components = zoo.offered_by(plugin.name)
    assert [component.kind for component in components] == [MAKERS[hook]]
    for component in components:
        found = zoo.find(component.kind, f"{plugin.name}:{component.name}")
        assert found.component is component
        assert zoo.describe(component.kind, f"{plugin.name}:{component.name}").text


@pytest.mark.parametrize("hook", sorted(EVENTS))
def test_the_example_of_an_event_implements_it(hook: str, loaded):
    assert loaded(hook).implements(hook)


# -- the examples do what they say ----------------------------------------------------------------


def test_the_spec_check_finds_its_problem_at_its_place(loaded, write, tiny: str):
    zoo = loaded("genzoo_check_spec")
    path = write("spec.yaml", tiny)
    assert load_spec(path, zoo=zoo).train.seed == 0
    path = write("spec.yaml", tiny.replace("{steps: 2}", "{steps: 2, seed: 13}"))
    with pytest.raises(SpecError, match="no luck with seed 13") as unlucky:
        load_spec(path, zoo=zoo)
    (problem,) = unlucky.value.problems
    assert (problem.path, problem.line, problem.column) == ("train.seed", 13, 25)


def test_the_model_built_example_counts_parameters(loaded, capsys):
    zoo = loaded("genzoo_model_built")
    zoo.call("genzoo_model_built", model=torch.nn.Linear(2, 3), spec=None)
    assert capsys.readouterr().out == "9 parameters\n"


def test_the_step_example_writes_every_hundred_steps(loaded, tmp_path: Path):
    zoo = loaded("genzoo_step_done")
    for step in (99, 100, 101):
        zoo.call("genzoo_step_done", step=step, figures={"loss": 0.5}, run=tmp_path)
    assert (tmp_path / "heartbeat.txt").read_text() == "100 0.5"


def test_the_run_done_example_leaves_its_note(loaded, tmp_path: Path):
    loaded("genzoo_run_done").call("genzoo_run_done", model=None, spec=None, run=tmp_path)
    assert (tmp_path / "done.txt").read_text() == "tell the others"


def test_the_commands_example_adds_a_verb(write, capsys):
    path = write("greeter.py", example("genzoo_commands"))
    with pytest.raises(SystemExit) as left:
        main(["hello", "--name", "you", "-p", str(path)])
    assert left.value.code in (0, None)
    assert capsys.readouterr().out == "hello you\n"


def test_the_model_example_is_a_sequence_model(made):
    assert issubclass(made("genzoo_models"), SequenceModel)


def test_the_model_example_assembles_and_decodes(loaded, write, tiny: str, capsys):
    from genzoo_rwae.assemble import assemble

    spec = load_spec(
        write("spec.yaml", tiny.replace("use: rwae", "use: rwae-loud")),
        zoo=loaded("genzoo_models"),
    )
    model = assemble(spec, DataInfo(frame_shape=(6,), length=3, bounded=False)).model
    capsys.readouterr()
    model.sample(2)
    assert "decoding 2 sequences" in capsys.readouterr().out


def test_the_encoder_example_gives_features_of_its_width(made):
    encoder = made("genzoo_encoders")(FRAME)
    out = encoder(torch.zeros(2, 3, *FRAME), torch.tensor([3, 2]))
    assert out.shape == (2, 3, encoder.width)


def test_the_frame_encoder_example_gives_features_of_its_width(made):
    encoder = made("genzoo_frame_encoders")(FRAME, width=5)
    assert encoder(torch.zeros(4, *FRAME)).shape == (4, encoder.width) == (4, 5)


def test_the_static_head_example_gives_a_law(made):
    law = made("genzoo_static_heads")(6, 2)(torch.zeros(4, 3, 6), torch.tensor([3] * 4))
    assert law.mean.shape == law.log_variance.shape == (4, 2)


def test_the_dynamic_head_example_gives_a_path_and_its_law(made):
    head = made("genzoo_dynamic_heads")(6, 2)
    z_BTD, law = head(torch.zeros(4, 3, 6), torch.tensor([3] * 4), lambda law: law.mean)
    assert z_BTD.shape == law.mean.shape == law.log_variance.shape == (4, 3, 2)


def test_the_action_head_example_reads_the_last_true_step(made):
    head = made("genzoo_action_heads")(2, 5)
    z_BTD, lengths_B = torch.randn(4, 3, 2), torch.tensor([3, 1, 2, 3])
    logits_BA = head(z_BTD, lengths_B)
    assert logits_BA.shape == (4, 5)
    torch.testing.assert_close(logits_BA[1], head.logits(z_BTD[1, 0]))


def test_the_augmentation_example_gives_every_sequence_one_gain(made):
    gain, x_BT = made("genzoo_augmentations"), torch.rand(16, 3, *FRAME) + 0.1
    out_BT = gain(x_BT, torch.Generator().manual_seed(0), most=2.0)
    ratios_BN = (out_BT / x_BT).flatten(1)
    torch.testing.assert_close(ratios_BN, ratios_BN[:, :1].expand_as(ratios_BN))
    assert 0.5 <= ratios_BN.min() < 0.8
    assert 1.25 < ratios_BN.max() <= 2


def test_the_prior_example_is_a_static_prior_of_deviation_two(made):
    build = made("genzoo_priors")
    assert issubclass(build, StaticPrior)
    law = build(3).law(5)
    assert law.mean.shape == (5, 3)
    torch.testing.assert_close(law.sd, torch.full((5, 3), 2.0))


def test_the_decoder_example_gives_frames(made):
    assert made("genzoo_decoders")(5, FRAME)(torch.zeros(2, 3, 5)).shape == (2, 3, *FRAME)


def test_the_frame_decoder_example_gives_frames(made):
    assert made("genzoo_frame_decoders")(5, FRAME)(torch.zeros(4, 5)).shape == (4, *FRAME)


def test_the_cost_example_is_one_number_per_frame(made):
    x_BT, x_hat_BT = torch.zeros(2, 3, *FRAME), torch.full((2, 3, *FRAME), 2.0)
    torch.testing.assert_close(
        made("genzoo_costs")(x_BT, x_hat_BT), torch.full((2, 3), 16.0 * 3 * 8 * 8)
    )


def test_the_penalty_example_is_a_distance_of_means(made):
    value = made("genzoo_penalties")(torch.zeros(4, 2), torch.full((4, 2), 3.0))
    assert value.item() == pytest.approx(18.0)


def test_the_kernel_example_is_a_matrix(made):
    x_ND = torch.eye(3)
    torch.testing.assert_close(made("genzoo_kernels")(x_ND, x_ND[:2]), torch.eye(3)[:, :2])


def test_the_source_example_gives_batches(made):
    data = made("genzoo_sources")("train")
    assert isinstance(data, SequenceData)
    batch = data.take([0, 5])
    assert isinstance(batch, Batch)
    assert batch.x_BT.shape == (2, data.info.length, *data.info.frame_shape)
    assert len(data) == 100


def test_the_metric_example_gives_a_figure(made):
    class Longest:
        def encode(self, x_BT, lengths_B):
            assert x_BT.shape[1] == lengths_B.max()
            return SimpleNamespace(static=SimpleNamespace(mean=lengths_B[:, None].float()))

    class Test(list):
        def take(self, indices_B):
            count = len(indices_B)
            return Batch(torch.zeros(count, 7, 2), torch.full((count,), 7), indices_B)

    figures = made("genzoo_metrics")(Longest(), SimpleNamespace(test=Test(range(90))))
    assert figures == {"distance": Figure(7 - 4, good="lower")}


def test_the_judge_example_gives_a_verdict_on_every_factor(made):
    factors = (Factor("who", ("a", "b", "c"), "static"), Factor("way", ("x", "y"), "dynamic"))
    info = DataInfo(FRAME, 3, True, factors)
    verdict = made("genzoo_judges")(info)(torch.ones(4, 3, *FRAME), torch.tensor([3] * 4))
    assert {name: logits.shape for name, logits in verdict.logits.items()} == {
        "who": (4, 3),
        "way": (4, 2),
    }
    torch.testing.assert_close(verdict.features_BF, torch.ones(4, 3 * 8 * 8))


def test_the_tracker_example_writes_rows(made, tmp_path: Path):
    tracker = made("genzoo_trackers")(tmp_path)
    tracker.log({"split": "train", "step": 1, "loss": 0.25})
    tracker.log({"split": "validation", "step": 1, "loss": 0.5})
    tracker.show(Results(1, {"mse": 0.5}, {"swap.png": tmp_path / "swap.png"}, {}))
    tracker.close()
    assert (tmp_path / "losses.csv").read_text() == "1,0.25\n# swap.png\n"


def test_the_optimizer_example_is_one_of_torch(made):
    optimizer = made("genzoo_optimizers")([torch.nn.Parameter(torch.zeros(2))], lr=0.5)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert optimizer.defaults["lr"] == 0.5


def test_the_schedule_example_is_a_falling_factor(made):
    factor = made("genzoo_schedules")
    assert [factor(p) for p in (0.0, 0.5, 0.99)] == [1.0, 0.25, 0.125]
