"""Is it the same voice? Verification by the angle between codes, as published for speech.

Shapes: N sequences, U recordings, T time, D code width.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import PositiveInt

from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.evaluation import EncodedSplit, Figure, Splits, encode_split
from genzoo_rwae.evaluation.codes import spread_indices
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.evaluation.probe import UNSEEN, chance_of, linear_probe, score_probe, unseen
from genzoo_rwae.evaluation.raw import mean_frames
from genzoo_rwae.evaluation.verification import (
    Pairs,
    all_pairs,
    equal_error_rate,
    mean_of_groups,
)
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import SequenceData

__all__ = ["speaker_verification"]

_BLIND = "high also where these codes hold nothing: read it beside what they tell of the content"


@metric("speaker-verification")
def speaker_verification(
    model: SequenceModel,
    splits: Splits,
    /,
    *,
    factor: str = "speaker",
    recordings: PositiveInt = 3_000,
    fitted: PositiveInt = 2_000,
) -> Figures:
    """Equal error rate of all pairs of test recordings, by the cosine of the angle of their codes.

    A recording's static code is the mean over its pieces, its dynamic one the mean over pieces and
    steps. Low is good for the static code, high for the dynamic ones; these score high as well if
    they hold nothing, and so what a linear probe reads of the content (every dynamic factor) from
    them stands beside it. Data that were not cut have one piece a recording. The baseline is the
    mean spectrum: the mean frame, less that of the training data.

    Args:
        factor: the factor that says whose voice it is, or any other identity.
        recordings: most test recordings, spread evenly; pairs grow with their square.
        fitted: most training sequences that the content's probes are fitted on.

    Source: the protocol of Hsu et al., arXiv 1709.07902, as in Li and Mandt, arXiv 1803.02991.
    """
    names = [known.name for known in model.info.factors]
    if factor not in names:
        known = ", ".join(names) or "none"
        note = f"the data have no factor '{factor}'; known: {known}"
        return {"static code": Figure(None, good="lower", note=note)}
    pieces_N, groups_N = _pieces(splits.test, recordings)
    test = encode_split(model, splits.test, pieces_N)
    identity_N = test.factors[factor].numpy()

    def pairs(x_ND: np.ndarray) -> Pairs:
        return all_pairs(*mean_of_groups(x_ND, identity_N, groups_N))

    usual_P = np.nanmean(mean_frames(splits.train, spread_indices(len(splits.train), fitted)), 0)
    frames = pairs(np.nan_to_num(mean_frames(splits.test, pieces_N) - usual_P))
    by_frame = equal_error_rate(frames)
    baselines = {} if by_frame is None else {"mean frame": by_frame}
    static = equal_error_rate(pairs(test.static_ND.cpu().numpy()))
    dynamic = equal_error_rate(pairs(test.dynamic_mean().cpu().numpy()))
    count = len(np.unique(groups_N)) if groups_N is not None else len(pieces_N)
    note = f"{count:,} recordings, {int(frames.same_P.sum()):,} pairs of one {factor}"
    if by_frame is None:
        note += "; needs pairs of one and of two"
    return {
        "static code": Figure(static, 0.5, baselines, "lower", note=note),
        "dynamic codes": Figure(dynamic, 0.5, baselines, "higher", note=f"{note}; {_BLIND}"),
        "content in the dynamic codes": _content(model, splits, test, fitted),
    }


def _content(model: SequenceModel, splits: Splits, test: EncodedSplit, fitted: int) -> Figures:
    """What a linear probe of whole paths tells of every dynamic factor."""
    train = encode_split(model, splits.train, fitted)
    x_NF, x_test_NF = (codes.features()["dynamic codes"] for codes in (train, test))
    found = {}
    for factor in model.info.factors:
        if factor.code == "dynamic":
            y_N, y_test_N = train.factors[factor.name].numpy(), test.factors[factor.name].numpy()
            if unseen(y_N, y_test_N):
                found[factor.name] = Figure(None, good="higher", note=UNSEEN)
                continue
            accuracy = score_probe(linear_probe(), x_NF, y_N, x_test_NF, y_test_N)
            note = "accuracy of a linear probe, piece by piece"
            found[factor.name] = Figure(
                accuracy, chance=chance_of(y_test_N), good="higher", note=note
            )
    return found


def _pieces(data: SequenceData, most: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The pieces of at most `most` recordings, and which recording each is of."""
    every_N = np.arange(len(data))
    groups_N = data.groups(every_N)
    whole_U = every_N if groups_N is None else np.unique(groups_N)
    whole_U = whole_U[spread_indices(len(whole_U), most)]
    if groups_N is None:
        return whole_U, None
    kept_N = np.isin(groups_N, whole_U)
    return every_N[kept_N], groups_N[kept_N]


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield speaker_verification
