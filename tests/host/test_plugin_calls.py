"""What plugins were asked, and whose doing it was: the trace, and the name in every message."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genzoo_rwae.errors import PluginError, RunError
from genzoo_rwae.plugin_calls import IMPORT, CallLog
from genzoo_rwae.plugin_modules import Plugin
from genzoo_rwae.zoo import Zoo

Write = Callable[[str, str], Path]
Genzoo = Callable[..., Any]

MINE = """\
import time
from genzoo_rwae import hookimpl, penalty


@penalty("gap")
def gap(q_ND, p_ND, /):
    '''Distance of means.'''
    return (q_ND.mean(0) - p_ND.mean(0)).norm()


@hookimpl
def genzoo_penalties():
    yield gap


@hookimpl
def genzoo_check_spec(spec):
    yield from ()


@hookimpl
def genzoo_step_done(step):
    time.sleep(0.02 * step)
"""


def hook(name: str, arguments: str, body: str, head: str = "") -> str:
    imports = f"from genzoo_rwae import hookimpl\n{head}\n"
    return f"{imports}@hookimpl\ndef {name}({arguments}):\n    {body}\n"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def spec(write: Write, tiny: str) -> Path:
    write("mine.py", MINE)
    return write(
        "spec.yaml",
        tiny.replace("genzoo: 1", "genzoo: 1\nplugins: [./mine.py]").replace(
            "static: {use: mmd, weight: 10, warm_up: 0.5}", "static: {use: gap, weight: 10}"
        ),
    )


# -- the log ------------------------------------------------------------------------------------


def test_calls_are_counted_and_timed_by_plugin_and_hook_in_their_order():
    log, a, b = CallLog(), Plugin("a", "python", "a.py"), Plugin("b", "python", "b.py")
    for plugin, name, seconds in ((b, "x", 0.01), (a, "x", 0.0), (b, "x", 0.03), (b, "y", 0.0)):
        with log.timed(plugin, name):
            time.sleep(seconds)
    assert [(c.plugin.name, c.hook, c.count) for c in log.rows()] == [
        ("b", "x", 2), ("a", "x", 1), ("b", "y", 1),
    ]  # fmt: skip
    first = log.rows()[0]
    assert first.seconds >= 0.04
    assert 0.03 <= first.longest < first.seconds


def test_a_call_that_raises_is_counted_too():
    log = CallLog()
    with pytest.raises(KeyError), log.timed(Plugin("a", "python", "a.py"), "x"):
        raise KeyError
    assert [c.count for c in log.rows()] == [1]


def test_slow_is_what_takes_a_twentieth_of_a_build_and_a_second():
    log, plugin = CallLog(), Plugin("a", "python", "a.py")
    for name, seconds in (("genzoo_step_done", 3.0), ("genzoo_run_done", 0.9), (IMPORT, 9.0)):
        with log.timed(plugin, name):
            pass
        log.rows()[-1].seconds = seconds
    [sentence] = log.slow(10.0)
    assert sentence.startswith("plugin 'a' (a.py) took 3.0 s of 10.0 s in genzoo_step_done (1 ")
    assert log.slow(59.0) != []
    assert log.slow(61.0) == []


def test_what_a_generator_does_is_part_of_its_call(zoo: Zoo, write: Write):
    path = write(
        "late.py", hook("genzoo_check_spec", "", "time.sleep(0.05); yield 1", "import time")
    )
    zoo.load(str(path), base=path.parent)
    zoo.call("genzoo_check_spec", spec=None)
    [calls] = [c for c in zoo.calls.rows() if c.hook == "genzoo_check_spec"]
    assert calls.seconds >= 0.05


# -- genzoo plugins --trace ---------------------------------------------------------------------


def test_the_trace_of_loading_shows_imports_before_hooks(genzoo: Genzoo, spec: Path):
    trace = json.loads(genzoo("plugins", "--trace", "--json", "-p", "mine.py").out)["trace"]
    assert [(row["plugin"], row["hook"], row["calls"]) for row in trace] == [
        ("mine", "import", 1),
        ("mine", "genzoo_penalties", 1),
    ]


def test_the_trace_of_a_spec_shows_every_call_of_a_build_and_keeps_nothing(
    genzoo: Genzoo, spec: Path, tmp_path: Path
):
    before = sorted(tmp_path.rglob("*"))
    ended = genzoo("plugins", spec, "--trace", "--json")
    assert ended.code == 0, ended.err
    mine = [row for row in json.loads(ended.out)["trace"] if row["plugin"] == "mine"]
    assert [(row["hook"], row["calls"]) for row in mine] == [
        ("import", 1), ("genzoo_penalties", 1), ("genzoo_check_spec", 1), ("genzoo_step_done", 2),
    ]  # fmt: skip
    assert "open" not in ended.err, "what is not kept cannot be opened"
    assert mine[-1]["seconds"] >= 0.06
    assert 0.04 <= mine[-1]["longest"] < mine[-1]["seconds"]
    after = [path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts]
    assert sorted(after) == before


def test_the_printed_trace_is_a_table_of_what_json_has(genzoo: Genzoo, spec: Path):
    lines = genzoo("plugins", "--trace", "-p", "mine.py").out.splitlines()
    assert lines[0].split() == ["hook", "plugin", "calls", "seconds", "longest"]
    assert re.fullmatch(r"\s+1  import +mine +1 +0\.\d{4} +0\.\d{4}", lines[1])
    assert len(lines) == 3
    assert genzoo("plugins", "--trace").out == "no plugin was called\n"


def test_a_spec_brings_its_plugins_into_the_list(genzoo: Genzoo, spec: Path):
    assert "mine: spec," in genzoo("plugins", spec).out
    assert "mine" not in genzoo("plugins").out


# -- whose doing it was -------------------------------------------------------------------------


def test_a_slow_plugin_is_named_at_the_end_of_a_build(
    genzoo: Genzoo, spec: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("genzoo_rwae.plugin_calls._SLOW_SECONDS", 0.05)
    monkeypatch.setattr("genzoo_rwae.plugin_calls._SLOW_SHARE", 0.0)
    said = genzoo("build", spec, "--set", "evaluate=[]").err
    assert re.search(r"slow: plugin 'mine' \(.*mine\.py\) took .* in genzoo_step_done \(2 ", said)


@pytest.mark.parametrize(
    ("raised", "code"), [("RunError", 1), ("DataError", 2), ("PluginError", 3)]
)
def test_an_error_for_the_user_out_of_a_hook_says_whose_it_is_and_keeps_its_code(
    raised: str, code: int, zoo: Zoo, write: Write
):
    head = f"from genzoo_rwae.errors import {raised}"
    path = write("stern.py", hook("genzoo_step_done", "", f"raise {raised}('enough')", head))
    zoo.load(str(path), base=path.parent)
    with pytest.raises(PluginError) as caught:
        zoo.call("genzoo_step_done", step=1, figures={}, run=None)
    assert str(caught.value) == f"plugin 'stern' ({path}), in genzoo_step_done: enough"
    assert caught.value.exit_code == code
    assert PluginError("x").exit_code == 3
    assert RunError("x").exit_code == 1


def test_a_problem_that_a_plugin_finds_says_who_found_it(genzoo: Genzoo, spec: Path, write: Write):
    body = "yield spec.problem('train.seed', 'no luck')"
    path = write("picky.py", hook("genzoo_check_spec", "spec", body))
    assert (
        f"train.seed: no luck (says plugin 'picky' ({path}))"
        in genzoo("check", spec, "-p", path).err
    )


def test_a_problem_that_a_plugin_raises_keeps_its_place_and_says_who_found_it(
    genzoo: Genzoo, spec: Path, write: Write
):
    head = "from genzoo_rwae.errors import SpecError"
    body = "raise SpecError([spec.problem('train.seed', 'no luck')])"
    path = write("picky.py", hook("genzoo_check_spec", "spec", body, head))
    ended = genzoo("check", spec, "-p", path)
    assert ended.code == 2
    assert re.search(rf"train\.seed: no luck \(says plugin 'picky' \({path}\)\)", ended.err)
    assert "in genzoo_check_spec" not in ended.err


def test_an_error_for_the_user_out_of_a_component_says_whose_it_is(
    genzoo: Genzoo, write: Write, tiny: str
):
    text = """\
    from genzoo_rwae import DataError, hookimpl, source


    @source("empty")
    def empty(split, /):
        '''Nothing.'''
        raise DataError("there is nothing here")


    @hookimpl
    def genzoo_sources():
        yield empty
    """
    path = write("none.py", text)
    ended = genzoo("check", write("s.yaml", tiny.replace("digits", "empty")), "-p", path)
    assert ended.code == 2
    said = "s.yaml:3:1: data: there is nothing here"
    assert ended.err == f"genzoo: {said} (raised by plugin 'none' ({path}))\n"


def test_a_fault_in_another_file_of_a_package_is_laid_at_its_door(
    zoo: Zoo, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write("acmepack/__init__.py", "from acmepack.parts import genzoo_penalties\n")
    write(
        "acmepack/parts.py", "from acmepack import deep\n" + MINE.replace(".norm()", " @ deep.f()")
    )
    write("acmepack/deep.py", "def f():\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    zoo.load("acmepack", base=tmp_path)
    from acmepack import deep  # type: ignore[import-not-found]

    with pytest.raises(ZeroDivisionError) as caught:
        deep.f()
    blamed = zoo.blame(caught.value)
    assert blamed is not None
    assert blamed.plugin.name == "acmepack"
    assert blamed.place == "deep.py:2, in f"


def test_what_a_plugin_gave_may_be_at_fault_where_no_frame_is_its_own(
    genzoo: Genzoo, write: Write, tiny: str
):
    text = """\
    from genzoo_rwae import hookimpl, metric


    class Same(torch.nn.Module):
        width = 5  # but for the first time, when it is compared, 6

        def __init__(self, frame_shape, /):
            super().__init__()
            self.gives = 5

        def forward(self, x_BT, lengths_B, /):
            features_BTH, self.gives = x_BT.flatten(2)[..., : self.gives], 6
            return features_BTH


    same = encoder("same")(Same)


    @hookimpl
    def genzoo_encoders():
        yield same
    """
    text = text.replace("import hookimpl, metric", "import encoder, hookimpl")
    path = write("quiet.py", "    import torch\n" + text)
    ended = genzoo("check", write("s.yaml", tiny), "-p", path, "--set", "model.encoder=same")
    assert ended.code == 1
    assert (
        f"a fault of genzoo-rwae, or of what a plugin gave it: plugin 'quiet' ({path}); `genzoo "
        "check --plugin FILE` tries a plugin piece by piece" in ended.err
    )
