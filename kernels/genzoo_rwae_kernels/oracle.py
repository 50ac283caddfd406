"""Oracles for tests: the definitions as double loops over Python floats (float64), no tensors.

Slow and plain on purpose. They share no line with what they check. A sample is a sequence of rows;
for a tensor x of shape [N, D] it is ``x.tolist()``.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

__all__ = ["imq_pair", "mmd2_by_loops", "rbf_pair"]

Row = Sequence[float]
PairKernel = Callable[[Row, Row], float]


def imq_pair(a: Row, b: Row, /, *, scales: Sequence[float], sigma: float = 1.0) -> float:
    """Inverse multiquadric kernel of two rows: sum_s C_s / (C_s + |a - b|^2), C_s = 2 D sigma^2 s.

    Args:
        a: D numbers.
        b: D numbers.
        scales: the s, > 0.
        sigma: standard deviation of a coordinate under the prior, > 0.

    Returns:
        k(a, b), in (0, len(scales)].

    Source: Tolstikhin et al., arXiv 1711.01558, sec. 4.

    Example:
        >>> imq_pair([0.0, 0.0], [2.0, 0.0], scales=[1.0])
        0.5
    """
    d2 = math.dist(a, b) ** 2
    widths = [2 * len(a) * sigma**2 * scale for scale in scales]
    return math.fsum(width / (width + d2) for width in widths)


def rbf_pair(a: Row, b: Row, /, *, scales: Sequence[float], sigma: float = 1.0) -> float:
    """Gaussian kernel of two rows: sum_s exp(-|a - b|^2 / (2 b_s^2)), b_s^2 = D sigma^2 s.

    Args:
        a: D numbers.
        b: D numbers.
        scales: the s, > 0.
        sigma: standard deviation of a coordinate under the prior, > 0.

    Returns:
        k(a, b), in [0, len(scales)].

    Source: Gretton et al. 2012, JMLR 13, p. 723-773.

    Example:
        >>> round(rbf_pair([0.0, 0.0], [2.0, 0.0], scales=[1.0]), 6) == round(math.exp(-1), 6)
        True
    """
    d2 = math.dist(a, b) ** 2
    squared_bandwidths = [len(a) * sigma**2 * scale for scale in scales]
    return math.fsum(math.exp(-d2 / (2 * squared)) for squared in squared_bandwidths)


def mmd2_by_loops(
    x: Sequence[Row],
    y: Sequence[Row],
    kernel_of_pair: PairKernel,
    estimator: Literal["biased", "unbiased"],
    paired: bool = False,
) -> float:
    """Squared MMD by its definition: mean k(x, x') + mean k(y, y') - 2 mean k(x, y).

    Args:
        x: N rows.
        y: M rows.
        kernel_of_pair: k(a, b) of two rows.
        estimator: "biased" averages over all pairs, "unbiased" over the pairs within a sample
            with i != j.
        paired: leave out the pairs (x_i, y_i) as well; for "unbiased".

    Returns:
        The estimate.

    Raises:
        ValueError: another estimator, or paired with the biased one.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, Eq. (3), (4) and (5).

    Example:
        >>> mmd2_by_loops([[0.0]], [[2.0]], lambda a, b: a[0] * b[0], "biased")
        4.0
    """
    if estimator == "biased":
        if paired:
            raise ValueError("mmd2_by_loops: paired=True; wanted estimator='unbiased' with it")
        skip_within = False
    elif estimator == "unbiased":
        skip_within = True
    else:
        raise ValueError(f"mmd2_by_loops: estimator {estimator!r}; wanted 'biased' or 'unbiased'")

    def mean(a: Sequence[Row], b: Sequence[Row], skip_diagonal: bool) -> float:
        values = [
            kernel_of_pair(row_a, row_b)
            for i, row_a in enumerate(a)
            for j, row_b in enumerate(b)
            if not (skip_diagonal and i == j)
        ]
        return math.fsum(values) / len(values)

    return mean(x, x, skip_within) + mean(y, y, skip_within) - 2 * mean(x, y, paired)
