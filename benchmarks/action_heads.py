"""How often a categorical action finds the true ones: heads trained on the codes of a finished run.

    python benchmarks/action_heads.py RUN docs/results/action-heads.md

The model's dynamic codes stay as they are; a fresh head is trained on them by the run's own term
(`categorical-kl`), with a full confidence or with one that grows in a straight line, from several
seeds. The learning rate falls as a half cosine. Labels only measure: the accuracy is that of the
best one-to-one match of classes and true actions.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
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


def page(run: Path) -> str:
    torch.set_num_threads(1)
    spec, model = load_spec(run / "spec.yaml"), gz.load(run)
    data = open_split(spec, "train")
    batches = list(taken(data, spread_indices(len(data), SEQUENCES), 100))
    laws = [model.encode(batch.x_BT, batch.lengths_B).dynamic for batch in batches]
    law_NTD = DiagonalGaussian(
        torch.cat([law.mean for law in laws]), torch.cat([law.log_variance for law in laws])
    )
    true_N = torch.cat([torch.as_tensor(batch.factors["action"]) for batch in batches])
    lines = []
    for confidence, annealed, rate in SETTINGS:
        found = [
            trained_accuracy(law_NTD, true_N, model.actions, confidence, annealed, rate, seed)
            for seed in range(SEEDS)
        ]
        whole = sum(accuracy > 0.99 for accuracy in found)
        lines.append(
            f"| {confidence:g} | {'annealed' if annealed else 'full'} | {rate:g} | "
            f"{whole} of {SEEDS} | {' '.join(f'{accuracy:.2f}' for accuracy in found)} |"
        )
        print(lines[-1], flush=True)
    about = (__doc__ or "").split("\n\n")
    return "\n".join(
        [
            "# Action heads on finished codes",
            "",
            about[2].strip(),
            "",
            f"- command: `{shlex.join(['python', *sys.argv])}`",
            f"- codes: {len(true_N):,} training sequences of {spec.name}, seed {spec.train.seed}",
            f"- {STEPS} steps in batches of {BATCH}, seeds 0 to {SEEDS - 1}",
            f"- machine: {machine()}, one thread",
            f"- versions: {versions('torch', 'genzoo-rwae')}",
            "",
            "| confidence | how | learning rate | all actions found | accuracy of each seed |",
            "|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("page", type=Path)
    asked = parser.parse_args()
    asked.page.write_text(page(asked.run))
