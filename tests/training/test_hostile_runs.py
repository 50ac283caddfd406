"""Run folders from strangers: nothing in them is run, and what is wrong with them is said."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import save as save_tensors

import genzoo_rwae as gz
from genzoo_rwae.cli import main
from genzoo_rwae.evaluation.measured_run import read_run
from genzoo_rwae.evaluation.tables import compare, markdown_table
from genzoo_rwae.report.compose import draw
from genzoo_rwae.report.page import write_report
from genzoo_rwae.run import open_splits
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.run_identity import digest_of
from genzoo_rwae.training.checkpoint import load_state, load_weights


class Payload:
    """What a pickle would run: it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def run(built: Path, tmp_path: Path) -> Path:
    """A run folder of one's own, whose files nobody vouches for."""
    shutil.copytree(built, tmp_path / "run")
    (tmp_path / "run" / "digests.json").unlink(missing_ok=True)
    return tmp_path / "run"


# -- pickles and headers --------------------------------------------------------------------------


def test_no_pickle_of_a_run_folder_is_run(run: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    state, buffer = load_state(run / "checkpoints" / "last.pt"), io.BytesIO()
    torch.save({**vars(state), "format": 1, "best": Payload(marker)}, buffer)
    older = io.BytesIO()
    torch.save(
        {**vars(state), "format": 1, "best": Payload(marker)}, older,
        _use_new_zipfile_serialization=False,
    )  # fmt: skip
    planted = (buffer, older, io.BytesIO(pickle.dumps(Payload(marker))))
    for raw in (one.getvalue() for one in planted):
        for name in ("checkpoints/last.pt", "checkpoints/best.safetensors", "model.safetensors"):
            (run / name).write_bytes(raw)
        with pytest.raises(gz.CheckpointError, match=r"last\.pt"):
            load_state(run / "checkpoints" / "last.pt")
        for weights in ("last", "best"):
            with pytest.raises(gz.CheckpointError, match=r"\.safetensors cannot be read"):
                gz.load(run, weights=weights)
        for name in ("metrics.jsonl", "evaluation.json", "checkpoints/measured.json"):
            (run / name).write_bytes(raw)
        write_report(run)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.exists()  # it would have worked


def header(told: object, behind: bytes = bytes(64)) -> bytes:
    text = (told if isinstance(told, str) else json.dumps(told)).encode()
    return struct.pack("<Q", len(text)) + text + behind


def tensor(shape: list[int], end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\xff" * 8, struct.pack("<Q", 2**62) + b"{}", struct.pack("<Q", 10**8 + 1) + b"{}",
        header("{"), header("[" * 50_000), header("{}", b""), header([1]), header({"x": 1}),
        header(tensor([10**6, 10**6], 64)), header(tensor([10**6, 10**6], 4 * 10**12)),
        header(tensor([2**62, 2**62, 2**62], 64)), header(tensor([-1], 64)),
        header(tensor([16], -1)),
        header(tensor([2**60, 0], 0), b""), header(tensor([16], 64, "F99")),
        header({**tensor([16], 64), "y": {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]}}),
        save_tensors({"x": torch.zeros(3)}) + b"more",
    ],
)  # fmt: skip
def test_weights_whose_header_lies_are_refused(run: Path, raw: bytes) -> None:
    (run / "model.safetensors").write_bytes(raw)
    with pytest.raises(
        gz.CheckpointError, match=r"model\.safetensors (cannot be read|has weights)"
    ):
        gz.load(run)


