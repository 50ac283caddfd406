"""The command on several ranks: started by itself or by torchrun, and when a rank dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from genzoo_rwae.training.checkpoint import load_state

ROOT = Path(__file__).parents[3]
# kills one rank in a step, once
KILLER = """\
import os, signal
from pathlib import Path
from genzoo_rwae import hookimpl

calls = 0

@hookimpl
def genzoo_model_built(model):
    model.register_forward_hook(once)

def once(model, *_):
    global calls
    calls += model.training
    if calls == 6 and os.environ.get("LOCAL_RANK") == "1" and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""
# what made one of some hundred ranks abort on its way out, made frequent: gloo's threads come to
# run last of all, and find Python not giving way any more
LATE = """\
import atexit, ctypes, os, sys
from pathlib import Path
import torch
import torch.distributed as dist
from genzoo_rwae.ranks import Ranks
from genzoo_rwae.training.launch import disconnected_at_exit

atexit.register(ctypes.PyDLL(None).usleep, 300_000)
place, rank = f"file://{sys.argv[1]}", int(sys.argv[2])
dist.init_process_group("gloo", init_method=place, rank=rank, world_size=2)
ranks = Ranks(dist.group.WORLD)
sys.modules["held"] = ranks  # as torch's caches hold those of shards
core = {min(os.sched_getaffinity(0))}
for task in Path("/proc/self/task").iterdir():
    os.sched_setaffinity(int(task.name), core)
    if (task / "comm").read_text().startswith("pt_gloo"):
        os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))
for _ in range(20):
    ranks.sum(torch.ones(2000))
disconnected_at_exit(ranks)
"""
# beside them on their core
BUSY = """\
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
while True: pass
"""
SCRIPT = """\
import atexit, os
from pathlib import Path
import torch.distributed as dist
import genzoo_rwae as gz

@atexit.register
def last():  # what was registered later has run before
    Path("connected-" + os.environ.get("LOCAL_RANK", "0")).write_text(str(dist.is_initialized()))

settings = {"train.steps": 2}
model = gz.build("tiny.yaml", run="scripted", devices=2, settings=settings)
options = dist.group.WORLD._get_backend(dist.group.WORLD._device_types[0]).options
print("patience", round(options._timeout.total_seconds()))
try:
    gz.build("tiny.yaml", run="again", devices=2, settings=settings)
except gz.SpecError:
    print("refused", type(model).__name__)
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_text: str) -> Path:
    folder = tmp_path_factory.mktemp("launched")
    # both runs that are compared have to compute in the same precision
    fixed = tiny_text.replace("save_every: 0}", "save_every: 0, precision: float32}")
    assert fixed != tiny_text
    (folder / "tiny.yaml").write_text(fixed)
    (folder / "killer.py").write_text(KILLER)
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> Run:
    """Run python in the folder."""
    roots = os.pathsep.join(str(ROOT / root) for root in (".", "plugins", "kernels"))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=place,
            env={**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    return run


@pytest.mark.slow
@pytest.mark.parametrize("how", [[], ["--shard-weights"]], ids=["whole", "in shards"])
def test_priors_are_fitted_by_the_first_rank_to_what_all_have_trained(
    run: Run, place: Path, how: list[str]
) -> None:
    folder = f"fitted{len(how)}"
    fitted = ["--set", "model.static.prior={use: ex-post-mixture, components: 2}"]
    fitted += ["--set", "model.dynamic.prior={use: ex-post-lstm, hidden: 8, steps: 20}"]
    done = run(
        "-m", "genzoo_rwae", "build", "tiny.yaml", "-o", folder, "--devices", "2", *how, *fitted
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("static prior: 2 Gaussians") == 1
    assert done.stderr.count("dynamic prior: an LSTM with mixtures") == 1
    ours = load_file(place / folder / "model.safetensors")
    state = load_state(place / folder / "checkpoints" / "last.pt").model
    for prior in ("static_prior", "dynamic_prior"):
        assert ours[f"{prior}.fitted"]
        assert not state[f"{prior}.fitted"]
    for name in ("static_prior.mean", "dynamic_prior.mixtures.centre"):
        assert not torch.equal(ours[name], state[name])
    fitted_ones = ("static_prior.", "dynamic_prior.mixtures.", "dynamic_prior.fitted")
    for name in state:
        assert name.startswith(fitted_ones) or torch.equal(ours[name], state[name]), name


@pytest.fixture(scope="module")
def one_rank(run: Run, place: Path) -> Path:
    done = run("-m", "genzoo_rwae", "build", "tiny.yaml", "-o", "one")
    assert done.returncode == 0, done.stderr
    return place / "one"


def last_loss(folder: Path) -> float:
    loss: float = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["loss"]
    return loss


def distance(one: Path, other: Path) -> float:
    """Largest difference of two runs' weights, relative to the largest of a tensor."""
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (one, other))
    gaps = [(ours[n] - theirs[n]).abs().max() / (1e-3 + ours[n].abs().max()) for n in ours]
    return float(max(gaps))


