"""What sums and products of kernels ask of the kernels that they are made of.

Shapes: N rows of x, M rows of y, D code width; any leading batch dimensions.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from genzoo_rwae_kernels.precision import in_working_precision, outside_autocast
from genzoo_rwae_kernels.samples import check_samples

__all__ = ["Member", "checked_members", "fitted_member", "member_values"]

Member = Callable[[Tensor, Tensor], Tensor]


def checked_members(name: str, kernels: Sequence[Member], /) -> tuple[Member, ...]:
    """The kernels of which one called `name` is made.

    Raises:
        ValueError: there are none.
        TypeError: one of them cannot be called.

    Example:
        >>> checked_members("Sum", [])
        Traceback (most recent call last):
        ...
        ValueError: Sum: no kernels given; wanted at least one
    """
    if len(kernels) == 0:
        raise ValueError(f"{name}: no kernels given; wanted at least one")
    for kernel in kernels:
        if not callable(kernel):
            raise TypeError(f"{name}: found {kernel!r} among the kernels; wanted callables k(x, y)")
    return tuple(kernels)


def fitted_member(
    kernel: Member,
    x_ND: Tensor,
    y_MD: Tensor,
    x_weights_N: Tensor | None,
    y_weights_M: Tensor | None,
    /,
) -> Member:
    """A kernel with what it takes from the data; one that takes nothing, as it is.

    Args:
        kernel: any callable; one that takes something has a method `fitted`.
        x_ND: [..., N, D].
        y_MD: [..., M, D].
        x_weights_N: [N] or [..., N]; rows of weight 0 are absent.
        y_weights_M: [M] or [..., M], likewise.

    Example:
        >>> import torch
        >>> fitted_member(torch.cdist, torch.zeros(1, 1), torch.ones(1, 1), None, None).__name__
        'cdist'
    """
    fitted = getattr(kernel, "fitted", None)
    if fitted is None:
        return kernel
    result: Member = fitted(x_ND, y_MD, x_weights_N, y_weights_M)
    return result


def member_values(
    caller: str, kernels: Sequence[Member], x_ND: Tensor, y_MD: Tensor, /
) -> list[Tensor]:
    """All kernels between all rows, in float32 or float64, their shapes checked.

    Args:
        caller: name that an error begins with.
        kernels: callables k(x_ND, y_MD) -> [..., N, M].
        x_ND: [..., N, D], floating.
        y_MD: [..., M, D], floating, the same batch dimensions.

    Returns:
        [..., N, M] for each of them.

    Raises:
        TypeError: a sample is not floating.
        ValueError: a sample is empty, the two do not fit together, or a kernel returns another
            shape.

    Example:
        >>> import torch
        >>> member_values("Sum", [torch.cdist], torch.zeros(1, 1), torch.tensor([[2.0]]))
        [tensor([[2.]])]
    """
    check_samples(caller, x_ND, y_MD)
    working_ND, working_MD = in_working_precision(x_ND, y_MD)
    wanted = [*x_ND.shape[:-1], y_MD.shape[-2]]
    with outside_autocast(x_ND.device):
        values = [kernel(working_ND, working_MD) for kernel in kernels]
    for number, k_NM in enumerate(values):
        if list(k_NM.shape) != wanted:
            raise ValueError(
                f"{caller}: kernel {number} of {len(values)} returned shape {list(k_NM.shape)} for "
                f"{wanted[-2]} and {wanted[-1]} rows; wanted {wanted}: one value for each pair"
            )
    return values
