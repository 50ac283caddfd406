"""A judge: a classifier of every labelled factor, by whose word samples are measured.

Shapes: B batch, T time, K classes of a factor, F features, ... the frame.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from genzoo_rwae.errors import PluginError
from genzoo_rwae.evaluation.codes import spread_indices, taken
from genzoo_rwae.padding import true_steps
from genzoo_rwae.sequences import DataInfo, SequenceData
from genzoo_rwae.spec.sections import Train
from genzoo_rwae.training.precision import choose_execution

__all__ = ["Judge", "Verdict", "judged", "prepared"]

_ROWS = 64  # sequences in one pass


@dataclass(frozen=True)
class Verdict:
    """What a judge says of some sequences.

    Attributes:
        logits: factor -> [B, K], unnormalised log-probabilities.
        features_BF: what it sees in them as a whole: a layer before the heads.

    >>> verdict = Verdict({"way": torch.tensor([[0.0, 2.0]])}, torch.zeros(1, 3))
    >>> verdict.labels("way")
    tensor([1])
    """

    logits: Mapping[str, Tensor]
    features_BF: Tensor

    def labels(self, factor: str) -> Tensor:
        """The likeliest class [B]."""
        return self.logits[factor].argmax(-1)

    def probabilities(self, factor: str) -> Tensor:
        """Softmax of the logits [B, K], float64."""
        return self.logits[factor].double().softmax(-1)

    @staticmethod
    def joined(verdicts: Sequence[Verdict]) -> Verdict:
        """Several verdicts as one, row after row."""
        return Verdict(
            {name: torch.cat([v.logits[name] for v in verdicts]) for name in verdicts[0].logits},
            torch.cat([verdict.features_BF for verdict in verdicts]),
        )


class Judge:
    """A trained classifier.

    Args:
        net: takes floats [B, T, ...] and lengths [B] to a Verdict; its weights stay as they are.
        info: the data that it was trained on; their factors are what it tells. Metrics ask for
            those of `judge.info`, which may be fewer than those of the data.
    """

    def __init__(self, net: nn.Module, info: DataInfo) -> None:
        # not the run's own settings: a judge is of the data, the same for every model of them
        self.execution = choose_execution(Train(), info.frame_shape)
        self.net, self.info = self.execution.place(net.eval()), info
        self._learnt = info

    def without(self, factors: Collection[str]) -> Judge:
        """The same judge with no word on some factors, those that are strange to it."""
        quieter = copy(self)
        told = tuple(factor for factor in self.info.factors if factor.name not in factors)
        quieter.info = replace(self.info, factors=told)
        return quieter

    @torch.no_grad()
    def verdict(self, x_BT: Tensor, lengths_B: Tensor) -> Verdict:
        """Judge sequences, a few at a time.

        In bfloat16 where the processor is much faster at it, which moves probabilities by about a
        thousandth.

        Args:
            x_BT: [B, T, ...], as a source gives them (uint8) or a model makes them (floats).
            lengths_B: true lengths; what is beyond has no say.

        Returns:
            The verdict, on the CPU.

        Raises:
            PluginError: the net gives something else.
        """
        device = next((p.device for p in self.net.parameters()), torch.device("cpu"))
        verdicts = []
        for start in range(0, len(x_BT), _ROWS):
            some_B = lengths_B[start : start + _ROWS].to(device)
            some_BT = prepared(x_BT[start : start + _ROWS], some_B, device)
            with self.execution.autocast():
                verdict = judged(self.net, self._learnt, some_BT, some_B)
            verdicts.append(_on_cpu(verdict, [factor.name for factor in self.info.factors]))
        return Verdict.joined(verdicts)

    def accuracy(self, data: SequenceData, most: int | None = None) -> dict[str, float]:
        """Share of sequences of a split that it labels as the data set does, per factor.

        Args:
            data: one sequence or more.
            most: how many at most, spread evenly; None takes all.
        """
        right: dict[str, int] = dict.fromkeys((f.name for f in self.info.factors), 0)
        indices_N = spread_indices(len(data), len(data) if most is None else most)
        for batch in taken(data, indices_N):
            verdict = self.verdict(batch.x_BT, batch.lengths_B)
            for name in right:
                right[name] += int((verdict.labels(name) == batch.factors[name]).sum())
        return {name: count / len(indices_N) for name, count in right.items()}


def prepared(x_BT: Tensor, lengths_B: Tensor, device: torch.device | str) -> Tensor:
    """Sequences as a judge sees them: floats; 0 where a value is missing or beyond the length."""
    is_bytes = x_BT.dtype == torch.uint8
    x_BT = x_BT.to(device, torch.float32).nan_to_num(0.0)
    x_BT = x_BT / 255 if is_bytes else x_BT
    true_BT = true_steps(x_BT.shape[1], lengths_B, x_BT.device)
    return x_BT * true_BT.reshape(*true_BT.shape, *[1] * (x_BT.dim() - 2))


def judged(net: nn.Module, info: DataInfo, x_BT: Tensor, lengths_B: Tensor) -> Verdict:
    """What the net says.

    Raises:
        PluginError: it is no Verdict, or not on every factor of the data.
    """
    verdict = net(x_BT, lengths_B)
    wanted = {f.name: [len(x_BT), len(f.classes)] for f in info.factors}
    found = (
        {name: list(logits_BK.shape) for name, logits_BK in verdict.logits.items()}
        if isinstance(verdict, Verdict)
        else type(verdict).__name__
    )
    if found != wanted:
        raise PluginError(
            f"the judge {type(net).__name__} gives {found}; wanted a Verdict with logits {wanted}"
        )
    assert isinstance(verdict, Verdict)
    return verdict


def _on_cpu(verdict: Verdict, told: Collection[str]) -> Verdict:
    logits = {name: verdict.logits[name].float().cpu() for name in told}
    return Verdict(logits, verdict.features_BF.float().cpu())
