"""The command: what it prints, how it ends, and that a user's mistake never shows a traceback."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from genzoo_rwae import zoo as zoo_module
from genzoo_rwae.catalogue import catalogue, zoo_specs
from genzoo_rwae.cli import application, main
from genzoo_rwae.cli.session import take_global_options
from genzoo_rwae.errors import GenzooError, PluginError, SpecError
from genzoo_rwae.hookspecs import HOOKS
from genzoo_rwae.kinds import KINDS
from genzoo_rwae.spec import load_spec
from genzoo_rwae.spec.render import render
from genzoo_rwae.zoo import Zoo

ROOT = Path(__file__).parents[2]
ROOTS = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "kernels")]
VERBS = sorted(typer.main.get_command(application()).commands)
RUN_VERBS = [
    verb
    for verb in VERBS
    if verb
    not in (
        "build", "check", "data", "doctor", "judge", "list", "new", "plugins", "schema", "show",
        "sweep",
    )
]  # fmt: skip

Write = Callable[[str, str], Path]
Genzoo = Callable[..., Any]

TOY = """\
import torch
from genzoo_rwae import Batch, DataInfo, SequenceData, hookimpl, penalty, source


class Lines(SequenceData):
    info = DataInfo(frame_shape=(6,), length=3, bounded=False)

    def __len__(self):
        return 10

    def take(self, indices_B, /, *, draw=0):
        indices_B = torch.as_tensor(indices_B)
        return Batch(torch.zeros(len(indices_B), 3, 6), torch.full((len(indices_B),), 3), indices_B)


@source("lines")
def lines(split, /):
    '''Straight lines.'''
    return Lines()


@penalty("breaks")
def breaks(q_ND, p_ND, /):
    '''Raises when it is called.'''
    raise ZeroDivisionError("on purpose")


@hookimpl
def genzoo_sources():
    yield lines


@hookimpl
def genzoo_penalties():
    yield breaks
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def toy(write: Write, tiny: str) -> Path:
    """A spec whose data come from a plugin beside it."""
    write("toy.py", TOY)
    return write(
        "toy.yaml", tiny.replace("data: {use: digits,", "plugins: [toy.py]\ndata: {use: lines,")
    )


def ended_by_a_user(ended: Any, code: int) -> str:
    """The message of a call that ended with a code, without noise."""
    assert ended.code == code, ended
    assert "Traceback" not in ended.err + ended.out
    assert ended.err.strip()
    return ended.err


# -- help and calls -----------------------------------------------------------------------------


def test_there_is_a_verb_for_all_that_the_readme_promises():
    assert {
        "build", "check", "list", "show", "plugins", "schema", "new", "doctor", "sample",
        "reconstruct", "swap", "encode", "report", "evaluate", "judge", "compare", "traverse",
        "sweep", "explore",
    } <= set(VERBS)  # fmt: skip


@pytest.mark.parametrize("verb", [*VERBS, "new spec", "new plugin"])
def test_every_verb_has_help(verb: str, genzoo: Genzoo):
    ended = genzoo(*verb.split(), "--help")
    assert ended.code == 0
    assert f"genzoo {verb}" in ended.out
    assert "Usage:" in ended.out


def test_the_help_says_what_may_stand_anywhere(genzoo: Genzoo):
    text = " ".join(genzoo("--help").out.split())
    assert "-p FILE|MODULE" in text
    assert "--debug" in text


def test_the_version_is_that_of_the_package(genzoo: Genzoo):
    from genzoo_rwae import __version__

    assert genzoo("--version").out == f"genzoo-rwae {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [["bild"], ["build"], ["list", "--nonsense"], ["show", "penalty"], ["encode", "x", "-n", "0"]],
    ids=" ".join,
)
def test_a_wrong_call_ends_with_2(words: list[str], genzoo: Genzoo):
    assert "Usage:" in ended_by_a_user(genzoo(*words), 2)


