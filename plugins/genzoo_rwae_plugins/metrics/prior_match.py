"""Are the codes distributed as the prior? A two-sample test.

Shapes: N sequences, T time, D code width, P values of a whole path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

import torch
from einops import rearrange
from genzoo_rwae_kernels import two_sample_test
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from genzoo_rwae.codes import draw_sample
from genzoo_rwae.components import Use, hookimpl, metric
from genzoo_rwae.evaluation import Figure, Splits
from genzoo_rwae.evaluation.codes import spread_indices, taken
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.padding import true_steps
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import SequenceData
from genzoo_rwae_plugins.kernels.radial import Imq

__all__ = ["prior_match"]

_NOTE = (
    "by permutations; below .05 this many sequences tell the codes from the prior, above it they "
    "do not, which proves no match"
)


@metric("prior-match")
@torch.no_grad()
def prior_match(
    model: SequenceModel,
    splits: Splits,
    /,
    *,
    sequences: Annotated[int, Field(ge=2)] = 500,
    permutations: PositiveInt = 999,
    kernel: Annotated[Callable[[Tensor, Tensor], Tensor], Use("kernel")] = Imq(),
    seed: NonNegativeInt = 0,
) -> Figures:
    """Two-sample tests of the codes of test sequences against draws of the prior.

    Codes are draws of the posteriors, not their means, since it is the aggregated posterior that a
    Wasserstein autoencoder matches to the prior. Paths are cut to the true lengths on both sides.
    The prior is that of samples: one that was fitted to codes when training was over matches them
    whatever the penalty did (`ex-post-mixture`, `ex-post-lstm`).

    Args:
        sequences: most test sequences, and draws of the prior.
        permutations: of the pooled rows; the smallest p-value is 1 / (permutations + 1).
        kernel: of the MMD.
        seed: of draws and permutations.

    Source: Gretton et al., JMLR 13 (2012), Sec. 5; p-values: Phipson and Smyth, SAGMB 9 (2010).
    """
    generator = torch.Generator().manual_seed(seed)
    codes = _codes(model, splits.test, sequences, generator)
    if codes is None:
        note = "needs two test sequences"
        return {"static code": {"p-value": Figure(None, good="higher", note=note)}}
    (static_ND, path_NP), prior = codes
    pairs = {
        "static code": (static_ND, prior[0]),
        "dynamic path": (path_NP, prior[1]),
        "both together": tuple(torch.cat(side, -1) for side in ((static_ND, path_NP), prior)),
    }
    figures: dict[str, dict[str, Figure]] = {}
    for name, (q_NP, p_NP) in pairs.items():
        found = two_sample_test(q_NP, p_NP, kernel, permutations=permutations, generator=generator)
        note = f"{len(q_NP)} sequences against {len(p_NP)} draws"
        figures[name] = {
            "p-value": Figure(found.p_value, good="higher", note=f"{note}, {_NOTE}"),
            "mmd2": Figure(found.statistic, good="lower", note=f"{note}, unbiased"),
        }
    return figures


Codes = tuple[Tensor, Tensor]


def _codes(
    model: SequenceModel, data: SequenceData, most: int, generator: torch.Generator
) -> tuple[Codes, Codes] | None:
    """Static codes [N, D] and paths [N, P] of sequences, and the same of the prior."""
    if len(data) < 2:
        return None
    draw = draw_sample(generator)
    static: list[Tensor] = []
    prior_static: list[Tensor] = []
    paths: list[Tensor] = []
    prior_paths: list[Tensor] = []
    for batch in taken(data, spread_indices(len(data), most)):
        x_BT = model.prepare(batch.x_BT)
        inferred = model.infer(x_BT, batch.lengths_B, draw)
        drawn = model.sample_prior(x_BT.shape[0], x_BT.shape[1], draw)
        mask_BT1 = true_steps(x_BT.shape[1], batch.lengths_B, x_BT.device)[..., None]
        static.append(inferred.static.sample)
        prior_static.append(drawn.static_BD)
        # lengths of the prior's paths: the same, of other rows, since rows must not come in pairs
        other_BT1 = mask_BT1[torch.randperm(len(mask_BT1), generator=generator)]
        paths.append(rearrange(inferred.dynamic.sample * mask_BT1, "b t d -> b (t d)"))
        prior_paths.append(rearrange(drawn.dynamic_BTD * other_BT1, "b t d -> b (t d)"))
    return (
        (torch.cat(static), torch.cat(paths)),
        (torch.cat(prior_static), torch.cat(prior_paths)),
    )


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield prior_match
