"""Curves from files as runs leave them."""

import json
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl

from genzoo_rwae.report.curves import read_history, training_curves


def write(path, rows, tail: str = "") -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)


def rows(count: int = 30) -> list[dict[str, object]]:
    return [
        {
            "step": step,
            "split": "train",
            "sequences_per_second": 150.0,
            "static": 0.1,
            "cost": 1000.0 / step,
            "loss": 1000.0 / step + 1,
        }
        for step in range(1, count + 1)
    ]


def test_truncated_last_line_is_left_out_and_counted(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, rows(), '{"step": 31, "lo')
    history = read_history(path)
    assert (len(history.rows), history.unreadable, history.last_step) == (30, 1, 30)


def test_bytes_that_are_no_text_are_left_out(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "loss": 2}\n\xff\xfe\x00\n[1]\n\n"x"\n')
    history = read_history(path)
    assert (len(history.rows), history.unreadable) == (1, 3)


def test_missing_or_empty_file_has_no_curves(tmp_path) -> None:
    assert training_curves(read_history(tmp_path / "none")) == ()
    (tmp_path / "empty").touch()
    assert training_curves(read_history(tmp_path / "empty")) == ()


def test_loss_and_cost_come_first_and_speed_last(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, [*rows(), {"step": 30, "split": "validation", "mse": 0.1, "loss": 40.0}])
    names = [curve.name for curve in training_curves(read_history(path))]
    assert names == ["loss", "cost", "static", "mse", "sequences_per_second"]


def test_rows_without_some_keys_make_the_curves_they_can(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    odd = [{}, {"step": 3}, {"loss": 1.0}, {"step": "x", "loss": 2}, {"step": 4, "loss": None}]
    write(path, [*odd, {"step": 5, "loss": True}, {"step": 6, "loss": 10**400}, *rows(2)])
    assert {curve.name for curve in training_curves(read_history(path))} >= {"loss", "cost"}


def test_values_that_are_not_finite_are_counted_not_drawn(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    bad = [{"step": 40, "loss": float("nan")}, {"step": 41, "loss": float("inf")}]
    write(path, [*rows(), *bad])
    (loss, *others) = training_curves(read_history(path))
    assert loss.note.startswith("2 values")
    assert "nan" not in loss.svg.lower()
    assert not any(curve.note for curve in others)


def test_later_row_of_a_step_holds(tmp_path) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    write(once, rows())
    write(twice, [{"step": 7, "split": "train", "loss": 9e9}, *rows()])
    first, second = (training_curves(read_history(path))[0].svg for path in (once, twice))
    assert first == second


def test_svg_is_one_clean_element_that_follows_the_page(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, rows(1000))
    for curve in training_curves(read_history(path)):
        root = ElementTree.fromstring(curve.svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "width" not in root.attrib
        assert "viewBox" in root.attrib
        assert "var(--curve-train" in curve.svg
        assert "#01020" not in curve.svg
        assert len(curve.svg) < 60_000


def test_ids_of_two_panels_never_clash(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, rows())
    ids: list[str] = []
    for curve in training_curves(read_history(path)):
        found = ElementTree.fromstring(curve.svg).iter()
        ids += [element.attrib["id"] for element in found if "id" in element.attrib]
    assert len(ids) == len(set(ids))


def test_wide_positive_ranges_are_logarithmic_and_others_not(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, [{"step": s, "wide": 10.0**s, "signed": 10.0**s - 50} for s in range(5)])
    wide, signed = training_curves(read_history(path))
    assert ">100</text>" in wide.svg
    assert ">100</text>" not in signed.svg


def test_hostile_keys_are_titles_like_others_and_reach_no_svg(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    name = "<script>$\\frac{"
    write(path, [{"step": 1, name: 1.0}, {"step": 2, name: 2.0}])
    (curve,) = training_curves(read_history(path))
    assert curve.name == name
    assert "script" not in curve.svg


def test_settings_of_matplotlib_are_as_before(tmp_path) -> None:
    before = dict(mpl.rcParams)
    path = tmp_path / "metrics.jsonl"
    write(path, rows())
    training_curves(read_history(path))
    assert dict(mpl.rcParams) == before
