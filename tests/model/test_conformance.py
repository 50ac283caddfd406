"""Every two nets that can meet in a spec assemble, train and sample; so does every other part.

The parts are those of the registry, whichever they are: a new one is tested without a word here.
Nets are not tried in all combinations, but in few of them in which every two nets meet.
"""

import inspect
import itertools
from functools import partial
from importlib.util import find_spec
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
import torch

from genzoo_rwae import Zoo, load_spec
from genzoo_rwae.assemble import assemble, open_split
from genzoo_rwae.codes import Categorical, StaticPrior
from genzoo_rwae.components import component_of, options_of
from genzoo_rwae.errors import OptionError, PluginError, SpecError
from genzoo_rwae.objective import law_of, takes_laws
from genzoo_rwae.training.checkpoint import load_weights, packed_weights

ZOO = Zoo(use_entry_points=False)
SMALL = {"hidden": 8, "heads": 2, "channels": 2, "width": 6}  # of these names, where it has them
PLACES = {
    "encoder": "model.encoder",
    "frame-encoder": "model.encoder.frames",
    "static-head": "model.static.head",
    "dynamic-head": "model.dynamic.head",
    "static-prior": "model.static.prior",
    "dynamic-prior": "model.dynamic.prior",
    "decoder": "model.decoder",
    "frame-decoder": "model.decoder.frames",
    "cost": "objective.cost",
    "kernel": "objective.static.kernel",
    "optimizer": "train.optimizer",
}
NETS = tuple(PLACES)[:8]
USUAL = {
    "encoder": "frame",
    "frame-encoder": "mlp",
    "static-head": "pooled",
    "dynamic-head": "lstm",
    "decoder": "frame",
    "frame-decoder": "mlp",
}
SHAPES = {"images": (1, 16, 16), "vectors": (12,)}
# options that are numbers, with a value that makes another net of the part
FURTHER = (
    ("encoder", "conv-lstm", "layers", 2),
    ("encoder", "conv-lstm", "smallest", 4),
    ("encoder", "transformer", "patch", 4),
)
SOURCE = """\
from typing import Literal

import torch
from genzoo_rwae import Batch, DataInfo, SequenceData, hookimpl, source


class Noise(SequenceData):
    def __init__(self, shape, missing):
        bounded = len(shape) == 3
        self.info = DataInfo(frame_shape=shape, length=4, bounded=bounded, missing=missing)

    def __len__(self):
        return 12

    def take(self, indices_B, /, *, draw=0):
        indices_B = torch.as_tensor(indices_B)
        x_BT = torch.stack([self.sequence(int(index)) for index in indices_B])
        lengths_B = 2 + indices_B % 3  # ragged
        x_BT[torch.arange(4) >= lengths_B[:, None]] = 0
        return Batch(x_BT, lengths_B, indices_B)

    def sequence(self, index):
        generator = torch.Generator().manual_seed(index)
        x_T = torch.rand(4, *self.info.frame_shape, generator=generator)
        if self.info.missing:
            x_T[torch.rand(x_T.shape, generator=generator) < 0.2] = torch.nan
        return x_T


@source("noise")
def noise(split, /, *, of: Literal["images", "vectors"] = "images", missing: bool = False):
    '''Noise of three lengths.'''
    return Noise((1, 16, 16) if of == "images" else (12,), missing)


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

    def assembled(chosen, *settings):
        small = small_settings(in_the_usual_model(chosen))
        spec = load_spec(folder / "spec.yaml", zoo=ZOO, settings=[*small, *settings])
        data = open_split(spec, "train")
        return spec, data, assemble(spec, data.info)

    def train(chosen, *settings):
        spec, data, made = assembled(chosen, *settings)
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
            for name, parameter in model.named_parameters():
                if not parameter.requires_grad:  # fitted when training is over
                    assert parameter.grad is None, name
                    continue
                assert parameter.grad is not None, name
                assert parameter.grad.isfinite().all(), name
                assert parameter.grad.any(), name
            optimizer.step()
            for name, loss in objective.train_critics().items():
                assert loss.isfinite(), name
            pairs = zip(objective.parameters(), before, strict=True)
            moved = [not torch.equal(new, old) for new, old in pairs]
            assert any(moved) or not moved
        for name, parameter in model.named_parameters():
            assert parameter.isfinite().all(), name
        model.eval()
        measures(model, batch)
        fresh = assembled(chosen, *settings)[2].model.eval()
        assert not same_frames(fresh, model, batch)
        (folder / "model.safetensors").write_bytes(packed_weights(model.state_dict()))
        load_weights(folder / "model.safetensors", fresh)
        assert same_frames(fresh, model, batch)
        in_half_precision(model, batch)
        if torch.cuda.is_available():
            measures(model.cuda(), batch)

    train.assembled = assembled
    return train


def measures(model, batch):
    """A trained model says the same twice, and samples and swaps, whatever the length."""
    assert same_frames(model, model, batch)
    padding_is_not_seen(model, batch)
    sample = model.sample(2, 7).x_BT
    assert sample.shape == (2, 7, *model.info.frame_shape)
    assert sample.isfinite().all()
    assert model.swap(batch.x_BT, batch.x_BT.flip(0)).x_BT.shape == batch.x_BT.shape


def padding_is_not_seen(model, batch):
    """Two more steps, whatever is in them, change no code."""
    rubbish = torch.full_like(batch.x_BT[:, :2], 7.0)
    longer = torch.cat([batch.x_BT, rubbish], dim=1)
    there = torch.arange(4) < batch.lengths_B[:, None]
    wanted, found = (model.encode(x_BT, batch.lengths_B) for x_BT in (batch.x_BT, longer))
    close = partial(torch.testing.assert_close, atol=1e-5, rtol=1e-4)
    close(found.static.mean, wanted.static.mean)
    close(found.dynamic.mean[:, :4][there], wanted.dynamic.mean[there])
    if wanted.action:
        close(found.action.logits, wanted.action.logits)


def in_half_precision(model, batch):
    """Nets may run in bfloat16; what the objective sees is float32."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        passed = model(batch.x_BT, batch.lengths_B, torch.Generator().manual_seed(0))
    static, dynamic = passed.codes.static, passed.codes.dynamic
    for made in (passed.x_hat_BK, static.sample, dynamic.sample, dynamic.prior.mean, dynamic.state):
        assert made.dtype == torch.float32
        assert made.isfinite().all()


