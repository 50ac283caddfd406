"""What `genzoo show` prints as a spec with a component is one that `genzoo check` accepts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from genzoo_rwae_plugins.sources.moving_shapes import moving_shapes
from PIL import Image
from scipy.io import wavfile

from genzoo_rwae.catalogue import Entry, catalogue
from genzoo_rwae.errors import DataError, PluginError, SpecError
from genzoo_rwae.example import _PLACES, example_spec
from genzoo_rwae.kinds import KINDS
from genzoo_rwae.run import check
from genzoo_rwae.sequences import SequenceData, Split
from genzoo_rwae.shards import write_shards
from genzoo_rwae.zoo import Zoo

ENTRIES = catalogue().entries
Write = Callable[[str, str], Path]

MINE = """\
from genzoo_rwae import StaticPrior, hookimpl, penalty, prior
from genzoo_rwae_plugins.priors.gaussian import GaussianPrior


@prior("mine")
class Mine(GaussianPrior):
    '''A Gaussian under another name.'''


@penalty("gap")
def gap(q_ND, p_ND, /, *, power: float):
    '''Distance between two means.

    Args:
        power: exponent of the distance.
    '''
    return (q_ND.mean(0) - p_ND.mean(0)).norm() ** power


@hookimpl
def genzoo_priors():
    yield Mine


@hookimpl
def genzoo_penalties():
    yield gap
"""


def make_clips(path: Path) -> None:
    for clip in range(80):
        (path / f"{clip}").mkdir(parents=True)
        for frame in range(4):
            Image.new("RGB", (8, 8), (clip, frame, 0)).save(path / f"{clip}" / f"{frame}.png")


def make_series(path: Path) -> None:
    start = np.datetime64("2020-01-01T00:00")
    rows = [f"{start + np.timedelta64(hour, 'h')},{hour % 24},{hour % 7}" for hour in range(2_400)]
    path.write_text("\n".join(["time,a,b", *rows]))


def make_sounds(path: Path) -> None:
    path.mkdir()
    for take in range(100):
        wavfile.write(path / f"{take}.wav", 16_000, np.full(1_600, 100 * take, np.int16))


def make_skeletons(path: Path) -> None:
    np.save(path, np.random.default_rng(0).normal(size=(200, 4, 5, 3)))


def make_shards(path: Path) -> None:
    splits: dict[Split, SequenceData] = {
        split: moving_shapes(split, sequences=80, held_out=9) for split in get_args(Split)
    }
    write_shards(splits, path, source="moving-shapes")


# what stands at the `path` of the example, for sources of the user's own data
OWN_DATA: dict[str, tuple[str, Callable[[Path], None]]] = {
    "clips": ("clips", make_clips),
    "series": ("series.csv", make_series),
    "audio": ("recordings", make_sounds),
    "skeletons": ("skeletons.npy", make_skeletons),
    "shards": ("shards", make_shards),
}


@pytest.mark.parametrize("entry", ENTRIES, ids=[f"{e.kind}-{e.name}" for e in ENTRIES])
def test_the_printed_spec_passes_the_check_and_has_the_component(
    entry: Entry, zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if entry.kind == "source":
        monkeypatch.setenv("GENZOO_DATA", str(tmp_path / "nowhere"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        if entry.name in OWN_DATA:
            path, make = OWN_DATA[entry.name]
            make(tmp_path / path)
    example = zoo.describe(entry.kind, entry.name).example
    (tmp_path / "example.yaml").write_text(example)
    try:
        spec, _ = check(tmp_path / "example.yaml", zoo=zoo)
    except DataError as error:
        # or it stands in a spec for other frames than images
        assert entry.kind == "source" or "extends" in entry.example
        if "GENZOO_DATA" not in str(error):  # which would say where a known data set is
            raise
        pytest.skip(f"needs data of its own: {error}")
    except PluginError as error:
        assert entry.needs
        pytest.skip(f"needs an extra: {error}")
    except SpecError as error:
        pytest.fail(
            f"{error}\nof the spec that `genzoo show {entry.kind} {entry.name}` prints:\n{example}"
            f"\nIn registry.yaml, give the {entry.kind} '{entry.name}' an `example:` with what a "
            "spec has to say over zoo:quickstart (or over another one, as `extends: zoo:NAME`): "
            "its required options, and the parts that it needs round it."
        )
    parts = {(part.registered.component.kind, part.name) for part in spec.parts()}
    assert (entry.kind, entry.name) in parts


def test_every_kind_has_a_place():
    assert set(_PLACES) == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "traits", "wanted"),
    [
        ("prior", ["DynamicPrior", "Module"], "model:\n  dynamic:\n    prior: {use: x}"),
        ("prior", ["StaticPrior"], "model:\n  static:\n    prior: {use: x}"),
        ("penalty", ["q_ND", "Tensor"], "objective:\n  static: {use: x}"),
        ("penalty", ["q_ND", "split"], "objective:\n  independence: {use: x}"),
        (
            "penalty",
            ["q", "Categorical"],
            "model:\n  action: {count: 8}\nobjective:\n  action: {use: x}",
        ),
        ("augmentation", [], "model:\n  dynamic: {augment: [x]}"),
        ("decoder", [], "model:\n  decoded: null\n  decoder: {use: x}"),
        ("source", [], "data: {use: x}"),
    ],
)
def test_the_place_follows_from_the_kind_and_from_what_is_wired(
    kind: str, traits: list[str], wanted: str
):
    assert example_spec(kind, "x", traits) == f"extends: zoo:quickstart\n{wanted}"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a/b-c.npy", "a/b-c.npy"), ("two words", '"two words"'), ("no", '"no"'), ("1", '"1"'),
        (True, "true"), (None, "null"), (1e-3, "0.001"), ([1, "a"], "[1, a]"), ("<a>", '"<a>"'),
        ({"a": 1, "b": [2]}, "{a: 1, b: [2]}"),
    ],
)  # fmt: skip
def test_values_are_written_as_yaml_reads_them(value: object, written: str, write: Write):
    from ruamel.yaml import YAML

    text = example_spec("cost", "x", given={"value": value})
    assert text == f"extends: zoo:quickstart\nvalue: {written}"
    assert YAML(typ="safe").load(text)["value"] == value


def test_a_spec_of_the_registry_may_extend_another(zoo: Zoo):
    text = example_spec("cost", "x", given={"extends": "zoo:moving-shapes", "data": {"size": 32}})
    assert text == "extends: zoo:moving-shapes\ndata: {size: 32}"


def test_a_foreign_component_comes_with_its_plugin(
    write: Write, genzoo: Callable[..., Any], tmp_path: Path
):
    path = write("mine.py", MINE)
    text = genzoo("show", "prior", "mine", "-p", path).out
    example = text.split("a spec with it\n")[1].replace("\n  ", "\n").strip()
    assert f"plugins: [{path}]" in example
    spec, _ = check(write("spec.yaml", example), zoo=Zoo(use_entry_points=False))
    assert spec.model.options["static"].prior.name == "mine"
    text = genzoo("show", "penalty", "gap", "-p", path).out
    assert 'static: {use: gap, power: "<power>"}' in text
