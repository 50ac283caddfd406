"""What a spec means: scalars, extends, settings, paths, and the resolved spec that is written."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genzoo_rwae.catalogue import catalogue, zoo_specs
from genzoo_rwae.errors import PluginError, SpecError
from genzoo_rwae.spec import Part, Spec, differences, json_schema, load_spec, plain, render
from genzoo_rwae.zoo import Zoo

Load = Callable[..., Spec]
Write = Callable[[str, str], Path]

FOLDERS = """\
from pathlib import Path
from typing import Annotated

from genzoo_rwae import hookimpl, source


@source("folders")
def folders(split, /, *, root: Path = Path("."), more: tuple[Path, ...] = (), text: str = ""):
    '''Folders.

    Args:
        root: one.
        more: several.
        text: anything.
    '''


@hookimpl
def genzoo_sources():
    yield folders
"""


# -- scalars ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1e-3", 0.001), ("1E3", 1000.0), ("0.5", 0.5), (".5", 0.5), ("1.", 1.0), ("3", 3),
        ("+3", 3), ("0o17", 15), ("0x1F", 31), ("017", 17), ("1_000", 1000), ("1_000.5", 1000.5),
        (".inf", float("inf")), (".INF", float("inf")),
    ],
)  # fmt: skip
def test_numbers_are_those_of_yaml_1_2(tiny: str, load: Load, written: str, meant: float):
    assert load(tiny, f"train.save_every={written}").train.save_every == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"), ("y", "y"), ("N", "N"),
        ("'1e-3'", "1e-3"), ('"7"', "7"), ("2020-01-01", "2020-01-01"), ("12:30:45", "12:30:45"),
        ("!!str 5", "5"), ("a#b", "a#b"), ("Grüße", "Grüße"), ("0o9", "0o9"), ("=", "="),
    ],
)  # fmt: skip
def test_words_are_those_of_yaml_1_2(tiny: str, load: Load, written: str, meant: str):
    assert load(tiny, f"description={written}").description == meant


@pytest.mark.parametrize("written", ["null", "~", "", "Null"])
def test_nothing_is_null(tiny: str, load: Load, written: str):
    assert load(tiny, f"train.clip={written}").train.clip is None


@pytest.mark.parametrize("written", ["true", "True", "false"])
def test_truth_values_are_no_words(tiny: str, load: Load, written: str):
    with pytest.raises(SpecError, match=r"description: found (True|False); input should be"):
        load(tiny, f"description={written}")


# -- parts --------------------------------------------------------------------------------------


def test_a_bare_string_is_a_part_without_options(tiny: str, load: Load):
    spec = load(tiny)
    bare = spec.model.options["decoder"].options["frames"]
    assert isinstance(bare, Part)
    written_out = load(tiny.replace("frames: mlp", "frames: {use: mlp}"))
    assert bare == written_out.model.options["decoder"].options["frames"]
    assert spec == written_out


def test_defaults_of_the_catalogue_fill_what_is_not_said(tiny: str, load: Load):
    spec = load(tiny)
    for part, kind in (
        (spec.train.optimizer, "optimizer"),
        (spec.train.schedule, "schedule"),
        (spec.objective.cost, "cost"),
    ):
        entry = catalogue().find(kind, part.name)
        assert entry is not None
        assert entry.default


def test_a_term_that_is_null_is_left_out(tiny: str, load: Load):
    assert load(tiny, "objective.static=null").objective.static is None


def test_parts_are_listed_each_before_those_in_it(tiny: str, load: Load):
    paths = [part.path for part in load(tiny).parts()]
    assert len(paths) == len(set(paths))
    assert paths.index("model") < paths.index("model.encoder") < paths.index("model.encoder.frames")
    assert {"data", "objective.static.kernel", "train.optimizer"} <= set(paths)


def test_a_places_options_are_kept_apart_from_the_components(tiny: str, load: Load):
    term = load(tiny).objective.static
    assert (term.slot.weight, term.slot.warm_up) == (10, 0.5)
    assert set(term.options) == {"kernel", "estimator", "block", "features", "backend"}


def test_a_default_instance_in_a_signature_goes_before_its_classs_defaults(
    tiny: str, load: Load, write: Write
):
    write(
        "mine.py",
        """\
        from dataclasses import dataclass
        from genzoo_rwae import hookimpl, penalty

        @dataclass(frozen=True, kw_only=True)
        class Inner:
            size: int = 4
            depth: int = 1

        @penalty("mine")
        def mine(q, p, /, *, inner: Inner = Inner(size=9)):
            '''A penalty.'''

        @hookimpl
        def genzoo_penalties():
            yield mine
        """,
    )
    text = tiny.replace("train:", "plugins: [mine.py]\ntrain:")
    text = text.replace("static: {use: mmd, ", "static: {use: mine, ")
    inner = load(text).objective.static.options["inner"]
    assert (inner.size, inner.depth) == (9, 1)
    inner = load(text.replace("mine, ", "mine, inner: {depth: 3}, ")).objective.static.options[
        "inner"
    ]
    assert (inner.size, inner.depth) == (9, 3)


# -- extends ------------------------------------------------------------------------------------


@pytest.fixture
def extend(tiny: str, write: Write, load: Load) -> Callable[..., Spec]:
    """A spec on top of the tiny one."""

    def load_on_top(text: str, *settings: str) -> Spec:
        write("parent.yaml", tiny)
        return load("extends: parent.yaml\n" + text, *settings)

    return load_on_top


def test_a_mapping_is_merged_key_by_key_and_everything_else_replaced(extend):
    spec = extend("model: {static: {size: 9}}\ntrain: {seed: 4}\n")
    assert spec.model.options["static"].size == 9
    assert spec.model.options["dynamic"].size == 2
    assert (spec.train.steps, spec.train.seed) == (2, 4)
    assert spec.name == "tiny"


def test_nothing_on_top_changes_nothing(extend, load: Load, tiny: str):
    assert extend("") == load(tiny)


def test_a_list_is_replaced_as_a_whole(tiny: str, write: Write, load: Load):
    write("parent.yaml", tiny + "evaluate: [probes, swap]\n")
    spec = load("extends: parent.yaml\nevaluate: [reconstruction]\n")
    assert [metric.name for metric in spec.evaluate] == ["reconstruction"]


@pytest.mark.parametrize("chosen", ["{use: gap}", "gap"])
def test_another_use_drops_the_parts_own_options_and_keeps_the_places(
    tiny: str, write: Write, load: Load, chosen: str
):
    write(
        "mine.py",
        """\
        from genzoo_rwae import hookimpl, penalty

        @penalty("gap")
        def gap(q, p, /, *, power: float = 2.0):
            '''A gap.'''

        @hookimpl
        def genzoo_penalties():
            yield gap
        """,
    )
    write("parent.yaml", tiny.replace("weight: 10", "estimator: biased, weight: 10"))
    spec = load(f"extends: parent.yaml\nplugins: [mine.py]\nobjective: {{static: {chosen}}}\n")
    term = spec.objective.static
    assert term.name == "gap"
    assert dict(term.options) == {"power": 2.0}
    assert (term.slot.weight, term.slot.warm_up) == (10, 0.5)


def test_another_use_takes_options_of_its_own(extend):
    spec = extend("model: {encoder: {use: lstm, hidden: 6}}\n")
    encoder = spec.model.options["encoder"]
    assert (encoder.name, encoder.options["hidden"]) == ("lstm", 6)
    assert encoder.options["frames"].name != "mlp"


def test_the_same_use_keeps_the_options(extend):
    frames = extend("model: {encoder: {use: frame}}\n").model.options["encoder"].options["frames"]
    assert (frames.name, frames.options["width"]) == ("mlp", 8)


def test_a_bare_string_over_a_mapping_is_a_change_of_use(extend):
    frames = extend("model: {encoder: {frames: mlp}}\n").model.options["encoder"].options["frames"]
    assert frames.options["width"] == 8
    frames = extend("model: {encoder: {frames: conv}}\n").model.options["encoder"].options["frames"]
    assert frames.name == "conv"


def test_options_over_a_bare_string_keep_its_choice(extend):
    decoder = extend("model: {decoder: {frames: {hidden: 11}}}\n").model.options["decoder"]
    assert (decoder.options["frames"].name, decoder.options["frames"].options["hidden"]) == (
        "mlp",
        11,
    )


def test_a_chain_is_laid_over_itself_from_the_bottom(tiny: str, write: Write, load: Load):
    write("a.yaml", tiny)
    write("b.yaml", "extends: a.yaml\nname: b\ntrain: {seed: 1}\nmodel: {encoder: lstm}\n")
    spec = load("extends: b.yaml\ntrain: {clip: 2.0}\nmodel: {encoder: {use: frame}}\n")
    assert (spec.name, spec.train.steps, spec.train.seed, spec.train.clip) == ("b", 2, 1, 2.0)
    # going back to a part does not bring back options that were dropped on the way
    assert spec.model.options["encoder"].options["frames"].name != "mlp"


def test_the_places_options_survive_two_changes_of_use(tiny: str, write: Write, load: Load):
    write("a.yaml", tiny)
    write("b.yaml", "extends: a.yaml\nobjective: {static: {use: 'genzoo:mmd'}}\n")
    assert load("extends: b.yaml\nobjective: {static: mmd}\n").objective.static.slot.weight == 10


def test_a_parent_is_sought_beside_the_file_that_names_it(tiny: str, write: Write, zoo: Zoo):
    write("deep/base/a.yaml", tiny)
    write("deep/b.yaml", "extends: base/a.yaml\nname: b\n")
    path = write("c.yaml", "extends: deep/b.yaml\n")
    assert load_spec(path, zoo=zoo).name == "b"


def test_a_parent_may_come_from_the_zoo(load: Load):
    spec = load("extends: zoo:quickstart\nname: mine\n")
    assert spec.name == "mine"
    assert (
        spec.description == load_spec("zoo:quickstart", zoo=Zoo(use_entry_points=False)).description
    )


@pytest.mark.parametrize("names", [["spec.yaml"], ["b.yaml"], ["b.yaml", "c.yaml"]])
def test_a_circle_is_found(write: Write, load: Load, names: list[str]):
    for name, parent in zip(names, [*names[1:], "spec.yaml"], strict=True):
        if name != "spec.yaml":
            write(name, f"extends: {parent}\n")
    with pytest.raises(SpecError, match=r":1:10: extends: the specs extend each other in a circle"):
        load(f"extends: {names[0]}\n")


@pytest.mark.parametrize(
    ("parent", "said"),
    [
        ("gone.yaml", "there is no such spec"),
        ("zoo:quikstart", "did you mean 'zoo:quickstart'?"),
        ("[a.yaml]", "wanted the path of one spec"),
        ("3", "wanted the path of one spec"),
        ("list.yaml", "holds no mapping"),
        ("word.yaml", "holds no mapping"),
        ("empty.yaml", "the file is empty"),
    ],
)
def test_a_parent_that_cannot_be_had_is_said_at_extends(
    write: Write, load: Load, parent: str, said: str
):
    write("list.yaml", "- a\n")
    write("word.yaml", "abc\n")
    write("empty.yaml", "")
    with pytest.raises(SpecError) as wrong:
        load(f"name: x\nextends: {parent}\n")
    (problem,) = wrong.value.problems
    assert (problem.path, problem.line, problem.column) == ("extends", 2, 10)
    assert said in problem.message


def test_a_problem_of_the_parent_is_said_in_the_parent(tiny: str, write: Write, load: Load):
    write("parent.yaml", tiny.replace("batch: 8", "batch: 0"))
    with pytest.raises(SpecError) as wrong:
        load("extends: parent.yaml\ntrain: {steps: 0}\n")
    places = [(Path(p.file).name, p.line, p.path) for p in wrong.value.problems]
    assert sorted(places) == [("parent.yaml", 3, "data.batch"), ("spec.yaml", 2, "train.steps")]


# -- settings -----------------------------------------------------------------------------------


def test_a_setting_replaces_a_value_however_deep(tiny: str, load: Load):
    spec = load(tiny, "objective.static.weight=3", "model.dynamic.prior.hidden=6", "name=other")
    assert spec.objective.static.slot.weight == 3
    assert spec.model.options["dynamic"].prior.options["hidden"] == 6
    assert spec.name == "other"


def test_later_settings_go_before_earlier_ones(tiny: str, load: Load):
    assert load(tiny, "train.seed=1", "train.seed=2").train.seed == 2


def test_settings_go_over_extends(extend):
    assert extend("train: {seed: 1}\n", "train.seed=5").train.seed == 5


def test_a_setting_may_be_any_yaml(tiny: str, load: Load):
    spec = load(tiny, "objective.static.kernel={use: rbf, scales: [1, 2]}", "evaluate=[probes]")
    kernel = spec.objective.static.options["kernel"]
    assert (kernel.name, kernel.options["scales"]) == ("rbf", (1.0, 2.0))
    assert [metric.name for metric in spec.evaluate] == ["probes"]


def test_a_setting_that_changes_use_drops_options_as_extends_does(tiny: str, load: Load):
    spec = load(
        tiny, "model.encoder.use=lstm", "model.encoder.hidden=6", "model.encoder.frames=mlp"
    )
    encoder = spec.model.options["encoder"]
    assert (encoder.name, encoder.options["hidden"]) == ("lstm", 6)
    assert encoder.options["frames"].options["width"] != 8


def test_settings_may_be_a_mapping(tiny: str, write: Write, zoo: Zoo):
    settings = {"train.seed": 7, "train.optimizer": {"use": "adam", "lr": 0.5}, "train.clip": None}
    spec = load_spec(write("s.yaml", tiny), zoo=zoo, settings=settings)
    assert (spec.train.seed, spec.train.optimizer.name, spec.train.clip) == (7, "adam", None)
    assert spec.train.optimizer.options["lr"] == 0.5


def test_a_wrong_setting_of_a_mapping_is_said_by_its_name(tiny: str, write: Write, zoo: Zoo):
    with pytest.raises(SpecError, match=r"^the setting train\.seed: train\.seed: found 'x'"):
        load_spec(write("s.yaml", tiny), zoo=zoo, settings={"train.seed": "x"})


def test_a_wrong_setting_is_said_with_the_setting(tiny: str, load: Load):
    with pytest.raises(SpecError) as wrong:
        load(tiny, "train.seed=x", "train.sed=1")
    said = sorted(str(problem).splitlines()[0] for problem in wrong.value.problems)
    assert said == [
        "--set train.sed=1: train.sed: train has no option 'sed'",
        "--set train.seed=x: train.seed: found 'x'; input should be a valid integer",
    ]


@pytest.mark.parametrize(
    "setting", ["train.seed", "=3", "train..seed=3", ".seed=3", "train.=3", ""]
)
def test_what_is_no_setting_is_refused(tiny: str, load: Load, setting: str):
    with pytest.raises(SpecError, match=r"wanted --set path\.to\.key=value"):
        load(tiny, setting)


def test_a_setting_that_is_no_yaml_is_refused(tiny: str, load: Load):
    with pytest.raises(SpecError, match=r"^--set train\.seed=\[1:1:3: expected ',' or '\]'"):
        load(tiny, "train.seed=[1")


# -- paths --------------------------------------------------------------------------------------


@pytest.fixture
def with_folders(tiny: str, write: Write) -> Callable[[str], str]:
    """The tiny spec with a source that takes paths."""
    write("folders.py", FOLDERS)

    def text(options: str) -> str:
        return tiny.replace(
            "data: {use: digits, ", f"plugins: [folders.py]\ndata: {{use: folders, {options} "
        )

    return text


def test_a_relative_path_means_the_folder_of_the_file_that_says_it(
    with_folders, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir("/")
    options = load(with_folders("root: a/../b, more: [c, /d], text: x/y,")).data.options
    assert options["root"] == tmp_path / "b"
    assert options["more"] == (tmp_path / "c", Path("/d"))
    assert options["text"] == "x/y"


def test_a_relative_path_of_a_parent_means_the_parents_folder(
    with_folders, write: Write, zoo: Zoo, tmp_path: Path
):
    write("deep/folders.py", FOLDERS)
    write("deep/parent.yaml", with_folders("root: here,"))
    path = write("kid.yaml", "extends: deep/parent.yaml\ndata: {more: [there]}\n")
    options = load_spec(path, zoo=zoo).data.options
    assert options["root"] == tmp_path / "deep" / "here"
    assert options["more"] == (tmp_path / "there",)


def test_a_relative_path_of_a_setting_means_the_current_folder(
    with_folders, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    spec = load(with_folders("root: here,"), "data.root=there")
    assert spec.data.options["root"] == tmp_path / "cwd" / "there"


def test_a_path_may_begin_at_home(with_folders, load: Load, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    root = load(with_folders("root: ~/x,")).data.options["root"]
    assert root == Path("/home/somebody/x")


# -- the resolved spec --------------------------------------------------------------------------


def origins(spec: Spec) -> dict[str, str]:
    """Leaf line of the rendered spec, without indentation -> its comment."""
    found = {}
    for line in render(spec).splitlines():
        text, mark, comment = line.partition(" # ")
        if mark:
            found[text.strip()] = comment.strip()
    return found


def test_every_leaf_of_the_rendered_spec_says_where_it_came_from(extend, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    spec = extend("train: {seed: 3}\n", "train.clip=2.5")
    found = origins(spec)
    assert found["seed: 3"] == "spec.yaml:2:15"
    assert found["clip: 2.5"] == "--set train.clip=2.5"
    assert found["name: tiny"] == "parent.yaml:2:7"
    assert found["width: 8"] == "parent.yaml:6:51"
    assert found["precision: auto"] == "default"
    assert found["estimator: unbiased"] == "default"
    leaves = [line for line in render(spec).splitlines() if not line.endswith(":")]
    assert len(leaves) > 40
    assert all(" # " in line for line in leaves), [line for line in leaves if " # " not in line]


def test_origins_can_be_left_out(tiny: str, load: Load):
    assert "#" not in render(load(tiny), origins=False)


@pytest.mark.parametrize("with_origins", [True, False])
@pytest.mark.parametrize("name", [*zoo_specs(), "the tiny one"])
def test_a_rendered_spec_reads_as_the_same_spec(
    name: str, with_origins: bool, tiny: str, load: Load, write: Write, zoo: Zoo
):
    spec = load(tiny) if name == "the tiny one" else load_spec(f"zoo:{name}", zoo=zoo)
    again = load_spec(write("again.yaml", render(spec, origins=with_origins)), zoo=zoo)
    assert again == spec
    assert plain(again) == plain(spec)
    assert differences(plain(again), plain(spec)) == []


@pytest.mark.parametrize(
    "text",
    [
        "on", "yes", "null", "~", "1e-3", "0o17", "1_000", "2020-01-01", "12:30:00", ".inf", "true",
        "a: b", "a # b", "# a", "- a", "'", '"', "\\", "{a}", "[a", "*a", "&a", "!a", "%a", "@a",
        "two\nlines", "ends with a newline\n", " spaces ", "", "Grüße 日本 🎉", "tab\there",
        "x" * 300, "\u2028", "-", "?", "=", "<<",
    ],
)  # fmt: skip
def test_any_text_survives_rendering(tiny: str, load: Load, write: Write, zoo: Zoo, text: str):
    spec = load_spec(write("s.yaml", tiny), zoo=zoo, settings={"description": text})
    assert spec.description == text
    assert load_spec(write("again.yaml", render(spec)), zoo=zoo).description == text


@pytest.mark.parametrize(
    "number", [1e-3, 1e-12, 1e22, 0.1 + 0.2, 5e-324, float("inf"), 123456789.0]
)
def test_any_number_survives_rendering(tiny: str, write: Write, zoo: Zoo, number: float):
    settings = {"train.save_every": number}
    spec = load_spec(write("s.yaml", tiny), zoo=zoo, settings=settings)
    again = load_spec(write("again.yaml", render(spec)), zoo=zoo)
    assert again.train.save_every == number


def test_a_foreign_part_is_rendered_with_its_plugin(with_folders, load: Load):
    spec = load(with_folders(""))
    assert plain(spec)["data"]["use"] == "folders:folders"
    assert load(render(spec)) == spec


def test_the_plain_spec_is_json(tiny: str, load: Load):
    tree = plain(load(tiny))
    assert json.loads(json.dumps(tree)) == tree
    assert tree["objective"]["static"]["weight"] == 10
    assert "places" not in tree


def test_differences_name_every_value_that_differs():
    there = {"a": 1, "b": {"c": [1, 2], "d": "x"}, "e": None}
    here = {"a": 1, "b": {"c": [1, 3], "d": "x"}, "f": 2}
    assert differences(there, here) == [
        "b.c: [1, 2] there, [1, 3] here",
        "e: only there",
        "f: only here",
    ]
    assert differences(there, there) == []
    assert differences({"a": {"b": 1}}, {"a": 2}) == ["a: {'b': 1} there, 2 here"]


# -- the JSON schema ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema(Zoo(use_entry_points=False))


def nodes(tree: Any) -> list[dict[str, Any]]:
    """All mappings of a schema."""
    if isinstance(tree, dict):
        return [tree, *(node for value in tree.values() for node in nodes(value))]
    return [node for value in tree for node in nodes(value)] if isinstance(tree, list) else []


def test_the_schema_is_json_and_all_its_references_lead_somewhere(schema):
    assert json.loads(json.dumps(schema)) == schema
    references = {node["$ref"] for node in nodes(schema) if isinstance(node.get("$ref"), str)}
    assert references
    for reference in references:
        assert reference.removeprefix("#/$defs/") in schema["$defs"]
        assert schema["$defs"][reference.removeprefix("#/$defs/")]


def test_every_mapping_of_the_schema_forbids_other_keys(schema):
    for node in nodes(schema):
        if (
            node.get("type") == "object"
            and "properties" in node
            and "resolved" not in str(node.get("title"))
        ):
            assert node["additionalProperties"] is False


def test_every_built_in_is_a_choice_of_the_schema_somewhere(schema):
    chosen = {
        node["properties"]["use"]["enum"][0]
        for node in nodes(schema)
        if node.get("properties", {}).get("use", {}).get("enum")
    }
    kinds = {"kernel", "penalty", "source", "model", "metric", "optimizer", "schedule", "cost"}
    for entry in catalogue().entries:
        if entry.kind in kinds:
            assert entry.name in chosen


def test_use_has_no_default_in_the_schema(schema):
    for node in nodes(schema):
        if isinstance(node.get("properties"), dict) and "use" in node["properties"]:
            assert "default" not in node["properties"]["use"]
            assert "use" in node["required"]


@pytest.fixture(scope="module")
def accepts(schema) -> Callable[[Any], bool]:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    return validator.is_valid


def read(text: str) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize("name", zoo_specs())
def test_the_schema_takes_every_spec_of_the_zoo(accepts, name: str):
    assert accepts(read(zoo_specs()[name].read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", zoo_specs())
def test_the_schema_takes_every_resolved_spec_of_the_zoo(accepts, name: str, zoo: Zoo):
    assert accepts(read(render(load_spec(f"zoo:{name}", zoo=zoo))))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name:", "nmae:"), ("size: 3", "sise: 3"), ("hidden: 5", "hiden: 5"),
        ("weight: 7", "wieght: 7"), ("use: rwae", "use: rwea"), ("frames: mlp", "frames: mlq"),
        ("batch: 8", "batch: 0"), ("batch: 8", "batch: x"), ("given: none", "given: past"),
        ("prior: {use: lstm, hidden: 5}", "prior: gaussian"), ("genzoo: 1", "genzoo: 2"),
        ("steps: 2", "stps: 2"), ("train: {steps: 2}", ""), ("use: digits", "uze: digits"),
        ("given: none", "given: none, given_: 1"),
    ],
)  # fmt: skip
def test_the_schema_refuses_what_genzoo_refuses(accepts, tiny: str, load: Load, old: str, new: str):
    assert accepts(read(tiny))
    wrong = tiny.replace(old, new, 1)
    assert wrong != tiny
    assert not accepts(read(wrong))
    with pytest.raises(SpecError):
        load(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "extends: a.yaml\n",
        "extends: a.yaml\ntrain: {seed: 3}\n",
        "extends: a.yaml\nobjective: {static: {weight: 3}}\n",
        "extends: a.yaml\nmodel: {dynamic: {prior: {hidden: 3}}}\n",
        "extends: a.yaml\nmodel: {encoder: {frames: conv}}\n",
    ],
)
def test_the_schema_lets_a_child_leave_out_what_its_parent_says(
    accepts, text: str, write, tiny, load
):
    write("a.yaml", tiny)
    load(text)
    assert accepts(read(text))


def test_the_schema_refuses_a_childs_misspelt_keys(accepts):
    assert not accepts(read("extends: a.yaml\nobjectiv: {}\n"))
    assert not accepts(read("extends: a.yaml\nobjective: {static: {wieght: 3}}\n"))
    assert not accepts(read("extends: a.yaml\nobjective: {static: {use: mdm}}\n"))


def test_the_schema_knows_components_of_plugins(write: Write):
    path = write("folders.py", FOLDERS)
    text = json.dumps(json_schema(Zoo([str(path)], use_entry_points=False)))
    assert '"folders:folders"' in text


# -- parts that stand by default, plugins of a parent -------------------------------------------


def test_options_of_a_default_part_can_be_set_without_naming_it(tiny: str, load: Load):
    spec = load(tiny, "train.optimizer.lr=0.5", "model.static.head.hidden=7")
    assert spec.train.optimizer.name == "adamw"
    assert spec.train.optimizer.options["lr"] == 0.5
    assert spec.model.options["static"].head.options["hidden"] == 7


def test_a_metric_asked_for_twice_is_a_problem_at_its_second_place(tiny: str, load: Load):
    with pytest.raises(SpecError, match="the metric 'swap' is asked for twice") as caught:
        load(tiny + "evaluate: [swap, probes, {use: swap, pairs: 3}]\n")
    assert caught.value.problems[0].column > 20


def test_a_child_needs_its_parents_plugins_as_well_as_its_own(tiny: str, write: Write, load: Load):
    write("folders.py", FOLDERS)
    write("other.py", FOLDERS.replace('"folders"', '"others"'))
    write("parent.yaml", "plugins: [./folders.py]\n" + tiny)
    spec = load("extends: parent.yaml\nplugins: [./other.py]\ndata: {use: folders}\n")
    assert spec.plugins == ["./folders.py", "./other.py"]
    assert spec.data.registered.plugin.name == "folders"


def test_a_default_that_no_hook_yields_is_the_plugins_fault(tiny: str, write: Write):
    hidden = """
        from collections.abc import Callable
        from typing import Annotated
        from genzoo_rwae import Use, hookimpl, kernel, penalty

        @kernel("hidden")
        def hidden(x_ND, y_MD, /):
            return x_ND @ y_MD.mT

        @penalty("gap")
        def gap(q_ND, p_ND, /, *, kernel: Annotated[Callable, Use("kernel")] = hidden):
            return kernel(q_ND, p_ND).mean()

        @hookimpl
        def genzoo_penalties():
            yield gap
    """
    path = write("hidden.py", hidden)
    zoo = Zoo([str(path)], use_entry_points=False)
    spec = write("s.yaml", tiny.replace("static: {use: mmd", "static: {use: gap"))
    with pytest.raises(PluginError, match="the default 'hidden' is no kernel that a hook yields"):
        load_spec(spec, zoo=zoo)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("act: Callable = torch.relu", "which no spec could say; wanted what YAML has: a plain"),
        ("kind: torch.dtype = torch.float32", "is torch.float32 by default, which no spec could"),
        ("size: int = np.int64(3)", "(3) by default, which no spec could say"),
        ("net: torch.nn.Module = None", "is annotated as Module, no type of a spec's values"),
        (
            "size: int = None",
            "(input should be a valid integer); wanted a default of int, or int",
        ),
        ("size: int = 0.5", "wanted a default of int, or another annotation"),
        ("more: More = More()", "the option 'more.size' of the penalty 'gap' of plugin 'mine'"),
        ("more: More", "the option 'more.size' of the penalty 'gap' of plugin 'mine'"),
    ],
)
def test_a_default_that_no_spec_could_say_is_the_plugins_fault(
    tiny: str, write: Write, option: str, said: str
):
    """The run's own spec would say it."""
    path = write("mine.py", GAP.replace("OPTION", option))
    zoo = Zoo([str(path)], use_entry_points=False)
    needed = "{use: gap, more: {}" if option == "more: More" else "{use: gap"
    spec = write("s.yaml", tiny.replace("static: {use: mmd", f"static: {needed}"))
    with pytest.raises(PluginError, match=re.escape(said)) as caught:
        load_spec(spec, zoo=zoo)
    if option == "more: More":  # which stands in no signature as a default
        return
    with pytest.raises(PluginError, match=re.escape(str(caught.value))):
        load_spec(write("u.yaml", tiny + "evaluate: [using]\n"), zoo=zoo)


