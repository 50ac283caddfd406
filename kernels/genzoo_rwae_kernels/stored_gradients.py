"""Pair sums of a backend as functions of autograd: gradients that its sweep found, stored.

Shapes: B batch, N rows of x, M rows of y, D code width; B stands for any leading batch dimensions
of what is given.

Asked for a second derivative, they compute the formula again by eager.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, cast

import torch
from torch import Tensor

from genzoo_rwae_kernels import eager
from genzoo_rwae_kernels.backends import module_of
from genzoo_rwae_kernels.precision import outside_autocast
from genzoo_rwae_kernels.radial import Radial
from genzoo_rwae_kernels.samples import Kernel
from genzoo_rwae_kernels.sweeps import Coefficients, Contrast

__all__ = ["across", "contrast", "within"]


def within(
    x_ND: Tensor, w_N: Tensor | None, kernel: Kernel, diagonal: bool, backend: str, /
) -> Tensor:
    """`pair_sums.within` of what has been checked, by a backend that can.

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> within(torch.tensor([[0.0], [2.0]]), None, Imq(scales=[2.0]), False, "tiled")
        tensor(1., dtype=torch.float64)
    """
    if backend == "eager":
        return eager.within(x_ND, w_N, kernel, diagonal=diagonal)
    w_N = _ones(x_ND) if w_N is None else w_N
    x_BND, w_BN = _one_batch(x_ND, 2), _one_batch(w_N, 1)
    # Radial kernels have one height, other ones are asked for their diagonal.
    height = kernel.at_zero(x_ND.shape[-1]) if isinstance(kernel, Radial) else None
    value_B: Tensor = _apply(_Within, x_BND, w_BN, kernel, backend, diagonal and height is None)
    if diagonal and height is not None:
        value_B = value_B + height * _squares(w_BN)
    return value_B.reshape(x_ND.shape[:-2])


def across(
    x_ND: Tensor,
    y_MD: Tensor,
    a_N: Tensor | None,
    b_M: Tensor | None,
    kernel: Kernel,
    skip_diagonal: bool,
    backend: str,
    /,
) -> Tensor:
    """`pair_sums.across` of what has been checked, by a backend that can.

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> x, y = torch.tensor([[0.0]]), torch.tensor([[2.0], [0.0]])
        >>> across(x, y, None, None, Imq(scales=[2.0]), False, "tiled")
        tensor(1.5000, dtype=torch.float64)
    """
    if backend == "eager":
        return eager.across(x_ND, y_MD, a_N, b_M, kernel, skip_diagonal=skip_diagonal)
    a_N = _ones(x_ND) if a_N is None else a_N
    b_M = _ones(y_MD) if b_M is None else b_M
    value_B: Tensor = _apply(
        _Across,
        *(_one_batch(x_ND, 2), _one_batch(y_MD, 2)),
        *(_one_batch(a_N, 1), _one_batch(b_M, 1)),
        kernel,
        backend,
        skip_diagonal,
    )
    return value_B.reshape(x_ND.shape[:-2])


def contrast(
    x_ND: Tensor,
    y_MD: Tensor,
    a_N: Tensor | None,
    b_M: Tensor | None,
    kernel: Radial,
    coefficients: Coefficients,
    diagonal: bool,
    skip_diagonal: bool,
    backend: str,
    dtype: torch.dtype | None,
    /,
) -> Contrast:
    """`pair_sums.contrast` of what has been checked, by a backend with a sweep of its own for it.

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0]])
        >>> kernel, mean = Imq(scales=[2.0]), Coefficients(x=0.5, y=0.0, across=-1.0)
        >>> contrast(x, y, None, None, kernel, mean, False, False, "tiled", torch.float32).value
        tensor(-1.)
    """
    batch = x_ND.shape[:-2]
    x_BND, y_BMD = _one_batch(x_ND, 2), _one_batch(y_MD, 2)
    a_BN, b_BM = (None if w is None else _one_batch(w, 1) for w in (a_N, b_M))
    coefficients_B3 = _table(coefficients, batch, x_BND)
    dtype = torch.float64 if dtype is None else dtype
    value_B, sums_B3 = _apply(
        _Contrast,
        *(x_BND, y_BMD, a_BN, b_BM, coefficients_B3, kernel, backend, skip_diagonal),
        torch.float64 if diagonal else dtype,
    )
    if diagonal:
        height = kernel.at_zero(x_ND.shape[-1])
        for kind, (rows_BND, w_BN) in enumerate(((x_BND, a_BN), (y_BMD, b_BM))):
            heights = height * (rows_BND.shape[1] if w_BN is None else _squares(w_BN))
            value_B = value_B + coefficients_B3[:, kind] * heights
            sums_B3[:, kind] += heights.detach() if isinstance(heights, Tensor) else heights
        value_B = value_B.to(dtype)
    if len(batch) == 1:
        return Contrast(value_B, sums_B3)
    return Contrast(value_B.reshape(batch), sums_B3.reshape(*batch, 3))


def _squares(w_BN: Tensor) -> Tensor:
    return w_BN.double().square().sum(dim=-1)


def _one_batch(given: Tensor, dims: int) -> Tensor:
    """All batch dimensions as one, before the last `dims`."""
    return given if given.dim() == dims + 1 else given.reshape(-1, *given.shape[-dims:])


def _table(coefficients: Coefficients, batch: torch.Size, like: Tensor) -> Tensor:
    """The coefficients as [B, 3], float64."""
    wide, device = torch.float64, like.device
    if any(isinstance(c, Tensor) for c in coefficients):
        columns = [torch.as_tensor(c, dtype=wide, device=device) for c in coefficients]
        return torch.stack([c.expand(batch).reshape(-1) for c in columns], dim=-1)
    return _table_of_numbers(coefficients, len(like), device)


@lru_cache(maxsize=64)
def _table_of_numbers(coefficients: Coefficients, batch: int, device: torch.device) -> Tensor:
    # The first call may come from where there are no gradients; later ones need not.
    with torch.inference_mode(False):
        row_3 = torch.tensor(coefficients, dtype=torch.float64, device=device)
        return row_3.repeat(batch, 1)


def _ones(x_ND: Tensor) -> Tensor:
    return torch.ones(x_ND.shape[:-1], dtype=x_ND.dtype, device=x_ND.device)


def _apply(function: type[torch.autograd.Function], *given: object) -> Any:
    return function.apply(*given)  # type: ignore[no-untyped-call]


class _Within(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_BND: Tensor, w_BN: Tensor, kernel: Kernel, backend: str, diagonal: bool
    ) -> Tensor:
        more = {"diagonal": True} if diagonal else {}
        value_B, gradient_BND, potential_BN = module_of(backend).within(x_BND, w_BN, kernel, **more)
        ctx.save_for_backward(x_BND, w_BN, gradient_BND, potential_BN)
        ctx.formula = lambda x, w: eager.within(x, w, kernel, diagonal=diagonal)
        return cast(Tensor, value_B)

    @staticmethod
    def backward(ctx: Any, upstream_B: Tensor) -> tuple[Tensor | None, ...]:
        x_BND, w_BN, gradient_BND, potential_BN = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (*_by_formula(ctx, upstream_B, x_BND, w_BN), None, None, None)
        derivatives = (gradient_BND, 2.0 * potential_BN)
        return (*_scaled_like(upstream_B, (x_BND, w_BN), derivatives, ctx), None, None, None)


class _Across(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_BND: Tensor,
        y_BMD: Tensor,
        a_BN: Tensor,
        b_BM: Tensor,
        kernel: Kernel,
        backend: str,
        skip_diagonal: bool,
    ) -> Tensor:
        value_B, *derivatives = module_of(backend).across(
            x_BND, y_BMD, a_BN, b_BM, kernel, skip_diagonal=skip_diagonal
        )
        ctx.save_for_backward(x_BND, y_BMD, a_BN, b_BM, *derivatives)
        ctx.formula = lambda x, y, a, b: eager.across(
            x, y, a, b, kernel, skip_diagonal=skip_diagonal
        )
        return cast(Tensor, value_B)

    @staticmethod
    def backward(ctx: Any, upstream_B: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        inputs, derivatives = saved[:4], saved[4:]
        if torch.is_grad_enabled():
            return (*_by_formula(ctx, upstream_B, *inputs), None, None, None)
        return (*_scaled_like(upstream_B, inputs, derivatives, ctx), None, None, None)


class _Contrast(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_BND: Tensor,
        y_BMD: Tensor,
        a_BN: Tensor | None,
        b_BM: Tensor | None,
        coefficients_B3: Tensor,
        kernel: Kernel,
        backend: str,
        skip_diagonal: bool,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        inputs = (x_BND, y_BMD, a_BN, b_BM, coefficients_B3)
        value_B, sums_B3, *derivatives = module_of(backend).contrast(
            *inputs, kernel, skip_diagonal=skip_diagonal, wanted=ctx.needs_input_grad[:4]
        )
        ctx.mark_non_differentiable(sums_B3)
        ctx.set_materialize_grads(False)
        # of its own, for the sums that are given back may be added to
        of_coefficients = sums_B3.clone() if ctx.needs_input_grad[4] else None
        ctx.save_for_backward(*inputs, *derivatives, of_coefficients)
        ctx.formula = partial(_contrast_by_formula, kernel, skip_diagonal)
        return value_B.to(dtype), sums_B3

    @staticmethod
    def backward(ctx: Any, upstream_B: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # each look at them unpacks them all
        inputs, derivatives = saved[:5], saved[5:]
        if upstream_B is None:
            return (None,) * 9
        if torch.is_grad_enabled():
            return (*_by_formula(ctx, upstream_B, *inputs), None, None, None, None)
        return (*_scaled_like(upstream_B, inputs, derivatives, ctx), None, None, None, None)


def _contrast_by_formula(
    kernel: Kernel,
    skip_diagonal: bool,
    x_BND: Tensor,
    y_BMD: Tensor,
    a_BN: Tensor | None,
    b_BM: Tensor | None,
    coefficients_B3: Tensor,
) -> Tensor:
    sums = (
        eager.within(x_BND, a_BN, kernel),
        eager.within(y_BMD, b_BM, kernel),
        eager.across(x_BND, y_BMD, a_BN, b_BM, kernel, skip_diagonal=skip_diagonal),
    )
    return (torch.stack(sums, dim=-1) * coefficients_B3).sum(dim=-1)


def _scaled_like(
    upstream_B: Tensor, inputs: Sequence[Tensor], derivatives: Sequence[Tensor], ctx: Any
) -> list[Tensor | None]:
    """The stored derivatives times upstream, in the dtypes of the inputs; None where not wanted."""
    upstream: dict[tuple[torch.dtype, int], Tensor] = {}
    found: list[Tensor | None] = []
    for given, derivative, wanted in zip(inputs, derivatives, ctx.needs_input_grad, strict=False):
        if not wanted:
            found.append(None)
            continue
        kind = derivative.dtype, derivative.dim()
        if kind not in upstream:
            upstream[kind] = upstream_B.to(kind[0]).reshape(-1, *[1] * (kind[1] - 1))
        scaled = upstream[kind] * derivative
        found.append(scaled if scaled.dtype == given.dtype else scaled.to(given.dtype))
    return found


def _by_formula(ctx: Any, upstream_B: Tensor, *inputs: Tensor | None) -> list[Tensor | None]:
    """Gradients with a graph, for the second derivatives that no backend stores."""
    # Aliases: one input may depend on another, and its path is not to be counted here.
    aliases = [None if given is None else given.view_as(given) for given in inputs]
    wanted = [
        alias
        for alias, needed in zip(aliases, ctx.needs_input_grad, strict=False)
        if needed and alias is not None
    ]
    with outside_autocast(upstream_B.device):
        value_B = ctx.formula(*aliases)
        upstream_B = upstream_B.to(value_B.dtype)
        found = iter(torch.autograd.grad(value_B, wanted, upstream_B, create_graph=True))
    return [next(found) if needed else None for needed in ctx.needs_input_grad[: len(inputs)]]
