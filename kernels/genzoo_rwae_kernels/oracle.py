"""Oracles for tests: the definitions as double loops over Python floats (float64), no tensors.

Slow and plain on purpose. They share no line with what they check. A sample is a sequence of rows;
for a tensor x of shape [N, D] it is ``x.tolist()``.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

__all__ = [
    "energy_pair",
    "imq_pair",
    "laplacian_pair",
    "linear_pair",
    "matern_pair",
    "mmd2_blocks_by_loops",
    "mmd2_by_loops",
    "mmd2_linear_by_loops",
    "polynomial_pair",
    "rational_quadratic_pair",
    "rbf_pair",
]

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


def rational_quadratic_pair(
    a: Row, b: Row, /, *, scales: Sequence[float], sigma: float = 1.0, alpha: float = 0.5
) -> float:
    """Rational quadratic kernel of two rows: sum_s (1 + |a - b|^2 / (alpha C_s))^(-alpha).

    Args:
        a: D numbers.
        b: D numbers.
        scales: the s of C_s = 2 D sigma^2 s, > 0.
        sigma: standard deviation of a coordinate under the prior, > 0.
        alpha: exponent, > 0.

    Returns:
        k(a, b), in (0, len(scales)].

    Source: Rasmussen & Williams 2006, Eq. (4.19).

    Example:
        >>> rational_quadratic_pair([0.0, 0.0], [2.0, 0.0], scales=[1.0], alpha=1.0)
        0.5
    """
    d2 = math.dist(a, b) ** 2
    widths = [2 * len(a) * sigma**2 * scale for scale in scales]
    return math.fsum(math.pow(1 + d2 / (alpha * width), -alpha) for width in widths)


def laplacian_pair(a: Row, b: Row, /, *, scales: Sequence[float], sigma: float = 1.0) -> float:
    """Laplacian kernel of two rows: sum_s exp(-|a - b| / sqrt(C_s)), C_s = 2 D sigma^2 s.

    Args:
        a: D numbers.
        b: D numbers.
        scales: the s, > 0.
        sigma: standard deviation of a coordinate under the prior, > 0.

    Returns:
        k(a, b), in [0, len(scales)].

    Source: Rasmussen & Williams 2006, Eq. (4.18).

    Example:
        >>> round(laplacian_pair([0.0], [3.0], scales=[4.5]), 6) == round(math.exp(-1), 6)
        True
    """
    lengths = [math.sqrt(2 * len(a) * sigma**2 * scale) for scale in scales]
    return math.fsum(math.exp(-math.dist(a, b) / length) for length in lengths)


def matern_pair(
    a: Row, b: Row, /, *, scales: Sequence[float], sigma: float = 1.0, nu: float = 1.5
) -> float:
    """Matérn kernel of two rows: sum_s h(sqrt(2 nu) |a - b| / sqrt(C_s)), C_s = 2 D sigma^2 s.

    Args:
        a: D numbers.
        b: D numbers.
        scales: the s, > 0.
        sigma: standard deviation of a coordinate under the prior, > 0.
        nu: 0.5, 1.5 or 2.5: h is exp(-u) times 1, 1 + u or 1 + u + u^2/3.

    Returns:
        k(a, b), in [0, len(scales)].

    Raises:
        KeyError: another nu.

    Source: Rasmussen & Williams 2006, Eq. (4.16) to (4.18).

    Example:
        >>> round(matern_pair([0.0], [1.0], scales=[1.5]), 6) == round(2 * math.exp(-1), 6)
        True
    """
    total = []
    for scale in scales:
        u = math.sqrt(2 * nu) * math.dist(a, b) / math.sqrt(2 * len(a) * sigma**2 * scale)
        polynomial = {0.5: 1.0, 1.5: 1 + u, 2.5: 1 + u + u**2 / 3}[nu]
        total.append(polynomial * math.exp(-u))
    return math.fsum(total)


def energy_pair(a: Row, b: Row, /, *, beta: float = 1.0) -> float:
    """Distance-induced kernel of two rows: -|a - b|^beta / 2.

    Args:
        a: D numbers.
        b: D numbers.
        beta: exponent, in (0, 2).

    Returns:
        k(a, b) <= 0.

    Source: Sejdinovic et al., arXiv 1207.6076, sec. 3, without a base point.

    Example:
        >>> energy_pair([0.0, 0.0], [3.0, 4.0])
        -2.5
    """
    return -math.pow(math.dist(a, b), beta) / 2


def linear_pair(a: Row, b: Row, /) -> float:
    """Linear kernel of two rows: a . b.

    Args:
        a: D numbers.
        b: D numbers.

    Returns:
        k(a, b).

    Source: the inner product.

    Example:
        >>> linear_pair([1.0, 2.0], [3.0, 4.0])
        11.0
    """
    return math.fsum(p * q for p, q in zip(a, b, strict=True))


def polynomial_pair(
    a: Row, b: Row, /, *, degree: int = 3, offset: float = 1.0, scale: float | None = None
) -> float:
    """Polynomial kernel of two rows: (scale * a . b + offset)^degree.

    Args:
        a: D numbers.
        b: D numbers.
        degree: exponent, >= 1.
        offset: >= 0.
        scale: factor on the inner product; None: 1/D.

    Returns:
        k(a, b).

    Source: Bińkowski et al., arXiv 1801.01401, sec. 4.

    Example:
        >>> polynomial_pair([1.0, 1.0], [1.0, 3.0], degree=2)
        9.0
    """
    factor = 1 / len(a) if scale is None else scale
    return math.pow(factor * linear_pair(a, b) + offset, degree)


def mmd2_by_loops(
    x: Sequence[Row],
    y: Sequence[Row],
    kernel_of_pair: PairKernel,
    estimator: Literal["biased", "unbiased"],
    paired: bool = False,
    x_weights: Sequence[float] | None = None,
    y_weights: Sequence[float] | None = None,
) -> float:
    """Squared MMD by its definition: mean k(x, x') + mean k(y, y') - 2 mean k(x, y).

    Args:
        x: N rows.
        y: M rows.
        kernel_of_pair: k(a, b) of two rows.
        estimator: "biased" averages over all pairs, "unbiased" over the pairs within a sample
            with i != j.
        paired: leave out the pairs (x_i, y_i) as well; for "unbiased".
        x_weights: N numbers >= 0; a pair counts by the product of its weights. None: all 1.
        y_weights: M numbers >= 0, likewise.

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

    Weighted = Sequence[tuple[Row, float]]

    def mean(a: Weighted, b: Weighted, skip_diagonal: bool) -> float:
        values, weights = [], []
        for i, (row_a, weight_a) in enumerate(a):
            for j, (row_b, weight_b) in enumerate(b):
                if not (skip_diagonal and i == j):
                    weights.append(weight_a * weight_b)
                    values.append(weight_a * weight_b * kernel_of_pair(row_a, row_b))
        return math.fsum(values) / math.fsum(weights)

    xs = list(zip(x, [1.0] * len(x) if x_weights is None else x_weights, strict=True))
    ys = list(zip(y, [1.0] * len(y) if y_weights is None else y_weights, strict=True))
    return mean(xs, xs, skip_within) + mean(ys, ys, skip_within) - 2 * mean(xs, ys, paired)


