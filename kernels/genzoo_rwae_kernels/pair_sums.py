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

import importlib
import importlib.util
import logging
import os
from collections.abc import Sequence
from functools import cache, lru_cache, partial
from types import ModuleType
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from genzoo_rwae_kernels import eager, tiled
from genzoo_rwae_kernels.precision import in_working_precision, outside_autocast
from genzoo_rwae_kernels.radial import Radial
from genzoo_rwae_kernels.samples import Kernel, check_samples

__all__ = ["BACKENDS", "Coefficients", "Contrast", "across", "contrast", "within"]

BACKENDS: tuple[str, ...] = ("auto", "eager", "tiled", "fused", "triton", "compiled")
_MODULES = {"triton": "triton_sums"}  # the others are called as their backend is
SWITCH = "GENZOO_MMD_BACKEND"

# Pairs in a call from which a backend beats eager, forward and backward (measured on one core).
_FUSED_FROM = 2**9
_TILED_FROM = 2**13
# Kernels that go through autograd tile by tile, and other devices, only gain memory.
_TILED_TO_SAVE_MEMORY_FROM = 2**23

# Pairs of rows up to which the overhead of a call weighs more than a copy of the samples.
_SMALL = 2**20

_log = logging.getLogger("genzoo_rwae_kernels")


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
        chosen = _choose("within", x_ND, x_ND.shape[-2], kernel, backend)
        return _within(x_ND, w_N, kernel, diagonal, chosen)


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
        chosen = _choose("across", x_ND, y_MD.shape[-2], kernel, backend)
        return _across(x_ND, y_MD, a_N, b_M, kernel, skip_diagonal, chosen)


class Coefficients(NamedTuple):
    """What the sums within x, within y and across count in a contrast; numbers or [...]."""

    x: float | Tensor
    y: float | Tensor
    across: float | Tensor


class Contrast(NamedTuple):
    """A contrast and what it is made of.

    Attributes:
        value: [...], float64 where the device has it.
        sums: [..., 3], likewise, those within x, within y and across; without a graph.
    """

    value: Tensor
    sums: Tensor


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
        chosen = _choose("contrast", longer_ND, longer_ND.shape[-2], kernel, backend)
        if hasattr(_module(chosen), "contrast") and isinstance(kernel, Radial):
            given = (x_ND, y_MD, a_N, b_M, kernel, coefficients)
            return _contrast_of_one_sweep(*given, diagonal, skip_diagonal, chosen)
        # first, while no other sums hold their gradients: it needs the most memory
        between = _across(x_ND, y_MD, a_N, b_M, kernel, skip_diagonal, chosen)
        within_x, within_y = _within_both(x_ND, y_MD, a_N, b_M, kernel, diagonal, chosen)
        value = coefficients.x * within_x + coefficients.y * within_y
        value = value + coefficients.across * between
        return Contrast(value, torch.stack([within_x, within_y, between], dim=-1).detach())


def _within(
    x_ND: Tensor, w_N: Tensor | None, kernel: Kernel, diagonal: bool, backend: str
) -> Tensor:
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


