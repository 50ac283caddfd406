"""A sweep's table and page."""

import io
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from genzoo_rwae.report.sweep import markdown_sweep, sweep_plots, terminal_sweep, write_sweep
from genzoo_rwae.sweep import Outcome, Row

EVIL = "<script>x</script>[bold]|"


def row(number, state, value, lr, kernel, measured=()):
    values = {"lr": lr, "kernel": kernel}
    return Row(number, state, value, values, measured, Path(f"runs/s/trial-{number:04}"))


@pytest.fixture
def outcome():
    rows = (
        row(2, "complete", 0.1, 1e-2, EVIL, ((1, 0.5), (2, 0.1))),
        row(0, "complete", 0.3, 1e-4, {"use": "imq"}, ((1, 0.6), (2, 0.3))),
        row(1, "given up", None, 1e-3, "rbf", ((1, 0.9),)),
    )
    return Outcome(
        EVIL, "", "mse (validation split)", False, "lower", "mse", 4, ("lr", "kernel"), rows
    )


def test_terminal_and_markdown_say_the_same(outcome):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(terminal_sweep(outcome))
    text = console.export_text()
    lines = markdown_sweep(outcome).splitlines()
    for said in ("trial-0002", "0.1", "0.01", EVIL, '{"use": "imq"}', "given up"):
        assert said in text, said
    assert lines[2].startswith("| **trial-0002** | **0.1** | **0.01** |")
    assert lines[4] == "| trial-0001 |  | 0.001 | rbf | given up |"


def test_page_is_escaped_and_asks_for_nothing(outcome, tmp_path):
    page = write_sweep(outcome, tmp_path).read_text()
    assert "<script" not in page
    assert "src=" not in page
    assert "3 of 4 trials" in page
    assert "The best is trial-0002" in page
    assert (tmp_path / "sweep.md").read_text().startswith("# ")


def test_a_choice_by_test_figures_is_said_everywhere(outcome, tmp_path):
    outcome = replace(outcome, on_test=True)
    assert "optimistic" in markdown_sweep(outcome)
    assert "optimistic" in write_sweep(outcome, tmp_path).read_text()


def test_there_is_a_plot_of_trials_of_each_value_and_of_the_training(outcome):
    plots = sweep_plots(outcome)
    assert len(plots) == 4
    for _, svg in plots:
        ElementTree.fromstring(svg)
    assert ">0.0001<" in plots[1][1]  # a range of decades has a log axis, and plain numbers on it
    assert "imq" in plots[2][1]


def test_a_sweep_without_a_finished_trial_has_a_page(outcome, tmp_path):
    empty = replace(outcome, rows=outcome.rows[2:])
    assert empty.best is None
    assert "The best is" not in write_sweep(empty, tmp_path).read_text()
    assert write_sweep(replace(outcome, rows=()), tmp_path).is_file()