def same_frames(one, other, batch):
    made = [model.reconstruct(batch.x_BT, batch.lengths_B).x_hat_BT for model in (one, other)]
    return torch.equal(*made)


def in_the_usual_model(chosen):
    """Parts by kind, of those kinds that the chosen ones leave a place for."""
    parts = {**USUAL, **chosen}
    if not has_frames("encoder", parts["encoder"]):
        del parts["frame-encoder"]
    return {kind: name for kind, name in parts.items() if name is not None}


def small_settings(chosen):
    settings = []
    for kind, name in chosen.items():
        settings.append(f"{PLACES[kind]}.use={name}")
        settings += [f"{PLACES[kind]}.{key}={value}" for key, value in small(kind, name).items()]
    return settings


def small(kind, name):
    options = {option.name for option in options_of(build_of(kind, name))}
    return {key: value for key, value in SMALL.items() if key in options}


def build_of(kind, name):
    kind = "prior" if kind.endswith("prior") else kind
    try:
        return ZOO.find(kind, name).component.build
    except PluginError as error:
        if "pip install" in str(error):
            pytest.skip(f"{kind} {name}: its extra is not installed")
        raise


# -- nets that meet -------------------------------------------------------------------------------


def names_of(kind):
    """The parts of a kind; of priors those of one code."""
    place, _, of = kind.rpartition("-")
    if of != "prior":
        return [name for name in ZOO.names(kind) if is_installed(kind, name)]
    names = (name for name in ZOO.names(of) if is_installed(of, name))
    return [n for n in names if issubclass(build_of(of, n), StaticPrior) == (place == "static")]


def is_installed(kind, name):
    try:
        return bool(ZOO.find(kind, name))
    except PluginError as error:
        if "pip install" in str(error):
            return False
        raise


def takes(kind, name, of):
    """Whether a net can be built for frames of a kind."""
    wired = {"encoder": (), "frame-encoder": (), "decoder": (4,), "frame-decoder": (4,)}
    if kind not in wired:
        return True
    build, options = build_of(kind, name), small(kind, name)
    if f"frame-{kind}" in wired and has_frames(kind, name):
        options["frames"] = build_of(f"frame-{kind}", "mlp")
    try:
        build(*wired[kind], SHAPES[of], **options)
    except OptionError:
        return False
    return True


def has_frames(kind, name):
    return any(option.name == "frames" for option in options_of(build_of(kind, name)))


def can_meet(one, other):
    """Whether two choices, (kind, name) twice, may stand in one spec."""
    for (kind, name), (inner, _) in ((one, other), (other, one)):
        if inner == f"frame-{kind}":
            return has_frames(kind, name)
    return one[0] != other[0]


def covering(choices, can_meet):
    """Few rows, one choice of every kind in each, in which every two that can meet do so.

    Greedy: a row begins with the first two that have not met yet; of every other kind it takes the
    one that meets most of the others for the first time.
    """
    every = [(kind, name) for kind in choices for name in choices[kind]]
    pairs = [pair for pair in itertools.combinations(every, 2) if can_meet(*pair)]
    missing = dict.fromkeys(map(frozenset, pairs))
    rows = []
    while missing:
        row = sorted(next(iter(missing)))
        for kind in choices:
            if kind in dict(row):
                continue
            fit = [
                (kind, name)
                for name in choices[kind]
                if all(can_meet((kind, name), other) for other in row)
            ]
            gains = [sum(frozenset((choice, other)) in missing for other in row) for choice in fit]
            if fit:
                row.append(fit[gains.index(max(gains))])
        for pair in itertools.combinations(row, 2):
            missing.pop(frozenset(pair), None)
        rows.append({kind: dict(row)[kind] for kind in choices if kind in dict(row)})
    return rows


def combinations():
    for of in SHAPES:
        choices = {kind: [n for n in names_of(kind) if takes(kind, n, of)] for kind in NETS}
        yield from ((of, row) for row in covering(choices, can_meet))


