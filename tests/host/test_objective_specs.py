"""What a spec may say of the objective: slots, prices, schedules, nested kernels."""

from collections.abc import Callable

import jsonschema
import pytest

from genzoo_rwae import SpecError, Zoo
from genzoo_rwae.assemble import assemble
from genzoo_rwae.sequences import DataInfo
from genzoo_rwae.spec import Spec, plain, render
from genzoo_rwae.spec.schema import json_schema

Load = Callable[..., Spec]

OBJECTIVE = """\
genzoo: 1
extends: zoo:quickstart
name: all-slots
objective:
  static:
    use: mmd
    weight: 10
    schedule: {use: cyclic, cycles: 4}
    kernel:
      use: sum
      of: [imq, {use: product, of: [rbf, {use: matern, nu: 2.5}]}]
      weights: [1, 2]
  dynamic: {use: gan, weight: 1, given: state, hidden: 8, r1: 1}
  independence: {use: hsic, weight: 5, motion: path, target: 0.01}
  information:
    static: {weight: 1, target: 8}
    dynamic: {weight: 0.1, schedule: {use: piecewise, points: [[0, 0], [0.1, 2], [0.5, 0.5]]}}
"""


def test_a_resolved_spec_with_every_slot_says_the_same_again(load: Load) -> None:
    spec = load(OBJECTIVE)
    again = load(render(spec), name="resolved.yaml")
    assert plain(again) == plain(spec)
    kernel = spec.objective.static.options["kernel"]
    assert [part.name for part in kernel.options["of"]] == ["imq", "product"]
    paths = [part.path for part in spec.parts()]
    assert "objective.static.schedule" in paths
    assert "objective.information.dynamic.schedule" in paths


def test_the_schema_takes_what_the_loader_takes(load: Load, zoo: Zoo) -> None:
    schema = json_schema(zoo)
    resolved = plain(load(OBJECTIVE))
    del resolved["resolved"]
    jsonschema.validate(resolved, schema)
    resolved["objective"]["information"]["static"]["price"] = 3
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(resolved, schema)


def problem_of(load: Load, *settings: str) -> tuple[str, str]:
    def check() -> None:
        spec = load(OBJECTIVE, "model.encoder.frames.channels=2", *settings)
        assemble(spec, DataInfo((1, 24, 24), 8, bounded=True))

    with pytest.raises(SpecError) as caught:
        check()
    (problem,) = caught.value.problems
    return problem.path, problem.message


@pytest.mark.parametrize(
    ("settings", "path", "said"),
    [
        (["objective.static={use: hsic}"], "objective.static", "use it in objective.independence"),
        (["objective.static.kernel={use: sum, of: [imq, rbff]}"],
         "objective.static.kernel.of[1]", "no kernel is called 'rbff'"),
        (["objective.independence={use: kl}"], "objective.independence", "compares laws"),
        (["objective.dynamic={use: kl, given: path}"], "objective.dynamic.given",
         "wanted given: state"),
        (["objective.dynamic={use: aggregate-kl, given: state}"], "objective.dynamic.given",
         "wanted given: none"),
        (["objective.information.dynamic={weight: 0, target: 3}"],
         "objective.information.dynamic.target", "a target of 3 with a weight of 0"),
        (["objective.static.schedule={use: piecewise, points: [[0.5, 1], [0.5, 2]]}"],
         "objective.static.schedule.points", "wanted rising ones"),
        (["train.schedule={use: piecewise, points: [[0.5, 1], [0.2, 2]]}"],
         "train.schedule.points", "wanted rising ones"),
        (["objective.static={use: mmd, estimator: random-features, kernel: polynomial}"],
         "objective.static", "Polynomial"),
        (["objective.static={use: mmd, block: 4}"], "objective.static.block",
         "an option of estimator: block"),
        (["objective.static={use: mmd, backend: triton}"], "objective.static", "triton"),
        (["objective.static.target_rate=50"], "objective.static.target_rate", "less than or equal"),
    ],
)  # fmt: skip
def test_mistakes_are_said_at_their_place(
    load: Load, settings: list[str], path: str, said: str
) -> None:
    found_path, message = problem_of(load, *settings)
    assert found_path == path
    assert said in message


def test_whatever_follows_progress_wants_a_length_in_steps(load: Load) -> None:
    spec = OBJECTIVE + "train: {epochs: null, minutes: 2, schedule: constant}\n"
    with pytest.raises(SpecError) as caught:
        load(spec, "objective.independence.warm_up=0.5")
    assert {problem.path for problem in caught.value.problems} == {
        "objective.static.schedule",
        "objective.independence.warm_up",
        "objective.information.dynamic.schedule",
    }


def test_blocks_are_at_most_the_batch(load: Load) -> None:
    settings = ["objective.static={use: mmd, estimator: block, block: 16}"]
    spec = load(OBJECTIVE, "model.encoder.frames.channels=2", *settings)
    assert assemble(spec, DataInfo((1, 24, 24), 8, bounded=True)).objective.penalties["static"]
