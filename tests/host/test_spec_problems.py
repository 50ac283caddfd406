"""Whatever is wrong with a spec is said at its place, all at once, in the file's order."""

from collections.abc import Callable
from pathlib import Path

import pytest

from genzoo_rwae.assemble import assemble
from genzoo_rwae.errors import PluginError, Problem, SpecError
from genzoo_rwae.sequences import DataInfo
from genzoo_rwae.spec import Spec, load_spec
from genzoo_rwae.zoo import Zoo

Problems = Callable[..., tuple[Problem, ...]]
VECTORS = DataInfo(frame_shape=(6,), length=3, bounded=False)


@pytest.fixture(autouse=True)
def _in_the_specs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that messages say `spec.yaml`, not a path of the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def problems(load: Callable[..., Spec]) -> Problems:
    def problems_of(text: str, *settings: str) -> tuple[Problem, ...]:
        with pytest.raises(SpecError) as wrong:
            load(text, *settings)
        assert wrong.value.exit_code == 2
        return wrong.value.problems

    return problems_of


@pytest.fixture
def problem(problems: Problems) -> Callable[..., Problem]:
    """The one problem that there is."""

    def the_problem(text: str, *settings: str) -> Problem:
        (only,) = problems(text, *settings)
        return only

    return the_problem


def place(problem: Problem) -> tuple[str, int, int]:
    return problem.file, problem.line, problem.column


def marked(problem: Problem) -> str:
    """What stands over the caret."""
    _, source, caret = str(problem).splitlines()
    return source[caret.index("^") :]


# -- the form of a problem ----------------------------------------------------------------------


def test_a_problem_shows_file_line_column_path_source_and_caret(tiny: str, problem):
    text = tiny.replace("static: {use: mmd, weight: 10, warm_up: 0.5}", "static: {use: mdm}")
    lines = str(problem(text)).splitlines()
    assert lines[0] == "spec.yaml:11:17: objective.static.use: no penalty is called 'mdm'"
    assert lines[1] == "   11 |   static: {use: mdm}"
    assert lines[2].startswith("      |                 ^ did you mean 'mmd'? known: ")
    assert lines[2].index("^") == lines[1].index("mdm")
    assert len(lines) == 3


def test_all_problems_are_reported_at_once_in_the_files_order(tiny: str, problems: Problems):
    text = (
        tiny.replace("name: tiny", "name: -tiny")
        .replace("batch: 8", "batch: 0")
        .replace("use: lstm, hidden: 5", "use: lstn, hidden: 5")
        .replace("weight: 7", "wieght: 7")
        .replace("steps: 2", "steps: two")
    )
    found = problems(text)
    assert [(p.line, p.path) for p in found] == [
        (2, "name"),
        (3, "data.batch"),
        (8, "model.dynamic.prior.use"),
        (12, "objective.dynamic.wieght"),
        (13, "train.steps"),
    ]
    with pytest.raises(SpecError) as wrong:
        load_spec("spec.yaml", zoo=Zoo(use_entry_points=False))
    assert str(wrong.value) == "\n".join(map(str, found))


def test_a_file_elsewhere_is_named_by_its_whole_path(write, zoo: Zoo, tiny: str, monkeypatch):
    path = write("far/spec.yaml", tiny.replace("steps: 2", "steps: 0"))
    monkeypatch.chdir(path.parent.parent / "far")
    with pytest.raises(SpecError, match=r"^spec\.yaml:13:16: train\.steps: "):
        load_spec(path, zoo=zoo)
    monkeypatch.chdir("/")
    with pytest.raises(SpecError) as wrong:
        load_spec(path, zoo=zoo)
    assert Path("/", wrong.value.problems[0].file) == path


