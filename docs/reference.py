"""The pages of the reference, made when the site is built: nothing in them is kept by hand.

Components come from registry.yaml and the docstrings of their modules, hooks from hookspecs.py,
verbs from the command itself, public names from the package. mkdocs calls `on_config` and
`on_files`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import genzoo_rwae
from genzoo_rwae import hookspecs
from genzoo_rwae.catalogue import Entry, Paper, catalogue
from genzoo_rwae.cli import application
from genzoo_rwae.description import Description, describe, source_of
from genzoo_rwae.kinds import KINDS, KindInfo

_SECTIONS = re.compile(r"^(Raises|Returns|Source|Note):\s*(.*)$")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the sections of the navigation that mkdocs.yml leaves empty."""
    components = [{_title(kind): _place(kind)} for kind in KINDS.values() if _entries(kind)]
    sections = {name: part for part in config.nav or [] for name in part}
    beside = sorted(path.name for path in Path(config.docs_dir).glob("*.md"))
    sections["Explained"]["Explained"] = [name for name in beside if name != "index.md"]
    sections["Reference"]["Reference"] = [
        {"Components": ["reference/components/index.md", *components]},
        {"Command": "reference/command.md"},
        {"Hooks": "reference/hooks.md"},
        {"Python": "reference/python.md"},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to those that were written by hand."""
    for place, text in pages().items():
        files.append(File.generated(config, place, content=text))
    return files


def pages() -> dict[str, str]:
    """All pages of the reference, by their places."""
    kinds = [kind for kind in KINDS.values() if _entries(kind)]
    return {
        "reference/components/index.md": "\n".join(_index(kinds)),
        **{_place(kind): "\n".join(_kind_page(kind)) for kind in kinds},
        "reference/command.md": "\n".join(_command_page()),
        "reference/hooks.md": "\n".join(_hooks_page()),
        "reference/python.md": "\n".join(_python_page()),
    }


# -- components -----------------------------------------------------------------------------------


def _entries(kind: KindInfo) -> tuple[Entry, ...]:
    return catalogue().of(kind.name)


def _title(kind: KindInfo) -> str:
    return kind.plural.replace("-", " ").capitalize()


def _place(kind: KindInfo) -> str:
    return f"reference/components/{kind.plural}.md"


def _index(kinds: list[KindInfo]) -> Iterator[str]:
    yield "# Components\n"
    yield (
        "What `use:` may name, by kind; made from registry.yaml. `genzoo list` and `genzoo show` "
        "print the same, with the components of installed plugins."
    )
    for kind in kinds:
        yield f"\n## [{_title(kind)}]({kind.plural}.md)\n\n| name | what it is |\n|---|---|"
        for entry in _entries(kind):
            yield f"| [`{entry.name}`]({kind.plural}.md#{entry.name}) | {_cell(entry.summary)} |"


def _kind_page(kind: KindInfo) -> Iterator[str]:
    yield f"# {_title(kind)}\n"
    yield f"Wired as `{kind.contract}`.\n"
    for entry in _entries(kind):
        yield from _component(
            entry, describe(entry.kind, entry.name, source_of(entry.module), entry)
        )


def _component(entry: Entry, about: Description) -> Iterator[str]:
    yield f"\n## `{entry.name}` {{ #{entry.name} }}\n"
    yield from _prose(about.text)
    if entry.paper:
        yield f"\nPaper: {_paper(entry.paper)}.\n"
    for extra in entry.needs:
        yield f"\nNeeds `pip install 'genzoo-rwae[{extra}]'`.\n"
    if about.options:
        yield "\n| option | type | default | what it is |\n|---|---|---|---|"
        for option in about.options:
            default = "required" if option.default is None else f"`{option.default}`"
            yield f"| `{option.name}` | `{option.type}` | {default} | {_cell(option.help)} |"
    yield f"\n```yaml\n{about.example}\n```\n"
    yield f"{about.status}; from `{entry.module}`\n"


def _paper(paper: Paper) -> str:
    title = _text(paper.title)
    linked = f"[{title}](https://arxiv.org/abs/{paper.arxiv})" if paper.arxiv else title
    return linked + (f", {_text(paper.equation)}" if paper.equation else "")


# -- hooks, command, public names -----------------------------------------------------------------


def _hooks_page() -> Iterator[str]:
    yield "# Hooks\n"
    yield (
        "What a plugin may implement. Each example is a whole plugin file, and is run by "
        "tests/host/test_hooks.py. A plugin implements the hooks that it needs, and of a hook's "
        "arguments it takes those that it needs."
    )
    for name in hookspecs.HOOKS:
        hook = getattr(hookspecs, name)
        prose, example = _split_example(inspect.getdoc(hook) or "")
        arguments = ", ".join(inspect.signature(hook).parameters)
        yield f"\n## `{name}({arguments})` {{ #{name} }}\n"
        yield from _prose(prose)
        yield f"\n```python\n{example}\n```"


def _split_example(text: str) -> tuple[str, str]:
    lines = text.splitlines()
    starts = [n for n, line in enumerate(lines) if line.lstrip().startswith(("from ", "import "))]
    return "\n".join(lines[: starts[0]]), dedent("\n".join(lines[starts[0] :])).strip()


def _command_page() -> Iterator[str]:
    app = typer.main.get_command(application())
    yield "# Command\n"
    yield f"{app.help}\n\n{getattr(app, 'epilog', '')}\n"
    for name, command in sorted(app.commands.items()):  # type: ignore[attr-defined]
        yield from _verb(f"genzoo {name}", command)


def _verb(name: str, command: Any) -> Iterator[str]:
    if hasattr(command, "commands"):
        for inner, subcommand in command.commands.items():
            yield from _verb(f"{name} {inner}", subcommand)
        return
    yield f"\n## {name}\n"
    yield from _prose(inspect.cleandoc(command.help or ""))
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    if shown:
        yield "\n| argument or option | what it is |\n|---|---|"
        for parameter in shown:
            is_option = parameter.param_type_name == "option"
            value = parameter.metavar or ("" if is_option else parameter.name)
            words = [", ".join(parameter.opts), value] if is_option else [value]
            yield f"| `{' '.join(words).strip()}` | {_cell(getattr(parameter, 'help', '') or '')} |"


def _python_page() -> Iterator[str]:
    yield "# Python\n"
    yield "What `import genzoo_rwae as gz` offers, and the property kit for authors of plugins.\n"
    decorators = ", ".join(f"`{kind.name.replace('-', '_')}`" for kind in KINDS.values())
    yield f"Decorators that make a function or class a component of their kind: {decorators}.\n"
    yield "`hookimpl` marks an implementation of a [hook](hooks.md).\n"
    for home, names in genzoo_rwae._HOMES.items():
        shown = [name for name in names if name not in _marks()]
        if shown:
            yield f"\n## genzoo_rwae.{home}\n"
            yield from (f"::: genzoo_rwae.{home}.{name}\n" for name in shown)
    yield "\n## genzoo_rwae.testing\n"
    yield "::: genzoo_rwae.testing\n    options: {show_root_heading: false}\n"


def _marks() -> set[str]:
    return {"hookimpl", *(kind.name.replace("-", "_") for kind in KINDS.values())}


# -- text into Markdown ---------------------------------------------------------------------------


def _prose(text: str) -> Iterator[str]:
    """A docstring as Markdown: formulas stay as they are, sections become paragraphs."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = paragraph.splitlines()
        if all(line.startswith("  ") for line in lines):
            yield "\n```text\n" + dedent(paragraph) + "\n```\n"
            continue
        section = ""
        for line in lines:
            if found := _SECTIONS.match(line):
                section = found[1]
                yield f"\n*{section}*: {_text(found[2])}"
            elif section == "Raises" and re.match(r" {4}\w", line):
                yield f"\n- {_text(line.strip())}"
            else:
                yield _text(line.strip())
        yield ""


def _text(text: str) -> str:
    """Plain words as Markdown that shows them; what stands between backticks is code already."""
    parts = text.split("`")
    for place in range(0, len(parts), 2):
        parts[place] = re.sub(r"([\\*_\[\]|])", r"\\\1", parts[place]).replace("<", "&lt;")
    return "`".join(parts)


def _cell(text: str) -> str:
    return _text(text).replace("\n", " ")
