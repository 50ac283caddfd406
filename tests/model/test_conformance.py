"""Every combination of registered nets assembles, trains and samples.

The parts are those of the registry, whichever they are: a new one is tested without a word here.
"""

import inspect
import itertools

import numpy as np
import pytest
import torch

from genzoo_rwae import Zoo, load_spec
from genzoo_rwae.assemble import assemble, open_split
from genzoo_rwae.codes import Categorical, StaticPrior
from genzoo_rwae.components import component_of, options_of
from genzoo_rwae.errors import PluginError
from genzoo_rwae.objective import law_of, takes_laws

ZOO = Zoo(use_entry_points=False)
COMBINED = ("encoder", "frame-encoder", "static-head", "decoder", "frame-decoder")
SMALL = {"hidden": 6, "channels": 2, "width": 6}  # options of these names, where a part has them
PLACES = {
    "encoder": "model.encoder",
    "frame-encoder": "model.encoder.frames",
    "static-head": "model.static.head",
    "dynamic-head": "model.dynamic.head",
    "decoder": "model.decoder",
    "frame-decoder": "model.decoder.frames",
    "cost": "objective.cost",
    "kernel": "objective.static.kernel",
    "optimizer": "train.optimizer",
}
USUAL = dict(zip(COMBINED, ("frame", "mlp", "pooled", "frame", "mlp"), strict=True))
SOURCE = """\
import torch
from genzoo_rwae import Batch, DataInfo, SequenceData, hookimpl, source


class Noise(SequenceData):
    info = DataInfo(frame_shape=(1, 16, 16), length=4, bounded=True)

    def __len__(self):
        return 12

    def take(self, indices_B, /, *, draw=0):
        indices_B = torch.as_tensor(indices_B)
        generator = torch.Generator().manual_seed(int(indices_B.sum()))
        x_BT = torch.rand(len(indices_B), 4, 1, 16, 16, generator=generator)
        lengths_B = 2 + indices_B % 3  # ragged
        x_BT[torch.arange(4) >= lengths_B[:, None]] = 0
        return Batch(x_BT, lengths_B, indices_B)


@source("noise")
def noise(split, /):
    '''Noise of three lengths.'''
    return Noise()


@hookimpl
def genzoo_sources():
    yield noise
"""
SPEC = """\
genzoo: 1
name: conformance
plugins: [./noise.py]
data: {use: noise, batch: 6}
model: {use: rwae, static: {size: 3}, dynamic: {size: 2}}
objective:
  cost: squared-error
  static: {use: mmd, weight: 10}
  dynamic: {use: mmd, weight: 10, given: state}
train: {steps: 2}
"""


@pytest.fixture(scope="module")
def train_two_steps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conformance")
    (folder / "noise.py").write_text(SOURCE)
    (folder / "spec.yaml").write_text(SPEC)

    def train(chosen, *settings):
        small = small_settings({**USUAL, "dynamic-head": "lstm", **chosen})
        spec = load_spec(folder / "spec.yaml", zoo=ZOO, settings=[*small, *settings])
        data = open_split(spec, "train")
        made = assemble(spec, data.info)
        model, objective = made.model, made.objective
        learnt = [*model.parameters(), *objective.parameters_of_the_model()]
        optimizer = spec.train.optimizer(learnt)
        for step in range(2):
            batch = data.take(np.arange(6 * step, 6 * step + 6))
            generator = torch.Generator().manual_seed(step)
            passed = model(batch.x_BT, batch.lengths_B, generator)
            terms = objective(passed, model, progress=step / 2, generator=generator)
            assert {"cost", "static", "dynamic"} <= terms.figures.keys()
            before = [parameter.clone() for parameter in objective.parameters()]
            for name, figure in {**terms.figures, "loss": terms.loss}.items():
                assert figure.shape == (), name
                assert figure.isfinite(), name
            optimizer.zero_grad()
            terms.loss.backward()
            optimizer.step()
            for name, loss in objective.train_critics().items():
                assert loss.isfinite(), name
            pairs = zip(objective.parameters(), before, strict=True)
            moved = [not torch.equal(new, old) for new, old in pairs]
            assert any(moved) or not moved
        for name, parameter in model.named_parameters():
            assert parameter.isfinite().all(), name
        model.eval()
        sample = model.sample(2, 7).x_BT
        assert sample.shape == (2, 7, 1, 16, 16)
        assert sample.isfinite().all()
        assert model.swap(batch.x_BT, batch.x_BT.flip(0)).x_BT.shape == batch.x_BT.shape

    return train