# -- unknown names ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "path", "over_caret", "said", "hint"),
    [
        ("{use: digits, b", "{use: digit, b", "data.use", "digit,",
         "no source is called 'digit'", "did you mean 'digits'? known: "),
        ("use: rwae", "use: rwea", "model.use", "rwea", "no model is called 'rwea'",
         "did you mean 'rwae'? known: "),
        ("frames: mlp", "frames: mlq", "model.decoder.frames", "mlq}",
         "no frame-decoder is called 'mlq'", "did you mean 'mlp'? known: "),
        ("use: mmd, weight: 7", "use: 'no:mmd', weight: 7", "objective.dynamic.use", "'no:mmd'",
         "no penalty is called 'no:mmd'", "known: "),
    ],
)  # fmt: skip
def test_an_unknown_component_is_marked_with_what_it_may_be(
    tiny: str, problem, old, new, path, over_caret, said, hint
):
    found = problem(tiny.replace(old, new))
    assert (found.path, found.message) == (path, said)
    assert hint in found.hint
    assert marked(found).startswith(over_caret)


@pytest.mark.parametrize(
    ("old", "new", "path", "said", "hint"),
    [
        ("objective:", "objectiv:", "objectiv", "the spec has no option 'objectiv'",
         "did you mean 'objective'? known: genzoo, name"),
        ("size: 3", "sise: 3", "model.static.sise", "model.static has no option 'sise'",
         "did you mean 'size'? known: size, head, prior"),
        ("hidden: 5", "hiden: 5", "model.dynamic.prior.hiden",
         "the prior 'lstm' has no option 'hiden'", "did you mean 'hidden'? known: hidden"),
        ("weight: 7", "wait: 7", "objective.dynamic.wait",
         "the penalty 'mmd' has no option 'wait'", "known: kernel, estimator, block"),
        ("{steps: 2}", "{steps: 2, zzz: 1}", "train.zzz", "train has no option 'zzz'",
         "known: epochs, steps"),
        ("batch: 8", "batch: 8, speeed: 4.0", "data.speeed",
         "the source 'digits' has no option 'speeed'", "did you mean 'speed'?"),
    ],
)  # fmt: skip
def test_an_unknown_option_is_marked_with_what_it_may_be(
    tiny: str, problems: Problems, old, new, path, said, hint
):
    found = {p.path: p for p in problems(tiny.replace(old, new))}[path]
    assert found.message == said
    assert hint in found.hint
    assert marked(found).startswith(path.rpartition(".")[2] + ":")


