"""What pluggy leaves to its host: whose fault it is, what was overlooked, who is meant."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genzoo_rwae import zoo as zoo_module
from genzoo_rwae.catalogue import catalogue
from genzoo_rwae.components import hookimpl, options_of, penalty
from genzoo_rwae.errors import PluginError, SpecError
from genzoo_rwae.spec import Spec, load_spec
from genzoo_rwae.zoo import BUILT_IN, Plugin, UnknownComponentError, Zoo

Write = Callable[[str, str], Path]

PENALTY = """\
from genzoo_rwae import hookimpl, penalty


@penalty("{name}")
def measure(q, p, /):
    '''A gap of {name}.'''
    return {value}


@hookimpl
def genzoo_penalties():
    yield measure
"""


def penalty_file(name: str, value: int = 0) -> str:
    return PENALTY.format(name=name, value=value)


@dataclass(frozen=True)
class FakePoint:
    """An installed package's entry point; `thing` is what loading it gives, or raises."""

    name: str
    thing: object

    @property
    def value(self) -> str:
        return f"pkg_{self.name}"

    def load(self) -> object:
        if isinstance(self.thing, Exception):
            raise self.thing
        return self.thing


def hook(name: str, arguments: str = "", body: str = "pass") -> str:
    """A plugin file with one hook; its decorator is in line 3, its body in line 5."""
    return f"from genzoo_rwae import hookimpl\n\n@hookimpl\ndef {name}({arguments}):\n    {body}\n"


def plugin_object(name: str) -> object:
    @penalty(name)
    def measure(q: Any, p: Any, /) -> int:
        """A gap."""
        return 0

    module = ModuleType(f"module_of_{name}")

    @hookimpl
    def genzoo_penalties() -> Iterator[object]:
        yield measure

    module.genzoo_penalties = genzoo_penalties
    return module


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def install(*points: FakePoint) -> None:
        monkeypatch.setattr(zoo_module, "entry_points", lambda *, group: points)

    return install


@pytest.fixture
def failure(zoo: Zoo, write: Write) -> Callable[[str], str]:
    """What is said of a plugin file that cannot be loaded."""

    def load(text: str, name: str = "acme.py") -> str:
        path = write(name, text)
        with pytest.raises(PluginError) as failed:
            zoo.load(str(path), base=path.parent, origin="spec")
        assert zoo.plugins() == ()
        return str(failed.value)

    return load


# -- traps of pluggy ----------------------------------------------------------------------------


def test_a_raising_hook_is_laid_at_its_plugins_door(zoo: Zoo, write: Write):
    good = write("good.py", hook("genzoo_run_done", "run", "run.append('good')"))
    bad = write("bad.py", hook("genzoo_run_done", "run", "raise KeyError('gone')"))
    for path in (good, bad):
        zoo.load(str(path), base=path.parent)
    called: list[str] = []
    with pytest.raises(PluginError) as failed:
        zoo.call("genzoo_run_done", model=None, spec=None, run=called)
    message = str(failed.value)
    assert message.startswith(f"plugin 'bad' ({bad}) failed in genzoo_run_done: KeyError: 'gone'")
    assert f"{bad}:5" in message
    assert called == ["good"]


@pytest.mark.parametrize("culprit", ["first", "second"])
def test_each_of_two_raising_plugins_is_named_when_it_is_the_one(culprit: str, write: Write):
    zoo = Zoo(use_entry_points=False)
    for name in ("first", "second"):
        raising = "raise ValueError('boom')" if name == culprit else "pass"
        path = write(
            f"{name}.py",
            hook("genzoo_run_done", body=raising),
        )
        zoo.load(str(path), base=path.parent)
    with pytest.raises(PluginError, match=f"^plugin '{culprit}' .*ValueError: boom"):
        zoo.call("genzoo_run_done", model=None, spec=None, run=None)


def test_a_failed_plugin_does_not_keep_the_next_from_loading(zoo: Zoo, write: Write):
    bad = write("bad.py", "raise RuntimeError('no')\n")
    good = write("good.py", penalty_file("gap"))
    with pytest.raises(PluginError, match="cannot be imported"):
        zoo.load(str(bad), base=bad.parent)
    zoo.load(str(good), base=good.parent)
    assert zoo.find("penalty", "gap").plugin.name == "good"


