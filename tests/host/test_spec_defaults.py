"""Which values of a spec say no more than the names of its parts."""

from __future__ import annotations

import pytest

from genzoo_rwae.catalogue import zoo_specs
from genzoo_rwae.spec import load_spec, plain
from genzoo_rwae.spec.defaults import default_values, leaves
from genzoo_rwae.zoo import Zoo


def said(spec, zoo):
    """Paths of the model, the objective and the training that stand at no default."""
    defaults = default_values(spec, zoo)
    return [
        path
        for path, value in leaves(plain(spec))
        if defaults.get(path, ...) != value
        and path.partition(".")[0] in ("model", "objective", "train")
    ]


def test_what_the_file_says_is_what_stands_at_no_default(load, zoo, tiny) -> None:
    assert said(load(tiny), zoo) == [
        "model.use",
        "model.encoder.use",
        "model.encoder.frames.use",
        "model.encoder.frames.width",
        "model.static.size",
        "model.dynamic.size",
        "model.dynamic.prior.hidden",
        "model.decoder.use",
        "model.decoder.frames.use",
        "objective.static.use",
        "objective.static.weight",
        "objective.static.warm_up",
        "objective.dynamic.use",
        "objective.dynamic.weight",
        "objective.dynamic.given",
        "train.steps",
    ]


def test_a_default_that_is_written_out_is_a_default(load, zoo, tiny) -> None:
    before = said(load(tiny), zoo)
    same = ("objective.static.estimator=unbiased", "train.seed=0", "model.dynamic.features=all")
    assert said(load(tiny, *same), zoo) == before


def test_options_of_another_part_are_held_against_its_own_defaults(load, zoo, tiny) -> None:
    """rbf has a `scales` like imq, the default kernel of mmd, and other values there."""
    kernel = load(tiny, "objective.static.kernel={use: rbf}")
    found = {path for path in said(kernel, zoo) if ".kernel" in path}
    assert found == {"objective.static.kernel.use"}
    scales = load(tiny, "objective.static.kernel={use: rbf, scales: [3.0]}")
    assert "objective.static.kernel.scales" in said(scales, zoo)


def test_a_group_that_is_null_by_default_has_defaults_once_it_is_there(load, zoo, tiny) -> None:
    grown = set(said(load(tiny, "model.action={count: 3}"), zoo)) - set(said(load(tiny), zoo))
    assert grown == {"model.action.count"}


@pytest.mark.parametrize("name", zoo_specs())
def test_every_option_of_the_zoo_that_no_file_says_is_at_its_default(name) -> None:
    zoo = Zoo(use_entry_points=False)
    spec = load_spec(f"zoo:{name}", zoo=zoo)
    for path in said(spec, zoo):
        node = spec.places.get(path) or spec.places.get(path.removesuffix(".use"))
        assert node is not None, f"{path} is a default that default_values does not know"