# -- wrong values -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "path", "said"),
    [
        ("genzoo: 1", "genzoo: 2", "genzoo", "found 2; input should be 1"),
        ("name: tiny", "name: [tiny]", "name", "found a list; input should be a valid string"),
        ("name: tiny", "name: 'a/b'", "name", "found 'a/b'; string should match pattern"),
        ("name: tiny", "name: 12", "name", "found 12; input should be a valid string"),
        ("batch: 8", "batch: '8'", "data.batch", "found '8'; input should be a valid integer"),
        ("batch: 8", "batch: 0", "data.batch", "found 0; input should be greater than 0"),
        ("batch: 8", "batch: 1.5", "data.batch", "found 1.5; input should be a valid integer"),
        ("batch: 8", "batch: true", "data.batch", "found True; input should be a valid integer"),
        ("weight: 7", "weight: -1", "objective.dynamic.weight",
         "found -1; input should be greater than or equal to 0"),
        ("weight: 7", "weight: .nan", "objective.dynamic.weight", "found nan; input should be"),
        ("warm_up: 0.5", "warm_up: 2", "objective.static.warm_up",
         "found 2; input should be less than or equal to 1"),
        ("given: none", "given: past", "objective.dynamic.given",
         "found 'past'; input should be 'none', 'state' or 'path'"),
        ("steps: 2", "steps: {a: 1}", "train.steps",
         "found a mapping; input should be a valid integer"),
        ("{steps: 2}", "{steps: 2, seed: 9223372036854775808}", "train.seed",
         "found 9223372036854775808; input should be less than"),
        ("{steps: 2}", "2", "train", "found 2, wanted a mapping"),
        ("{steps: 2}", "", "train", "found nothing, wanted a mapping"),
        ("{size: 3}", "[size]", "model.static", "found a list, wanted a mapping"),
        ("use: rwae", "use: 3", "model.use", "found 3, wanted the name of a model"),
        ("frames: mlp", "frames: 3", "model.decoder.frames",
         "found 3, wanted the name of a frame-decoder"),
        ("frames: mlp", "frames: [mlp]", "model.decoder.frames",
         "found a list, wanted the name of a frame-decoder"),
        ("train:", "evaluate: probes\ntrain:", "evaluate",
         "found 'probes', wanted a list of metrics"),
        ("train:", "plugins: [3]\ntrain:", "plugins[0]", "found 3; input should be a valid string"),
        ("train:", "plugins: mine.py\ntrain:", "plugins",
         "found 'mine.py'; input should be a valid"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_marked_with_what_was_found_and_wanted(
    tiny: str, problem, old, new, path, said
):
    found = problem(tiny.replace(old, new))
    assert found.path == path
    assert found.message.startswith(said)
    assert found.line > 0


def test_a_wrong_item_of_a_list_is_marked_itself(tiny: str, problem):
    text = tiny.replace(
        "use: mmd, weight: 10,", "use: mmd, kernel: {use: imq, scales: [1, -2, 3]},"
    )
    found = problem(text)
    assert found.path == "objective.static.kernel.scales[1]"
    assert marked(found).startswith("-2,")
    assert found.hint.startswith("the s: ")


def test_a_wrong_item_of_a_list_of_parts_is_marked_itself(tiny: str, problem):
    found = problem(tiny + "evaluate: [probes, {use: swapp}]\n")
    assert found.path == "evaluate[1].use"
    assert marked(found).startswith("swapp}")


@pytest.mark.parametrize(
    ("old", "new", "path", "said", "place_of"),
    [
        ("name: tiny\n", "", "", "the spec needs the key 'name'", (1, 1)),
        ("use: rwae\n", "\n", "model", "which model? wanted a key 'use'", (4, 1)),
        ("use: mmd, weight: 10, ", "", "objective.static", "which penalty? wanted a key 'use'",
         (11, 3)),
        ("train: {steps: 2}\n", "", "", "the spec needs the key 'train'", (1, 1)),
    ],
)  # fmt: skip
def test_a_missing_key_is_said_where_it_should_stand(
    tiny: str, problem, old, new, path, said, place_of
):
    found = problem(tiny.replace(old, new, 1))
    assert found.path == path
    assert found.message.startswith(said)
    assert place(found) == ("spec.yaml", *place_of)


def test_training_without_a_limit_is_said_at_train(tiny: str, problem):
    found = problem(tiny.replace("{steps: 2}", "{seed: 1}").replace(", warm_up: 0.5", ""))
    assert found.message == "no limit: say at least one of epochs, steps and minutes"
    assert (found.path, place(found)) == ("train", ("spec.yaml", 13, 1))


def test_a_missing_key_of_a_part_is_said_at_the_part(write, problem, tiny: str):
    write(
        "mine.py",
        """\
        from genzoo_rwae import hookimpl, penalty

        @penalty("mine")
        def mine(q, p, /, *, power: float):
            '''A penalty.

            Args:
                power: the exponent.
            '''

        @hookimpl
        def genzoo_penalties():
            yield mine
        """,
    )
    text = tiny.replace("train:", "plugins: [mine.py]\ntrain:")
    found = problem(text.replace("static: {use: mmd", "static: {use: mine"))
    assert found.path == "objective.static"
    assert found.message == "the penalty 'mine' needs the key 'power'; the exponent."
    assert place(found) == ("spec.yaml", 11, 3)


def test_a_missing_key_is_sought_in_the_file_and_not_in_a_setting(tiny: str, problem):
    found = problem(tiny.replace("name: tiny\n", ""), "train.seed=3", "data.batch=4")
    assert place(found) == ("spec.yaml", 1, 1)


def test_rules_between_values_are_marked(tiny: str, problems: Problems):
    text = tiny.replace("{steps: 2}", "{minutes: 2, schedule: cosine}")
    found = {p.path: p for p in problems(text)}
    assert set(found) == {"train.schedule", "objective.static.warm_up"}
    assert marked(found["train.schedule"]).startswith("cosine}")
    assert marked(found["objective.static.warm_up"]).startswith("0.5}")


# -- parts that do not fit ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "path", "said", "over_caret", "fits"),
    [
        ("prior: {use: lstm, hidden: 5}", "prior: gaussian", "model.dynamic.prior",
         "the prior 'gaussian' is no DynamicPrior", "gaussian}", "lstm"),
        ("{size: 3}", "{size: 3, prior: {use: lstm}}", "model.static.prior.use",
         "the prior 'lstm' is no StaticPrior", "lstm}", "gaussian"),
    ],
)  # fmt: skip
def test_a_part_of_the_wrong_base_class_is_marked_with_those_that_fit(
    tiny: str, problem, old, new, path, said, over_caret, fits
):
    found = problem(tiny.replace(old, new))
    assert (found.path, found.message) == (path, said)
    assert found.hint.startswith("wanted one of: ")
    assert fits in found.hint
    assert marked(found).startswith(over_caret)


def misfit(spec: Spec, info: DataInfo = VECTORS) -> Problem:
    with pytest.raises(SpecError) as wrong:
        assemble(spec, info)
    (found,) = wrong.value.problems
    return found


def test_the_tiny_spec_assembles(tiny: str, load):
    model = assemble(load(tiny), VECTORS).model
    assert model.sample(2).x_BT.shape == (2, 3, 6)


def test_a_batch_of_one_under_the_unbiased_estimator_is_said_at_the_penalty(tiny: str, load):
    found = misfit(load(tiny.replace("batch: 8", "batch: 1")))
    assert found.path == "objective.static.estimator"
    assert "compares pairs of rows and the batch has 1; wanted 2 or more" in found.message
    assert place(found) == ("spec.yaml", 11, 3)


def test_a_batch_of_one_is_said_at_the_estimator_where_that_is_given(tiny: str, load):
    text = tiny.replace("batch: 8", "batch: 1").replace("0.5}", "0.5, estimator: unbiased}")
    assert marked(misfit(load(text))).startswith("unbiased}")


def test_a_batch_of_one_is_no_problem_of_the_biased_estimator(tiny: str, load):
    text = tiny.replace("batch: 8", "batch: 1").replace("use: mmd", "use: mmd, estimator: biased")
    assemble(load(text), VECTORS)


@pytest.mark.parametrize("coder", ["encoder", "decoder"])
def test_convolutions_on_vectors_are_said_at_the_frames_part(tiny: str, load, coder: str):
    line = {"encoder": 6, "decoder": 9}[coder]
    text = tiny.replace(
        "frames: {use: mlp, width: 8}" if line == 6 else "frames: mlp", "frames: conv"
    )
    found = misfit(load(text))
    assert found.path == f"model.{coder}.frames"
    assert "frames are [6]; convolutions want images [C, H, W]: take 'mlp'" in found.message
    assert found.line == line
    assert marked(found).startswith("conv}")


def test_a_default_part_that_does_not_fit_is_said_at_the_nearest_mapping(tiny: str, load):
    text = tiny.replace("{use: frame, frames: {use: mlp, width: 8}}", "frame")
    found = misfit(load(text))
    assert found.path == "model.encoder.frames"
    assert place(found) == ("spec.yaml", 6, 3)


def test_a_model_that_is_no_sequence_model_is_said_at_the_model(write, tiny: str, load):
    write(
        "mine.py",
        """\
        from genzoo_rwae import hookimpl, model

        @model("mine")
        def mine(info, /):
            '''No model.'''
            return 3

        @hookimpl
        def genzoo_models():
            yield mine
        """,
    )
    text = tiny.replace("genzoo: 1", "genzoo: 1\nplugins: [mine.py]")
    before, after = text[: text.index("model:")], text[text.index("objective:") :]
    found = misfit(load(before + "model: mine\n" + after))
    assert (found.path, found.line) == ("model", 5)
    assert found.message == "'mine' makes a int; wanted a SequenceModel"


def test_blocked_built_ins_leave_defaults_to_be_chosen(tiny: str, write):
    with pytest.raises(SpecError) as wrong:
        load_spec(write("spec.yaml", tiny), zoo=Zoo(["no:genzoo"], use_entry_points=False))
    said = {p.path: p.message for p in wrong.value.problems}
    assert said["train.optimizer"] == "there is no default optimizer"
    assert said["model.use"] == "no model is called 'rwae'"


def test_an_option_that_a_place_takes_for_itself_is_the_plugins_fault(write, tiny: str, load):
    write(
        "mine.py",
        """\
        from genzoo_rwae import hookimpl, penalty

        @penalty("mine")
        def mine(q, p, /, *, weight: float = 1.0):
            '''A penalty.'''

        @hookimpl
        def genzoo_penalties():
            yield mine
        """,
    )
    text = tiny.replace("train:", "plugins: [mine.py]\ntrain:")
    with pytest.raises(PluginError, match=r"'mine'.*the option 'weight'.*another name"):
        load(text.replace("static: {use: mmd", "static: {use: mine"))


# -- YAML ---------------------------------------------------------------------------------------


def test_a_key_that_stands_twice_is_marked_at_its_second_place(tiny: str, problem):
    found = problem(tiny.replace("{size: 3}", "{size: 3, size: 4}"))
    assert found.path == "model.static.size"
    assert found.message == "the key stands twice; first in line 7"
    assert place(found) == ("spec.yaml", 7, 21)
    assert found.hint == "keep one of the two"


def test_tabs_in_the_indentation_are_named(tiny: str, problem):
    found = problem(tiny.replace("  use: rwae", "\tuse: rwae"))
    assert place(found) == ("spec.yaml", 5, 1)
    assert found.hint == "YAML indents with spaces, not tabs"


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("a: [1\nb: 2\n", (2, 2), "expected ',' or ']'"),
        ("a: b: c\n", (1, 5), "mapping values are not allowed here"),
        ("a: 'x\n", (2, 1), "found unexpected end of stream"),
        ("a: *b\n", (1, 4), "found undefined alias 'b'"),
        ("a: 1\n---\nb: 2\n", (2, 1), "but found another document"),
        ("? [a]\n: 1\n", (1, 3), "keys are words"),
        ("- a\n", (1, 1), "a spec is a mapping; see `genzoo new spec`"),
        ("word\n", (1, 1), "a spec is a mapping; see `genzoo new spec`"),
    ],
)  # fmt: skip
def test_what_is_no_mapping_in_yaml_is_marked(problem, text: str, where, said: str):
    found = problem(text)
    assert found.message.startswith(said)
    assert place(found) == ("spec.yaml", *where)


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "\n\n"])
def test_an_empty_file_says_how_to_begin(problem, text: str):
    assert str(problem(text)) == "spec.yaml: the file is empty; see `genzoo new spec`"


