"""Every fenced block of the documentation is run, or is part of a file that is tested elsewhere.

A page is a session in an empty folder, from its top to its end:

- `yaml` and `python` with a title are files of that name; a yaml is a spec that `genzoo check`
  accepts, or a sweep that fits its spec; python is executed, all blocks of a page in one namespace,
  and tests in it are called;
- `sh` has commands that have to succeed; in `console` they stand after `$ `, and what follows them
  is what they print, where `...` stands for anything in a line and, alone, for any lines;
- `<!-- part of: FILE -->` above a block says where its lines are, one after the other.

Commands that install are not run, but the extras that they name have to exist. `genzoo build` and
`gz.build` take two steps here, whatever the spec says: what a page shows of longer runs it shows as
pictures and tables that say how they were made.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

import genzoo_rwae as gz
from genzoo_rwae.cli import main
from genzoo_rwae.releases import releases
from genzoo_rwae.run import build, check
from genzoo_rwae.sweep import read_plan
from genzoo_rwae.sweep.check import check_plan

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
FENCE = re.compile(
    r"(?:^<!-- part of: (?P<file>\S+) -->\n\n?)?"
    r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
SHORT = {
    "train.epochs": None, "train.minutes": None, "train.steps": 2, "evaluate": ["reconstruction"],
}  # fmt: skip
INSTALLS = re.compile(r"(python3 -m venv|\S*\bpip) ")
CHILDREN = ("python", "pytest", "ls", "cat")


@dataclass(frozen=True)
class Block:
    """A fenced block: what it is written in, what it says, and where that comes from."""

    language: str
    text: str
    title: str = ""
    file: str = ""


def blocks(page: str) -> list[Block]:
    return [
        Block(found["language"], found["text"], found["title"] or "", found["file"] or "")
        for found in FENCE.finditer(page)
    ]


# -- running a page -------------------------------------------------------------------------------


@dataclass
class Session:
    """Runs the blocks of a page in a folder."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})

    def run(self, block: Block) -> None:
        if block.file:
            assert contains((ROOT / block.file).read_text(encoding="utf-8"), block.text), block.file
        elif block.language == "sh":
            for line in joined(block.text):
                code, printed = self.command(line)
                assert code == 0, f"{line}\n{printed}"
        elif block.language == "console":
            for line, wanted in exchanges(block.text):
                _, printed = self.command(line)
                assert matches(printed, wanted), f"{line}\n{printed}"
        elif block.language == "python":
            self.python(block)
        elif block.language == "yaml":
            self.yaml(block)
        else:
            raise AssertionError(f"nobody runs {block.language}; say of which file it is a part")

    def python(self, block: Block) -> None:
        path = Path(block.title or "page.py").resolve()
        path.write_text(block.text, encoding="utf-8")
        before = set(self.names)
        exec(compile(block.text, str(path), "exec"), self.names)  # the page's own words
        for name in set(self.names) - before:
            if name.startswith("test_"):
                self.names[name]()

    def yaml(self, block: Block) -> None:
        path = Path(block.title or "page.yaml")
        path.write_text(block.text, encoding="utf-8")
        assert block.text.startswith("genzoo: 1"), "no whole spec; say of which file it is a part"
        zoo = gz.Zoo(use_entry_points=False)
        if "\nsweep: " in block.text:
            check_plan(read_plan(path, zoo), zoo)
        else:
            check(path, zoo=zoo)

    def command(self, line: str) -> tuple[int, str]:
        """Exit code of a command, and what it printed."""
        if INSTALLS.match(line):
            for extras in re.findall(r"(?:genzoo-rwae|\.)\[([\w,-]+)\]", line):
                assert set(extras.split(",")) <= EXTRAS, line
            return 0, ""
        words = shlex.split(line, comments=True)
        if words[0] == "cd":
            os.chdir(words[1])
            return 0, ""
        return self.genzoo(words[1:]) if words[0] == "genzoo" else child(words)

    def genzoo(self, words: list[str]) -> tuple[int, str]:
        if words[0] == "build":
            words = [*words, *(f"--set={path}={written(value)}" for path, value in SHORT.items())]
        self.capture.readouterr()
        try:
            main(words)
            code: object = 0
        except SystemExit as left:
            code = left.code or 0
        said = self.capture.readouterr()
        # progress goes to stderr, and is no part of what a page shows
        return (0, said.out) if code == 0 else (int(str(code)), said.out + said.err)


