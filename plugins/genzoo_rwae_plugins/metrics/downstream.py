"""What the codes are worth for a task, beside what it takes no model to answer.

Shapes: N sequences, T time, F features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.errors import OptionError
from genzoo_rwae.evaluation import Figure, Splits, encode_split
from genzoo_rwae.evaluation.codes import spread_indices, taken
from genzoo_rwae.evaluation.downstream import HEADS, Classification, Regression, Task
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.evaluation.probe import UNSEEN, unseen
from genzoo_rwae.evaluation.raw import mean_frames
from genzoo_rwae.padding import true_steps
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import DataInfo, SequenceData

__all__ = ["downstream"]

_UNKNOWN = "needs sequences of both splits of which it is known what follows"

_MOST_VALUES = 20_000  # of a sequence; raw clips of images are more than a forest takes in a minute


@metric("downstream")
def downstream(
    model: SequenceModel,
    splits: Splits,
    /,
    *,
    factor: str | None = None,
    channel: str | None = None,
    ahead: PositiveInt = 1,
    fitted: PositiveInt = 2_000,
    tested: PositiveInt = 2_000,
    seed: NonNegativeInt = 0,
) -> Figures:
    """A linear head and a forest on the codes, for a class or for what follows, beside raw data.

    Codes are posterior means: the static code, the path of the dynamic ones, and both. Beside each
    stand a constant answer, and the same heads on the raw data: on all values, and on the means
    over time with the share of each that is there.

    Args:
        factor: classify this factor: accuracy, and of two classes the area under the ROC curve;
            null classifies every factor, or none where a channel is given.
        channel: or predict the mean of this channel over the next steps, in its own unit: mean
            absolute error, for windows of longer series.
        ahead: how many steps that mean is over.
        fitted: most training sequences that heads are fitted on.
        tested: most test sequences that they are scored on.
        seed: of forests.

    Raises:
        OptionError: both factor and channel, or the data have no such thing.
    """
    if factor is not None and channel is not None:
        raise OptionError("say either factor, a class to tell, or channel, a number to predict")
    train, test = (_rows(s, n) for s, n in ((splits.train, fitted), (splits.test, tested)))
    if channel is not None:
        train, y_N = train.followed(channel, ahead)
        test, y_test_N = test.followed(channel, ahead)
        name = f"{channel}, mean of {ahead} steps ahead"
        if not len(y_N) or not len(y_test_N):
            return {name: {"MAE": Figure(None, good="lower", note=_UNKNOWN)}}
        return _solved(model, train, test, {name: Regression(y_N, y_test_N, seed=seed)})
    names = [known.name for known in model.info.factors]
    asked = names if factor is None else [_known("factor", factor, names)]
    labels = {name: (train.labels(name), test.labels(name)) for name in asked}
    figures: dict[str, Figures] = {
        name: {"accuracy": Figure(None, good="higher", note=UNSEEN)}
        for name, pair in labels.items()
        if unseen(*pair)
    }
    tasks = {n: Classification(*pair, seed=seed) for n, pair in labels.items() if n not in figures}
    return {**figures, **_solved(model, train, test, tasks)}


def _solved(
    model: SequenceModel, train: _Rows, test: _Rows, tasks: Mapping[str, Task]
) -> dict[str, Figures]:
    """Figures of every task, by its name."""
    if not tasks:
        return {}
    raw, raw_test = train.raw(), test.raw()
    codes = encode_split(model, train.data, train.indices_N).features()
    codes_test = encode_split(model, test.data, test.indices_N).features()
    for features in (codes, codes_test):
        features["both codes"] = np.concatenate(list(features.values()), 1)
    note = f"{len(train.indices_N):,} fitted, {len(test.indices_N):,} tested"
    figures: dict[str, Figures] = {}
    for task_name, task in tasks.items():
        baselines = task.constant()
        for head in HEADS:
            for name, x_NF in raw.items():
                for score, value in task.scores(head, x_NF, raw_test[name]).items():
                    baselines[score][f"{head} on {name}"] = value
        found: dict[str, dict[str, Figure]] = {}
        for code, x_NF in codes.items():
            for head in HEADS:
                for score, value in task.scores(head, x_NF, codes_test[code]).items():
                    found.setdefault(f"{score}, {code}", {})[head] = Figure(
                        value, baselines=baselines[score], good=task.good[score], note=note
                    )
        figures[task_name] = found
    return figures


@dataclass(frozen=True)
class _Rows:
    """Some sequences of a split."""

    data: SequenceData
    indices_N: np.ndarray

    def labels(self, factor: str) -> np.ndarray:
        batches = taken(self.data, self.indices_N)
        return np.concatenate([batch.factors[factor].numpy() for batch in batches])

    def followed(self, channel: str, ahead: int) -> tuple[_Rows, np.ndarray]:
        """The sequences that something follows, and its mean over the next steps."""
        place = _channels(self.data.info).index(
            _known("channel", channel, _channels(self.data.info))
        )
        after_NTF = self.data.following(self.indices_N, ahead)
        if after_NTF is None:
            raise OptionError(
                "these data do not say what follows a sequence; name a factor", option="channel"
            )
        after_NT = after_NTF[..., place].numpy()
        there_N = ~np.isnan(after_NT).all(1)
        kept = _Rows(self.data, self.indices_N[there_N])
        return kept, np.nanmean(after_NT[there_N], 1)

    def raw(self) -> dict[str, np.ndarray]:
        """Features that take no model; NaN where a value is missing."""
        means_NF = mean_frames(self.data, self.indices_N)
        there = []
        for batch in taken(self.data, self.indices_N):
            true_BT1 = true_steps(batch.x_BT.shape[1], batch.lengths_B)[..., None]
            there_BTF = ~batch.x_BT.flatten(2).isnan() & true_BT1
            there.append((there_BTF.sum(1) / batch.lengths_B[:, None]).numpy())
        found = {"means over time": np.concatenate([means_NF, np.concatenate(there)], 1)}
        if means_NF.shape[1] * self.data.info.length <= _MOST_VALUES:
            values = [b.x_BT.flatten(1).float().numpy() for b in taken(self.data, self.indices_N)]
            found["raw data"] = np.concatenate(values)
        return found


def _rows(data: SequenceData, most: int) -> _Rows:
    return _Rows(data, spread_indices(len(data), most))


def _channels(info: DataInfo) -> list[str]:
    """Names of the values of a frame, or their places where they have none."""
    if info.display and info.display.names:
        return list(info.display.names)
    return (
        [str(place) for place in range(info.frame_shape[0])] if len(info.frame_shape) == 1 else []
    )


def _known(option: str, name: str, known: list[str]) -> str:
    if name not in known:
        raise OptionError(
            f"{option} '{name}': the data have {', '.join(known) or 'none'}", option=option
        )
    return name


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield downstream
