"""How often a categorical action finds the true ones: heads trained on the codes of a finished run.

    python benchmarks/action_heads.py docs/results/action-heads.md RUN...

The dynamic codes of finished runs stay as they are; fresh heads are trained on them by the runs'
own term (`categorical-kl`), with a full confidence or with one that grows in a straight line, from
several seeds. The learning rate falls as a half cosine. Labels only measure: a head has found all
actions where the best one-to-one match of classes and true actions puts more than 99 % of the
sequences right. In brackets is what the worst head puts right.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from genzoo_rwae_plugins.heads.action import RecurrentActionHead
from genzoo_rwae_plugins.metrics.clusters import matched_accuracy
from genzoo_rwae_plugins.penalties.categorical_kl import categorical_kl
from measuring import machine, versions

import genzoo_rwae as gz
from genzoo_rwae.assemble import open_split
from genzoo_rwae.codes import Categorical, DiagonalGaussian
from genzoo_rwae.evaluation.codes import spread_indices, taken
from genzoo_rwae.spec import load_spec

SEQUENCES, STEPS, BATCH, SEEDS = 1_800, 900, 32, 6
ALL_FOUND = 0.99  # of the sequences put right
SETTINGS = [
    (confidence, annealed, rate)
    for confidence in (0.4, 0.6)
    for annealed in (False, True)
    for rate in (1.5e-3, 3e-3)
]


def trained_accuracy(
    law_NTD: DiagonalGaussian,
    true_N: torch.Tensor,
    actions: int,
    confidence: float,
    annealed: bool,
    rate: float,
    seed: int,
) -> float:
    """Matched accuracy of a head that was trained on samples of the codes."""
    torch.manual_seed(seed)
    count, steps, width = law_NTD.mean.shape
    head = RecurrentActionHead(width, actions)
    optimizer = torch.optim.AdamW(head.parameters(), lr=rate)
    uniform = Categorical(torch.zeros(BATCH, actions))
    for step in range(STEPS):
        share = step / STEPS
        optimizer.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * share))
        rows_B = torch.randint(count, (BATCH,))
        z_BTD = DiagonalGaussian(law_NTD.mean[rows_B], law_NTD.log_variance[rows_B]).sample()
        q_BA = Categorical(head(z_BTD, torch.full((BATCH,), steps)))
        term = categorical_kl(
            q_BA, uniform, None, share,
            confidence=confidence, annealed_from=0.0 if annealed else None,
        )  # fmt: skip
        optimizer.zero_grad()
        term.backward()
        optimizer.step()
    with torch.no_grad():
        found_N = head(law_NTD.mean, torch.full((count,), steps)).argmax(-1)
    return matched_accuracy(true_N.numpy(), found_N.numpy())


@dataclass(frozen=True)
class Run:
    """The dynamic codes of a finished run's training sequences, and their true actions."""

    seed: int
    actions: int
    law_NTD: DiagonalGaussian
    true_N: torch.Tensor


def read(folder: Path) -> Run:
    spec, model = load_spec(folder / "spec.yaml"), gz.load(folder)
    data = open_split(spec, "train")
    batches = list(taken(data, spread_indices(len(data), SEQUENCES), 100))
    laws = [model.encode(batch.x_BT, batch.lengths_B).dynamic for batch in batches]
    law_NTD = DiagonalGaussian(
        torch.cat([law.mean for law in laws]), torch.cat([law.log_variance for law in laws])
    )
    true_N = torch.cat([torch.as_tensor(batch.factors["action"]) for batch in batches])
    return Run(spec.train.seed, model.actions, law_NTD, true_N)


def cell(run: Run, confidence: float, annealed: bool, rate: float) -> str:
    """How many of the heads found all actions, and how many sequences the worst one put right."""
    found = [
        trained_accuracy(run.law_NTD, run.true_N, run.actions, confidence, annealed, rate, seed)
        for seed in range(SEEDS)
    ]
    whole = sum(accuracy > ALL_FOUND for accuracy in found)
    return f"{whole} of {SEEDS} ({min(found):.2f})"


def page(folders: list[Path]) -> str:
    torch.set_num_threads(1)
    runs = [read(folder) for folder in folders]
    lines = []
    for confidence, annealed, rate in SETTINGS:
        cells = [cell(run, confidence, annealed, rate) for run in runs]
        how = "grows" if annealed else "full"
        lines.append(f"| {confidence:g} | {how} | {rate:g} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    heads = " | ".join(f"codes of seed {run.seed}" for run in runs)
    about = (__doc__ or "").split("\n\n")
    return "\n".join(
        [
            "# Action heads on finished codes",
            "",
            about[2].strip(),
            "",
            f"- command: `{shlex.join(['python', *sys.argv])}`",
            f"- codes: {len(runs[0].true_N):,} training sequences of each run",
            f"- {STEPS} steps in batches of {BATCH}, seeds 0 to {SEEDS - 1}",
            f"- machine: {machine()}, one thread",
            f"- versions: {versions('torch', 'genzoo-rwae')}",
            "",
            f"| confidence | how | learning rate | {heads} |",
            f"|---|---|---|{'---|' * len(runs)}",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    asked = parser.parse_args()
    asked.page.write_text(page(asked.runs))
