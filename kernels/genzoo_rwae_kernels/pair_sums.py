"""Sums of a kernel over pairs of rows, the quantities behind every MMD, by several backends.

Shapes: N rows of x, M rows of y, D code width; any leading batch dimensions, one value for each of
their elements.

- eager: the formula in plain torch; any kernel, every derivative, memory O(N M).
- tiled: plain torch in one sweep, memory O(N D); any kernel without tensors of its own.
- fused: compiled for the CPU in one sweep, memory O(N D); float32, radial kernels that it knows.
- triton: the same for CUDA, where it is installed.
- compiled: torch.compile of the formula, memory O(N M); slow at its first call.

Each backend knows the sum `within` one sample and the sum `across` two. Their `contrast`, which is
what an MMD is, is put together from these, unless a backend has a sweep of its own for it.

All but eager store the gradients with the value; asked for a second derivative, they compute the
formula again by eager. "auto" takes the fastest that can, by size, kernel, dtype and device. The
environment variable GENZOO_MMD_BACKEND names the backend of all calls that leave it to "auto".
"""

import torch
from torch import Tensor

from genzoo_rwae_kernels import stored_gradients
from genzoo_rwae_kernels.backends import BACKENDS, choose, module_of
from genzoo_rwae_kernels.precision import in_working_precision, outside_autocast
from genzoo_rwae_kernels.radial import Radial
from genzoo_rwae_kernels.samples import Kernel, check_samples
from genzoo_rwae_kernels.sweeps import Coefficients, Contrast

__all__ = ["BACKENDS", "Coefficients", "Contrast", "across", "contrast", "within"]


