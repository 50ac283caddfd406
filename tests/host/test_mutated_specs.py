"""Specs that nobody would write: whatever stands in a file, reading it ends in words, and soon.

GENZOO_MUTATIONS=10000 tries as many as that; without it a few hundred have to do. fuzz_specs.py
holds specs that coverage steers to against the same.
"""

import json
import os
import resource
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genzoo_rwae.catalogue import catalogue, zoo_specs
from genzoo_rwae.errors import GenzooError
from genzoo_rwae.spec import differences, load_spec, plain, render
from genzoo_rwae.spec.located import parse_yaml
from genzoo_rwae.zoo import Zoo

MUTATIONS = int(os.environ.get("GENZOO_MUTATIONS", "300"))
SECONDS = 2.0  # of one core, for one spec
MEGABYTES = 300  # that all of them together may add
LONGEST = 500_000  # characters of a message

# -- the words of specs ---------------------------------------------------------------------------


class Raw(str):
    """YAML that is written as it is, without quotes."""


def keys_of(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        yield from tree
        yield from (key for child in tree.values() for key in keys_of(child))
    elif isinstance(tree, list):
        yield from (key for child in tree for key in keys_of(child))


TEXTS = [path.read_text(encoding="utf-8") for path in zoo_specs().values()]
TREES = [parse_yaml(text, "spec.yaml", Path()).plain for text in TEXTS]
KEYS = sorted({key for tree in TREES for key in keys_of(tree)} | {"plugins", "resolved", "<<", ""})
NAMES = sorted({entry.name for entry in catalogue().entries})
NUMBERS = (
    0, 1, -1, 2, 0.5, -0.0, 1e-300, 1e308, 2**31, 2**63, -(2**63), 2**64, 10**30, Raw("1e999"),
    Raw(".inf"), Raw("-.inf"), Raw(".nan"), Raw("0x" + "f" * 5_000), Raw("9" * 5_000), Raw("0o17"),
    Raw("1_0"), Raw("0b2"), Raw("+1"), Raw("1e"), Raw("2020-02-30"),
)  # fmt: skip
HOSTILE = (
    "../canary.py", "./canary.py", "/etc/passwd", "canary", "canary:canary", "os:system", "os",
    "genzoo:mmd", "zoo:../../etc/passwd", "zoo:quickstart", "~nobody/x.yaml", "~", ".", "..", "/",
    "/dev/zero", "/dev/stdin", "spec.yaml", "C:\\x", "file:///etc/passwd", "{{7*7}}", "${HOME}",
    "%s%n", "\x1b[2J", "\0", "\ud800", "\u202e", "a" * 300, "b" * 30_000, "'", '"', "\n", "-",
    *map(Raw, (
        "!!python/object/apply:os.system [touch canary]", "!!python/name:os.system",
        "!!python/module:canary", "!!python/object/new:canary.Canary []", "!!binary eA==",
        "!!set {a, b}", "!!omap [a: 1]", "!canary x", "&a [*a]", "*a", "&a x", "{<<: *a}",
        "[" * 50, "{" * 3_000, "- " * 60, "? " * 3_000, "[" + "x," * 12_000 + "]",
        '"\\ud800"', '"\\0"', "|\n  x", "'", "}",
    )),
)  # fmt: skip
SNIPPETS = (
    *"[]{}:,#&*!|>'\"%@`?-~\\\t\n\0\x7f\x85\ufeff\u2028", ": ", "- ", "? ", "--- ", "...", "<<: ",
    "%YAML 1.1\n---\n", "%YAML 9.9\n---\n", "%TAG ! tag:x,2000:\n---\n", "!!python/tuple ", "  ",
)  # fmt: skip

WORDS = (*NAMES, *KEYS, *HOSTILE, *NUMBERS, *SNIPPETS)

words = st.sampled_from(NAMES) | st.sampled_from(KEYS)
scalars = (
    words
    | st.sampled_from(NUMBERS)
    | st.sampled_from(HOSTILE)
    | st.booleans()
    | st.none()
    | st.text(max_size=20)
    | st.integers()
    | st.floats()
)

# -- mutations ------------------------------------------------------------------------------------


def places_of(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values of a tree, its root first."""
    if isinstance(tree, dict):
        pairs = list(tree.items())
    else:
        pairs = list(enumerate(tree)) if isinstance(tree, list) else []
    return [path, *(place for key, child in pairs for place in places_of(child, (*path, key)))]


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


@st.composite
def values(draw: st.DrawFn) -> Any:
    """Something to put in a value's place: a scalar, or a part of a spec of the zoo."""
    if draw(st.integers(0, 3)):
        return draw(scalars)
    donor = draw(st.sampled_from(TREES))
    return deepcopy(at(donor, draw(st.sampled_from(places_of(donor)))))


@st.composite
def trees(draw: st.DrawFn) -> Any:
    """A spec of the zoo, one or two of whose nodes or keys are others."""
    tree = deepcopy(draw(st.sampled_from(TREES)))
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(places_of(tree)))
        if not path:
            continue
        holder, key = at(tree, path[:-1]), path[-1]
        change = draw(st.sampled_from(["replace", "take away", "rename", "add", "wrap", "deepen"]))
        if change == "replace":
            holder[key] = draw(values())
        elif change == "take away":
            del holder[key]
        elif change == "rename" and isinstance(holder, dict):
            holder[draw(words | st.sampled_from(HOSTILE))] = holder.pop(key)
        elif change == "add" and isinstance(holder, dict):
            holder[draw(words)] = draw(values())
        elif change == "wrap":
            holder[key] = draw(st.sampled_from([[holder[key]], {"use": holder[key]}]))
        else:
            for _ in range(draw(st.sampled_from([2, 39, 45, 400]))):
                holder[key] = [holder[key]]
    return tree


def written(value: Any) -> str:
    """YAML in flow style, the first level as lines."""
    if isinstance(value, dict):
        return "".join(f"{_flow(key)}: {_flow(child)}\n" for key, child in value.items())
    return _flow(value)


def _flow(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A spec of the zoo as text, cut, doubled and stuffed at any place."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 2))):
        one, other = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        change = draw(st.sampled_from(["insert", "cut", "double", "end", "line"]))
        if change == "insert":
            text = text[:one] + draw(st.sampled_from(SNIPPETS) | st.text(max_size=3)) + text[one:]
        elif change == "cut":
            text = text[:one] + text[min(other, one + 20) :]
        elif change == "double":
            text = text[:other] + text[one:]
        elif change == "end":
            text = text[:other]
        else:
            text = text[:one] + f"\n{draw(words)}: {_flow(draw(values()))}\n" + text[one:]
    return text


CODECS = {"utf-8": "surrogatepass", "utf-16": "surrogatepass", "utf-16-le": "surrogatepass",
          "utf-8-sig": "surrogatepass", "latin-1": "replace", "cp037": "replace"}  # fmt: skip


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A mutated spec as bytes, some of them others, or in an encoding that no spec has."""
    text = draw(trees().map(written) | texts())
    codec = draw(st.sampled_from(["utf-8"] * 12 + list(CODECS)))
    raw = text.encode(codec, CODECS[codec])
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        place = draw(st.integers(0, len(raw)))
        raw = raw[:place] + draw(st.binary(max_size=3)) + raw[place + 1 :]
    return raw


# -- what must hold of all of them ----------------------------------------------------------------

CANARY = "from pathlib import Path\nPath({marker!r}).touch()\n"


def canaries(folder: Path) -> Path:
    """Where specs are written, beside those of the zoo, which many extend; a module and a file that
    tell when they are run lie about.
    """
    specs = folder / "specs"
    specs.mkdir(exist_ok=True)
    for path in zoo_specs().values():
        shutil.copy(path, specs)
    for place in (folder, specs):
        (place / "canary.py").write_text(CANARY.format(marker=str(place / "sung")))
    return specs


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass
class Readings:
    """Reads one spec after the other, and holds each to what must hold of all of them.

    Attributes:
        folder: where they are written, with `canaries` about.
        ended: how often reading ended in a spec, and in which error.
        slowest: seconds of one core for one of them.
    """

    folder: Path
    ended: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    before: float = field(default_factory=megabytes)

    def read(self, raw: bytes) -> None:
        path = self.folder / "spec.yaml"
        path.write_bytes(raw)
        began = time.process_time()
        try:
            spec = load_spec(path, zoo=Zoo(use_entry_points=False))
        except GenzooError as error:
            self.ended[type(error).__name__] += 1
            message = str(error)
            assert message.strip()
            assert len(message) < LONGEST
            assert not {"\x1b", "\0", "\u202e"} & set(message)
            message.encode("utf-8")
        else:
            self.ended["read"] += 1
            again = parse_yaml(render(spec, origins=False), "again.yaml", self.folder).plain
            assert differences(json.loads(json.dumps(plain(spec))), again) in (
                [],
                ["resolved: only there"],
            )
        seconds = time.process_time() - began
        self.slowest = max(self.slowest, seconds)
        assert seconds < SECONDS
        for place in (self.folder, self.folder.parent):  # a plugin that a spec names may sing
            if (place / "sung").exists():
                (place / "sung").unlink()
                assert b"plugins" in raw

    @property
    def grown(self) -> float:
        """Megabytes that all of them together added."""
        return megabytes() - self.before

    def __str__(self) -> str:
        return (
            f"{self.ended.total():,} specs: {dict(self.ended)}; slowest {self.slowest:.2f} s of "
            f"one core; {self.grown:.0f} MB more"
        )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    specs = canaries(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(specs)
    return specs


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "RUSAGE_SELF"), reason="no rusage here")
def test_a_mutated_spec_is_read_or_refused_in_words_soon_and_runs_nothing(folder: Path) -> None:
    readings = Readings(folder)

    @settings(
        max_examples=MUTATIONS,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(files())
    def tried(raw: bytes) -> None:
        readings.read(raw)

    tried()
    print(readings)
    assert readings.grown < MEGABYTES
    ended = readings.ended
    assert min(ended["read"], ended["SpecError"]) > MUTATIONS / 20  # both sides are tried