@pytest.mark.parametrize(
    "option",
    [
        "sizes: tuple[int, ...] = [1, 2]",
        "sizes: list[float] = (1, 2.5)",
        "size: int | None = None",
        "where: Path = Path('a')",
        "bound: float = float('inf')",
        "bound: float = np.sqrt(2.0)",
        "colour: Colour = Colour.RED",
        "number: Number = Number.ONE",
        "shade: Shade = Shade.DARK",
        "more: More | None = None",
        "size: int",
        "size: int = None",  # and the spec says one
    ],
)
def test_a_default_that_a_spec_could_say_may_stand(tiny: str, write: Write, option: str):
    path = write("mine.py", GAP.replace("OPTION", option))
    needed = "{use: gap, size: 3" if option in ("size: int", "size: int = None") else "{use: gap"
    spec = write("s.yaml", tiny.replace("static: {use: mmd", f"static: {needed}"))
    zoo = Zoo([str(path)], use_entry_points=False)
    name = option.partition(":")[0]
    found = plain(load_spec(spec, zoo=zoo).objective.static)
    again = write("again.yaml", render(load_spec(spec, zoo=zoo)))
    assert name in found
    assert plain(load_spec(again, zoo=zoo).objective.static) == found


def test_what_a_given_value_becomes_is_not_called_the_default(tiny: str, write: Write):
    text = "from pydantic import BeforeValidator\n" + GAP
    reads = (
        "kind: Annotated[object, BeforeValidator(lambda text: getattr(torch, text))] = 'float32'"
    )
    path = write("mine.py", text.replace("OPTION", reads))
    spec = write("s.yaml", tiny.replace("static: {use: mmd", "static: {use: gap, kind: float64"))
    with pytest.raises(
        PluginError, match=r"plugin 'mine' .* is torch.float64, which no spec could"
    ):
        load_spec(spec, zoo=Zoo([str(path)], use_entry_points=False))


GAP = """
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Annotated
import numpy as np
import torch
from genzoo_rwae import Figure, Use, hookimpl, metric, penalty


class Colour(StrEnum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


class Shade(Enum):
    DARK = 0.25


@dataclass(frozen=True, kw_only=True)
class More:
    size: int = "3"


@penalty("gap")
def gap(q_ND, p_ND, /, *, OPTION):
    return (q_ND - p_ND).mean()


@metric("using")
def using(model, splits, /, *, gap: Annotated[Callable, Use("penalty")] = gap):
    return {"a": Figure(1.0)}


@hookimpl
def genzoo_penalties():
    yield gap


@hookimpl
def genzoo_metrics():
    yield using
"""
