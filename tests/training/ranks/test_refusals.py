"""What cannot be launched or trained on several ranks, and how a lost rank is told."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import genzoo_rwae as gz
from genzoo_rwae.ranks import Ranks
from genzoo_rwae.run import _check_ranks
from genzoo_rwae.training.launch import launch, noticed_losses


def several(count: int = 2) -> Ranks:
    ranks = Ranks()
    ranks.count = count
    return ranks


class Mixed(gz.SequenceData):
    """Sequences that lose the mean of the batch that they are in."""

    info = gz.DataInfo((2,), 3, bounded=False)

    def __len__(self) -> int:
        return 8

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> gz.Batch:
        indices_B = torch.as_tensor(indices_B)
        x_BTF = indices_B[:, None, None].float().expand(-1, 3, 2)
        lengths_B = torch.full_like(indices_B, 3)
        return gz.Batch(x_BTF - x_BTF.mean(), lengths_B, indices_B)


def test_sequences_that_depend_on_their_batch_are_refused(tiny_spec: Path) -> None:
    spec = gz.load_spec(tiny_spec)
    _check_ranks(spec, Mixed(), Ranks())
    with pytest.raises(gz.DataError, match="'digits' depend on the batch"):
        _check_ranks(spec, Mixed(), several())


def test_a_batch_of_fewer_rows_than_ranks_is_refused_at_its_place(tiny_spec: Path) -> None:
    spec = gz.load_spec(tiny_spec)
    with pytest.raises(gz.SpecError, match=r"tiny\.yaml:3:\d+: data\.batch: a batch of 16 over 17"):
        _check_ranks(spec, Mixed(), several(17))


def test_devices_that_torchrun_has_not_started_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(gz.SpecError, match="--devices 3 under torchrun, which has started 2"):
        launch(3)


def test_processes_without_a_file_to_run_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys.modules["__main__"], "__file__")
    with pytest.raises(gz.SpecError, match=r"devices=2 from a notebook.*genzoo build SPEC --dev"):
        launch(2)
    assert launch(1).world_size == 1


def test_a_second_build_on_several_ranks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    with pytest.raises(gz.SpecError, match=r"connected already.*one build on several ranks"):
        launch(2)
    assert launch().world_size == 1


@pytest.mark.parametrize(("torchrun", "code"), [(True, 3), (False, 0)])
def test_a_rank_leaves_with_the_code_of_an_error_only_where_a_launcher_wants_to_know(
    monkeypatch: pytest.MonkeyPatch, torchrun: bool, code: int
) -> None:
    monkeypatch.setattr("torch.distributed.is_torchelastic_launched", lambda: torchrun)
    assert several().silent_exit(3).code == code


def test_one_device_is_this_process() -> None:
    assert launch().world_size == launch(1).world_size == 1


@pytest.mark.parametrize(
    ("ranks", "text", "wanted"),
    [
        (several(), "[gloo/transport/tcp/pair.cc] Connection closed by peer", gz.RunError),
        (several(), "shapes do not fit", RuntimeError),
        (Ranks(), "gloo", RuntimeError),
    ],
)
def test_only_a_lost_rank_is_told_as_one(ranks: Ranks, text: str, wanted: type[Exception]) -> None:
    with pytest.raises(wanted) as caught, noticed_losses(ranks):
        raise RuntimeError(text)
    assert type(caught.value) is wanted
    if wanted is gz.RunError:
        assert "rank 0 of 2: another rank has ended" in str(caught.value)
        assert "not answered for 30 minutes" in str(caught.value)
