"""Trials: drawn, trained, given up, failed, killed, gone on with, by one worker and by two."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import genzoo_rwae as gz
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.sweep import Outcome, Plan
from genzoo_rwae.sweep.claims import Claim
from genzoo_rwae.sweep.outcome import outcome_of
from genzoo_rwae.sweep.study import Study
from genzoo_rwae.training.checkpoint import load_state

optuna = pytest.importorskip("optuna", reason="needs the extra `sweep`")

ROOT = Path(__file__).parents[2]
Read = Callable[[str], Plan]
Swept = Callable[..., Outcome]
Command = Callable[..., "subprocess.CompletedProcess[str]"]

GRID = """\
genzoo: 1
sweep: grid
spec: tiny.yaml
values: {{train.optimizer.lr: {choices}}}
sampler: grid
trials: {trials}
prune: {prune}
"""


def grid(choices: str, trials: int = 2, prune: str = "none") -> str:
    return GRID.format(choices=choices, trials=trials, prune=prune)


def values(outcome: Outcome) -> dict[int, tuple[object, object]]:
    return {row.number: (row.value, dict(row.values)) for row in outcome.rows}


# -- what a trial is ------------------------------------------------------------------------------


def test_every_trial_is_a_run_folder_and_the_best_comes_first(swept: Swept) -> None:
    outcome = swept(grid("[1e-9, 0.03]"))
    assert [row.number for row in outcome.rows] == [1, 0]
    for row in outcome.rows:
        RunFolder.open(row.folder).check_all()
        assert gz.load(row.folder) is not None
        validation = [
            json.loads(line)
            for line in (row.folder / "metrics.jsonl").read_text().splitlines()
            if '"validation"' in line
        ]
        assert row.value == validation[-1]["mse"]
        assert (row.folder / "spec.yaml").read_text().count(f"name: grid-{row.number:04}") == 1


def test_the_direction_says_which_is_the_best(plan: Read, tmp_path: Path) -> None:
    read = plan(grid("[0.01, 0.02, 0.03]", trials=3) + "direction: maximize\n")
    study = Study(read, tmp_path / "sweep", {})
    for value in (1.0, 3.0, 2.0):
        trial = study.ask()
        assert trial is not None
        study.complete(trial, value)
    rows = outcome_of(read, tmp_path, study.trials()).rows
    assert [(row.value, row.values["train.optimizer.lr"]) for row in rows] == [
        (3.0, 0.02), (2.0, 0.03), (1.0, 0.01),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_sweep_that_is_asked_for_more_trials_goes_on_as_if_it_had_been_so_at_once(
    swept: Swept, sweep_text: str, tmp_path: Path
) -> None:
    sweep_text = sweep_text.replace("trials: 3", "trials: 2")
    first = swept(sweep_text.replace("trials: 2", "trials: 1"))
    weights = tmp_path / "sweep" / "trial-0000" / "model.safetensors"
    written = weights.stat().st_mtime_ns
    more = swept(sweep_text)
    assert weights.stat().st_mtime_ns == written
    (tmp_path / "sweep").rename(tmp_path / "before")
    at_once = swept(sweep_text)
    assert values(more) == values(at_once)
    assert values(first).items() <= values(more).items()
    assert len({row.values["train.optimizer.lr"] for row in more.rows}) == 2


def test_what_was_drawn_before_is_not_trained_again(plan: Read, tmp_path: Path) -> None:
    read = plan(grid("[0.03]", trials=3).replace("sampler: grid", "sampler: random"))
    study = Study(read, tmp_path / "sweep", {})
    trial = study.ask()
    assert trial is not None
    study.complete(trial, 0.5)
    assert study.ask() is None
    rows = outcome_of(read, tmp_path, study.trials()).rows
    assert [(row.value, row.note) for row in rows] == [
        (0.5, ""), (0.5, "as trial 0"), (0.5, "as trial 0"),
    ]  # fmt: skip
    assert {row.folder.name for row in rows} == {"trial-0000"}


def test_a_grid_has_every_combination_and_then_the_sweep_ends(plan: Read, tmp_path: Path) -> None:
    text = grid("[0.01, 0.03]", trials=9).replace("]}", "], objective.static.weight: [1, 2]}")
    study = Study(plan(text), tmp_path / "sweep", {})
    drawn = []
    while trial := study.ask():
        drawn.append(tuple(trial.drawn.values()))
        study.complete(trial, 1.0)
    assert sorted(drawn) == [("0.01", "1"), ("0.01", "2"), ("0.03", "1"), ("0.03", "2")]


# -- trials that do not come to an end ------------------------------------------------------------


def test_a_trial_that_is_worse_than_the_median_is_given_up_and_can_be_built_on(
    swept: Swept,
) -> None:
    outcome = swept(grid("[0.03, 1e-9]", prune="{use: median, trials: 1}"))
    assert [row.state for row in outcome.rows] == ["complete", "given up"]
    given_up = outcome.rows[1]
    assert given_up.value is None
    assert load_state(given_up.folder / "checkpoints" / "last.pt").step == 4  # one epoch
    gz.build(given_up.folder, run=given_up.folder)
    assert load_state(given_up.folder / "checkpoints" / "last.pt").step == 12


def test_more_is_better_where_the_sweep_says_so_and_pruning_knows(swept: Swept) -> None:
    text = grid("[1e-9, 0.03]", prune="{use: median, trials: 1}") + "direction: maximize\n"
    assert [row.state for row in swept(text).rows] == ["complete", "given up"]


def test_a_trial_that_diverges_has_failed_and_the_next_one_is_taken(swept: Swept) -> None:
    outcome = swept(grid("[1e12, 0.03]"))
    assert [(row.number, row.state) for row in outcome.rows] == [(1, "complete"), (0, "failed")]
    assert "is not finite" in outcome.rows[1].note


def test_a_trial_that_was_killed_while_its_values_were_drawn_is_asked_for_again(
    swept: Swept, plan: Read, tmp_path: Path
) -> None:
    text = grid("[0.01, 0.03]")
    swept(text.replace("trials: 2", "trials: 1"))
    study = optuna.load_study(
        study_name="sweep", storage=f"sqlite:///{tmp_path / 'sweep' / 'sweep.db'}"
    )
    study.ask()  # and nothing drawn
    outcome = swept(text)
    assert sorted(row.state for row in outcome.rows) == ["complete", "complete", "failed"]
    assert {row.values.get("train.optimizer.lr") for row in outcome.rows} == {0.01, 0.03, None}


# -- several workers ------------------------------------------------------------------------------


def test_workers_draw_differently_and_never_the_same_trial(
    plan: Read, sweep_text: str, tmp_path: Path
) -> None:
    studies = [Study(plan(sweep_text), tmp_path / "sweep", {}) for _ in range(3)]
    trials = [study.ask() for study in studies]
    assert [trial.number for trial in trials if trial] == [0, 1, 2]
    assert len({trial.drawn["train.optimizer.lr"] for trial in trials if trial}) == 3
    assert studies[0].ask() is None
    assert trials[1] is not None
    trials[1].claim.give_back()  # as when its worker dies
    again = studies[0].ask()
    assert again is not None
    assert (again.number, again.resumed, again.drawn) == (1, True, trials[1].drawn)
    for trial in (trials[0], again, trials[2]):
        assert trial is not None
        trial.claim.give_back()


def test_a_claim_is_of_one_until_it_is_given_back(tmp_path: Path) -> None:
    mine, theirs = Claim(tmp_path, 3), Claim(tmp_path, 3)
    assert mine.take()
    assert not theirs.take()
    assert Claim(tmp_path, 4).take()
    mine.give_back()
    assert theirs.take()


# both workers are in their first trial before either goes on
MEETING = """\
import os, time
from genzoo_rwae import hookimpl

