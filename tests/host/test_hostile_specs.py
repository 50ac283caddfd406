"""Specs from strangers: what they may run and read, and what reading them may cost."""

import hashlib
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from genzoo_rwae.errors import GenzooError, PluginError, SpecError, shown
from genzoo_rwae.spec import load_spec, plain
from genzoo_rwae.spec.limits import MAX_BYTES, MAX_DEPTH, MAX_PROBLEMS
from genzoo_rwae.zoo import Zoo

Write = Callable[[str, str], Path]

CANARY = """
    from pathlib import Path
    from genzoo_rwae import hookimpl

    Path({marker!r}).write_text("sung")

    @hookimpl
    def genzoo_penalties():
        return []
"""


@pytest.fixture
def sung(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Whether canary.py was run, which lies beside the specs, above them, and among the modules."""
    marker = tmp_path / "marker"
    for name in ("specs/canary.py", "canary.py", "modules/canary_module.py"):
        write(name, CANARY.format(marker=str(marker)))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.chdir(tmp_path / "specs")
    monkeypatch.delitem(sys.modules, "canary_module", raising=False)
    return lambda: marker.exists()


def refused(path: Path, *settings: str, plugins: tuple[str, ...] = ()) -> str:
    """What is said of a spec that is refused."""
    with pytest.raises(GenzooError) as wrong:
        load_spec(path, zoo=Zoo(plugins, use_entry_points=False), settings=settings)
    return str(wrong.value)


# -- what a spec may run --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: tiny", "name: !!python/object/apply:canary_module.sing [x]"),
        ("name: tiny", "name: !!python/module:canary_module"),
        ("name: tiny", "name: !!python/object/new:canary_module.Canary [x]"),
        ("{use: digits, batch: 8}", "!!python/object/apply:os.system ['touch marker']"),
        ("use: mmd", "use: canary_module"),
        ("use: mmd", "use: canary_module:sing"),
        ("use: mmd", "use: canary_module.sing"),
        ("use: mmd", "use: ./canary.py"),
        ("use: mmd", "use: os:system"),
        ("genzoo: 1", "genzoo: 1\nextends: canary.py"),
        ("genzoo: 1", "genzoo: 1\nimport: canary_module"),
        ("genzoo: 1", "genzoo: 1\nplugins: canary.py"),
        ("genzoo: 1", "genzoo: 1\nresolved: {plugins: {canary: {location: canary.py}}}\nnone: 1"),
        ("steps: 2", "steps: !!python/name:canary_module.sing"),
    ],
)
def test_nothing_is_run_that_the_list_of_plugins_does_not_name(
    tiny: str, write: Write, sung, old: str, new: str
):
    assert tiny.count(old) >= 1
    said = refused(write("specs/spec.yaml", tiny.replace(old, new, 1)))
    assert said.startswith("spec.yaml:") or "canary" in said
    assert not sung()
    assert "canary_module" not in sys.modules


@pytest.mark.parametrize("plugin", ["canary.py", "./canary.py", "canary_module"])
def test_a_plugin_that_a_spec_names_is_run(tiny: str, write: Write, sung, plugin: str):
    path = write("specs/spec.yaml", f"plugins: [{plugin}]\n{tiny}")
    load_spec(path, zoo=Zoo(use_entry_points=False))
    assert sung()


@pytest.mark.parametrize(
    "where", ["../canary.py", "{above}/canary.py", "link.py", "link/canary.py"]
)
def test_a_plugin_file_outside_the_specs_folder_is_not_run(
    tiny: str, write: Write, sung, tmp_path: Path, where: str
):
    (tmp_path / "specs" / "link.py").symlink_to(tmp_path / "canary.py")
    (tmp_path / "specs" / "link").symlink_to(tmp_path)
    plugin = where.format(above=tmp_path)
    path = write("specs/spec.yaml", f"plugins: ['{plugin}']\n{tiny}")
    said = refused(path)
    assert f"{tmp_path / 'canary.py'} is outside the folder of the spec that names it" in said
    assert f"say -p {tmp_path / 'canary.py'}" in said
    assert not sung()


def test_a_link_beside_the_spec_does_not_stand_for_a_file_outside(
    tiny: str, write: Write, sung, tmp_path: Path
):
    (tmp_path / "specs" / "canary.py").unlink()
    (tmp_path / "specs" / "canary.py").symlink_to(tmp_path / "canary.py")
    for plugin in (tmp_path / "canary.py", tmp_path / "gone" / "canary.py"):
        said = refused(write("specs/spec.yaml", f"plugins: ['{plugin}']\n{tiny}"))
        assert "is outside the folder of the spec that names it" in said
        assert not sung()


def test_a_plugin_file_anywhere_is_run_for_those_who_type_its_name(
    tiny: str, write: Write, sung, tmp_path: Path
):
    path = write("specs/spec.yaml", f"plugins: [../canary.py]\n{tiny}")
    load_spec(path, zoo=Zoo(["../canary.py"], use_entry_points=False))
    assert sung()
    (tmp_path / "marker").unlink()
    typed = ["plugins=[../canary.py]"]
    load_spec(write("specs/b.yaml", tiny), zoo=Zoo(use_entry_points=False), settings=typed)
    assert sung()


def test_a_run_finds_its_plugin_again_while_it_is_the_same_file(
    tiny: str, write: Write, sung, tmp_path: Path
):
    file = tmp_path / "canary.py"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    known = f"resolved: {{plugins: {{canary: {{location: x, sha256: {digest}}}}}}}\n"
    path = write("specs/spec.yaml", f"plugins: ['{file}']\n{known}{tiny}")
    load_spec(path, zoo=Zoo(use_entry_points=False))
    assert sung()
    (tmp_path / "marker").unlink()
    file.write_text(file.read_text() + "\n# another\n")
    assert "is not the file that the run was built with; nothing of it was run" in refused(path)
    assert not sung()


@pytest.mark.parametrize("module", ["this", "antigravity", "os", "os.path", "idlelib.idle"])
def test_a_module_of_pythons_own_library_is_no_plugin(
    tiny: str, write: Write, module: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delitem(sys.modules, "this", raising=False)
    said = refused(write("spec.yaml", f"plugins: [{module}]\n{tiny}"))
    assert f"plugin module '{module}' (wanted by the spec) is of Python's own library" in said
    assert "this" not in sys.modules


@pytest.mark.parametrize("plugin", ["./a.so", "./a.txt", "./a", "", ".", ".a", "a..b", "a b", "/"])
def test_what_is_no_plugin_is_refused_in_words(tiny: str, write: Write, plugin: str):
    for name in ("a.so", "a.txt", "a"):
        write(name, "")
    assert "plugin" in refused(write("spec.yaml", f"plugins: ['{plugin}']\n{tiny}"))


# -- names and folders ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where", ["../above.yaml", "{above}/above.yaml", "link.yaml", "b/../../above"]
)
def test_a_parent_outside_the_specs_folder_is_not_read(
    tiny: str, write: Write, tmp_path: Path, where: str
):
    secret = write("above.yaml", f"{tiny}secret: hidden\n")
    write("above/spec.yaml", tiny)
    write("specs/b/x.yaml", tiny)
    (tmp_path / "specs" / "link.yaml").symlink_to(secret)
    said = refused(write("specs/spec.yaml", f"extends: {where.format(above=tmp_path)}\n"))
    assert "is outside the spec's folder; wanted a file in it or below" in said
    assert "hidden" not in said


@pytest.mark.parametrize("name", ["../quickstart", "/etc/passwd", "quickstart/../clips", "", "\\0"])
def test_a_name_of_the_zoo_is_one_of_its_list(write: Write, name: str):
    with pytest.raises(SpecError, match="no spec of the zoo is called"):
        load_spec(f"zoo:{name}")
    assert "extends" in refused(write("spec.yaml", f'extends: "zoo:{name}"\n'))


@pytest.mark.parametrize(
    "name",
    ["../run", "/run", "a/b", ".", "..", ".git", "-rf", "~", "", "a\\b", "C:x", "a\nb", "a b"],
)
def test_a_runs_name_is_a_folder_of_the_current_one(tiny: str, write: Write, name: str):
    text = tiny.replace(
        "name: tiny", f'name: "{name}"'.replace("\n", "\\n").replace("\\b", "\\\\b")
    )
    assert "name: found" in refused(write("spec.yaml", text))


def test_paths_that_no_system_knows_are_refused_in_words(tiny: str, write: Write, tmp_path: Path):
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    for where in ("~nobody-of-that-name/a.yaml", "a" * 300, "loop.yaml", "/dev/zero", ""):
        assert "extends" in refused(write("spec.yaml", f"extends: '{where}'\n"))
        with pytest.raises(SpecError, match="there is no such spec"):
            load_spec(where or "gone")
    text = tiny.replace("digits, ", "clips, path: ~nobody-of-that-name/a, ")
    spec = load_spec(write("spec.yaml", text), zoo=Zoo(use_entry_points=False))
    assert plain(spec)["data"]["path"] == str(tmp_path / "~nobody-of-that-name" / "a")


def test_a_pipe_is_no_spec_that_is_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "spec.yaml")
    with pytest.raises(SpecError, match="there is no such spec"):
        load_spec(tmp_path / "spec.yaml")


# -- what reading may cost ------------------------------------------------------------------------

BOMBS = {
    "brackets": "[" * MAX_BYTES,
    "braces": "{" * MAX_BYTES,
    "brackets in lines": "[\n" * (MAX_BYTES // 2),
    "dashes": "- " * (MAX_BYTES // 2),
    "questions": "? " * (MAX_BYTES // 2),
    "steps": "\n".join(" " * n + "a:" for n in range(700)),
    "items": "a: [" + "1," * (MAX_BYTES // 2 - 4),
    "lines": "-\n" * (MAX_BYTES // 2),
    "keys": "".join(f"k{n}: 1\n" for n in range(25_000)),
    "keys of a group": "train: {" + "".join(f"k{n}: 1, " for n in range(9_000)) + "}",
    "near keys": "train: {" + "".join(f"epoch{n}: 1, " for n in range(9_000)) + "}",
    "keys twice": "genzoo: 1\n" * 20_000,
    "wrong items": "trackers: [" + "{}, " * 9_000 + "]",
    "anchors": "".join(f"k{n}: &a{n} 1\n" for n in range(12_000)),
    "aliases": "a: &a [" + "x," * 500 + "]\nb: &b [" + "*a," * 500 + "]\nc: [" + "*b," * 500 + "]",
    "billion laughs": "\n".join(
        ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]
    ),
    "documents": "---\n" * (MAX_BYTES // 4),
    "directives": "%A b\n" * (MAX_BYTES // 5),
    "comments": "# c\n" * (MAX_BYTES // 4),
    "blanks": "\n" * MAX_BYTES,
    "word": "name: " + "x" * (MAX_BYTES - 6),
    "noted": "resolved: {data: [" + "1, " * 19_990 + "]}",
    "words": "name: " + "x " * (MAX_BYTES // 2 - 3),
    "key": "x" * (MAX_BYTES - 3) + ": 1",
    "name of a part": "data: " + "m" * (MAX_BYTES - 6),
    "quotes": "name: '" + "'" * (MAX_BYTES - 7),
    "escapes": 'name: "' + "\\x41" * (MAX_BYTES // 4 - 3) + '"',
    "block": "name: |\n" + "  x\n" * (MAX_BYTES // 4 - 2),
    "folded": "name: >\n" + "  x\n\n" * (MAX_BYTES // 5 - 2),
    "tag": "name: !" + "x" * (MAX_BYTES - 8),
    "anchor": "name: &" + "x" * (MAX_BYTES - 10) + " a",
    "digits": "genzoo: " + "9" * (MAX_BYTES - 8),
    "hexadecimal": "genzoo: 0x" + "f" * (MAX_BYTES - 10),
    "float": "genzoo: 1" + "0" * (MAX_BYTES - 12) + ".5",
    "underscores": "genzoo: 1" + "_" * (MAX_BYTES - 10) + "1",
    "time": "genzoo: 1:" + "1:" * (MAX_BYTES // 2 - 10),
    "blanks in a line": "genzoo:" + " " * (MAX_BYTES - 8) + "1",
    "setting": "objective: {static: {use: " + "mmd" * 80_000 + "}}",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_text_costs_two_seconds_or_much_memory_or_a_long_message(tmp_path: Path, bomb: str):
    path = tmp_path / "spec.yaml"
    path.write_text(BOMBS[bomb])
    assert path.stat().st_size <= MAX_BYTES
    zoo = Zoo(use_entry_points=False)
    zoo.names("source")
    began = time.process_time()
    with pytest.raises(GenzooError) as wrong:
        load_spec(path, zoo=zoo)
    assert time.process_time() - began < 2
    assert len(str(wrong.value)) < 100_000
    assert isinstance(wrong.value, PluginError) or len(wrong.value.problems) <= MAX_PROBLEMS


@pytest.mark.parametrize("bomb", ["billion laughs", "aliases", "brackets", "keys of a group"])
def test_what_unfolds_is_refused_in_little_memory(tmp_path: Path, bomb: str):
    path = tmp_path / "spec.yaml"
    path.write_text(BOMBS[bomb])
    tracemalloc.start()
    try:
        refused(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 100 * 2**20


def test_a_file_without_an_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Path, "is_file", lambda self: True)
    assert f"more than {MAX_BYTES:,} bytes" in refused(Path("/dev/zero"))


def test_levels_up_to_the_most_are_read(tiny: str, problem_of: Callable[[str], str]):
    for levels, deep in ((MAX_DEPTH - 1, False), (MAX_DEPTH + 1, True)):
        said = problem_of(tiny.replace("steps: 2", "steps: " + "[" * levels + "]" * levels))
        assert ("40 levels" in said) is deep


@pytest.fixture
def problem_of(write: Write) -> Callable[[str], str]:
    return lambda text: refused(write("spec.yaml", text))


# -- odd encodings and characters -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("genzoo: 1\n".encode("utf-16"), "not UTF-8 at byte 0; save it as UTF-8"),
        ("genzoo: 1\n".encode("utf-16-le"), "not YAML"),
        ("genzoo: 1\n".encode("utf-32"), "not UTF-8 at byte 0"),
        (b"genzoo: \xff\n", "not UTF-8 at byte 8"),
        (b"name: \xed\xa0\x80\n", "not UTF-8 at byte 6"),
        (b"name: a\0b\n", "not YAML"),
        (b"name: a\x1bb\n", "not YAML"),
        (b'name: "\\ud800"\n', "half a character (a lone surrogate) in '\\ud800'"),
        (b'name: "a\\0b"\n', "found the character NUL in 'a\\x00b'; no text has it"),
        (b'"\\0": 1\n', "found the character NUL"),
        (b'"\\ud800": 1\n', "half a character"),
        (b"genzoo: 0xfffffffffffffffff\n", "found a whole number of more than 64 bits"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b"\0" * 100, "not YAML"),
        (b"%YAML 9.9\n---\ngenzoo: 1\n", "incompatible YAML document"),
        (b"%YAML 1.7\n---\ngenzoo: 1\n", "%YAML with a version that is not known; wanted 1.2"),
        (b"---\n%YAML 9.9\n---\ngenzoo: 1\n", "%YAML with a version that is not known; wanted"),
    ],
)
def test_bytes_that_are_no_spec_are_refused_in_words(tmp_path: Path, raw: bytes, said: str):
    (tmp_path / "spec.yaml").write_bytes(raw)
    assert said in refused(tmp_path / "spec.yaml")


def test_what_a_spec_says_cannot_steer_the_terminal(tiny: str, write: Write, genzoo):
    text = tiny.replace("use: mmd", 'use: "\\e[2J\\e]0;owned\\a\\u202emmd"')
    ended = genzoo("check", write("spec.yaml", text + '"\\e[31m": 1\n'))
    assert ended.code == 2
    assert "\\x1b[2J\\x1b]0;owned\\x07\\u202emmd" in ended.err
    assert not {"\x1b", "\x07", "\u202e"} & set(ended.err)
    ended = genzoo("check", write("spec.yaml", tiny), "--set", "objective.static.use='\x1b[2J'")
    assert ended.code == 2
    assert "\x1b" not in ended.err


def test_a_long_text_is_shown_in_part():
    assert shown("a" * 30, 10) == "a" * 10 + "... (30 characters)"