def test_without_a_verb_the_verbs_are_shown(genzoo: Genzoo):
    ended = genzoo()
    assert "Usage:" in ended.out + ended.err
    assert "Traceback" not in ended.out + ended.err


# -- global options -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["-p", "toy.py", "list", "sources", "--json"],
        ["list", "-p", "toy.py", "sources", "--json"],
        ["list", "sources", "--json", "-p", "toy.py"],
        ["list", "sources", "--plugin", "toy.py", "--json"],
        ["list", "sources", "--plugin=toy.py", "--json"],
    ],
    ids=" ".join,
)
def test_a_plugin_may_be_named_anywhere_on_the_line(words: list[str], toy: Path, genzoo: Genzoo):
    ended = genzoo(*words)
    assert ended.code == 0
    assert "lines" in [row["name"] for row in json.loads(ended.out)]


def test_a_plugin_option_without_a_plugin_ends_with_2(genzoo: Genzoo):
    assert "-p wants a plugin" in ended_by_a_user(genzoo("list", "-p"), 2)


def test_a_plugin_can_be_blocked_on_the_line(genzoo: Genzoo):
    ended = genzoo("list", "penalties", "--json", "-p", "no:genzoo")
    assert json.loads(ended.out) == []
    assert json.loads(genzoo("plugins", "-p", "no:x", "--json").out)["blocked"] == ["x"]


def test_global_options_are_taken_out_wherever_they_stand():
    session, rest = take_global_options(["a", "--debug", "b", "-p", "x", "--plugin=y", "c"])
    assert (session.plugins, session.debug, rest) == (["x", "y"], True, ["a", "b", "c"])


# -- exit codes ---------------------------------------------------------------------------------


def test_a_good_spec_ends_with_0(toy: Path, genzoo: Genzoo):
    ended = genzoo("check", toy)
    assert ended.code == 0
    assert "no problems" in ended.out
    assert "model.encoder.frames" in ended.out


def test_a_wrong_spec_ends_with_2_and_says_where(toy: Path, genzoo: Genzoo):
    toy.write_text(toy.read_text().replace("use: mmd, weight: 7", "use: mdm, weight: 7"))
    message = ended_by_a_user(genzoo("check", toy), 2)
    assert message.startswith("toy.yaml:13:18: objective.dynamic.use: no penalty is called")
    assert "^ did you mean 'mmd'?" in message


def test_a_missing_spec_ends_with_2(genzoo: Genzoo):
    assert "gone.yaml: there is no such spec" in ended_by_a_user(genzoo("check", "gone.yaml"), 2)


def test_a_wrong_setting_ends_with_2(toy: Path, genzoo: Genzoo):
    message = ended_by_a_user(genzoo("check", toy, "--set", "train.steps=0"), 2)
    assert message.startswith("--set train.steps=0: train.steps: found 0; input should")


def test_settings_reach_the_spec(toy: Path, genzoo: Genzoo):
    ended = genzoo("check", toy, "--set", "train.seed=5", "--set", "name=other", "--json")
    spec = json.loads(ended.out)["spec"]
    assert (spec["train"]["seed"], spec["name"]) == (5, "other")


def test_parts_that_do_not_fit_end_with_2(toy: Path, genzoo: Genzoo):
    message = ended_by_a_user(genzoo("check", toy, "--set", "model.decoder.frames=conv"), 2)
    assert "model.decoder.frames: frames are [6]; convolutions want images" in message