def test_a_generator_hook_that_raises_midway_is_attributed_when_called(zoo: Zoo, write: Write):
    path = write(
        "midway.py",
        """\
        from genzoo_rwae import hookimpl

        @hookimpl
        def genzoo_check_spec(spec):
            yield "one"
            raise ValueError("half way")
        """,
    )
    zoo.load(str(path), base=path.parent)
    with pytest.raises(PluginError, match=r"plugin 'midway' .* genzoo_check_spec: .*half way") as e:
        zoo.call("genzoo_check_spec", spec=None)
    assert f"{path}:6" in str(e.value)


def test_a_generator_of_components_that_raises_midway_registers_nothing(failure):
    text = penalty_file("gap") + "    raise ValueError('half way')\n"
    message = failure(text)
    assert "failed in genzoo_penalties: ValueError: half way" in message
    assert "acme.py:13" in message


def test_a_misspelt_hook_is_found_with_its_line_and_a_suggestion(failure):
    message = failure(hook("genzoo_penaltys", body="yield 1"))
    assert "line 3: no hook is called genzoo_penaltys; did you mean genzoo_penalties?" in message
    assert "plugin 'acme'" in message


def test_a_hook_like_nothing_known_points_to_the_list(failure):
    message = failure(hook("xyzzy", body="yield 1"))
    assert "no hook is called xyzzy; see `genzoo plugins --hooks`" in message


def test_a_forgotten_hookimpl_is_found_with_its_line(failure):
    message = failure("\ndef genzoo_penalties():\n    yield 1\n")
    assert "line 2: genzoo_penalties is named like a hook but is not under @hookimpl" in message


def test_an_argument_that_the_hook_lacks_is_named_with_what_there_is(failure):
    message = failure(hook("genzoo_step_done", "step, loss"))
    assert "line 3: genzoo_step_done takes an argument 'loss' that the hook does not" in message
    assert "it may take: step, figures, run" in message


def test_a_hook_may_take_fewer_arguments_than_there_are(zoo: Zoo, write: Write):
    path = write("few.py", hook("genzoo_step_done", "step", "return step"))
    zoo.load(str(path), base=path.parent)
    ((plugin, value),) = zoo.call("genzoo_step_done", step=3, figures={}, run=None)
    assert (plugin.name, value) == ("few", 3)


def test_a_plugin_without_any_hook_is_refused(failure):
    assert "implements no hook" in failure("x = 1\n")


@pytest.mark.parametrize(
    ("thing", "shown"), [("len", "<built-in function len>"), ("3", "3"), ("Imq", "a kernel")]
)
def test_what_is_no_component_of_the_kind_is_refused(failure, thing: str, shown: str):
    message = failure(
        "from genzoo_rwae import hookimpl\nfrom genzoo_rwae_plugins.kernels.radial import Imq\n"
        f"@hookimpl\ndef genzoo_penalties():\n    yield {thing}\n"
    )
    assert f"genzoo_penalties yields {shown}; wanted functions or classes under" in message
    assert "@penalty('name')" in message


@pytest.mark.parametrize(
    ("body", "shown"),
    [("return None", "None"), ("print('has no yield')", "None"), ("return Imq", "Imq")],
)
def test_a_hook_that_returns_what_it_should_yield_is_told(failure, body: str, shown: str):
    radial = "from genzoo_rwae_plugins.kernels.radial import Imq\n"
    message = failure(radial + hook("genzoo_kernels", body=body))
    assert "plugin 'acme'" in message
    assert f"genzoo_kernels returns {shown}; wanted functions or classes that it yields" in message


def test_a_hook_that_gives_nothing_to_iterate_is_attributed(failure):
    message = failure(hook("genzoo_penalties", body="return 3"))
    assert "plugin 'acme'" in message
    assert "failed in genzoo_penalties: TypeError" in message


def test_two_components_of_one_kind_and_name_in_one_plugin_are_refused(failure):
    message = failure(penalty_file("gap") + "    yield measure\n")
    assert "offers two penalties called 'gap'" in message


def test_a_plugin_may_be_an_object_with_methods(zoo: Zoo):
    class Counter:
        @hookimpl
        def genzoo_step_done(self, step: int) -> int:
            return step + 1

    zoo.register(Counter(), Plugin("counter", "python", "here"))
    ((_, value),) = zoo.call("genzoo_step_done", step=1, figures={}, run=None)
    assert value == 2