def test_rows_cover_all_pairs_that_can_meet_and_no_others():
    choices = {"a": "123", "b": "12", "c": "1234", "d": "12"}

    def may(one, other):
        return one[0] != other[0] and {one, other} != {("a", "1"), ("c", "2")}

    rows = covering(choices, may)
    met = {frozenset(pair) for row in rows for pair in itertools.combinations(row.items(), 2)}
    every = [(kind, name) for kind in choices for name in choices[kind]]
    assert met == {frozenset(pair) for pair in itertools.combinations(every, 2) if may(*pair)}
    assert len(rows) <= 16  # of 48; 12 would do
    assert rows == covering(choices, may)


@pytest.mark.parametrize(
    ("of", "chosen"),
    list(combinations()),
    ids=lambda it: it if isinstance(it, str) else "-".join(it.values()),
)
def test_nets_that_meet_train_and_sample(train_two_steps, of, chosen):
    train_two_steps(chosen, f"data.of={of}")


def refusals():
    for of, kind in itertools.product(SHAPES, NETS):
        yield from ((of, kind, name) for name in names_of(kind) if not takes(kind, name, of))


@pytest.mark.parametrize(("of", "kind", "name"), list(refusals()))
def test_a_net_that_refuses_frames_is_to_blame_at_its_place(train_two_steps, of, kind, name):
    with pytest.raises(SpecError) as caught:
        train_two_steps.assembled({kind: name}, f"data.of={of}")
    (problem,) = caught.value.problems
    assert problem.path == PLACES[kind]
    assert f"frames are {list(SHAPES[of])}" in problem.message
    assert "'mlp'" in problem.message


@pytest.mark.parametrize(("kind", "name"), [(kind, n) for kind in NETS for n in names_of(kind)])
def test_a_net_takes_frames_of_some_kind(kind, name):
    assert any(takes(kind, name, of) for of in SHAPES)


# -- every choice that an option leaves, in the usual model ---------------------------------------


def choices_of_options():
    for kind in NETS:
        for name in names_of(kind):
            for option in options_of(build_of(kind, name)):
                others = {
                    value for value in values_of(option.annotation) if value != option.default
                }
                yield from ((kind, name, option.name, value) for value in sorted(others))
    yield from FURTHER


def values_of(annotation):
    if annotation is bool:
        return (True, False)
    return get_args(annotation) if get_origin(annotation) is Literal else ()


@pytest.mark.parametrize(("kind", "name", "option", "value"), list(choices_of_options()))
def test_every_choice_of_an_option_trains_in_the_usual_model(
    train_two_steps, kind, name, option, value
):
    of = next(of for of in SHAPES if takes(kind, name, of))
    chosen = {kind: name, **({"frame-encoder": None} if option == "patch" else {})}
    settings = [f"data.of={of}", f"{PLACES[kind]}.{option}={str(value).lower()}"]
    if value == "xformers" and not (torch.cuda.is_available() and find_spec("xformers")):
        lacking = r"genzoo-rwae\[xformers\]" if torch.cuda.is_available() else "CUDA"
        with pytest.raises(SpecError, match=rf"{PLACES[kind]}.{option}.*{lacking}"):
            train_two_steps.assembled(chosen, *settings)
        return
    train_two_steps(chosen, *settings)


@pytest.mark.parametrize(
    ("of", "name"),
    [(of, n) for of in SHAPES for n in names_of("encoder") if takes("encoder", n, of)],
)
def test_every_encoder_trains_where_values_are_missing_and_actions_are_told(
    train_two_steps, of, name
):
    told = ["model.action.count=3", "model.action.prior=given-action", "objective.action.use=mmd"]
    train_two_steps({"encoder": name}, f"data.of={of}", "data.missing=true", *told)


@pytest.mark.parametrize("missing", ["false", "true"])
@pytest.mark.parametrize("frames", ["all", "subset", "one"])
def test_things_train_where_values_are_missing_and_frames_are_hidden(
    train_two_steps, frames, missing
):
    things = ["model.use=rwae-patches", "model.static.size=4", "model.objects=2"]
    nets = ["model.hidden=6", "model.patches.channels=2"]
    train_two_steps(
        {"decoder": None, "frame-decoder": None},
        *things,
        *nets,
        f"data.missing={missing}",
        f"model.static.frames={frames}",
        "model.static.keep=2",
    )


# -- other parts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in ("cost", "kernel", "optimizer") for name in ZOO.names(kind)],
)
def test_part_trains_in_the_usual_model(train_two_steps, kind, name):
    nested = [f"{PLACES[kind]}.of=[imq, rbf]"] if name in ("sum", "product") else []
    train_two_steps({kind: name}, *nested)


@pytest.mark.parametrize("name", ZOO.names("prior"))
@pytest.mark.parametrize("term", ["{use: mmd, given: path}", "{use: kl}", "{use: gan, hidden: 6}"])
def test_prior_trains_in_the_usual_model(train_two_steps, name, term):
    build = build_of("prior", name)
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
        build = build_of("penalty", name)
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