def test_missing_data_end_with_2(write: Write, tiny: str, genzoo: Genzoo):
    text = tiny.replace("use: digits", "use: clips, root: nowhere")
    assert "nowhere" in ended_by_a_user(genzoo("check", write("spec.yaml", text)), 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_that_name\n", "cannot be imported: ModuleNotFoundError"),
        ("x = (\n", "SyntaxError"),
        ("x = 1\n", "implements no hook"),
        ("import sys\nsys.exit(0)\n", "cannot be imported: SystemExit"),
    ],
)
def test_a_broken_plugin_that_is_asked_for_ends_with_3(
    text: str, said: str, write: Write, toy: Path, genzoo: Genzoo
):
    write("broken.py", text)
    assert said in ended_by_a_user(genzoo("list", "-p", "broken.py"), 3)
    toy.write_text(toy.read_text().replace("[toy.py]", "[toy.py, broken.py]"))
    assert said in ended_by_a_user(genzoo("check", toy), 3)


def test_a_missing_plugin_ends_with_3(genzoo: Genzoo):
    assert "gone.py" in ended_by_a_user(genzoo("list", "-p", "gone.py"), 3)


def test_a_plugin_that_raises_at_work_ends_with_3_and_is_named(toy: Path, genzoo: Genzoo):
    message = ended_by_a_user(genzoo("check", toy, "--set", "objective.static.use=breaks"), 3)
    assert "plugin 'toy'" in message
    assert "failed: ZeroDivisionError: on purpose (toy.py:25, in breaks)" in message
    assert "--debug shows how it came there" in message