def test_an_objects_misspelt_hook_is_found_too(zoo: Zoo):
    class Counter:
        @hookimpl
        def genzoo_step_dun(self, step: int) -> int:
            return step + 1

    with pytest.raises(PluginError, match="no hook is called genzoo_step_dun; did you mean"):
        zoo.register(Counter(), Plugin("counter", "python", "here"))


def test_whether_a_hook_is_implemented_is_known(zoo: Zoo, write: Write):
    assert not zoo.implements("genzoo_run_done")
    path = write("done.py", hook("genzoo_run_done"))
    zoo.load(str(path), base=path.parent)
    assert zoo.implements("genzoo_run_done")


# -- who is meant -------------------------------------------------------------------------------


def test_a_built_in_is_found_by_its_name_and_by_its_owner(zoo: Zoo):
    for name in ("mmd", "genzoo:mmd"):
        found = zoo.find("penalty", name)
        assert (found.plugin.name, found.component.name) == (BUILT_IN, "mmd")
        assert found.entry is catalogue().find("penalty", "mmd")


def test_two_plugins_with_one_name_are_an_error_only_when_it_is_asked_for(zoo: Zoo, write: Write):
    one, two = write("one.py", penalty_file("gap", 1)), write("two.py", penalty_file("gap", 2))
    for path in (one, two):
        zoo.load(str(path), base=path.parent)
    with pytest.raises(UnknownComponentError) as clash:
        zoo.find("penalty", "gap")
    assert f"'one' ({one})" in str(clash.value)
    assert f"'two' ({two})" in str(clash.value)
    assert clash.value.hint == "say 'one:gap' or 'two:gap'"
    assert zoo.find("penalty", "one:gap").component.build(0, 0) == 1
    assert zoo.find("penalty", "two:gap").component.build(0, 0) == 2
    assert {"one:gap", "two:gap"} <= set(zoo.names("penalty"))
    assert "gap" not in zoo.names("penalty")


def test_a_clash_with_a_built_in_names_both_and_leaves_both_in_reach(zoo: Zoo, write: Write):
    path = write("acme.py", penalty_file("mmd", 7))
    zoo.load(str(path), base=path.parent)
    with pytest.raises(UnknownComponentError) as clash:
        zoo.find("penalty", "mmd")
    assert "'genzoo' (genzoo_rwae_plugins.penalties.mmd)" in str(clash.value)
    assert f"'acme' ({path})" in str(clash.value)
    assert zoo.find("penalty", "acme:mmd").component.build(0, 0) == 7
    assert zoo.find("penalty", "genzoo:mmd").plugin.origin == "built-in"


def test_a_spec_chooses_between_two_of_one_name(tiny: str, write: Write):
    write("acme.py", penalty_file("mmd", 7))
    text = tiny.replace("data:", "plugins: [./acme.py]\ndata:")

    def load(name: str) -> Spec:
        path = write("s.yaml", text.replace("static: {use: mmd, ", f"static: {{use: '{name}', "))
        zoo = Zoo(use_entry_points=False)
        return load_spec(path, zoo=zoo, settings=["objective.dynamic.use=genzoo:mmd"])

    assert load("acme:mmd").objective.static.registered.plugin.name == "acme"
    assert load("genzoo:mmd").objective.static.registered.plugin.name == "genzoo"
    with pytest.raises(SpecError, match="the penalty 'mmd' is offered by 'genzoo'") as clash:
        load("mmd")
    assert [problem.path for problem in clash.value.problems] == ["objective.static.use"]


def test_no_plugin_may_take_the_name_of_the_built_ins(zoo: Zoo, write: Write):
    path = write("genzoo.py", penalty_file("mmd"))
    with pytest.raises(PluginError, match=r"'genzoo'.*built-in"):
        zoo.load(str(path), base=path.parent)


def test_an_unknown_name_lists_what_there_is_and_the_nearest(zoo: Zoo):
    with pytest.raises(UnknownComponentError) as unknown:
        zoo.find("kernel", "imp")
    assert unknown.value.message == "no kernel is called 'imp'"
    assert unknown.value.hint.startswith("did you mean 'imq'? known: ")
    assert "rbf" in unknown.value.hint
    assert unknown.value.exit_code == 2