@hookimpl
def genzoo_step_done(step, run):
    (run.parent / f"met-{os.getpid()}").touch()
    for _ in range(1200):
        if len(list(run.parent.glob("met-*"))) == 2:
            return
        time.sleep(0.05)
    raise RuntimeError("nobody came")
"""


@pytest.mark.slow
def test_two_workers_share_the_trials_of_one_sweep(
    spec: Path, sweep_text: str, tmp_path: Path
) -> None:
    spec.with_name("sweep.yaml").write_text(sweep_text.replace("trials: 3", "trials: 4"))
    (tmp_path / "meeting.py").write_text(MEETING)
    roots = os.pathsep.join(str(ROOT / root) for root in (".", "plugins", "kernels"))
    line = [sys.executable, "-c", "from genzoo_rwae.cli import main; main()", "sweep", "sweep.yaml"]
    workers = [
        subprocess.Popen(
            [*line, "-o", "sweep", "--json", "-p", "meeting.py"], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1",
                 "GENZOO_PLUGINS": "none"},
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    begun = [
        [line.split()[1] for line in err.splitlines() if " begins: " in line] for _, err in said
    ]
    assert sorted(begun[0] + begun[1]) == ["0", "1", "2", "3"]
    assert all(begun)
    last = max((json.loads(out) for out, _ in said), key=lambda told: len(str(told)))
    assert {trial["state"] for trial in last["trials"]} == {"complete"}
    assert not list((tmp_path / "sweep" / ".claims").iterdir())


@pytest.mark.slow
def test_a_killed_workers_trial_is_gone_on_with_in_its_own_folder(
    genzoo: Command, swept: Swept, killer: Path, sweep_text: str, spec: Path, tmp_path: Path
) -> None:
    text = sweep_text.replace("trials: 3", "trials: 2")
    spec.with_name("sweep.yaml").write_text(text)
    words = ("sweep", "sweep.yaml", "-o", "sweep", "-p", killer.name)
    killed = genzoo(*words, KILL_AT="7", KILL_WITH="SIGKILL", GENZOO_PLUGINS="none")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    state = tmp_path / "sweep" / "trial-0000" / "checkpoints" / "last.pt"
    assert load_state(state).step == 6
    outcome = swept(text)
    weights = (tmp_path / "sweep" / "trial-0000" / "model.safetensors").read_bytes()
    (tmp_path / "sweep").rename(tmp_path / "before")
    whole = swept(text)
    assert values(outcome) == values(whole)
    assert weights == (tmp_path / "sweep" / "trial-0000" / "model.safetensors").read_bytes()


def test_a_signal_leaves_the_trial_to_the_same_command(
    swept: Swept, killer: Path, sweep_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILL_AT", "5")
    monkeypatch.setenv("KILL_WITH", "SIGTERM")
    text = sweep_text.replace("trials: 3", "trials: 1")
    with pytest.raises(gz.GenzooError, match="stopped by SIGTERM at step "):
        swept(text, gz.Zoo([str(killer)], use_entry_points=False))
    assert [row.state for row in swept(text).rows] == ["complete"]


# -- what it is chosen by -------------------------------------------------------------------------


def test_a_figure_of_the_test_split_wants_the_word_and_the_table_says_so(swept: Swept) -> None:
    outcome = swept(grid("[0.03]", trials=1) + "measure: {test: reconstruction/mse}\n")
    row = outcome.rows[0]
    told = json.loads((row.folder / "evaluation.json").read_text())["reconstruction"]["mse"]
    assert row.value == told["value"]
    assert "test split" in outcome.heads[1]
    assert "optimistic" in outcome.caution


def test_a_figure_that_the_metric_does_not_give_is_named_and_the_trial_is_kept(
    swept: Swept, tmp_path: Path
) -> None:
    text = grid("[0.03]", trials=1) + "measure: {test: reconstruction/mze}\n"
    with pytest.raises(gz.SpecError, match=r":8:17: .*'reconstruction/mze' .*\n.*\n.*/mse"):
        swept(text)
    assert (tmp_path / "sweep" / "trial-0000" / "model.safetensors").is_file()


# -- what is refused ------------------------------------------------------------------------------


def test_the_folder_of_another_sweep_is_left_as_it_is(
    plan: Read, sweep_text: str, tmp_path: Path
) -> None:
    Study(plan(sweep_text), tmp_path / "sweep", {"seed": 0, "values": {"a": 1}})
    with pytest.raises(gz.SpecError, match=r"another sweep.*\n  seed: 0 there, 1 here\ngive -o"):
        Study(plan(sweep_text), tmp_path / "sweep", {"seed": 1, "values": {"a": 1}})


def test_a_folder_of_something_else_is_left_as_it_is(
    plan: Read, sweep_text: str, tmp_path: Path
) -> None:
    folder = tmp_path / "sweep"
    folder.mkdir()
    (folder / "sweep.md").write_text("mine")
    with pytest.raises(
        gz.SpecError, match=r"no sweep's folder .* it holds sweep\.md and no sweep\.db"
    ):
        Study(plan(sweep_text), folder, {})
    assert [path.name for path in folder.iterdir()] == ["sweep.md"]
    (folder / "sweep.md").unlink()
    (folder / ".turn").touch()  # as another worker may be first by a moment
    (folder / ".claims").mkdir()
    Study(plan(sweep_text), folder, {})
    (folder / "sweep.md").write_text("of a sweep that was begun")
    Study(plan(sweep_text), folder, {})
    with pytest.raises(gz.SpecError, match=r"sweep\.db is a file; give -o a folder"):
        Study(plan(sweep_text), folder / "sweep.db", {})


def test_a_damaged_database_is_named(plan: Read, sweep_text: str, tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(gz.CheckpointError, match=r"sweep\.db is no database of a sweep"):
        Study(plan(sweep_text), tmp_path / "sweep", {})


def test_without_optuna_the_extra_is_named(
    swept: Swept, sweep_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(gz.SpecError, match=r"pip install 'genzoo-rwae\[sweep\]'"):
        swept(sweep_text)
    assert not (tmp_path / "sweep").exists()