def test_bytes_that_are_no_utf8_are_named_by_their_place(tmp_path: Path, zoo: Zoo):
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"name: caf\xe9\n")
    with pytest.raises(SpecError, match=r"^spec\.yaml: not UTF-8 at byte 9; save it as UTF-8$"):
        load_spec(path, zoo=zoo)


def test_control_characters_are_no_yaml(problem):
    assert "not YAML" in str(problem("name: a\x07b\n"))


def test_a_byte_order_mark_is_no_problem(tmp_path: Path, zoo: Zoo, tiny: str):
    path = tmp_path / "spec.yaml"
    path.write_text(tiny, encoding="utf-8-sig")
    assert load_spec(path, zoo=zoo).name == "tiny"


def test_windows_line_ends_leave_places_right(tmp_path: Path, zoo: Zoo, tiny: str):
    path = tmp_path / "spec.yaml"
    path.write_bytes(tiny.replace("steps: 2", "steps: 0").replace("\n", "\r\n").encode())
    with pytest.raises(SpecError) as wrong:
        load_spec(path, zoo=zoo)
    (found,) = wrong.value.problems
    assert (found.line, found.source) == (13, "train: {steps: 0}")


def test_a_file_beyond_any_specs_size_is_not_read(tmp_path: Path, zoo: Zoo):
    path = tmp_path / "spec.yaml"
    path.write_text("#" * 1_000_001)
    with pytest.raises(SpecError, match=r"more than 1,000,000 bytes; no spec is that large"):
        load_spec(path, zoo=zoo)