def test_an_interrupt_within_a_verb_is_said(genzoo: Genzoo, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("genzoo_rwae.run.check", interrupted)
    ended = genzoo("check", "zoo:quickstart")
    assert ended.code == 130
    assert ended.err.startswith("genzoo: stopped at once; what was written is kept")


def test_a_check_that_raises_ends_with_3_and_is_named(toy: Path, write: Write, genzoo: Genzoo):
    write(
        "picky.py",
        "from genzoo_rwae import hookimpl\n@hookimpl\ndef genzoo_check_spec(spec):\n    1 / 0\n",
    )
    message = ended_by_a_user(genzoo("check", toy, "-p", "picky.py"), 3)
    assert "plugin 'picky'" in message
    assert "failed in genzoo_check_spec: ZeroDivisionError" in message


def test_a_fault_of_ours_ends_with_1_and_says_so(genzoo: Genzoo, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Zoo, "summaries", lambda self, kind: 1 / 0)
    message = ended_by_a_user(genzoo("list"), 1)
    assert "ZeroDivisionError" in message
    assert "a fault of genzoo-rwae, not yours" in message


@pytest.mark.parametrize("verb", RUN_VERBS)
def test_what_is_no_run_folder_ends_with_2(verb: str, genzoo: Genzoo, tmp_path: Path):
    assert "run folder" in ended_by_a_user(genzoo(verb, tmp_path), 2)
    assert "run folder" in ended_by_a_user(genzoo(verb, tmp_path / "gone"), 2)
    assert list(tmp_path.iterdir()) == []


def test_debug_raises_what_went_wrong(write: Write):
    with pytest.raises(SpecError):
        main(["check", "gone.yaml", "--debug"])
    write("broken.py", "x = 1\n")
    with pytest.raises(PluginError):
        main(["--debug", "-p", "broken.py", "list"])


def call_in_a_process(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from genzoo_rwae.cli import main; main()", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS), **environ},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_only_debug_shows_a_traceback(toy: Path):
    words = ("show", "penalty", "mdm")
    plain, debug = call_in_a_process(*words), call_in_a_process(*words, "--debug")
    assert plain.returncode == 2
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr
    assert debug.stderr.splitlines()[-1].startswith(
        "genzoo_rwae.zoo.UnknownComponentError: no penalty is called 'mdm'"
    )


@pytest.mark.parametrize("error", [KeyError("x"), GenzooError("x")])
def test_errors_go_to_stderr_alone(genzoo: Genzoo, monkeypatch: pytest.MonkeyPatch, error):
    def fail(self: Zoo, kind: str) -> None:
        raise error

    monkeypatch.setattr(Zoo, "summaries", fail)
    ended = genzoo("list", "--json")
    assert (ended.code, ended.out) == (1, "")


# -- list, show, plugins ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_listed_by_its_singular_and_its_plural(kind: str, genzoo: Genzoo):
    rows = json.loads(genzoo("list", kind, "--json").out)
    assert rows == json.loads(genzoo("list", KINDS[kind].plural, "--json").out)
    assert [row["name"] for row in rows] == [entry.name for entry in catalogue().of(kind)]
    for row in rows:
        assert set(row) == {"kind", "name", "summary", "status", "plugin", "location"}
        assert row["plugin"] == "genzoo"


def test_everything_is_listed_without_a_kind(genzoo: Genzoo):
    rows = json.loads(genzoo("list", "--json").out)
    assert len(rows) == len(catalogue().entries)
    text = genzoo("list").out
    for entry in catalogue().entries:
        assert f"  {entry.name} " in text
        assert entry.summary in text
    assert all(name in text for name in zoo_specs())


def test_foreign_components_are_listed_with_their_plugin(toy: Path, genzoo: Genzoo):
    assert "breaks" in genzoo("list", "penalties", "-p", "toy.py").out
    (line,) = [s for s in genzoo("list", "-p", "toy.py").out.splitlines() if "Straight" in s]
    assert line.endswith("Straight lines. (toy)")


def test_an_unknown_kind_ends_with_2_and_a_suggestion(genzoo: Genzoo):
    for words in (["list", "penaltys"], ["show", "penaltys", "mmd"]):
        message = ended_by_a_user(genzoo(*words), 2)
        assert "no kind is called 'penaltys'; did you mean 'penalties'? known: models" in message


def test_an_unknown_name_ends_with_2_and_a_suggestion(genzoo: Genzoo):
    message = ended_by_a_user(genzoo("show", "kernel", "imp"), 2)
    assert "no kernel is called 'imp'; did you mean 'imq'? known: " in message


def test_show_tells_options_paper_and_place(genzoo: Genzoo):
    text = genzoo("show", "penalty", "mmd").out
    assert text.startswith("penalty mmd  [stable, since ")
    assert "  estimator: unbiased | biased | block | linear | random-features = unbiased\n" in text
    assert "  kernel: a kernel = imq\n" in text
    assert "paper    A Kernel Two-Sample Test" in text
    assert "penalties/mmd.py:" in text


@pytest.mark.parametrize(
    "entry", catalogue().entries, ids=[f"{e.kind}-{e.name}" for e in catalogue().entries]
)
def test_show_works_for_every_built_in(entry, genzoo: Genzoo):
    about = json.loads(genzoo("show", entry.kind, entry.name, "--json").out)
    assert (about["kind"], about["name"]) == (entry.kind, entry.name)
    assert about["text"].startswith(entry.summary)
    assert {"options", "contract", "location", "status", "paper"} <= set(about)
    assert genzoo("show", entry.kind, entry.name).code == 0


def test_show_takes_foreign_components(toy: Path, genzoo: Genzoo):
    about = json.loads(genzoo("show", "source", "lines", "--json", "-p", "toy.py").out)
    assert (about["text"], about["options"]) == ("Straight lines.", [])


def test_plugins_tells_where_each_came_from(toy: Path, genzoo: Genzoo):
    (row,) = json.loads(genzoo("plugins", "--json", "-p", "toy.py").out)["plugins"]
    assert row["name"] == "toy"
    assert row["origin"] == "command line"
    assert row["location"] == str(toy.parent / "toy.py")
    assert row["components"] == ["penalty breaks", "source lines"]
    assert len(row["sha256"]) == 64
    text = genzoo("plugins", "-p", "toy.py", "-p", "no:acme").out
    assert text.startswith("load order: blocks (-p no:NAME), built-ins by registry.yaml, entry poi")
    assert "  toy: command line, " in text
    assert "  acme: blocked\n" in text


def test_plugins_lists_every_hook(genzoo: Genzoo):
    hooks = json.loads(genzoo("plugins", "--hooks", "--json").out)
    assert list(hooks) == list(HOOKS)
    assert all(hooks.values())
    text = genzoo("plugins", "--hooks").out
    assert all(name in text for name in HOOKS)


class Broken:
    """The entry point of an installed package that cannot be loaded."""

    name, value = "acme", "acme_pkg"

    def load(self) -> object:
        raise ImportError("no acme here")


def test_a_broken_installed_plugin_is_a_warning_beside_the_result(
    genzoo: Genzoo, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("GENZOO_PLUGINS")
    monkeypatch.setattr(zoo_module, "entry_points", lambda *, group: [Broken()])
    ended = genzoo("plugins", "--json")
    assert ended.code == 0
    (row,) = json.loads(ended.out)["plugins"]
    assert "no acme here" in row["error"]
    assert ended.err.startswith("warning: plugin 'acme' (acme_pkg) is broken: ImportError")
    assert "broken: ImportError: no acme here" in genzoo("plugins").out


# -- check, doctor, schema ----------------------------------------------------------------------


def test_check_as_json_has_the_spec_and_its_parts(toy: Path, genzoo: Genzoo):
    found = json.loads(genzoo("check", toy, "--json").out)
    assert found["spec"]["model"]["use"] == "genzoo:rwae"
    assert found["spec"]["data"]["use"] == "toy:lines"
    parts = {row["part"]: row for row in found["parts"]}
    assert parts["data"]["shape"] == "[8, 3, 6]"
    assert parts["model"]["parameters"] > parts["model.encoder"]["parameters"] > 0
    assert set(parts["model"]) == {"part", "uses", "parameters", "shape"}


def test_check_resolved_is_a_spec_that_says_origins(toy: Path, write: Write, genzoo: Genzoo):
    text = genzoo("check", toy, "--resolved").out
    assert "name: tiny # toy.yaml:2:7" in text
    zoo = Zoo(use_entry_points=False)
    assert load_spec(write("again.yaml", text), zoo=zoo) == load_spec(toy, zoo=zoo)


def test_check_writes_nothing(toy: Path, genzoo: Genzoo, tmp_path: Path):
    before = sorted(path for path in tmp_path.iterdir() if path.name != "__pycache__")
    genzoo("check", toy)
    assert sorted(path for path in tmp_path.iterdir() if path.name != "__pycache__") == before


def test_doctor_as_json_has_its_topics(genzoo: Genzoo):
    found = json.loads(genzoo("doctor", "--json").out)
    assert {"versions", "machine", "data", "plugins"} <= set(found)
    assert found["versions"]["torch"]
    assert "versions\n" in genzoo("doctor").out


def test_doctor_says_which_ways_of_the_mmd_and_of_norms_there_are_and_what_they_lack(
    genzoo: Genzoo, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GENZOO_FUSED", "0")
    everything = json.loads(genzoo("doctor", "--json").out)
    norms = everything["normalisation of maps"]
    assert norms["torch"] == "always there"
    assert "GENZOO_FUSED is 0" in norms["compiled"]
    found = everything["backends of the mmd"]
    assert found["eager, tiled"] == "plain torch: always there"
    assert "GENZOO_FUSED is 0" in found["fused"]
    assert found["triton"] == "triton is not installed" or "CUDA" in found["triton"]


def test_doctor_says_which_backends_of_attention_there_are_and_what_they_lack(genzoo: Genzoo):
    found = json.loads(genzoo("doctor", "--json").out)["backends of attention"]
    assert found["sdpa"] == "plain torch: always there"
    assert any(words in found["xformers"] for words in ("CUDA", "pip install", "works here"))


def test_the_schema_is_json_and_is_not_written_over_a_file(genzoo: Genzoo, tmp_path: Path):
    schema = json.loads(genzoo("schema").out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    path = tmp_path / "genzoo.schema.json"
    assert genzoo("schema", "-o", path).code == 0
    assert json.loads(path.read_text()) == schema
    path.write_text("mine")
    assert "say --force" in ended_by_a_user(genzoo("schema", "-o", path), 2)
    assert path.read_text() == "mine"
    assert genzoo("schema", "-o", path, "--force").code == 0
    assert json.loads(path.read_text()) == schema


# -- new ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["my-model", "123", "true", "null", "1e-3", "Ünïcode", "-", "x" * 150]
)
def test_a_new_spec_is_valid_under_its_own_name(name: str, genzoo: Genzoo, tmp_path: Path):
    ended = genzoo("new", "spec", tmp_path / f"{name}.yaml")
    assert ended.code == 0
    assert "genzoo check" in ended.out
    spec = load_spec(tmp_path / f"{name}.yaml", zoo=Zoo(use_entry_points=False))
    if name.isascii() and len(name) < 100 and name != "-":
        assert spec.name == name


def test_a_new_spec_passes_the_check(genzoo: Genzoo):
    assert genzoo("new", "spec", "mine.yaml").code == 0
    ended = genzoo("check", "mine.yaml")
    assert ended.code == 0, ended.err
    assert "mine: no problems" in ended.out


def test_parts_can_be_told_apart_in_a_narrow_terminal(genzoo: Genzoo, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    lines = genzoo("check", "zoo:quickstart").out.splitlines()
    assert any(line.split()[:1] == ["model.static.prior"] for line in lines)
    assert all(len(line) <= 60 for line in lines)


def test_a_new_spec_may_start_from_any_other(genzoo: Genzoo, toy: Path, tmp_path: Path):
    assert genzoo("new", "spec", "b.yaml", "--from", toy).code == 0
    assert (tmp_path / "b.yaml").read_text() == toy.read_text().replace("name: tiny", "name: b")
    assert "did you mean 'zoo:quickstart'" in ended_by_a_user(
        genzoo("new", "spec", "c.yaml", "--from", "zoo:quikstart"), 2
    )
    assert not (tmp_path / "c.yaml").exists()


@pytest.mark.parametrize("name", zoo_specs())
def test_a_spec_of_the_zoo_can_be_taken_as_ones_own(name: str, genzoo: Genzoo, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    assert genzoo("new", "spec", path, "--from", f"zoo:{name}").code == 0
    mine, its = (load_spec(where, zoo=Zoo()) for where in (path, f"zoo:{name}"))
    assert mine.name == "mine"
    # data beside the spec are beside mine now
    said = render(replace(mine, name=its.name), origins=False)
    assert said.replace(str(tmp_path), str(zoo_specs()[name].parent)) == render(its, origins=False)


def test_a_new_spec_is_never_written_over_a_file(genzoo: Genzoo, write: Write):
    path = write("mine.yaml", "precious\n")
    message = ended_by_a_user(genzoo("new", "spec", path), 2)
    assert "is there already and is left as it is" in message
    assert path.read_text() == "precious\n"


def test_a_new_plugin_is_complete_and_passes_its_own_tests(genzoo: Genzoo, tmp_path: Path):
    ended = genzoo("new", "plugin", "my-gap")
    assert ended.code == 0
    folder = tmp_path / "my-gap"
    written = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert written == {"pyproject.toml", "README.md", "genzoo_my_gap.py", "tests/test_my_gap.py"}
    for path in folder.rglob("*.*"):
        assert "NAME" not in path.read_text() if path.is_file() else True
        assert "MODULE" not in path.read_text() if path.is_file() else True
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)},
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert " passed" in tested.stdout


def test_a_new_plugin_works_at_once(genzoo: Genzoo, toy: Path):
    genzoo("new", "plugin", "my-gap", "-o", "there")
    file = "there/genzoo_my_gap.py"
    about = json.loads(genzoo("show", "penalty", "my-gap", "--json", "-p", file).out)
    assert [option["name"] for option in about["options"]] == ["power"]
    words = ["check", toy, "--set", "objective.static={use: my-gap, power: 1.0}", "-p", file]
    assert genzoo(*words).code == 0


def test_a_new_plugin_takes_no_name_that_is_in_use(genzoo: Genzoo, tmp_path: Path):
    message = ended_by_a_user(genzoo("new", "plugin", "mmd"), 2)
    assert "there is a penalty 'mmd' already (genzoo show penalty mmd)" in message
    assert not (tmp_path / "mmd").exists()


def test_a_new_plugin_declares_its_entry_point(genzoo: Genzoo, tmp_path: Path):
    import tomllib

    genzoo("new", "plugin", "my-gap")
    project = tomllib.loads((tmp_path / "my-gap" / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["genzoo_rwae"] == {"my-gap": "genzoo_my_gap"}
    assert project["name"] == "genzoo-my-gap"


@pytest.mark.parametrize("there", ["README.md", "pyproject.toml", "tests/test_my_gap.py"])
def test_a_new_plugin_leaves_a_folder_that_holds_one_of_its_files_alone(
    there: str, genzoo: Genzoo, write: Write, tmp_path: Path
):
    path = write(f"my-gap/{there}", "precious\n")
    assert "is left as it is" in ended_by_a_user(genzoo("new", "plugin", "my-gap"), 2)
    assert path.read_text() == "precious\n"
    assert [p for p in (tmp_path / "my-gap").rglob("*") if p.is_file()] == [path]


@pytest.mark.parametrize(
    "name", ["My-Gap", "my_gap", "1gap", "my gap", "../gap", "gap-", "class", "torch"]
)
def test_what_is_no_name_for_a_plugin_is_refused(name: str, genzoo: Genzoo, tmp_path: Path):
    assert "no name for a plugin" in ended_by_a_user(genzoo("new", "plugin", name), 2)
    assert list(tmp_path.iterdir()) == []


# -- verbs of plugins ---------------------------------------------------------------------------

GREETER = """\
import typer
from genzoo_rwae import hookimpl
from genzoo_rwae.errors import DataError


@hookimpl
def genzoo_commands(app: typer.Typer):
    @app.command()
    def greet(name: str, ill: bool = False, empty: bool = False):
        "Greet somebody."
        if ill:
            raise RuntimeError("a cough")
        if empty:
            raise DataError("nobody is there")
        print("hello", name)
"""


def test_a_plugin_adds_a_verb_with_help(write: Write, genzoo: Genzoo):
    write("greeter.py", GREETER)
    assert genzoo("greet", "you", "-p", "greeter.py").out == "hello you\n"
    assert "Greet somebody." in genzoo("-p", "greeter.py", "--help").out
    assert genzoo("greet", "you").code == 2


def test_a_plugins_verb_fails_as_others_do(write: Write, genzoo: Genzoo):
    write("greeter.py", GREETER)
    message = ended_by_a_user(genzoo("greet", "you", "--ill", "-p", "greeter.py"), 3)
    assert "plugin 'greeter'" in message
    assert "RuntimeError: a cough" in message
    assert "nobody is there" in ended_by_a_user(
        genzoo("greet", "you", "--empty", "-p", "greeter.py"), 2
    )


def test_a_hook_for_verbs_that_raises_is_named(write: Write, genzoo: Genzoo):
    write(
        "ill.py",
        "from genzoo_rwae import hookimpl\n@hookimpl\ndef genzoo_commands(app):\n    1 / 0\n",
    )
    message = ended_by_a_user(genzoo("list", "-p", "ill.py"), 3)
    assert "plugin 'ill'" in message
    assert "failed in genzoo_commands: ZeroDivisionError" in message


def test_the_application_can_be_called_by_other_programs():
    assert CliRunner().invoke(application(), ["--help"]).exit_code == 0
