"""Action heads: dynamic codes of a sequence to q(a | z^m_1:T).

Shapes: B batch, T time, D code width, A number of actions.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt
from torch import Tensor, nn

from genzoo_rwae.components import action_head, hookimpl
from genzoo_rwae.padding import mean_of_steps
from genzoo_rwae_plugins.encoders.recurrent import run_lstm

__all__ = ["RecurrentActionHead"]


@action_head("lstm")
class RecurrentActionHead(nn.Module):
    """A bidirectional LSTM over the dynamic codes; the mean of its states over the true steps.

    Args:
        hidden: width of the LSTM's state, per direction.

    Source: arXiv 2101.07496, Sec. 3: a is inferred from the dynamic codes.
    """

    def __init__(self, size: int, count: int, /, *, hidden: PositiveInt = 64) -> None:
        super().__init__()
        self.lstm = nn.LSTM(size, hidden, batch_first=True, bidirectional=True)
        self.logits = nn.Linear(2 * hidden, count)

    def forward(self, z_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """[B, T, D] to logits [B, A]."""
        states_BTH = run_lstm(self.lstm, z_BTD, lengths_B)
        logits_BA: Tensor = self.logits(mean_of_steps(states_BTH, lengths_B))
        return logits_BA


@hookimpl
def genzoo_action_heads() -> Iterator[object]:
    yield RecurrentActionHead
