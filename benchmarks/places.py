"""How exactly a run of moving digits tells where they are, and which is which.

    python benchmarks/places.py runs/moving-mnist-rwae-mmd docs/results/moving-places.md

Clips of the validation split are reconstructed by the same weights with dynamic codes as the head
tells them, with codes that follow things as they move, and with so many looks of `rwae-patches` as
well. The source knows where each digit truly is. A patch may lie anywhere about its digit, so that
the mean of a clip is taken off its errors. A clip changes names if a share of the codes goes from
one digit to the other at some step; wrong names are frames in which they are the rarer way round.
The judge is that of the run's spec.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from genzoo_rwae_plugins.models import patches
from measuring import page_of_a_table, versions
from rich.console import Console
from torch import Tensor

import genzoo_rwae as gz
from genzoo_rwae.evaluation.judge_cache import judge_for
from genzoo_rwae.run import open_splits
from genzoo_rwae.spec import load_spec

CLIPS = 500
WAYS = ("as told", "followed", "2 looks", "3 looks", "4 looks", "6 looks")
CLOSE = 8.0  # pixels between two digits that are near each other


@contextmanager
def looks(model: patches.PatchesRwae, how: str) -> Iterator[None]:
    """A model that takes one look or some, or does not even follow things."""
    again, taken, follow = model.again, model.looks, patches.followed
    model.again = 0.0 if how.endswith("looks") else None
    model.looks = int(how.split()[0]) if how.endswith("looks") else taken
    if how == "as told":
        patches.followed = lambda where, _=None: torch.arange(2).expand(*where.shape[:2], -1)
    try:
        yield
    finally:
        model.again, model.looks, patches.followed = again, taken, follow


def told_and_true(model: patches.PatchesRwae, batch: gz.Batch, true: Tensor) -> dict[str, str]:
    """Figures of places: those of codes [B, T, K, 2] against the true ones."""
    told = model.decoder.where(model.encode(batch.x_BT, batch.lengths_B).dynamic.mean)
    offset = (told - true).mean((0, 1, 2))  # of all patches about their digits
    ways = [told - offset - true, told - offset - true.flip(2)]
    straight = ways[0].square().sum((2, 3)) < ways[1].square().sum((2, 3))
    off = torch.where(straight[..., None, None], ways[0], ways[1].flip(2))  # digit by digit
    off = off - off.mean(1, keepdim=True)
    apart = (true[:, :, 0] - true[:, :, 1]).norm(dim=-1)
    rarer = torch.minimum(straight.float().mean(1), 1 - straight.float().mean(1))
    changes = straight[:, 1:] != straight[:, :-1]
    squared = off.square().mean((2, 3))
    return {
        "clips that change names": f"{changes.any(1).float().mean():.3f}",
        "frames with wrong names": f"{rarer.mean():.3f}",
        "median error, pixels": f"{off.abs().median():.2f}",
        "root of mean squared error": f"{squared.mean().sqrt():.2f}",
        f"the same, digits within {CLOSE:g} pixels": f"{squared[apart < CLOSE].mean().sqrt():.2f}",
    }


@torch.no_grad()
def measured(run: Path) -> dict[str, dict[str, str]]:
    spec = load_spec(str(run / "spec.yaml"))
    splits = open_splits(spec)
    judge = judge_for(spec, splits, Console())
    model, indices = gz.load(run), np.arange(CLIPS)
    batch = splits.validation.take(indices)
    paths = splits.validation._paths(indices, 0)
    true = torch.from_numpy(np.stack(paths, -1)).transpose(1, 2).float()
    table = {}
    for how in WAYS:
        with looks(model, how):
            found = told_and_true(model, batch, true)
            x_hat = model.reconstruct(batch.x_BT, batch.lengths_B).x_hat_BT
        verdict = judge.verdict(x_hat, batch.lengths_B)
        right = [
            (verdict.logits[name].argmax(-1) == torch.as_tensor(label)).float().mean().item()
            for name, label in batch.factors.items()
        ]
        off = (x_hat - batch.x_BT / 255).square().sum((2, 3, 4)).mean()
        table[how] = found | {
            "squared error of a frame": f"{off:.1f}",
            "digits kept in reconstructions": f"{fmean(right):.3f}",
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("page", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = measured(arguments.run)
    rows = next(iter(table.values()))
    page = page_of_a_table(
        "Where moving digits are, and which is which",
        __doc__,
        (f"of {CLIPS} validation clips", *table),
        [f"| {row} | {' | '.join(found[row] for found in table.values())} |" for row in rows],
        [f"versions: {versions('torch', 'genzoo-rwae')}"],
    )
    arguments.page.write_text(page)
    print(page)


if __name__ == "__main__":
    main()