def test_an_unknown_owner_does_not_find_the_built_in(zoo: Zoo):
    with pytest.raises(UnknownComponentError, match="no penalty is called 'nobody:mmd'"):
        zoo.find("penalty", "nobody:mmd")


def test_a_kind_without_a_default_says_so(zoo: Zoo):
    with pytest.raises(UnknownComponentError, match="there is no default kernel"):
        zoo.default("kernel")


def test_foreign_components_stand_in_all_and_summaries_after_the_built_ins(zoo: Zoo, write: Write):
    path = write("acme.py", penalty_file("gap"))
    zoo.load(str(path), base=path.parent)
    rows = zoo.summaries("penalty")
    assert rows[0].plugin == BUILT_IN
    assert (rows[-1].name, rows[-1].summary) == ("gap", "A gap of gap.")
    assert (rows[-1].plugin, rows[-1].location) == ("acme", str(path))
    assert [r.component.name for r in zoo.all("penalty")] == [row.name for row in rows]


# -- blocks -------------------------------------------------------------------------------------


def test_a_blocked_entry_point_is_not_loaded(installed):
    installed(FakePoint("acme", plugin_object("gap")), FakePoint("other", plugin_object("hole")))
    zoo = Zoo(["no:acme"], environ={})
    assert [plugin.name for plugin in zoo.plugins()] == ["other"]
    assert zoo.blocked == ("acme",)


def test_a_plugin_that_is_asked_for_and_blocked_is_an_error(write: Write):
    path = write("acme.py", penalty_file("gap"))
    with pytest.raises(PluginError, match=r"wanted by the command line and blocked by -p no:acme"):
        Zoo(["no:acme", str(path)], use_entry_points=False)


def test_the_built_ins_can_be_blocked(write: Write):
    path = write("acme.py", penalty_file("gap"))
    zoo = Zoo(["no:genzoo", str(path)], use_entry_points=False)
    assert zoo.names("penalty") == ["gap"]
    with pytest.raises(UnknownComponentError, match="no penalty is called 'mmd'"):
        zoo.find("penalty", "mmd")


# -- entry points -------------------------------------------------------------------------------


def test_entry_points_load_by_name_before_the_command_line(installed, write: Write):
    installed(FakePoint("zeta", plugin_object("a")), FakePoint("alpha", plugin_object("b")))
    path = write("early.py", penalty_file("gap"))
    zoo = Zoo([str(path)], environ={})
    assert [(p.name, p.origin) for p in zoo.plugins()] == [
        ("alpha", "entry point"), ("zeta", "entry point"), ("early", "command line"),
    ]  # fmt: skip


def test_a_specs_plugins_come_after_those_of_the_command_line(installed, write: Write, tiny: str):
    installed(FakePoint("alpha", plugin_object("b")))
    first = write("zz.py", penalty_file("gap"))
    write("aa.py", penalty_file("hole"))
    path = write("spec.yaml", tiny.replace("data:", "plugins: [aa.py]\ndata:"))
    zoo = Zoo([str(first)], environ={})
    load_spec(path, zoo=zoo)
    assert [p.name for p in zoo.plugins()] == ["alpha", "zz", "aa"]
    assert [p.origin for p in zoo.plugins()] == ["entry point", "command line", "spec"]


@pytest.mark.parametrize(
    ("value", "loaded"),
    [
        (None, ["a", "b", "c"]),
        ("none", []),
        ("", []),
        ("b", ["b"]),
        ("c, a", ["a", "c"]),
        ("nobody", []),
    ],
)
def test_the_environment_restricts_entry_points(installed, value: str | None, loaded: list[str]):
    installed(*(FakePoint(name, plugin_object(name)) for name in "cab"))
    zoo = Zoo(environ={} if value is None else {"GENZOO_PLUGINS": value})
    assert [plugin.name for plugin in zoo.plugins()] == loaded


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        (ImportError("no module named acme"), "ImportError: no module named acme"),
        (ValueError("odd"), "ValueError: odd"),
        (ModuleType("empty"), "implements no hook"),
    ],
)
def test_a_broken_entry_point_is_a_warning_and_the_rest_works(installed, thing, reason: str):
    installed(FakePoint("broken", thing), FakePoint("sound", plugin_object("gap")))
    zoo = Zoo(environ={})
    broken, sound = zoo.plugins()
    assert reason in broken.error
    assert sound.error == ""
    assert len(zoo.warnings) == 1
    assert zoo.warnings[0].startswith("plugin 'broken' (pkg_broken) is broken: ")
    assert reason in zoo.warnings[0]
    assert zoo.find("penalty", "gap").plugin == sound
    assert zoo.call("genzoo_run_done", model=None, spec=None, run=None) == []