def test_a_checkpoint_that_unpacks_to_more_than_it_is_is_not_read(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole = run / "checkpoints" / "last.pt", io.BytesIO()
    torch.save({"format": 1, "model": {"x": torch.zeros(10**7)}}, whole)
    with (
        zipfile.ZipFile(whole) as archive,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in archive.infolist():
            bomb.writestr(entry.filename, archive.read(entry))
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(gz.CheckpointError, match=r"last\.pt cannot be read"):
        load_state(path)


def test_a_few_numbers_that_are_told_as_many_are_no_checkpoint(run: Path) -> None:
    path = run / "checkpoints" / "last.pt"
    state = vars(load_state(path))
    told = {"w": torch.zeros(1).expand(10**6, 10**6)}
    torch.save({**state, "format": 1, "optimizer": {"state": [told]}}, path)
    with pytest.raises(
        gz.CheckpointError, match=r"a tensor of shape \[1000000, 1000000\] in a file"
    ):
        load_state(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("step", "2"), ("step", -1), ("step", True), ("step", 2.0), ("spec", 3), ("seconds", "1"),
     ("precision", "float8"), ("best", "low"), ("model", []), ("optimizer", None)],
)  # fmt: skip
def test_fields_of_another_type_are_no_checkpoint(run: Path, name: str, value: object) -> None:
    path = run / "checkpoints" / "last.pt"
    torch.save({**vars(load_state(path)), "format": 1, name: value}, path)
    with pytest.raises(gz.CheckpointError, match=rf"found {type(value).__name__} as its {name}"):
        load_state(path)


@pytest.mark.parametrize("optimizer", [{}, {"state": 3, "param_groups": []}, {"state": {}}])
def test_a_state_of_another_optimiser_does_not_fit(
    run: Path, tmp_path: Path, tiny_spec: Path, optimizer: dict[str, object]
) -> None:
    path = run / "checkpoints" / "last.pt"
    torch.save({**vars(load_state(path)), "format": 1, "optimizer": optimizer}, path)
    settings = {"train.steps": 2, "evaluate": ["reconstruction"]}
    with pytest.raises(gz.CheckpointError, match=r"last\.pt does not fit the spec's model"):
        gz.build(tiny_spec, run=run, settings=settings)


# -- runs of an older version ---------------------------------------------------------------------


@pytest.fixture
def older(run: Path) -> Path:
    """The run as it was before `floor`, an option of the static code's head, was there."""
    tree = YAML(typ="safe", pure=True).load((run / "spec.yaml").read_text())
    assert tree["model"]["static"]["head"].pop("floor") == -12.0
    (run / "spec.yaml").write_text(json.dumps(tree))
    path = run / "checkpoints" / "last.pt"
    torch.save({**vars(load_state(path)), "format": 1, "spec": digest_of(tree)}, path)
    return run


def test_a_run_from_before_an_option_was_there_goes_on(older: Path, tiny_spec: Path) -> None:
    settings = {"train.steps": 2, "evaluate": ["reconstruction"]}
    spec = gz.load_spec(tiny_spec, settings=settings)
    state = load_state(older / "checkpoints" / "last.pt")
    for _ in range(2):  # the second time spec.yaml has it
        assert RunFolder.prepare(older, spec).spec_digest == state.spec
        assert "floor: -12.0" in (older / "spec.yaml").read_text()


def test_a_newer_option_that_is_said_makes_it_another_run(older: Path, tiny_spec: Path) -> None:
    settings = {"train.steps": 2, "evaluate": ["reconstruction"], "model.static.head.floor": -9.0}
    with pytest.raises(gz.SpecError, match=r"model\.static\.head\.floor: only here"):
        RunFolder.prepare(older, gz.load_spec(tiny_spec, settings=settings))


# -- texts ----------------------------------------------------------------------------------------

JUNK: tuple[object, ...] = (
    None, True, -1, 0, 1.5, 10**30, "x", "", [], [[]], {}, {"x": 1}, ["x"], "\u202e",
)  # fmt: skip


def places(tree: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(tree, dict):
        return [path]
    return [
        path,
        *(place for name, child in tree.items() for place in places(child, (*path, name))),
    ]


def test_whatever_stands_in_a_resolved_spec_is_read_or_refused(run: Path) -> None:
    yaml = YAML(typ="safe", pure=True)
    whole = yaml.load((run / "spec.yaml").read_text())
    ended = {"read": 0, "refused": 0}
    for number, path in enumerate(places(whole["resolved"], ("resolved",))):
        # every place with some of the junk, all of it at every third place
        for junk in JUNK[number % 3 :: 3]:
            tree = json.loads(json.dumps(whole))
            holder = tree
            for name in path[:-1]:
                holder = holder[name]
            holder[path[-1]] = junk
            (run / "spec.yaml").write_text(json.dumps(tree))
            with suppress(gz.GenzooError):
                read_run(run)
                gz.load(run)
                ended["read"] += 1
                continue
            ended["refused"] += 1
    assert min(ended.values()) > 10, ended


def test_a_run_that_tells_of_sequences_beyond_memory_is_refused(run: Path) -> None:
    text = (run / "spec.yaml").read_text()
    assert "length: 4" in text.split("resolved:")[1]
    before, after = text.split("resolved:")
    (run / "spec.yaml").write_text(
        f"{before}resolved:{after.replace('length: 4', 'length: 4000000')}"
    )
    with pytest.raises(gz.CheckpointError, match=r"resolved\.data"):
        gz.load(run)


LARGE = b"1" + b"0" * 400
LINES = (
    b"[" * 100_000, b'{"a":' * 100_000, b"[]", b"1", b"null", b'"step"', b'{"step": "1"}',
    b'{"step": null, "loss": 1}', b'{"step": 1e999, "loss": 1}', b"\0" * 10, b'{"step": [1]}',
    b'{"step": ' + LARGE + b', "loss": 1, "seconds": "x"}', b'{"step": ' + b"9" * 5_000 + b"}",
    b'{"step": 3, "loss": NaN, "cost": 1e999, "$x$": 1, "seconds": {}}', b"\xff\xfe",
    b'{"step": true, "loss": ' + LARGE + b"}", b'{"loss": {"value": 1}, "value": []}',
    b'{"value": {"value": "x", "chance": [], "baselines": 3, "good": 7, "note": {}}}',
    b'{"m": {"f": {"value": ' + LARGE + b', "baselines": {"x": "y", "z": 1}}}}',
    b'{"m": {"f": {"value": 1, "baselines": {"x": "y"}, "chance": "1", "good": "best"}}}',
    b'{"split": {}, "step": 1, "spread": "y"}',
)  # fmt: skip


@pytest.mark.parametrize("name", ["metrics.jsonl", "evaluation.json", "checkpoints/measured.json"])
@pytest.mark.parametrize("line", range(len(LINES)))
def test_whatever_stands_in_a_json_file_stops_no_report(run: Path, name: str, line: int) -> None:
    if name != "metrics.jsonl":
        (run / "metrics.jsonl").unlink()  # whose curves take their time
    (run / name).write_bytes(LINES[line] + b"\n")
    assert "<h1>tiny</h1>" in write_report(run).read_text()
    folder = RunFolder.open(run)
    assert isinstance(folder.measured_step(), int)
    assert isinstance(folder.measured(2), dict)
    assert isinstance(folder.read_evaluation(), dict)
    folder.truncate_metrics(1)
    with suppress(gz.CheckpointError):  # there are no figures in it
        assert markdown_table(compare([read_run(run)]))


def test_a_spec_that_would_unfold_costs_the_page_nothing(run: Path) -> None:
    levels = (f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))
    for bomb in ("\n".join(["a0: &a0 [x]", *levels]), "[" * 200_000, "x" * 10**7):
        (run / "spec.yaml").write_text(bomb)
        page = write_report(run)
        assert "<h1>run</h1>" in page.read_text()
        assert page.stat().st_size < 10**6


def noted(spec: gz.Spec, classes: list[str]) -> gz.Spec:
    """A spec with what a build of data with these classes notes."""
    return replace(spec, resolved={"data": {"factors": [{"name": "word", "classes": classes}]}})


def test_what_a_run_notes_of_its_data_may_be_larger_than_a_spec(
    tiny_spec: Path, tmp_path: Path
) -> None:
    classes = [f"{number:040}" for number in range(12_000)]
    spec = noted(gz.load_spec(tiny_spec), classes)
    (tmp_path / "run").mkdir()
    run = RunFolder.prepare(tmp_path / "run", spec)
    assert run.spec.stat().st_size > 500_000
    assert gz.load_spec(run.spec).resolved == spec.resolved


@pytest.mark.parametrize("classes", [["x" * 1_000_000], ["x"] * 20_000], ids=["long", "many"])
def test_what_could_not_be_read_back_is_refused_before_it_is_written(
    tiny_spec: Path, tmp_path: Path, classes: list[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(
        gz.SpecError, match=r"(?s)could not be opened again.*fewer or shorter names"
    ):
        RunFolder.prepare(run, noted(gz.load_spec(tiny_spec), classes))
    assert list(run.iterdir()) == []


# -- links and sizes ------------------------------------------------------------------------------


def test_nothing_is_written_through_a_link(run: Path, tmp_path: Path, tiny_spec: Path) -> None:
    outside, settings = tmp_path / "outside", {"train.steps": 2, "evaluate": ["reconstruction"]}
    outside.mkdir()
    mine = outside / "mine"
    mine.write_text("mine\n")
    (run / "tensorboard").mkdir()
    for name in ("metrics.jsonl", "checkpoints", "pictures", "tensorboard"):
        kept = tmp_path / "kept"
        (run / name).rename(kept)
        (run / name).symlink_to(mine if "." in name else outside)
        with pytest.raises(gz.CheckpointError, match=rf"{name} is a link, to .*outside"):
            gz.build(tiny_spec, run=run, settings=settings)
        (run / name).unlink()
        kept.rename(run / name)
    for name in ("report.html", "README.md", "evaluation.json", "model.safetensors"):
        (run / name).unlink()
        (run / name).symlink_to(mine)
    gz.build(tiny_spec, run=run, settings=settings)
    assert mine.read_text() == "mine\n"
    assert [path.name for path in outside.iterdir()] == ["mine"]


def test_a_verb_writes_nothing_through_a_link_of_a_run_folder(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (run / "sample-0").symlink_to(outside)
    with pytest.raises(SystemExit) as left:
        main(["sample", str(run), "--force"])
    assert left.value.code == 2
    assert "sample-0 is a link, to" in capsys.readouterr().err
    assert list(outside.iterdir()) == []


def test_what_a_killed_build_left_is_taken_away_in_the_run_folder_alone(
    run: Path, tmp_path: Path, tiny_spec: Path
) -> None:
    settings = {"train.steps": 2, "evaluate": ["reconstruction"]}
    spec = gz.load_spec(tiny_spec, settings=settings)
    for folder in ("", "checkpoints", "pictures", "mine"):
        (run / folder).mkdir(exist_ok=True)
        (run / folder / ".left.tmp").touch()
    RunFolder.prepare(run, spec)
    assert list(run.rglob(".*.tmp")) == [run / "mine" / ".left.tmp"]


def test_a_run_whose_files_are_links_is_read_as_hubs_keep_it(run: Path, tmp_path: Path) -> None:
    for path in [path for path in run.rglob("*") if path.is_file()]:
        blob = tmp_path / "blobs" / path.name
        blob.parent.mkdir(exist_ok=True)
        path.rename(blob)
        path.symlink_to(blob)
    assert gz.load(run).info.length == 4


def test_a_picture_beyond_the_page_is_not_read(run: Path) -> None:
    with (run / "pictures" / "huge.png").open("wb") as file:
        file.truncate(10**12)
    os.mkfifo(run / "pictures" / "pipe.png")
    text = write_report(run).read_text()
    assert "953674 MB, too large for this page" in text


def test_what_lies_beside_the_pictures_is_neither_read_nor_vouched_for(
    built: Path, tmp_path: Path
) -> None:
    shutil.copytree(built, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    with (folder.pictures / "huge.png").open("wb") as file:
        file.truncate(10**12)
    spec = gz.load_spec(folder.spec)
    draw(folder, spec, gz.load(folder.path), open_splits(spec))
    drawn = [path.name for path in folder.drawings()]
    assert "swap.png" in drawn
    assert "huge.png" not in drawn


def test_weights_of_the_model_itself_are_read(run: Path) -> None:
    model = gz.load(run)
    load_weights(run / "model.safetensors", model)