def test_an_alias_bomb_is_refused_before_it_unfolds(problem):
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    found = problem("\n".join(["a0: &a0 [x]", *levels, ""]))
    assert "more than 10,000 values" in found.message


def test_an_alias_of_itself_is_refused(problem):
    assert "40 levels" in problem("a: &a [*a]\n").message


def test_what_is_nested_too_deeply_is_refused(problem):
    assert "40 levels" in problem("a: " + "[" * 60 + "]" * 60 + "\n").message


@pytest.mark.parametrize("opening", ["[", "{", "- ", "? "])
def test_nesting_is_refused_at_the_level_that_is_too_much(problem, opening: str):
    found = problem(opening * 2_000 + "\n")
    assert "more than 40 levels" in found.message
    assert found.column == 1 + 41 * len(opening)


def test_an_alias_may_be_used_as_long_as_it_is_small(tiny: str, load):
    text = tiny.replace("frames: {use: mlp, width: 8}", "frames: &net {use: mlp, hidden: 4}")
    spec = load(text.replace("frames: mlp", "frames: *net"))
    assert spec.model.options["decoder"].options["frames"].options["hidden"] == 4


def test_a_merge_key_is_marked_and_extends_is_named(tiny: str, problem):
    text = tiny.replace("{size: 3}", "&s {size: 3}").replace("{size: 2,", "{<<: *s,")
    found = problem(text)
    assert place(found) == ("spec.yaml", 8, 13)
    assert "for merging there is `extends`, not '<<'" in found.message