def small_settings(chosen):
    settings = []
    for kind, name in chosen.items():
        settings.append(f"{PLACES[kind]}.use={name}")
        settings += [f"{PLACES[kind]}.{key}={value}" for key, value in small(kind, name).items()]
    return settings


def small(kind, name):
    options = {option.name for option in options_of(found(kind, name).component.build)}
    return {key: value for key, value in SMALL.items() if key in options}


def found(kind, name):
    try:
        return ZOO.find(kind, name)
    except PluginError as error:
        if "pip install" in str(error):
            pytest.skip(f"{kind} {name}: its extra is not installed")
        raise


def combinations():
    names = (ZOO.names(kind) for kind in COMBINED)
    return [dict(zip(COMBINED, chosen, strict=True)) for chosen in itertools.product(*names)]


@pytest.mark.parametrize("chosen", combinations(), ids=lambda chosen: "-".join(chosen.values()))
def test_combination_of_nets_trains_and_samples(train_two_steps, chosen):
    train_two_steps(chosen)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in ("dynamic-head", "cost", "kernel", "optimizer")
        for name in ZOO.names(kind)
    ],
)
def test_part_trains_in_the_usual_model(train_two_steps, kind, name):
    nested = [f"{PLACES[kind]}.of=[imq, rbf]"] if name in ("sum", "product") else []
    train_two_steps({kind: name}, *nested)


@pytest.mark.parametrize("name", ZOO.names("prior"))
@pytest.mark.parametrize("term", ["{use: mmd, given: path}", "{use: kl}", "{use: gan, hidden: 6}"])
def test_prior_trains_in_the_usual_model(train_two_steps, name, term):
    build = found("prior", name).component.build
    place = "static" if issubclass(build, StaticPrior) else "dynamic"
    options = [f"model.{place}.prior.{k}={v}" for k, v in small("prior", name).items()]
    # a KL is a price that every static prior can be charged, other than a penalty of laws
    price = f"objective.information.{place}.weight=1"
    train_two_steps(
        {}, f"model.{place}.prior.use={name}", *options, f"objective.dynamic={term}", price
    )


def penalties():
    """Every penalty where it has a meaning: laws step by step, dependence between two codes."""
    for name in ZOO.names("penalty"):
        build = found("penalty", name).component.build
        if law_of(build) is Categorical:
            continue  # of actions
        if "split" not in inspect.signature(build).parameters:
            given = ["none", "state", "path"]
            if takes_laws(build):
                given = ["none" if component_of(build).batch_coupled else "state"]
            yield from ((name, "dynamic", f"given={choice}") for choice in given)
        if not takes_laws(build):
            yield from ((name, "independence", f"motion={choice}") for choice in ("step", "path"))


@pytest.mark.parametrize(("name", "slot", "option"), list(penalties()))
def test_penalty_trains_in_the_usual_model(train_two_steps, name, slot, option):
    slots = [slot] if slot == "independence" else ["static", slot]
    options = [f"objective.{slot}.{option}"]
    for place in slots:
        options.append(f"objective.{place}.use={name}")
        options += [f"objective.{place}.{k}={v}" for k, v in small("penalty", name).items()]
    train_two_steps({}, *options)


@pytest.mark.parametrize("estimator", ["unbiased", "biased", "block", "linear", "random-features"])
def test_every_estimator_of_the_mmd_trains_in_the_usual_model(train_two_steps, estimator):
    train_two_steps({}, *(f"objective.{s}.estimator={estimator}" for s in ("static", "dynamic")))
