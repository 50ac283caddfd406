"""Every public function of the kernels room has an example, and every example runs."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

import genzoo_rwae_kernels
import pytest

MODULES = [
    importlib.import_module(f"genzoo_rwae_kernels.{found.name}")
    for found in pkgutil.iter_modules(genzoo_rwae_kernels.__path__)
]
# whose sums are called through pair_sums, where the examples are
NEED_A_COMPILER = {"genzoo_rwae_kernels.fused", "genzoo_rwae_kernels.triton_sums"}
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)


@each_module
def test_examples_run(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


@each_module
def test_every_public_function_has_an_example(module: ModuleType) -> None:
    with_example = {
        found.name.removeprefix(f"{module.__name__}.")
        for found in doctest.DocTestFinder().find(module)
        if found.examples
    }
    functions = {name for name in module.__all__ if inspect.isroutine(getattr(module, name))}
    if module.__name__ in NEED_A_COMPILER:
        functions -= {"within", "across", "contrast", "why_not"}
    assert functions <= with_example


@each_module
def test_imports_only_torch_einops_and_the_standard_library(module: ModuleType) -> None:
    allowed = {"torch", "einops", "genzoo_rwae_kernels"} | sys.stdlib_module_names
    roots = set()
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add(str(node.module).partition(".")[0])
    assert roots <= allowed