def mmd2_blocks_by_loops(
    x: Sequence[Row],
    y: Sequence[Row],
    kernel_of_pair: PairKernel,
    block: int,
    paired: bool = False,
) -> tuple[float, float]:
    """Mean of the U-statistics of consecutive blocks of rows, and the variance of that mean.

    Args:
        x: N rows.
        y: N rows.
        kernel_of_pair: k(a, b) of two rows.
        block: rows per block; the rows after the last full block are left out.
        paired: leave out the pairs (x_i, y_i).

    Returns:
        The mean of the P values, and their sample variance over P (NaN if P is 1).

    Source: Zaremba et al., arXiv 1307.1954, sec. 2.

    Example:
        >>> rows = [[0.0], [1.0], [3.0], [5.0]]
        >>> mmd2_blocks_by_loops(rows, rows, lambda a, b: a[0] * b[0], block=2)  # -1/2 and -2
        (-1.25, 0.5625)
    """
    values = []
    for start in range(0, len(x) - block + 1, block):
        rows = slice(start, start + block)
        values.append(mmd2_by_loops(x[rows], y[rows], kernel_of_pair, "unbiased", paired))
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    squares = math.fsum((value - mean) ** 2 for value in values)
    return mean, squares / (len(values) - 1) / len(values)


def mmd2_linear_by_loops(
    x: Sequence[Row], y: Sequence[Row], kernel_of_pair: PairKernel
) -> tuple[float, float]:
    """Mean of h over neighbouring rows, and the variance of that mean.

    h = k(x, x') + k(y, y') - k(x, y') - k(x', y) for x = x_0, x' = x_1; x_2, x_3; and so on.

    Args:
        x: N rows.
        y: N rows.
        kernel_of_pair: k(a, b) of two rows.

    Returns:
        The mean of the values of h, and their sample variance over their number (NaN if it is 1).

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, sec. 6.

    Example:
        >>> mmd2_linear_by_loops([[0.0], [1.0]], [[2.0], [3.0]], lambda a, b: a[0] * b[0])
        (4.0, nan)
    """
    values = []
    for i in range(0, len(x) - 1, 2):
        within = kernel_of_pair(x[i], x[i + 1]) + kernel_of_pair(y[i], y[i + 1])
        values.append(within - kernel_of_pair(x[i], y[i + 1]) - kernel_of_pair(x[i + 1], y[i]))
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    squares = math.fsum((value - mean) ** 2 for value in values)
    return mean, squares / (len(values) - 1) / len(values)