@pytest.mark.parametrize(
    ("old", "new", "path", "tag"),
    [
        ("name: tiny", "name: !secret tiny", "name", "!secret"),
        ("name: tiny", "name: !!python/name:os.system x", "name",
         "tag:yaml.org,2002:python/name:os.system"),
        ("{steps: 2}", "!train {steps: 2}", "train", "!train"),
        ("train:", "evaluate: !all [probes]\ntrain:", "evaluate", "!all"),
        ("name: tiny", "name: !!binary dGlueQ==", "name", "tag:yaml.org,2002:binary"),
    ],
)  # fmt: skip
def test_an_unknown_tag_is_marked(tiny: str, problem, old, new, path, tag):
    found = problem(tiny.replace(old, new))
    assert found.path == path
    assert found.message == f"the tag {tag} is not known here; specs are plain YAML"


def test_a_tab_within_a_line_leaves_the_caret_right(tiny: str, problem):
    found = problem(tiny.replace("{size: 3}", "{size:\t-3}"))
    assert "\t" not in str(found)
    assert marked(found) == "-3}"


def test_a_tab_that_yaml_refuses_within_a_line_is_named(tiny: str, problem):
    found = problem(tiny.replace("name: tiny", "name:\ttiny"))
    assert (found.line, found.column, found.hint) == (2, 6, "a tab; YAML wants a space")


def test_a_very_long_line_is_cut(tiny: str, problem):
    found = problem(tiny.replace("name: tiny", "name: " + "x" * 5000))
    assert found.path == "name"
    assert len(found.source) <= 200


# -- files that are not there -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "hint"), [("gone.yaml", "zoo:NAME: `"), ("quickstart", "did you mean 'zoo:quick")]
)
def test_a_spec_that_is_not_there_is_said_with_where_the_zoo_is_told(zoo: Zoo, reference, hint):
    with pytest.raises(SpecError, match=f"{reference}: there is no such spec.*{hint}") as caught:
        load_spec(reference, zoo=zoo)
    assert "`genzoo list` names all of them" in str(caught.value)


def test_a_misspelt_spec_of_the_zoo_gets_a_suggestion(zoo: Zoo):
    with pytest.raises(SpecError, match="did you mean 'zoo:quickstart'"):
        load_spec("zoo:quikstart", zoo=zoo)


def test_a_folder_without_a_spec_is_no_spec(zoo: Zoo, tmp_path: Path):
    with pytest.raises(SpecError, match="there is no such spec"):
        load_spec(tmp_path, zoo=zoo)


def test_a_plugin_of_the_spec_that_is_broken_is_an_error(tiny: str, write, load):
    write("mine.py", "raise RuntimeError('no')\n")
    with pytest.raises(PluginError, match=r"mine\.py cannot be imported: RuntimeError: no"):
        load(tiny.replace("train:", "plugins: [mine.py]\ntrain:"))
