"""What every two-sample function asks of its two samples, said in one place.

Shapes: N rows of x, M rows of y, D code width; any leading batch dimensions.
"""

import math
from collections.abc import Callable

from torch import Tensor

__all__ = ["Kernel", "check_finite", "check_samples", "fitted_kernel"]

# k(x_ND, y_MD) -> [..., N, M]: one value for each pair of rows, of these two rows alone.
Kernel = Callable[[Tensor, Tensor], Tensor]


def check_samples(caller: str, x_ND: Tensor, y_MD: Tensor, /) -> None:
    """Refuse two samples that cannot be compared row by row.

    Args:
        caller: name that the error begins with.
        x_ND: [..., N, D].
        y_MD: [..., M, D] with the batch dimensions, width and device of x.

    Raises:
        TypeError: a sample is not of a real floating dtype.
        ValueError: a sample has fewer than two dimensions or no elements, or the two differ in
            width, batch dimensions or device.

    Example:
        >>> import torch
        >>> check_samples("mmd2_biased", torch.zeros(4, 2), torch.zeros(5, 3))
        Traceback (most recent call last):
        ...
        ValueError: mmd2_biased: x has width 2 and y has width 3 (x [4, 2], y [5, 3]); wanted \
one width: compare codes of the same part of the model
    """
    x_shape, y_shape = x_ND.shape, y_MD.shape
    if (  # all is well, looked at in one go
        (
            len(x_shape) >= 2 <= len(y_shape)
            and x_shape[-1] == y_shape[-1]
            and x_shape[:-2] == y_shape[:-2]
        )
        and (0 not in x_shape and 0 not in y_shape and x_ND.device == y_MD.device)
        and (x_ND.is_floating_point() and y_MD.is_floating_point())
    ):
        return
    for name, sample in (("x", x_ND), ("y", y_MD)):
        if not sample.is_floating_point():
            raise TypeError(
                f"{caller}: {name} has dtype {sample.dtype}; wanted a floating dtype: "
                f"convert it with {name}.float()"
            )
        if sample.dim() < 2:
            raise ValueError(
                f"{caller}: {name} has shape {list(sample.shape)}; wanted [..., rows, width]: "
                f"a sample of scalars is {name}[:, None]"
            )
        if sample.numel() == 0:
            raise ValueError(
                f"{caller}: {name} is empty, shape {list(sample.shape)}; wanted at least one row "
                f"and one column: drop empty batches before the comparison"
            )
    shapes = f"(x {list(x_ND.shape)}, y {list(y_MD.shape)})"
    if x_ND.shape[-1] != y_MD.shape[-1]:
        raise ValueError(
            f"{caller}: x has width {x_ND.shape[-1]} and y has width {y_MD.shape[-1]} {shapes}; "
            f"wanted one width: compare codes of the same part of the model"
        )
    if x_ND.shape[:-2] != y_MD.shape[:-2]:
        raise ValueError(
            f"{caller}: x has batch dimensions {list(x_ND.shape[:-2])} and y has "
            f"{list(y_MD.shape[:-2])} {shapes}; wanted the same: expand one of them first"
        )
    if x_ND.device != y_MD.device:
        raise ValueError(
            f"{caller}: x is on {x_ND.device} and y on {y_MD.device}; wanted one device: "
            f"draw y with device=x.device"
        )


def check_finite(caller: str, x_ND: Tensor, y_MD: Tensor, /) -> None:
    """Refuse NaN and inf; one synchronisation with the device when all is well.

    Args:
        caller: name that the error begins with.
        x_ND: [..., N, D].
        y_MD: [..., M, D].

    Raises:
        ValueError: some rows hold NaN or inf; says of which sample, and how many.

    Example:
        >>> import torch
        >>> check_finite("mmd2_biased", torch.tensor([[0.0], [torch.nan]]), torch.zeros(2, 1))
        Traceback (most recent call last):
        ...
        ValueError: mmd2_biased: 1 of the 2 rows of x hold NaN or inf; wanted finite numbers: \
the fault is upstream (learning rate, an unbounded log-variance, corrupt data)
    """
    x_ND, y_MD = x_ND.detach(), y_MD.detach()
    # A sum is finite only if all that it sums is; looked at one by one where it is not.
    if math.isfinite(float(x_ND.sum() + y_MD.sum())):
        return
    if bool(x_ND.isfinite().all() & y_MD.isfinite().all()):
        return
    found = []
    for name, sample in (("x", x_ND), ("y", y_MD)):
        bad = ~sample.isfinite().all(dim=-1)
        if bool(bad.any()):
            found.append(f"{int(bad.sum())} of the {bad.numel()} rows of {name}")
    raise ValueError(
        f"{caller}: {' and '.join(found)} hold NaN or inf; wanted finite numbers: "
        f"the fault is upstream (learning rate, an unbounded log-variance, corrupt data)"
    )


def fitted_kernel(
    kernel: Kernel,
    x_ND: Tensor,
    y_MD: Tensor,
    /,
    x_weights_N: Tensor | None = None,
    y_weights_M: Tensor | None = None,
) -> Kernel:
    """The kernel with what it takes from the data taken from these samples, once for an estimate.

    Args:
        kernel: any kernel; one that takes something from the data has a method `fitted(x, y)`.
        x_ND: [..., N, D].
        y_MD: [..., M, D].
        x_weights_N: [N] or [..., N]; rows of weight 0 are absent. Given on if not None.
        y_weights_M: [M] or [..., M], likewise.

    Returns:
        What `fitted` returns, or the kernel itself.

    Example:
        >>> import torch
        >>> from genzoo_rwae_kernels import Rbf
        >>> kernel = Rbf(scales=[1.0], relative_to="median")
        >>> fitted = fitted_kernel(kernel, torch.zeros(1, 2), torch.full((1, 2), 3.0))
        >>> fitted.relative_to, [round(width, 3) for width in fitted.widths(2)]
        ('prior', [18.0])
    """
    fitted = getattr(kernel, "fitted", None)
    if fitted is None:
        return kernel
    if x_weights_N is None and y_weights_M is None:
        found: Kernel = fitted(x_ND, y_MD)
    else:
        found = fitted(x_ND, y_MD, x_weights_N, y_weights_M)
    return found
