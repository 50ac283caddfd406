"""What samples show of digits under other priors of z^c, the weights being the same.

    python benchmarks/static_priors.py docs/results/moving-samples.md RUN [RUN ...]

Each run of moving digits draws samples from N(0, I), which its codes were pulled towards, from
mixtures of so many Gaussians that are fitted to codes of training clips (`ex-post-mixture`), and
from such codes themselves, of each digit by itself and in another order: no prior of z^c can be
expected to do better. Motion is always drawn from the run's own dynamic prior. Mixtures are fitted
anew, to other draws of codes than the run's own. The metrics are `long-samples`, frame by frame
(200 samples of 100 frames), and `unconditional` (400 samples), means over both digits, by the judge
of the run's spec, which sees test clips for comparison.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from genzoo_rwae_plugins.metrics.long_samples import long_samples
from genzoo_rwae_plugins.metrics.unconditional import unconditional
from genzoo_rwae_plugins.models.patches import PatchesRwae
from genzoo_rwae_plugins.models.sharing import SharedPrior
from genzoo_rwae_plugins.priors.ex_post import ExPostMixture
from genzoo_rwae_plugins.priors.gaussian import GaussianPrior
from measuring import page_of_a_table, versions
from rich.console import Console
from torch import Tensor

import genzoo_rwae as gz
from genzoo_rwae.codes import StaticPrior
from genzoo_rwae.evaluation import Figure
from genzoo_rwae.evaluation.codes import encode_split
from genzoo_rwae.evaluation.judge_cache import judge_for
from genzoo_rwae.run import open_splits
from genzoo_rwae.spec import load_spec

COMPONENTS = (10, 40, 80)
CODES = 8_000  # training clips
SHOWN = 400  # samples for H and the Fréchet distance
SHARES = ("kept", "the same in both halves")
CERTAINTY = ("H(y|x)", "H(y)")


class OfCodes(StaticPrior):
    """One of some codes [N, S], whichever comes."""

    def __init__(self, z_NS: Tensor) -> None:
        super().__init__()
        self.z_NS = z_NS

    def law(self, count: int) -> OneOf:
        return OneOf(self.z_NS, count)


class OneOf:
    """The law of one of some codes, in every row."""

    def __init__(self, z_NS: Tensor, count: int) -> None:
        self.z_NS, self.count = z_NS, count

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return self.z_NS[torch.randint(len(self.z_NS), (self.count,), generator=generator)]


def priors(z_BS: Tensor, things: int) -> dict[str, StaticPrior]:
    """Priors of all things together, by what the page calls them, from codes of all things."""
    size = z_BS.shape[1] // things
    found: dict[str, StaticPrior] = {"N(0, I)": GaussianPrior(size)}
    for components in COMPONENTS:
        found[f"{components} Gaussians"] = ExPostMixture(size, components=components)
    found["codes of training clips"] = OfCodes(z_BS.reshape(-1, size))
    shared = {name: SharedPrior(prior, things).eval() for name, prior in found.items()}
    for prior in shared.values():
        prior.fit_to(lambda _: z_BS)
    return shared


def means(kept: Any, shown: Any, told: Callable[[Figure], float | None]) -> list[str]:
    """Over all factors, in the order of the page's columns."""
    columns = [
        *(kept[share].values() for share in SHARES),
        *([of_factor[word] for of_factor in shown.values()] for word in CERTAINTY),
    ]
    return [f"{fmean(told(figure) for figure in column):.3f}" for column in columns]


@torch.no_grad()
def rows_of(run: Path) -> list[str]:
    spec = load_spec(str(run / "spec.yaml"))
    splits = open_splits(spec)
    judge = judge_for(spec, splits, Console())
    model = gz.load(run)
    assert isinstance(model, PatchesRwae)
    things, generator = model.decoder.objects, torch.Generator().manual_seed(0)
    z_BS = encode_split(model, splits.train, CODES, generator).static_ND
    rows = []
    for name, prior in priors(z_BS, things).items():
        model.static_prior = prior
        kept: Any = long_samples(model, splits, judge, window=1)
        shown: Any = unconditional(model, splits, judge, sequences=SHOWN)
        apart = shown.pop("Fréchet distance to test")
        cells = [*means(kept, shown, lambda figure: figure.value), f"{apart.value:.1f}"]
        rows.append(f"| {run.name} | {name} | {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    real = means(kept, shown, lambda figure: figure.baselines["test sequences"])
    rows.append(f"| | test clips | {' | '.join(real)} | |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    page = page_of_a_table(
        "Samples of moving digits, by the prior of what they look like",
        __doc__,
        ("run", "prior of z^c", "kept", "halves alike", "H(y given x)", "H(y)", "Fréchet"),
        [row for run in arguments.runs for row in rows_of(run)],
        [f"versions: {versions('torch', 'scikit-learn')}, genzoo-rwae {gz.__version__}"],
    )
    arguments.page.write_text(page)


if __name__ == "__main__":
    main()
