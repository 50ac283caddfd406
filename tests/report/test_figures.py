"""evaluation.json as figures."""

import pytest

from genzoo_rwae.errors import CheckpointError
from genzoo_rwae.report.figures import ShownFigure, figures_of, read_figures


def test_number_and_object_are_the_same_figure() -> None:
    assert figures_of({"a": {"mse": 0.25}}) == figures_of({"a": {"mse": {"value": 0.25}}})


def test_every_field_of_a_figure_is_read() -> None:
    full = {
        "value": 0.5,
        "spread": 0.01,
        "chance": 0.25,
        "baselines": {"raw_data": 1.0},
        "good": "lower",
        "note": "how",
    }
    assert figures_of({"probes": {"static": {"action": full}}}) == (
        ShownFigure(
            group="probes / static",
            name="action",
            value="0.5 ± 0.01",
            compared=(("chance", "0.25"), ("raw data", "1")),
            good="lower",
            note="how",
        ),
    )


def test_figures_of_a_group_come_before_its_groups() -> None:
    names = [f.name for f in figures_of({"g": {"inner": {"a": 1}, "b": 2}, "c": 3})]
    assert names == ["c", "b", "a"]


def test_what_was_not_measured_says_so() -> None:
    assert [f.value for f in figures_of({"a": None, "b": {"value": None}, "c": [1, 2]})] == [
        "not measured",
        "not measured",
        "2 values",
    ]


def test_chance_of_zero_is_shown() -> None:
    (figure,) = figures_of({"a": {"value": 0.1, "chance": 0}})
    assert figure.compared == (("chance", "0"),)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"'])
def test_file_that_is_no_evaluation_is_an_error_with_its_name(tmp_path, text) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=r"evaluation\.json"):
        read_figures(path)
