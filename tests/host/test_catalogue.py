"""registry.yaml and the built-in components say the same, and it is read without importing them."""

import importlib
import os
import pkgutil
import re
import resource
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import genzoo_rwae_plugins
import pytest
import yaml
from ruamel.yaml import YAML

from genzoo_rwae.catalogue import Entry, catalogue, package_file, zoo_specs
from genzoo_rwae.components import Component, component_of, options_of, summary_of
from genzoo_rwae.description import DescribedOption, describe, source_of
from genzoo_rwae.kinds import KINDS
from genzoo_rwae.zoo import Zoo

ROOT = Path(__file__).parents[2]
ROOTS = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "kernels")]
ENTRIES = catalogue().entries
ids = [f"{entry.kind}-{entry.name}" for entry in ENTRIES]
every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=ids)
SECONDS = 0.5  # of the architecture: `genzoo list` answers well under this


@cache
def yielded() -> dict[tuple[str, str, str], Component]:
    """(kind, name, module) of all that the hooks of all built-in modules yield."""
    found = {}
    for info in pkgutil.walk_packages(genzoo_rwae_plugins.__path__, "genzoo_rwae_plugins."):
        module = importlib.import_module(info.name)
        for kind in KINDS.values():
            if hook := getattr(module, kind.hook, None):
                for thing in hook():
                    component = component_of(thing)
                    assert component is not None, f"{info.name}.{kind.hook} yields {thing!r}"
                    key = component.kind, component.name, info.name
                    assert key not in found, f"{key} is yielded twice"
                    found[key] = component
    return found


def built(entry: Entry) -> Component:
    return yielded()[entry.kind, entry.name, entry.module]


def test_the_catalogue_and_the_hooks_are_one_to_one():
    listed = Counter((entry.kind, entry.name, entry.module) for entry in ENTRIES)
    assert {key for key, count in listed.items() if count > 1} == set()
    assert set(listed) - set(yielded()) == set(), "in registry.yaml, but no hook yields it"
    assert set(yielded()) - set(listed) == set(), "a hook yields it, but registry.yaml has it not"


def test_registry_yaml_reads_the_same_in_yaml_1_1_and_1_2():
    text = (ROOT / "registry.yaml").read_text(encoding="utf-8")
    assert yaml.load(text, yaml.SafeLoader) == YAML(typ="safe", pure=True).load(text)


def test_names_are_unique_within_a_kind():
    counts = Counter((entry.kind, entry.name) for entry in ENTRIES)
    assert max(counts.values()) == 1


def test_only_known_kinds_are_listed():
    assert {entry.kind for entry in ENTRIES} <= set(KINDS)


def test_hooks_yield_only_components_of_their_own_kind():
    for kind, name, module in yielded():
        hook = getattr(importlib.import_module(module), KINDS[kind].hook)
        assert name in [component_of(thing).name for thing in hook()]


@every_entry
def test_the_summary_is_the_docstrings_first_line(entry: Entry):
    assert entry.summary == summary_of(built(entry).build)


@every_entry
def test_batch_coupling_is_that_of_the_record(entry: Entry):
    assert entry.batch_coupled == built(entry).batch_coupled


@every_entry
def test_status_and_version_are_said(entry: Entry):
    assert entry.status in ("stable", "experimental", "deprecated")
    assert bool(entry.replaced_by) == (entry.status == "deprecated")
    assert re.fullmatch(r"\d+\.\d+\.\d+", entry.since)
    if entry.replaced_by:
        assert catalogue().find(entry.kind, entry.replaced_by)


@every_entry
def test_an_entry_is_found_by_its_name(entry: Entry):
    found = Zoo(use_entry_points=False).find(entry.kind, entry.name)
    assert found.component is built(entry)
    assert found.entry is entry


def test_a_kind_has_at_most_one_default():
    counts = Counter(entry.kind for entry in ENTRIES if entry.default)
    assert all(count == 1 for count in counts.values()), counts


@pytest.mark.parametrize("kind", ["optimizer", "schedule", "cost", "judge"])
def test_kinds_that_every_run_needs_have_a_default(kind: str, zoo: Zoo):
    default = zoo.default(kind)
    assert default.entry is not None
    assert default.entry.default
    assert default.component.kind == kind
    assert not any(option.required for option in options_of(default.component.build))


def test_a_paper_that_is_on_arxiv_has_its_number():
    for entry in ENTRIES:
        if entry.paper and entry.paper.arxiv:
            assert re.fullmatch(r"\d{4}\.\d{4,5}", entry.paper.arxiv), entry
            assert entry.paper.arxiv in str(entry.paper)