def _within_both(
    x_ND: Tensor,
    y_MD: Tensor,
    a_N: Tensor | None,
    b_M: Tensor | None,
    kernel: Kernel,
    diagonal: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """`within` of both samples; small ones of equal size in one call, for half of its overhead."""
    one_call = (
        isinstance(kernel, Radial)  # any other may not take a batch, or may look at whole samples
        and kernel.has_constant_width
        and x_ND.shape == y_MD.shape
        and (a_N is None) == (b_M is None)
        and x_ND.shape[:-1].numel() * x_ND.shape[-2] <= _SMALL
    )
    if not one_call:
        return (
            _within(x_ND, a_N, kernel, diagonal, backend),
            _within(y_MD, b_M, kernel, diagonal, backend),
        )
    weights_SN = torch.stack([a_N, b_M]) if a_N is not None and b_M is not None else None
    sums_S = _within(torch.stack([x_ND, y_MD]), weights_SN, kernel, diagonal, backend)
    return sums_S[0], sums_S[1]


def _across(
    x_ND: Tensor,
    y_MD: Tensor,
    a_N: Tensor | None,
    b_M: Tensor | None,
    kernel: Kernel,
    skip_diagonal: bool,
    backend: str,
) -> Tensor:
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


def _contrast_of_one_sweep(
    x_ND: Tensor,
    y_MD: Tensor,
    a_N: Tensor | None,
    b_M: Tensor | None,
    kernel: Radial,
    coefficients: Coefficients,
    diagonal: bool,
    skip_diagonal: bool,
    backend: str,
) -> Contrast:
    batch = x_ND.shape[:-2]
    x_BND, y_BMD = _one_batch(x_ND, 2), _one_batch(y_MD, 2)
    a_BN, b_BM = (None if w is None else _one_batch(w, 1) for w in (a_N, b_M))
    coefficients_B3 = _table(coefficients, batch, x_BND)
    value_B, sums_B3 = _apply(
        _Contrast, x_BND, y_BMD, a_BN, b_BM, coefficients_B3, kernel, backend, skip_diagonal
    )
    if diagonal:
        height = kernel.at_zero(x_ND.shape[-1])
        for kind, (rows_BND, w_BN) in enumerate(((x_BND, a_BN), (y_BMD, b_BM))):
            heights = height * (rows_BND.shape[1] if w_BN is None else _squares(w_BN))
            value_B = value_B + coefficients_B3[:, kind] * heights
            sums_B3[:, kind] += heights.detach() if isinstance(heights, Tensor) else heights
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


def _apply(function: type[torch.autograd.Function], *given: object) -> Any:
    return function.apply(*given)  # type: ignore[no-untyped-call]


class _Within(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_BND: Tensor, w_BN: Tensor, kernel: Kernel, backend: str, diagonal: bool
    ) -> Tensor:
        more = {"diagonal": True} if diagonal else {}
        value_B, gradient_BND, potential_BN = _module(backend).within(x_BND, w_BN, kernel, **more)
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
        value_B, *derivatives = _module(backend).across(
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
    ) -> tuple[Tensor, Tensor]:
        inputs = (x_BND, y_BMD, a_BN, b_BM, coefficients_B3)
        value_B, sums_B3, *derivatives = _module(backend).contrast(
            *inputs, kernel, skip_diagonal=skip_diagonal, wanted=ctx.needs_input_grad[:4]
        )
        ctx.mark_non_differentiable(sums_B3)
        ctx.set_materialize_grads(False)
        # of its own, for the sums that are given back may be added to
        of_coefficients = sums_B3.clone() if ctx.needs_input_grad[4] else None
        ctx.save_for_backward(*inputs, *derivatives, of_coefficients)
        ctx.formula = partial(_contrast_by_formula, kernel, skip_diagonal)
        return value_B, sums_B3

    @staticmethod
    def backward(ctx: Any, upstream_B: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # each look at them unpacks them all
        inputs, derivatives = saved[:5], saved[5:]
        if upstream_B is None:
            return (None,) * 8
        if torch.is_grad_enabled():
            return (*_by_formula(ctx, upstream_B, *inputs), None, None, None)
        return (*_scaled_like(upstream_B, inputs, derivatives, ctx), None, None, None)


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
        found = iter(torch.autograd.grad(value_B, wanted, upstream_B, create_graph=True))
    return [next(found) if needed else None for needed in ctx.needs_input_grad[: len(inputs)]]


def _choose(quantity: str, x_ND: Tensor, columns: int, kernel: Kernel, backend: str) -> str:
    asked = backend if backend != "auto" else os.environ.get(SWITCH) or "auto"
    if asked != "auto":
        source = f"backend {asked!r}" if asked == backend else f"{SWITCH}={asked}"
        _refuse_what_cannot(quantity, source, asked, x_ND, kernel)
        chosen = asked
    else:
        chosen = _fastest(x_ND, columns, kernel)
    _log_once(quantity, chosen, x_ND.device.type)
    return chosen


@cache
def _log_once(quantity: str, chosen: str, device: str) -> None:
    _log.info("pair sums %s: %s on %s", quantity, chosen, device)


def _refuse_what_cannot(
    quantity: str, source: str, asked: str, x_ND: Tensor, kernel: Kernel
) -> None:
    if asked not in BACKENDS:
        raise ValueError(f"{quantity}: {source}; wanted one of {', '.join(BACKENDS)}")
    reason = _why_not(asked, x_ND, kernel)
    if reason:
        raise ValueError(
            f"{quantity}: {source} cannot compute {_name_of(kernel)} on {x_ND.dtype} rows: "
            f"{reason}; wanted a backend that can: 'eager' always does, 'auto' takes the fastest"
        )


def _fastest(x_ND: Tensor, columns: int, kernel: Kernel) -> str:
    pairs = x_ND.shape[:-1].numel() * columns
    compiled_for = {"cpu": ("fused", _FUSED_FROM), "cuda": ("triton", 0)}
    name, least = compiled_for.get(x_ND.device.type, ("", 0))
    if name and isinstance(kernel, Radial) and pairs >= least and not _why_not(name, x_ND, kernel):
        return name
    fast = isinstance(kernel, Radial) and x_ND.device.type == "cpu"
    least = _TILED_FROM if fast else _TILED_TO_SAVE_MEMORY_FROM
    return "tiled" if pairs >= least and not _why_not("tiled", x_ND, kernel) else "eager"


def _why_not(backend: str, x_ND: Tensor, kernel: Kernel) -> str:
    """Why a backend cannot sum a kernel, in a clause; empty if it can."""
    if backend == "eager":
        return ""
    if not _is_installed(backend):
        return "it is not part of this installation"
    reason: str = _module(backend).refuses(kernel, x_ND.dtype, x_ND.device)
    if not reason and not isinstance(kernel, Radial) and tiled.has_own_gradients(x_ND, kernel):
        return "the kernel holds tensors that want gradients, which this backend has not"
    return reason


@cache
def _is_installed(backend: str) -> bool:
    return importlib.util.find_spec(_module_name(backend)) is not None


@cache
def _module(backend: str) -> ModuleType:
    return importlib.import_module(_module_name(backend))


def _module_name(backend: str) -> str:
    return f"genzoo_rwae_kernels.{_MODULES.get(backend, backend)}"


def _name_of(kernel: Kernel) -> str:
    return getattr(kernel, "__name__", type(kernel).__name__)


def _ones(x_ND: Tensor) -> Tensor:
    return torch.ones(x_ND.shape[:-1], dtype=x_ND.dtype, device=x_ND.device)


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
