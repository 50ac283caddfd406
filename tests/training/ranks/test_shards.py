"""Two ranks that keep shards of the weights have the numbers of one rank, and its files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import genzoo_rwae as gz
from genzoo_rwae.assemble import open_split
from genzoo_rwae.ranks import Ranks
from genzoo_rwae.run import _check_ranks, check
from genzoo_rwae.training.launch import launch
from genzoo_rwae.training.precision import choose_execution
from genzoo_rwae.training.sharding import check_cuttable

ROOT = Path(__file__).parents[3]
# as in test_one_two_four.py; a penalty with a critic plays, whose Adam turns roundings into steps
LOSSES, GRADIENTS, WEIGHTS = 1e-4, 1e-5, 5e-3


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script finds."""
    folder = tmp_path_factory.mktemp("shards")
    roots = os.pathsep.join(str(ROOT / root) for root in (".", "plugins", "kernels"))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("in_shards.py")), str(folder)],
        env={**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


def test_losses_and_clipped_gradients_are_those_of_one_rank(found: dict[str, Any]) -> None:
    assert found["shortest gradient"] > found["clip"]
    assert found["losses"] < LOSSES
    assert found["gradients"] < GRADIENTS


def test_bfloat16_nets_train_in_shards_too(found: dict[str, Any]) -> None:
    assert found["losses in bf16"] < 0.02  # two digits and a half


@pytest.mark.parametrize("run", ["kept", "begun in shards", "begun on one"])
def test_checkpoints_are_those_of_one_rank_wherever_the_run_began(
    found: dict[str, Any], run: str
) -> None:
    assert found[run] < WEIGHTS


@pytest.mark.parametrize("part", ["weights", "gradients", "optimizer"])
def test_a_rank_keeps_about_half_of_everything(found: dict[str, Any], part: str) -> None:
    shares = [of_rank[part] for of_rank in found["shares"]]
    assert sum(shares) == pytest.approx(1.0)
    assert shares == pytest.approx([0.5, 0.5], abs=0.1)


def test_the_model_that_was_built_lends_its_weights_and_has_the_trained_ones_at_the_end(
    found: dict[str, Any],
) -> None:
    assert [of_rank["lender"] for of_rank in found["shares"]] == [0.0, 0.0]
    assert found["model is plain"]
    assert found["model"] == 0.0


def test_a_signal_to_one_rank_ends_the_run_after_all_have_given_their_shards(
    found: dict[str, Any],
) -> None:
    first, second = found["terminated"]
    assert first.startswith("InterruptedRunError: stopped by SIGTERM at step 2")
    assert second == "SystemExit 143"
    assert found["terminated at"] == 2


# -- what is refused ------------------------------------------------------------------------------


def test_shards_on_one_rank_are_refused() -> None:
    with pytest.raises(gz.SpecError, match=r"--shard-weights on one rank.*goes on without"):
        launch(1, shard_weights=True)


def test_weights_that_are_to_be_channels_last_are_refused_at_their_place(tiny_spec: Path) -> None:
    spec = gz.load_spec(tiny_spec, settings={"train.layout": "channels-last"})
    two = Ranks()
    two.count = 2
    with pytest.raises(gz.SpecError, match=r"train\.layout: channels-last, and weights in shards"):
        _check_ranks(spec, open_split(spec, "train"), two, shard_weights=True)


def test_shards_lie_contiguous_where_the_layout_is_left_open(tiny_spec: Path) -> None:
    train = gz.load_spec(tiny_spec).train
    layouts = [choose_execution(train, (1, 8, 8), sharded=s).layout for s in (False, True)]
    assert layouts == ["channels-last", "contiguous"]


def test_a_parameter_without_axes_is_refused_by_its_name(tiny_spec: Path) -> None:
    _, assembled = check(tiny_spec)
    check_cuttable(assembled.model, assembled.objective)
    assembled.model.scale = torch.nn.Parameter(torch.tensor(1.0))
    with pytest.raises(gz.PluginError, match=r"'model\.scale' is a single number.*make it \[1\]"):
        check_cuttable(assembled.model, assembled.objective)