def within(
    x_ND: Tensor,
    w_N: Tensor | None,
    kernel: Kernel,
    /,
    *,
    diagonal: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Sum of a kernel over the pairs of rows of one sample.

    sum_{i != j} w_i w_j k(x_i, x_j),   with the pairs i = j as well if `diagonal`

    Args:
        x_ND: [..., N, D], floating.
        w_N: [..., N] weights; None: all 1.
        kernel: symmetric k(x_ND, y_MD) -> [..., N, M], a function of pairs of rows; sees float32 or
            float64.
        diagonal: add the pairs of a row and itself.
        backend: one of `BACKENDS`.

    Returns:
        [...], float64 where the device has it.

    Raises:
        TypeError: the sample is not floating.
        ValueError: the sample is empty, weights of another shape, a kernel that returns another
            shape, or a backend that is unknown or cannot.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, Eq. (3), first and second sum.

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> x, kernel = torch.tensor([[0.0], [2.0]]), Imq(scales=[2.0])
        >>> within(x, None, kernel)  # twice 4 / (4 + 4)
        tensor(1., dtype=torch.float64)
        >>> within(x, torch.tensor([1.0, 3.0]), kernel, diagonal=True)  # 1 + 9 + 2 * 3 / 2
        tensor(13., dtype=torch.float64)
    """
    check_samples("within", x_ND, x_ND)
    _check_weights("within", "w", w_N, x_ND)
    x_ND, _ = in_working_precision(x_ND, x_ND)
    with outside_autocast(x_ND.device):
        chosen = choose("within", x_ND, x_ND.shape[-2], kernel, backend)
        return stored_gradients.within(x_ND, w_N, kernel, diagonal, chosen)


def across(
    x_ND: Tensor,
    y_MD: Tensor,
    a_N: Tensor | None,
    b_M: Tensor | None,
    kernel: Kernel,
    /,
    *,
    skip_diagonal: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Sum of a kernel over the pairs of rows of two samples.

    sum_ij a_i b_j k(x_i, y_j),   without the pairs i = j if `skip_diagonal`

    Args:
        x_ND: [..., N, D], floating.
        y_MD: [..., M, D], floating, the same batch dimensions.
        a_N: [..., N] weights of x; None: all 1.
        b_M: [..., M] weights of y; None: all 1.
        kernel: as that of `within`.
        skip_diagonal: leave out the pairs (x_i, y_i); N = M.
        backend: one of `BACKENDS`.

    Returns:
        [...], float64 where the device has it.

    Raises:
        TypeError: a sample is not floating.
        ValueError: as `within`; the samples do not fit together; skip_diagonal with N != M.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, Eq. (3), third sum.

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> x, y = torch.tensor([[0.0]]), torch.tensor([[2.0], [0.0]])
        >>> across(x, y, None, None, Imq(scales=[2.0]))  # 1/2 + 1
        tensor(1.5000, dtype=torch.float64)
    """
    check_samples("across", x_ND, y_MD)
    _check_weights("across", "a", a_N, x_ND)
    _check_weights("across", "b", b_M, y_MD)
    _check_paired("across", x_ND, y_MD, skip_diagonal)
    x_ND, y_MD = in_working_precision(x_ND, y_MD)
    with outside_autocast(x_ND.device):
        chosen = choose("across", x_ND, y_MD.shape[-2], kernel, backend)
        return stored_gradients.across(x_ND, y_MD, a_N, b_M, kernel, skip_diagonal, chosen)


def contrast(
    x_ND: Tensor,
    y_MD: Tensor,
    a_N: Tensor | None,
    b_M: Tensor | None,
    kernel: Kernel,
    coefficients: Coefficients,
    /,
    *,
    diagonal: bool = False,
    skip_diagonal: bool = False,
    backend: str = "auto",
    dtype: torch.dtype | None = None,
) -> Contrast:
    """A combination of the sums of a kernel within two samples and across them.

    c_x sum_{i != j} a_i a_j k(x_i, x_j) + c_y sum_{i != j} b_i b_j k(y_i, y_j)
        + c_across sum_ij a_i b_j k(x_i, y_j)

    Args:
        x_ND: [..., N, D], floating.
        y_MD: [..., M, D], floating, the same batch dimensions.
        a_N: [..., N] weights of x; None: all 1.
        b_M: [..., M] weights of y; None: all 1.
        kernel: as that of `within`.
        coefficients: of the three sums.
        diagonal: add the pairs of a row and itself, as `within`.
        skip_diagonal: leave out the pairs (x_i, y_i), as `across`.
        backend: one of `BACKENDS`.
        dtype: of the value; None: float64 where the device has it.

    Returns:
        The value and the three sums.

    Raises:
        TypeError: a sample is not floating.
        ValueError: as `within` and `across`.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, Eq. (3).

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0]])
        >>> kernel = Imq(scales=[2.0])  # 1 at 0, 1/2 at a distance of 2
        >>> mean = Coefficients(x=0.5, y=0.0, across=-1.0)  # 1/2 (1/2 + 1/2) - (1 + 1/2)
        >>> contrast(x, y, None, None, kernel, mean).value
        tensor(-1., dtype=torch.float64)
    """
    check_samples("contrast", x_ND, y_MD)
    _check_weights("contrast", "a", a_N, x_ND)
    _check_weights("contrast", "b", b_M, y_MD)
    _check_paired("contrast", x_ND, y_MD, skip_diagonal)
    x_ND, y_MD = in_working_precision(x_ND, y_MD)
    longer_ND = x_ND if x_ND.shape[-2] >= y_MD.shape[-2] else y_MD
    with outside_autocast(x_ND.device):
        chosen = choose("contrast", longer_ND, longer_ND.shape[-2], kernel, backend)
        if hasattr(module_of(chosen), "contrast") and isinstance(kernel, Radial):
            given = (x_ND, y_MD, a_N, b_M, kernel, coefficients, diagonal, skip_diagonal)
            return stored_gradients.contrast(*given, chosen, dtype)
        # first, while no other sums hold their gradients: it needs the most memory
        between = stored_gradients.across(x_ND, y_MD, a_N, b_M, kernel, skip_diagonal, chosen)
        within_x = stored_gradients.within(x_ND, a_N, kernel, diagonal, chosen)
        within_y = stored_gradients.within(y_MD, b_M, kernel, diagonal, chosen)
        value = coefficients.x * within_x + coefficients.y * within_y
        value = value + coefficients.across * between
        sums = torch.stack([within_x, within_y, between], dim=-1).detach()
        return Contrast(value if dtype is None else value.to(dtype), sums)


def _check_paired(caller: str, x_ND: Tensor, y_MD: Tensor, skip_diagonal: bool) -> None:
    n, m = x_ND.shape[-2], y_MD.shape[-2]
    if skip_diagonal and n != m:
        raise ValueError(
            f"{caller}: skip_diagonal with {n} rows of x and {m} rows of y; wanted equal numbers"
        )


def _check_weights(caller: str, name: str, weights_N: Tensor | None, x_ND: Tensor) -> None:
    if weights_N is not None and weights_N.shape != x_ND.shape[:-1]:
        raise ValueError(
            f"{caller}: weights {name} have shape {list(weights_N.shape)}; wanted one for each "
            f"row, {list(x_ND.shape[:-1])}"
        )
