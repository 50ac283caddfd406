"""Sources of one's own are looked through before anything is built on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from genzoo_rwae import Batch, DataInfo, SequenceData, hookimpl, source
from genzoo_rwae.codes import Codes, DiagonalGaussian, DynamicCode, StaticCode
from genzoo_rwae.errors import DataError
from genzoo_rwae.evaluation.codes import drawn_codes, encode_split, taken
from genzoo_rwae.run import check
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Factor
from genzoo_rwae.source_trial import try_source
from genzoo_rwae.training.batches import taken as taken_in_training
from genzoo_rwae.zoo import Plugin, Zoo

Change = Callable[[Batch], object]
INFO = DataInfo((3,), 5, True, (Factor("kind", ("a", "b"), "static"),))


class Own(SequenceData):
    """Ten sequences, as `change` leaves them."""

    def __init__(self, info: DataInfo = INFO, change: Change = lambda batch: batch) -> None:
        self.info, self.change = info, change

    def __len__(self) -> int:
        return 10

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Any:
        indices = torch.as_tensor(indices_B)
        x_BT = (indices / 10).reshape(-1, 1, 1).expand(-1, 5, 3).clone()
        labels = {"kind": indices % 2}
        return self.change(Batch(x_BT, torch.full((len(indices),), 5), indices, labels))


def frames(change: Callable[[torch.Tensor], object]) -> Change:
    return lambda batch: replace(batch, x_BT=change(batch.x_BT))  # type: ignore[arg-type]


def lengths(change: Callable[[torch.Tensor], object]) -> Change:
    return lambda batch: replace(batch, lengths_B=change(batch.lengths_B))  # type: ignore[arg-type]


def labels(**given: object) -> Change:
    return lambda batch: replace(batch, factors=given)  # type: ignore[arg-type]


def holed(value: float, step: int = 2) -> Change:
    return frames(lambda x_BT: x_BT.index_fill(1, torch.tensor([step]), value))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (frames(lambda x: x * 255), "values from 0 to 230, and info calls them bounded"),
        (frames(lambda x: x - 0.6), "values from -0.6 to 0.3, and info calls them bounded"),
        (frames(lambda x: x.long()), "torch.int64 frames; wanted torch.uint8"),
        (frames(lambda x: x.numpy()), "a ndarray as x_BT of a batch; wanted a torch.Tensor"),
        (frames(lambda x: x[..., :2]), r"shape \[4, 5, 2\] .*: wanted \[4, 5, 3\]"),
        (frames(lambda x: x[:3]), r"shape \[3, 5, 3\] for 4 sequences"),
        (frames(lambda x: x.repeat(1, 2, 1)), r"shape \[4, 10, 3\]"),
        (frames(lambda x: x[:, :0]), r"shape \[4, 0, 3\]"),
        (frames(lambda x: x[:, 0]), r"shape \[4, 3\]"),
        (holed(float("nan")), "NaN, and info does not say that some are missing"),
        (holed(float("inf")), "values that are infinite"),
        (frames(lambda x: x + 0.1 * torch.rand(())), "other values when the same sequences"),
        (lengths(lambda n: n.float()), r"lengths_B of shape \[4\] and torch.float32"),
        (lengths(lambda n: n.bool()), r"lengths_B of shape \[4\] and torch.bool"),
        (lengths(lambda n: n[:2]), r"lengths_B of shape \[2\] and torch.int64"),
        (lengths(lambda n: n + 1), "lengths_B from 6 to 6; wanted true lengths from 1 to 5"),
        (lengths(lambda n: n * 0), "lengths_B from 0 to 0"),
        (labels(), "no labels of the factor 'kind'"),
        (labels(kind=np.arange(4)), r"a ndarray as factors\['kind'\]"),
        (labels(kind=torch.zeros(4)), r"'kind' of shape \[4\] and torch.float32"),
        (labels(kind=torch.zeros(4, 1, dtype=torch.long)), r"'kind' of shape \[4, 1\]"),
        (labels(kind=torch.tensor([0, 1, 2, 0])), "'kind' from 0 to 2; info names 2 classes"),
        (labels(kind=torch.tensor([0, 1, -1, 0])), "'kind' from -1 to 1"),
        (lambda batch: batch.x_BT, "a Tensor where sequences are taken; wanted a Batch"),
        (
            lambda batch: replace(batch, indices_B=batch.indices_B.flip(0)),
            r"the sequences \[9, .*\] where \[0, .*\] are asked for",
        ),
    ],
)
def test_what_a_source_gives_wrongly_is_said(change: Change, said: str) -> None:
    with pytest.raises(DataError, match=f"the source 'own' gives .*{said}"):
        try_source(Own(change=change), "own")


@pytest.mark.parametrize(
    ("info", "change"),
    [
        (INFO, lambda batch: batch),
        (INFO, frames(lambda x: (x * 255).byte())),
        (INFO, frames(lambda x: x.double())),
        (INFO, frames(lambda x: x * 1.4)),  # noise on images
        (INFO, frames(lambda x: x[:, :4])),  # a batch without its longest sequence, with
        (replace(INFO, bounded=False), frames(lambda x: x * 255)),
        (replace(INFO, missing=True), holed(float("nan"))),
        (replace(INFO, missing=True), frames(lambda x: x * float("nan"))),
    ],
)
def test_what_a_source_may_give_passes(info: DataInfo, change: Change) -> None:
    def short(batch: Batch) -> Batch:
        return replace(batch, lengths_B=batch.lengths_B.clamp_max(batch.x_BT.shape[1]))

    try_source(Own(info, lambda batch: short(change(batch))), "own")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 0.1, 0.0])
def test_there_is_nothing_beyond_the_true_length(value: float) -> None:
    own = Own(change=lambda b: replace(holed(value, 4)(b), lengths_B=b.lengths_B - 1))  # type: ignore[type-var]
    if not value:
        try_source(own, "own")
        return
    with pytest.raises(DataError, match="not 0 beyond the true lengths; wanted zeros"):
        try_source(own, "own")


@pytest.mark.parametrize("made", [None, "data"])
def test_what_is_no_source_is_named(made: object) -> None:
    with pytest.raises(DataError, match=f"a {type(made).__name__}; wanted a SequenceData"):
        try_source(made, "own")
    without = Own()
    del without.info
    with pytest.raises(DataError, match="without `info`"):
        try_source(without, "own")


def test_a_split_without_sequences_has_nothing_to_be_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Own, "__len__", lambda self: 0)
    try_source(Own(change=lambda batch: None), "own", "validation")
    with pytest.raises(DataError, match="no test sequences; wanted at least one"):
        try_source(Own(), "own", "test")


def test_a_value_that_is_missing_one_time_and_0_the_next_is_told() -> None:
    taken: list[Batch] = []

    def change(batch: Batch) -> Batch:
        taken.append(batch)
        hole = float("nan") if len(taken) == 1 else 0.0
        return holed(hole)(batch)  # type: ignore[return-value]

    with pytest.raises(DataError, match="other values when the same sequences are taken again"):
        try_source(Own(replace(INFO, missing=True), change), "own")


def test_rows_that_depend_on_their_place_in_a_batch_are_told() -> None:
    own = Own(change=frames(lambda x: x * 0.5 + torch.arange(len(x))[:, None, None] / 100))
    with pytest.raises(DataError, match="other values of a sequence that stands elsewhere in a"):
        try_source(own, "own")


def test_a_source_that_takes_no_draw_is_known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taking = Own.take
    monkeypatch.setattr(Own, "take", lambda self, indices_B: taking(self, indices_B))
    with pytest.raises(TypeError, match="draw"):
        try_source(Own(), "own")


@pytest.mark.parametrize("faulty", ["train", "validation", "test"])
def test_a_build_tries_the_sources_of_plugins_before_it_begins(
    faulty: str, write: Callable[[str, str], Path], tiny: str, tmp_path: Path
) -> None:
    from genzoo_rwae import build

    def own(split: str, /) -> SequenceData:
        """Mine."""
        change = frames(lambda x: x * 255) if split == faulty else lambda batch: batch
        return Own(change=change)

    zoo, offering = Zoo(), ModuleType("offering")
    offering.genzoo_sources = hookimpl(lambda: [source("own")(own)])  # type: ignore[attr-defined]
    zoo.register(offering, Plugin("offering", "python", "here"))
    spec = write("spec.yaml", tiny)
    settings = {"data": {"use": "own", "batch": 8}, "evaluate": []}
    with pytest.raises(DataError, match=r"data: the source 'own' gives values from 0 to 230"):
        build(spec, run=tmp_path / "run", settings=settings, zoo=zoo)
    assert not (tmp_path / "run").exists()
    with pytest.raises(DataError, match="data: the source 'own' gives"):
        check(spec, settings=settings, zoo=zoo)


class LateLabels(Own):
    """The label of one sequence, which no trial sees, is none of the two classes."""

    strange, label = 5, 2

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        batch: Batch = super().take(indices_B, draw=draw)
        is_it_B = torch.from_numpy(indices_B) == self.strange
        labels_B = torch.where(is_it_B, self.label, batch.factors["kind"])
        return replace(batch, factors={"kind": labels_B})


class NegativeLabels(LateLabels):
    label = -1


class NoLabels(Own):
    """Those of one sequence are not there."""

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        batch: Batch = super().take(indices_B, draw=draw)
        return replace(batch, factors={}) if 5 in indices_B else batch


@pytest.mark.parametrize("faulty", ["train", "test"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            LateLabels,
            "sequence 5 has the label 2 of the factor 'kind', which has 2 classes; want",
        ),
        (NegativeLabels, "sequence 5 has the label -1 of the factor 'kind'"),
    ],
)
def test_a_strange_label_far_inside_a_split_is_named_with_its_sequence(
    kind: type[Own],
    said: str,
    faulty: str,
    write: Callable[[str, str], Path],
    tiny: str,
    tmp_path: Path,
) -> None:
    from genzoo_rwae import build

    def own(split: str, /) -> SequenceData:
        """Mine."""
        return (kind if split == faulty else Own)()

    zoo, offering = Zoo(), ModuleType("offering")
    offering.genzoo_sources = hookimpl(lambda: [source("own")(own)])  # type: ignore[attr-defined]
    zoo.register(offering, Plugin("offering", "python", "here"))
    metrics = [] if faulty == "train" else ["probes"]
    settings = {"data": {"use": "own", "batch": 10}, "evaluate": metrics}
    with pytest.raises(DataError, match=said):
        build(write("spec.yaml", tiny), run=tmp_path / "run", settings=settings, zoo=zoo)


def test_labels_that_are_not_there_are_told_where_they_are_measured() -> None:
    own, told = NoLabels(), "have no labels of the factor 'kind', which the data's in"
    model = Still(INFO)
    for_training = taken_in_training(own, np.arange(10), step=1)
    assert not for_training.factors
    assert len(list(taken(own, np.arange(10)))) == 1
    assert len(drawn_codes(model, own, 10, torch.Generator()).static_ND) == 10
    with pytest.raises(DataError, match=told):
        encode_split(model, own, 10)


class Still(SequenceModel):
    """Whose codes are all 0."""

    def __init__(self, info: DataInfo) -> None:
        super().__init__(info)
        self.anchor = torch.nn.Parameter(torch.zeros(()))  # a device to be on

    def infer(self, x_BT: torch.Tensor, lengths_B: torch.Tensor, draw: Any) -> Codes:
        zero_BTD = torch.zeros(*x_BT.shape[:2], 1)
        law = DiagonalGaussian(zero_BTD, zero_BTD)
        static = DiagonalGaussian(zero_BTD[:, 0], zero_BTD[:, 0])
        return Codes(
            StaticCode(static.mean, static, static), DynamicCode(zero_BTD, law, law, zero_BTD)
        )

    def decode(self, latents: Any) -> torch.Tensor:
        raise AssertionError("nobody asks")

    def sample_prior(self, *given: Any) -> Any:
        raise AssertionError("nobody asks")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lengths(lambda n: 5 - torch.arange(len(n)) % 2), "other lengths_B of a sequence"),
        (
            lambda batch: replace(batch, factors={"kind": torch.arange(len(batch)) % 2}),
            "other labels of 'kind' of a sequence",
        ),
    ],
)
def test_lengths_and_labels_that_depend_on_the_place_are_told(change: Change, said: str) -> None:
    def still(batch: Batch) -> Batch:
        return replace(batch, x_BT=batch.x_BT * 0)

    with pytest.raises(DataError, match=said):
        try_source(Own(change=lambda batch: change(still(batch))), "own")