def test_of_two_entry_points_of_one_name_the_first_keeps_working(installed):
    installed(FakePoint("acme", plugin_object("gap")), FakePoint("acme", plugin_object("hole")))
    zoo = Zoo(environ={})
    assert zoo.find("penalty", "gap").plugin.error == ""
    assert "hole" not in zoo.names("penalty")
    assert len(zoo.warnings) == 1
    assert "acme" in zoo.warnings[0]


def test_an_installed_plugin_that_a_spec_names_by_its_module_is_loaded_once(
    installed, monkeypatch: pytest.MonkeyPatch
):
    module = plugin_object("gap")
    monkeypatch.setitem(sys.modules, "acme_module", module)
    installed(FakePoint("acme", module))
    zoo = Zoo(environ={})
    assert zoo.load("acme_module", base=Path.cwd(), origin="spec").name == "acme"
    assert [plugin.name for plugin in zoo.plugins()] == ["acme"]


# -- files and modules --------------------------------------------------------------------------


def test_a_plugin_file_is_a_real_module_with_a_prefixed_name(zoo: Zoo, write: Write):
    path = write("acme.py", penalty_file("gap"))
    zoo.load("acme.py", base=path.parent)
    build = zoo.find("penalty", "gap").component.build
    assert build.__module__.startswith("genzoo_plugin_acme_")
    assert sys.modules[build.__module__].measure is build
    assert "acme" not in sys.modules


def test_a_plugin_file_is_known_by_its_sha256(zoo: Zoo, write: Write):
    path = write("acme.py", penalty_file("gap"))
    plugin = zoo.load(str(path), base=path.parent, origin="spec")
    assert plugin == zoo.plugins()[0]
    assert plugin.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (plugin.origin, plugin.location) == ("spec", str(path))


def test_the_same_file_twice_is_loaded_once(zoo: Zoo, write: Write):
    path = write("acme.py", penalty_file("gap"))
    first = zoo.load("acme.py", base=path.parent, origin="command line")
    again = zoo.load(f"../{path.parent.name}/acme.py", base=path.parent, origin="spec")
    assert again is first
    assert len(zoo.plugins()) == 1


def test_two_files_of_one_stem_clash_and_both_are_named(zoo: Zoo, write: Write):
    one, two = write("one/acme.py", penalty_file("a")), write("two/acme.py", penalty_file("b"))
    zoo.load(str(one), base=one.parent, origin="command line")
    with pytest.raises(PluginError) as clash:
        zoo.load(str(two), base=two.parent, origin="spec")
    assert f"two plugins are called 'acme': {one} (command line) and {two} (spec)" in str(
        clash.value
    )


def test_a_missing_file_says_what_its_path_is_relative_to(zoo: Zoo, tmp_path: Path):
    with pytest.raises(PluginError, match="relative to the spec's folder") as missing:
        zoo.load("gone.py", base=tmp_path, origin="spec")
    assert str(tmp_path / "gone.py") in str(missing.value)


def test_a_syntax_error_is_shown_at_its_line(failure):
    message = failure("from genzoo_rwae import hookimpl\n\ndef broken(:\n    pass\n")
    assert "cannot be imported: SyntaxError" in message
    assert "acme.py:3)" in message


@pytest.mark.parametrize("line", ["raise ValueError('at import')", "import sys; sys.exit(0)"])
def test_a_file_that_raises_when_imported_is_shown_at_its_line(failure, line: str):
    before = set(sys.modules)
    message = failure(f"x = 1\n\n{line}\n")
    assert "cannot be imported: " in message
    assert "acme.py:3)" in message
    assert not [name for name in set(sys.modules) - before if name.startswith("genzoo_plugin_")]


