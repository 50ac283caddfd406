"""The rules of the house, held by reading every file: who imports whom, and nothing runs at import.

1. kernels import nothing of ours; plugins import kernels and the host; the host imports neither.
2. No module-level registries: a Zoo is passed.
"""

import ast
import importlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import genzoo_rwae
from genzoo_rwae.catalogue import catalogue

ROOT = Path(__file__).parents[2]
HOST = ROOT / "genzoo_rwae"
PLUGINS = ROOT / "plugins" / "genzoo_rwae_plugins"
KERNELS = ROOT / "kernels" / "genzoo_rwae_kernels"
OURS = {"genzoo_rwae", "genzoo_rwae_plugins", "genzoo_rwae_kernels"}
COMPONENT_NAMES = {(entry.kind, entry.name) for entry in catalogue().entries}


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_name(path: Path) -> str:
    for root in (HOST, PLUGINS, KERNELS):
        if path.is_relative_to(root):
            parts = path.relative_to(root.parent).with_suffix("").parts
            return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    raise AssertionError(path)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """(line, module, name) of every import, those inside functions and TYPE_CHECKING as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                yield node.lineno, node.module or "", alias.name


def dynamic_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, text) of import_module("...") and __import__("..."), with the argument."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            function = ast.unparse(node.func).rpartition(".")[2]
            if function in ("import_module", "__import__"):
                yield node.lineno, ast.unparse(node.args[0])


def top_level(node: ast.AST) -> Iterator[ast.AST]:
    """Everything that runs when a module is imported."""
    yield node
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        at_import = [*node.decorator_list, *node.args.defaults, *node.args.kw_defaults]
        for child in at_import:
            if child is not None:
                yield from top_level(child)
        return
    if isinstance(node, ast.Lambda):
        return
    for child in ast.iter_child_nodes(node):
        yield from top_level(child)


def of_ours(path: Path) -> set[tuple[int, str]]:
    tree = tree_of(path)
    found = {(line, module) for line, module, _ in imports(tree)}
    found |= {(line, text.strip("f'\"")) for line, text in dynamic_imports(tree)}
    return {(line, module) for line, module in found if module.partition(".")[0] in OURS}


@pytest.mark.parametrize("path", files(KERNELS), ids=name_of)
def test_kernels_import_nothing_of_ours_and_no_framework(path: Path):
    others = {
        (line, m) for line, m in of_ours(path) if m.partition(".")[0] != "genzoo_rwae_kernels"
    }
    assert others == set()
    modules = {module.partition(".")[0] for _, module, _ in imports(tree_of(path))}
    assert modules & {"pluggy", "pydantic"} == set()


@pytest.mark.parametrize("path", files(PLUGINS), ids=name_of)
def test_plugins_import_public_names_of_the_host_only(path: Path):
    for line, module, name in imports(tree_of(path)):
        if module.partition(".")[0] != "genzoo_rwae":
            continue
        assert not any(part.startswith("_") for part in (*module.split("."), name)), (line, name)
        public = getattr(importlib.import_module(module), "__all__", None)
        assert public is not None, f"{path}:{line}: {module} has no __all__"
        assert name in public, f"{path}:{line}: {module}.{name} is not public"


# the kit hands out the oracles, the doctor says which backends of the MMD work
MAY_IMPORT_KERNELS = (HOST / "testing", HOST / "cli" / "doctor.py")


@pytest.mark.parametrize("path", files(HOST), ids=name_of)
def test_the_host_imports_no_plugins_and_hardly_a_kernel(path: Path):
    allowed = {"genzoo_rwae"}
    if any(path.is_relative_to(place) for place in MAY_IMPORT_KERNELS):
        allowed.add("genzoo_rwae_kernels")
    assert {(line, m) for line, m in of_ours(path) if m.partition(".")[0] not in allowed} == set()


@pytest.mark.parametrize("path", files(HOST), ids=name_of)
def test_the_host_asks_for_no_component_by_name(path: Path):
    """No look-up of a built-in, as find("penalty", "mmd"), is written into the host."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            pairs = set(pairwise(texts))
            assert not pairs & COMPONENT_NAMES, f"{path}:{node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not node.value.startswith("genzoo_rwae_plugins"), f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", files(HOST) + files(PLUGINS) + files(KERNELS), ids=name_of)
def test_nothing_builds_a_registry_at_import(path: Path):
    for node in top_level(tree_of(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            assert called not in ("Zoo", "PluginManager", "catalogue"), f"{path}:{node.lineno}"


def test_the_look_for_registries_sees_module_level_calls_and_no_others():
    seen = {
        ast.unparse(node.func)
        for node in top_level(
            ast.parse("a = A()\nclass K:\n  b = B()\ndef f(x=C()):\n  return D()\ng = lambda: E()")
        )
        if isinstance(node, ast.Call)
    }
    assert seen == {"A", "B", "C"}


@pytest.mark.parametrize("path", files(HOST) + files(PLUGINS) + files(KERNELS), ids=name_of)
def test_all_names_only_what_is_there(path: Path):
    module = importlib.import_module(module_name(path))
    assert module.__file__ == str(path)
    for name in getattr(module, "__all__", ()):
        assert hasattr(module, name), name


def test_every_public_name_of_the_package_can_be_imported():
    assert len(dir(genzoo_rwae)) == len(set(dir(genzoo_rwae))) > 30
    for name in dir(genzoo_rwae):
        assert getattr(genzoo_rwae, name) is not None, name
    assert set(genzoo_rwae.__all__) == set(dir(genzoo_rwae))


def test_type_checkers_see_the_public_names_that_there_are():
    """The imports under TYPE_CHECKING and the lazy ones are two lists of one thing."""
    seen = {
        f"{module}.{name}"
        for _, module, name in imports(tree_of(HOST / "__init__.py"))
        if module.startswith("genzoo_rwae.")
    }
    lazy = {
        f"genzoo_rwae.{home}.{name}" for home, names in genzoo_rwae._HOMES.items() for name in names
    }
    assert seen == lazy


def test_an_absent_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = genzoo_rwae.nonsense


def test_every_host_file_was_looked_at():
    assert HOST / "zoo.py" in files(HOST)
    assert HOST / "spec" / "resolve.py" in files(HOST)
    assert PLUGINS / "penalties" / "mmd.py" in files(PLUGINS)
    assert KERNELS / "mmd.py" in files(KERNELS)