def test_data_files_stand_beside_the_package_in_a_checkout():
    assert package_file("registry.yaml", "registry.yaml").is_file()
    assert "quickstart" in zoo_specs()


# -- genzoo show reads the source; it has to say what importing would --------------------------


def flat_options(build: object, prefix: str = "") -> dict[str, bool]:
    """Name -> required, groups flattened as `describe` does it."""
    flat: dict[str, bool] = {}
    for option in options_of(build):
        if option.group:
            flat |= flat_options(option.group, f"{prefix}{option.name}.")
        else:
            flat[prefix + option.name] = option.required
    return flat


def described(entry: Entry) -> tuple[DescribedOption, ...]:
    return describe(entry.kind, entry.name, source_of(entry.module), entry).options


@every_entry
def test_the_description_has_the_options_of_the_signature(entry: Entry):
    wanted = flat_options(built(entry).build)
    assert {option.name: option.default is None for option in described(entry)} == wanted


@every_entry
def test_every_option_has_a_type_and_a_help(entry: Entry):
    for option in described(entry):
        assert option.type != "any", option.name
        assert option.help, f"{option.name} has no entry under Args: or Attributes:"


@every_entry
def test_the_description_begins_with_the_summary_and_ends_at_the_source(entry: Entry):
    about = describe(entry.kind, entry.name, source_of(entry.module), entry)
    assert about.text.partition("\n")[0] == entry.summary
    assert "Args:" not in about.text
    assert "Attributes:" not in about.text
    file, _, line = about.location.rpartition(":")
    assert Path(file) == source_of(entry.module)
    assert int(line) > 0
    assert about.contract == KINDS[entry.kind].contract


@every_entry
def test_the_help_is_that_of_the_signature(entry: Entry):
    helps = {option.name: option.help for option in options_of(built(entry).build)}
    for option in described(entry):
        if option.name in helps:
            assert option.help == helps[option.name]


def test_types_that_another_module_names_are_spelt_out(tmp_path: Path, monkeypatch):
    (tmp_path / "genzoo_types_of_test.py").write_text(
        "from typing import Annotated, Literal\n"
        "_LEAST, _MOST = 1, 9\n"
        "Size = Annotated[int, Field(ge=_LEAST, le=_MOST)]\n"
        "Way = Literal['up', 'down']\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "part.py"
    path.write_text(
        "from genzoo_rwae import encoder\n"
        "from genzoo_types_of_test import Size, Way\n"
        "@encoder('small')\n"
        "def small(shape, /, *, size: Size = 3, way: Way = 'up'):\n"
        "    '''A small one.'''\n"
    )
    found = {
        option.name: option.type for option in describe("encoder", "small", path, None).options
    }
    assert found == {"size": "int (ge=1, le=9)", "way": "up | down"}


# -- fast ----------------------------------------------------------------------------------------

PROBE = """\
import sys
from genzoo_rwae.cli import main
try:
    main({words!r})
finally:
    heavy = ("torch", "sklearn", "scipy", "matplotlib", "lightning_fabric")
    print("HEAVY", *(name for name in heavy if name in sys.modules), file=sys.stderr)
"""


def probed(words: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, which says what it imported of the heavy libraries."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS), "GENZOO_PLUGINS": "none"}
    return subprocess.run(
        [sys.executable, "-c", PROBE.format(words=words.split())],
        env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip


def children_seconds() -> float:
    """Processor time of ended child processes: a busy machine makes clocks lie, not this."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize(
    "words",
    [
        "list",
        "list penalties --json",
        "show penalty mmd",
        "show prior lstm",
        "plugins",
        "--help",
    ],
)
def test_looking_things_up_is_fast_and_imports_no_torch(words: str):
    took = []
    for _ in range(3):
        began = children_seconds()
        ended = probed(words)
        took.append(children_seconds() - began)
        assert ended.stderr.strip() == "HEAVY"
        assert ended.stdout.strip()
        if min(took) < SECONDS:
            break
    assert min(took) < SECONDS, f"{words} took {min(took):.2f} s at best"


@pytest.mark.parametrize(
    "spec", ["zoo:quickstart", "zoo:quickstart --set evaluate=[dci,clusters,probes]"]
)
def test_checking_a_spec_imports_nothing_that_draws_or_fits_probes(spec: str):
    ended = probed(f"check {spec}")
    assert "quickstart" in ended.stdout
    assert not {"sklearn", "matplotlib"} & set(ended.stderr.split())


def test_one_process_trains_without_what_connects_several(tiny_spec):
    ended = probed(
        f"build {tiny_spec} --set train.steps=1 --set evaluate=[] -o {tiny_spec.parent}/run"
    )
    assert "trained 1 step" in ended.stderr
    assert "lightning_fabric" not in ended.stderr.split()