def child(words: list[str]) -> tuple[int, str]:
    assert words[0] in CHILDREN, f"nobody runs {words[0]}"
    python = {"python": [sys.executable], "pytest": [sys.executable, "-m", "pytest", "-q"]}
    roots = os.pathsep.join(str(ROOT / root) for root in (".", "plugins", "kernels"))
    done = subprocess.run(
        [*python.get(words[0], words[:1]), *words[1:]], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": roots},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr * (done.returncode != 0)


def written(value: object) -> str:
    return "null" if value is None else str(value).replace("'", "")


def joined(text: str) -> Iterator[str]:
    """Commands, with those that go on after a backslash in one."""
    for line in text.replace("\\\n", "").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line


def exchanges(text: str) -> Iterator[tuple[str, str]]:
    """Commands of a console and what each prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, wanted = part.partition("\n")
        yield line, wanted


def matches(printed: str, wanted: str) -> bool:
    """Whether the lines are the same but for `...`; spaces at their ends do not count."""
    lines = [line.rstrip() for line in wanted.strip("\n").splitlines()]
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + "\n"
        for line in lines
    )
    shown = "".join(line.rstrip() + "\n" for line in printed.strip("\n").splitlines())
    return re.fullmatch(pattern, shown) is not None


def contains(file: str, text: str) -> bool:
    """Whether a block's lines stand in a file one after the other, whatever their indentation."""
    lines, wanted = file.splitlines(), dedent(text).splitlines()
    windows = ("\n".join(lines[n : n + len(wanted)]) for n in range(len(lines)))
    return any(dedent(window).splitlines() == wanted for window in windows)


EXTRAS = set(
    tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
)


@pytest.fixture
def session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Session:
    def short(spec: str, *, settings: Mapping[str, object] | None = None, **options: Any) -> Any:
        return build(spec, settings={**(settings or {}), **SHORT}, **options)

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("GENZOO_PLUGINS", "none")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(gz, "build", short)
    return Session(tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_the_blocks_of_a_page_do_what_they_say(page: Path, session: Session) -> None:
    if page.stem == "released-runs" and not releases():
        pytest.skip("releases/ is not part of a source distribution")
    for block in blocks(page.read_text(encoding="utf-8")):
        session.run(block)


def test_the_commands_of_the_readme_work_on_an_array_of_clips(session: Session) -> None:
    """Its other blocks are run in test_readme.py."""
    clips = np.random.default_rng(0).integers(0, 255, (40, 4, 16, 16), np.uint8)
    np.save(session.folder / "clips.npy", clips)
    commands = [b for b in blocks((ROOT / "README.md").read_text()) if b.language == "sh"]
    assert len(commands) == 3
    for block in commands:
        session.run(block)
    assert (session.folder / "runs" / "mine" / "swap" / "swap.png").is_file()


# -- what the pages are ---------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_links_and_pictures_of_a_page_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        made = "reference/" in target  # by docs/reference.py; mkdocs looks at those
        assert target.startswith("http") or made or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_no_fence_of_a_page_is_overlooked(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r"^\s*(```|~~~)", text, re.MULTILINE)) == 2 * len(blocks(text))


def test_rows_of_the_page_on_results_are_those_of_the_results() -> None:
    page = (ROOT / "docs" / "guides" / "reading-results.md").read_text().split("## Several runs")[0]
    shown = [
        row
        for row in page.splitlines()
        if re.match(r"\| (reconstruction|probes|swap|sample)\b", row)
    ]
    results = (ROOT / "docs" / "results" / "sprites.md").read_text()
    assert len(shown) > 8
    assert [row for row in shown if f"\n{row}" not in results] == []


# -- the looking itself ---------------------------------------------------------------------------


def test_a_block_knows_its_language_title_and_file() -> None:
    page = 'x\n\n```python title="a.py"\n1\n```\n\n<!-- part of: b.yaml -->\n```yaml\n2: 3\n```\n'
    assert blocks(page) == [
        Block("python", "1\n", title="a.py"),
        Block("yaml", "2: 3\n", file="b.yaml"),
    ]


def test_lines_are_part_of_a_file_only_one_after_the_other() -> None:
    file = "a:\n  b: 1\n  c: 2\n  d: 3\n"
    assert contains(file, "b: 1\nc: 2\n")
    assert not contains(file, "b: 1\nd: 3\n")
    assert not contains(file, "b: 2\n")


def test_dots_stand_for_any_lines_and_for_nothing_else() -> None:
    assert matches("one\ntwo\nthree\n", "one\n...\nthree\n")
    assert matches("one\n", "one\n...\n")
    assert matches("step 3 of 4\n", "step ... of 4\n")
    assert not matches("step 3\nof 4\n", "step ... 4\n")
    assert not matches("one\ntwo\n", "one\n")
    assert not matches("one\ntwo\nthree\n", "one\n...\nfour\n")


@pytest.mark.parametrize(
    "block",
    [
        Block("sh", "genzoo check zoo:nothing\n"),
        Block("sh", "rm -r /nowhere\n"),
        Block("sh", "pip install 'genzoo-rwae[nonsense]'\n"),
        Block("console", "$ genzoo show penalty mmd\nnothing\n"),
        Block("python", "def test_no():\n    assert False\n"),
        Block("yaml", "objective: {}\n"),
        Block("yaml", "genzoo: 1\nextends: zoo:quickstart\nname: x\nobjective: {stattic: 1}\n"),
        Block("text", "hello\n"),
        Block("yaml", "hello: 1\n", file="zoo/quickstart.yaml"),
    ],
    ids=str,
)
def test_a_block_that_does_not_do_what_it_says_is_found(session: Session, block: Block) -> None:
    with pytest.raises((AssertionError, gz.SpecError)):
        session.run(block)
