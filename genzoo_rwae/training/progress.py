"""What a person sees of training: a bar in a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

__all__ = ["TrainingBar"]

_SECONDS_BETWEEN_LINES = 20.0


class TrainingBar:
    """Progress of a run: share done, losses, sequences a second, time left.

    Args:
        console: where to write.
        share: share of the run that is over when this session starts.
    """

    def __init__(self, console: Console, share: float = 0.0) -> None:
        self.console = console
        self.started = self.last_line = time.monotonic()
        self.first_share = share
        self._progress = Progress(
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=1.0)

    def __enter__(self) -> TrainingBar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, share: float, row: Mapping[str, float | int | str]) -> None:
        """Show one row of metrics.jsonl; `share` of the run is over."""
        now = time.monotonic()
        elapsed, done = now - self.started, share - self.first_share
        left = elapsed * (1 - share) / done if done > 0 else float("nan")
        skipped = ("step", "epoch", "split", "loss", "sequences_per_second", "seconds",
                   "learning_rate", "gradient_norm")  # fmt: skip
        terms = [
            f"{k} {v:.4g}" for k, v in row.items() if k not in skipped and not isinstance(v, str)
        ]
        text = (
            f"step {row['step']}  loss {row['loss']:.4g}  {'  '.join(terms)}  "
            f"{row['sequences_per_second']:.0f} seq/s  {_clock(left)} left"
        )
        self._progress.update(self._task, completed=share, description=text)
        if not self.console.is_terminal and now - self.last_line >= _SECONDS_BETWEEN_LINES:
            self.last_line = now
            self.console.print(
                f"{share:4.0%}  {text}", highlight=False, markup=False, soft_wrap=True
            )


def _clock(seconds: float) -> str:
    if not seconds < 1e7:
        return "?:??"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
