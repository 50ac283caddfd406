"""`genzoo compare`: what it prints and writes, and what it refuses."""

import json

import pytest

SPEC = "genzoo: 1\nname: {name}\ndata: {{use: digits}}\ntrain: {{steps: 9, seed: {seed}}}\n"


@pytest.fixture
def runs(tmp_path):
    """Two seeds of one spec and one of another, by hand; there is no model in them."""
    paths = []
    for name, seed, value in (("a", 0, 0.5), ("a", 1, 0.7), ("b", 0, 0.1)):
        path = tmp_path / f"{name}{seed}"
        path.mkdir()
        text = SPEC.format(name=name, seed=seed)
        (path / "spec.yaml").write_text(text + (f"objective: {name}\n" if name == "b" else ""))
        figure = {"value": value, "chance": 0.25, "good": "higher"}
        (path / "evaluation.json").write_text(json.dumps({"probes": {"who": figure}}))
        paths.append(path)
    return paths


def test_terminal_markdown_and_json_say_the_same(genzoo, runs):
    plain, markdown = genzoo("compare", *runs), genzoo("compare", *runs, "--markdown")
    assert plain.code == markdown.code == 0
    assert "0.6 ± 0.1414" in plain.out
    assert "| probes: who | chance 0.25 | higher | 0.6 ± 0.1414 | 0.1 |" in markdown.out
    told = json.loads(genzoo("compare", *runs, "--json").out)
    assert [column["seeds"] for column in told["columns"]] == [[0, 1], [0]]
    assert [cell["mean"] for cell in told["figures"][0]["cells"]] == pytest.approx([0.6, 0.1])


def test_page_is_written_where_it_was_asked_for(genzoo, runs, tmp_path):
    ended = genzoo("compare", *runs, "--html", tmp_path / "all.html")
    assert ended.code == 0
    assert "0.6 ± 0.1414" in (tmp_path / "all.html").read_text()


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda runs: (runs[1] / "evaluation.json").unlink(), "no figures"),
        (lambda runs: (runs[1] / "spec.yaml").unlink(), "no run folder"),
        (lambda runs: runs.append(runs[0]), "one seed"),
    ],
    ids=["not measured", "no run", "one run twice"],
)
def test_what_cannot_be_compared_ends_with_2(genzoo, runs, break_it, said):
    break_it(runs)
    ended = genzoo("compare", *runs)
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err