@pytest.mark.slow
def test_a_rank_that_is_killed_ends_all_with_a_message_and_the_run_goes_on(
    run: Run, place: Path, one_rank: Path
) -> None:
    words = ("-m", "genzoo_rwae", "build", "tiny.yaml", "-o", "two")
    killed = run(*words, "--devices", "2", "-p", "killer.py")
    assert killed.returncode != 0
    assert (place / "killed").exists()
    ended = "another rank has ended" in killed.stderr or "terminated with code" in killed.stderr
    assert ended, killed.stderr
    assert time.time() - (place / "killed").stat().st_mtime < 60
    assert load_state(place / "two" / "checkpoints" / "last.pt").step == 5
    again = run(*words, "--devices", "2")
    assert again.returncode == 0, again.stderr
    assert "on 2 ranks; going on from step 5" in " ".join(again.stderr.split())
    assert again.stderr.count("run folder") == 1
    assert last_loss(place / "two") == pytest.approx(last_loss(one_rank), rel=1e-5)
    assert distance(one_rank, place / "two") < 1e-2


@pytest.mark.parametrize(
    ("name", "end", "said"),
    [
        ("other", "os.kill(os.getpid(), signal.SIGKILL)", "rank 1 has ended with -9"),
        ("leaves", "os._exit(0)", "rank 1 has ended with 0"),
        ("first", "os.kill(os.getppid(), signal.SIGKILL)", "the first rank has ended"),
    ],
    ids=["the other", "the other, in peace", "the first"],
)
def test_a_rank_that_ends_before_all_are_connected_is_told(
    run: Run, place: Path, name: str, end: str, said: str
) -> None:
    (place / f"{name}.py").write_text(
        "import os, signal\nfrom genzoo_rwae import hookimpl\n"
        f"if os.environ.get('LOCAL_RANK') == '1':\n    {end}\n"
        "@hookimpl\ndef genzoo_model_built(model):\n    del model\n"
    )
    words = ("-m", "genzoo_rwae", "build", "tiny.yaml", "-o", f"slain-{name}", "--devices", "2")
    began = time.monotonic()
    slain = run(*words, "-p", f"{name}.py")  # returns when the last of both has ended
    assert time.monotonic() - began < 60
    assert slain.returncode != 0
    assert f"{said} before all ranks were connected; the same command begins" in slain.stderr
    assert not (place / f"slain-{name}").exists()


@pytest.mark.slow
def test_torchrun_starts_the_ranks_and_starts_them_again_when_one_is_killed(
    run: Run, place: Path, one_rank: Path
) -> None:
    (place / "killed").unlink(missing_ok=True)
    done = run(
        "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1",
        "--standalone", "-m", "genzoo_rwae",
        "build", "tiny.yaml", "-o", "elastic", "-p", "killer.py",
    )  # fmt: skip
    assert (place / "killed").exists(), done.stderr
    assert done.returncode == 0, done.stderr
    assert "going on from step 5" in " ".join(done.stderr.split())
    assert last_loss(place / "elastic") == pytest.approx(last_loss(one_rank), rel=1e-5)
    assert distance(one_rank, place / "elastic") < 1e-2
    rows = (place / "elastic" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 10, 12]


@pytest.mark.slow
def test_ranks_that_keep_shards_build_the_run_of_one(run: Run, place: Path, one_rank: Path) -> None:
    words = ("-m", "genzoo_rwae", "build", "tiny.yaml", "-o", "shards")
    done = run(*words, "--devices", "2", "--shard-weights")
    assert done.returncode == 0, done.stderr
    assert "contiguous, on 2 ranks, weights in shards" in " ".join(done.stderr.split())
    assert last_loss(place / "shards") == pytest.approx(last_loss(one_rank), rel=1e-5)
    assert distance(one_rank, place / "shards") < 1e-2
    assert (place / "shards" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="threads cannot be held back here")
def test_threads_of_gloo_that_are_late_abort_no_rank(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen([sys.executable, "-c", BUSY])]
    try:
        for number in range(3):
            words = [sys.executable, "-c", LATE, str(tmp_path / f"met{number}")]
            ranks = [subprocess.Popen([*words, rank], env=environment) for rank in "01"]
            running += ranks
            assert [rank.wait(timeout=100) for rank in ranks] == [0, 0]
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_more_ranks_than_rows_are_refused(run: Run) -> None:
    words = ("-m", "genzoo_rwae", "build", "tiny.yaml", "-o", "few", "--set", "data.batch=2")
    done = run(*words, "--devices", "3")
    assert done.returncode == 2
    assert done.stderr.count("a batch of 2 over 3 ranks") == 1


@pytest.mark.slow
def test_what_a_script_does_after_a_build_it_does_once_and_in_silence(
    run: Run, place: Path
) -> None:
    (place / "script.py").write_text(SCRIPT)
    done = run("script.py")
    assert done.returncode == 0, done.stderr
    # torch 2.10 says there that ranks are connected
    said = [line for line in done.stdout.splitlines() if not line.startswith("[Gloo]")]
    assert " ".join(said).split() == ["patience", "1800", "refused", "Rwae"]
    assert done.stderr == ""
    # by the time that what was registered first runs, ranks have disconnected
    assert [(place / f"connected-{rank}").read_text() for rank in (0, 1)] == ["False", "False"]
