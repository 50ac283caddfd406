"""Scaling by mean and standard deviation, fitted on training data and taken back for reading.

Shapes: N whatever is counted, F values of one, ... whatever ends in F.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from genzoo_rwae.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["Scaling"]


@dataclass(frozen=True)
class Scaling:
    """x to (x - mean) / sd, of each value of a frame by itself.

    A value that training never had has NaN for both: nobody knows its scale, so that it is missing
    wherever it turns up.

    Attributes:
        mean_F, sd_F: float64.
    """

    mean_F: np.ndarray
    sd_F: np.ndarray

    @staticmethod
    def fitted(x_NF: np.ndarray, /, *, names: Sequence[str], place: object) -> Scaling:
        """Of the values that are there (not NaN); one that never changes keeps its unit.

        Args:
            x_NF: float64.
            names: [F] what the values are called, for the message.
            place: where they come from, for the message.

        Raises:
            DataError: values so large that float64 does not hold their squares.
        """
        there_NF = ~np.isnan(x_NF)
        count_F = there_NF.sum(0)
        known_F = np.maximum(count_F, 1)
        with np.errstate(over="ignore", invalid="ignore"):
            mean_F = np.where(there_NF, x_NF, 0.0).sum(0) / known_F
            gap_NF = np.where(there_NF, x_NF - mean_F, 0.0)
            sd_F = np.sqrt(np.square(gap_NF).sum(0) / known_F)
        if not np.isfinite(sd_F).all():
            column = int((~np.isfinite(sd_F)).argmax())
            raise DataError(
                f"{place}: column '{names[column]}': found values up to "
                f"{np.nanmax(np.abs(x_NF[:, column])):.6g}, whose standard deviation is beyond "
                "floating point; wanted smaller ones; correct them, or take another unit"
            )
        # what rounding leaves of a constant is no spread
        sd_F[sd_F <= 1e-9 * np.abs(mean_F)] = 1.0
        lost_F = count_F == 0
        return Scaling(np.where(lost_F, np.nan, mean_F), np.where(lost_F, np.nan, sd_F))

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """[..., F] float64 in units to float32."""
        return np.asarray((x - self.mean_F) / self.sd_F, dtype=np.float32)

    def in_units(self, x: Tensor) -> Tensor:
        """[..., F] scaled values back in units, float64, on the same device."""
        mean_F, sd_F = (torch.from_numpy(of_F).to(x.device) for of_F in (self.mean_F, self.sd_F))
        return x.double() * sd_F + mean_F