def test_a_missing_module_is_named(zoo: Zoo):
    with pytest.raises(PluginError, match=r"plugin module 'no_such_plugin' \(wanted by the spec\)"):
        zoo.load("no_such_plugin", base=Path.cwd(), origin="spec")


def test_a_module_can_be_loaded_by_its_name(
    zoo: Zoo, write: Write, monkeypatch: pytest.MonkeyPatch
):
    path = write("genzoo_acme_by_name.py", penalty_file("gap"))
    monkeypatch.syspath_prepend(str(path.parent))
    plugin = zoo.load("genzoo_acme_by_name", base=Path.cwd())
    assert (plugin.name, plugin.sha256) == ("genzoo_acme_by_name", "")
    assert zoo.find("penalty", "gap").plugin is plugin
    monkeypatch.delitem(sys.modules, "genzoo_acme_by_name")


def test_a_wrong_signature_in_a_plugin_file_is_shown_at_its_line(failure):
    message = failure(penalty_file("gap").replace("(q, p, /)", "(q, p)"))
    assert "acme.py:4: parameter 'q' of the penalty 'gap' is neither" in message


def test_two_zoos_know_nothing_of_each_other(write: Write):
    path = write("acme.py", penalty_file("gap"))
    full, empty = Zoo([str(path)], use_entry_points=False), Zoo(use_entry_points=False)
    assert "gap" in full.names("penalty")
    assert "gap" not in empty.names("penalty")


# -- blame --------------------------------------------------------------------------------------


def test_an_exception_in_a_plugins_code_is_blamed_on_it(zoo: Zoo, write: Write):
    innocent = write("innocent.py", penalty_file("other"))
    text = penalty_file("gap").replace("return 0", "return deep()")
    guilty = write("guilty.py", f"{text}\n\ndef deep():\n    1 / 0\n")
    for path in (innocent, guilty):
        zoo.load(str(path), base=path.parent)
    with pytest.raises(ZeroDivisionError) as caught:
        zoo.find("penalty", "gap").component.build(0, 0)
    blamed = zoo.blame(caught.value)
    assert blamed is not None
    assert blamed.plugin.name == "guilty"
    line = 1 + guilty.read_text().splitlines().index("    1 / 0")
    assert blamed.place == f"guilty.py:{line}, in deep"


def test_an_exception_elsewhere_is_nobodys(zoo: Zoo, write: Write):
    path = write("acme.py", penalty_file("gap"))
    zoo.load(str(path), base=path.parent)
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    assert zoo.blame(caught.value) is None


# -- description --------------------------------------------------------------------------------


def test_a_foreign_component_is_described_from_its_file(zoo: Zoo, write: Write):
    text = penalty_file("gap").replace("(q, p, /)", "(q, p, /, *, power: float = 2.0)")
    path = write("acme.py", text)
    zoo.load(str(path), base=path.parent)
    about = zoo.describe("penalty", "gap")
    assert about.text == "A gap of gap."
    assert about.location == f"{path}:5"
    assert [(o.name, o.type, o.default) for o in about.options] == [("power", "float", "2.0")]


def test_either_of_two_namesakes_can_be_described(zoo: Zoo, write: Write):
    path = write("acme.py", penalty_file("mmd"))
    zoo.load(str(path), base=path.parent)
    assert zoo.describe("penalty", "acme:mmd").text == "A gap of mmd."
    assert zoo.describe("penalty", "genzoo:mmd").paper != ""
    with pytest.raises(UnknownComponentError, match="is offered by"):
        zoo.describe("penalty", "mmd")


def test_a_component_that_inherits_its_options_is_described_with_them(zoo: Zoo, write: Write):
    text = """\
        from genzoo_rwae import encoder, hookimpl
        from genzoo_rwae_plugins.encoders.recurrent import LstmEncoder


        @encoder("mine")
        class Mine(LstmEncoder):
            "An encoder with the options of another module's."


        @hookimpl
        def genzoo_encoders():
            yield Mine
        """
    path = write("acme.py", text)
    zoo.load(str(path), base=path.parent)
    described = {option.name: option.default for option in zoo.describe("encoder", "mine").options}
    found = options_of(zoo.find("encoder", "mine").component.build)
    assert list(described) == [option.name for option in found]
    assert {"hidden", "frames"} <= set(described)
    assert described["frames"] == "conv"
