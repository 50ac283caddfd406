"""docs/security.md promises nothing that no test holds."""

import re
from pathlib import Path

import pytest

from genzoo_rwae.spec.limits import MAX_BYTES, MAX_DEPTH, MAX_NOTED, MAX_VALUES

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_every_test_that_is_named_is_there(file: str, test: str) -> None:
    assert re.search(rf"^def {test}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_point_of_a_list_names_its_test() -> None:
    points = re.split(r"^- ", TEXT, flags=re.MULTILINE)[1:]
    assert len(points) > 15
    assert [point for point in points if "::test_" not in point.partition("\n\n")[0]] == []


def test_limits_are_those_of_the_code() -> None:
    values = (f"{MAX_VALUES:,} values", f"{MAX_NOTED:,} with what")
    for limit in (f"{MAX_BYTES // 10**6} MB", *values, f"{MAX_DEPTH} levels"):
        assert limit in TEXT
