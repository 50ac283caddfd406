"""What samples show under priors that are fitted when training is over, the weights being the same.

    python benchmarks/fitted_priors.py docs/results/sprites-samples.md RUN [RUN ...]

Each run has priors of z^c and of z^m that were fitted to its codes (`ex-post-mixture` and
`ex-post-lstm`). It draws samples with those of the training, N(0, I) and an LSTM that penalties
matched step by step, with one of the two fitted, with both, and with codes of training clips
themselves, z^c of one clip and z^m of another: no prior can be expected to do better. `fix-content`
keeps z^c of test clips and draws z^m (300 of them, twice); all other columns are of `unconditional`
(1,000 samples). The judge is that of the run's spec, which sees test clips for comparison.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from genzoo_rwae_plugins.metrics.fix_content import fix_content
from genzoo_rwae_plugins.metrics.unconditional import unconditional
from genzoo_rwae_plugins.models.rwae import Rwae
from genzoo_rwae_plugins.priors.ex_post import ExPostMixture
from genzoo_rwae_plugins.priors.ex_post_lstm import ExPostLstm
from measuring import page_of_a_table, versions
from rich.console import Console
from static_priors import OfCodes
from torch import Tensor, nn

import genzoo_rwae as gz
from genzoo_rwae.codes import Draw, DynamicPrior
from genzoo_rwae.evaluation.codes import encode_split
from genzoo_rwae.evaluation.judge_cache import judge_for
from genzoo_rwae.run import open_splits
from genzoo_rwae.spec import load_spec

CODES = 8_000  # training clips
KEPT = 300  # test clips whose z^c is kept
SHOWN = 1_000  # samples
COLUMNS = (
    "run", "z^c", "z^m", "kept", "motion: H(y given x)", "samples, motion: H(y given x)",
    "its H(y)", "attributes: H(y given x)", "their H(y)", "Fréchet",
)  # fmt: skip


class OfPaths(nn.Module):
    """Some paths [N, T, D], whichever come; laws along paths are those of a prior."""

    def __init__(self, z_NTD: Tensor, prior: DynamicPrior) -> None:
        super().__init__()
        self.z_NTD, self.along = z_NTD, prior.along

    def roll_out(self, count: int, length: int, draw: Draw) -> Tensor:
        chosen = torch.randint(len(self.z_NTD), (count,), generator=draw.generator)
        return self.z_NTD[chosen, :length]


def cells(model: Rwae, splits: Any, judge: Any) -> list[list[str]]:
    """What is measured with the priors that the model has, and the same of test clips."""
    kept: Any = fix_content(model, splits, judge, decode_prior="sample", sequences=KEPT, repeats=2)[
        "prior samples"
    ]
    kept = {name.split(", ")[-1]: figures for name, figures in kept.items()}
    shown: Any = unconditional(model, splits, judge, sequences=SHOWN)
    apart = shown.pop("Fréchet distance to test")
    motion = shown.pop("action")
    words = ("H(y|x)", "H(y)")
    ours = [kept["kept"]["mean"].value, kept["action"]["H(y|x)"].value]
    ours += [motion[word].value for word in words]
    ours += [fmean(of[word].value for of in shown.values()) for word in words]
    real = [motion[word].baselines["test sequences"] for word in words]
    real += [fmean(of[word].baselines["test sequences"] for of in shown.values()) for word in words]
    told = [[f"{value:.3f}" for value in values] for values in (ours, real)]
    return [[*told[0], f"{apart.value:.1f}"], ["", "", *told[1], ""]]


@torch.no_grad()
def rows_of(run: Path) -> list[str]:
    spec = load_spec(str(run / "spec.yaml"))
    splits = open_splits(spec)
    judge = judge_for(spec, splits, Console())
    model = gz.load(run)
    assert isinstance(model, Rwae)
    static, dynamic = model.static_prior, model.dynamic_prior
    assert isinstance(static, ExPostMixture)
    assert isinstance(dynamic, ExPostLstm)
    rows = []
    for fitted_static, fitted_dynamic in ((0, 0), (1, 0), (0, 1), (1, 1)):
        static.fitted.fill_(bool(fitted_static))
        dynamic.fitted.fill_(bool(fitted_dynamic))
        said = [("of the training", "fitted")[fitted] for fitted in (fitted_static, fitted_dynamic)]
        rows.append([run.name, *said, *cells(model, splits, judge)[0]])
        print(rows[-1], flush=True)
    drawn = encode_split(model, splits.train, CODES, torch.Generator().manual_seed(0))
    model.static_prior = OfCodes(drawn.static_ND)
    model.dynamic_prior = OfPaths(drawn.dynamic_NTD, dynamic)
    ours, real = cells(model, splits, judge)
    rows += [[run.name, "codes", "codes", *ours], ["test clips", "", "", *real]]
    return [f"| {' | '.join(row)} |" for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    page = page_of_a_table(
        "Samples of Sprites, by when the priors were fitted",
        __doc__,
        COLUMNS,
        [row for run in arguments.runs for row in rows_of(run)],
        [f"versions: {versions('torch', 'scikit-learn')}, genzoo-rwae {gz.__version__}"],
    )
    arguments.page.write_text(page)


if __name__ == "__main__":
    main()
