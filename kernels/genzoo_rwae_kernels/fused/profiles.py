"""Radial kernels as the compiled code takes them."""

import math
from collections.abc import Callable
from functools import lru_cache

from genzoo_rwae_kernels.fused.library import Profile
from genzoo_rwae_kernels.kinked import Energy, Laplacian, Matern
from genzoo_rwae_kernels.radial import Radial, RationalQuadratic, ScaleMixture
from genzoo_rwae_kernels.tiled.mixtures import float32_reach

__all__ = ["profile_of", "refuses_kernel"]

# The compiled code multiplies two terms 1 + d2 / C_s in float32.
_LEAST, _MOST, _MOST_SPREAD = 1e-12, 1e12, 1e8
_NARROW = 4  # columns up to which differences cost hardly more than products


def refuses_kernel(kernel: object) -> str:
    """Why the compiled code cannot stand for a kernel, in a clause; empty if it can."""
    if not isinstance(kernel, Radial) or _maker(kernel) is None:
        return "the kernel is not one of the radial kernels that it knows"
    if not kernel.has_constant_width:
        return "the kernel's width is a tensor, for which it has no gradient"
    return _refuses_lengths(profile_of(kernel, 1).lengths)


@lru_cache(maxsize=64)
def _refuses_lengths(lengths: tuple[float, ...]) -> str:
    if not lengths:
        return ""
    least, most = min(lengths), max(lengths)
    if least < _LEAST or most > _MOST or most > _MOST_SPREAD * least:
        return f"the kernel's widths, from {least:.0e} to {most:.0e}, are too far apart for float32"
    return ""


@lru_cache(maxsize=64)
def profile_of(kernel: Radial, width: int) -> Profile:
    """The profile of a kernel that is not refused, for rows of `width` coordinates."""
    make = _maker(kernel)
    assert make is not None
    return make(kernel, width)


def _maker(kernel: Radial) -> Callable[[Radial, int], Profile] | None:
    return _MAKERS.get(kernel.profile)


def _mixture(kernel: Radial, width: int) -> Profile:
    assert isinstance(kernel, ScaleMixture)
    widths = kernel.widths(width)
    # among narrow rows there are often two so near that products cannot tell them apart
    reach = 0.0 if width <= _NARROW else float32_reach(kernel, width)
    return Profile(kernel.profile, widths, 0.0, 1e18 * min(widths), reach)


def _rational_quadratic(kernel: Radial, width: int) -> Profile:
    assert isinstance(kernel, RationalQuadratic)
    widths = tuple(kernel.alpha * c for c in kernel.widths(width))
    return Profile("rational-quadratic", widths, kernel.alpha, 1e30 * min(1.0, *widths))


def _matern(kernel: Radial, width: int) -> Profile:
    assert isinstance(kernel, Laplacian | Matern)
    nu = kernel.nu if isinstance(kernel, Matern) else 0.5
    names = {0.5: "laplacian", 1.5: "matern-3/2", 2.5: "matern-5/2"}
    lengths = tuple(math.sqrt(c / (2.0 * nu)) for c in kernel.widths(width))
    return Profile(names[nu], lengths, 0.0, 1e30 * min(1.0, *lengths) ** 2)


def _energy(kernel: Radial, width: int) -> Profile:
    del width
    assert isinstance(kernel, Energy)
    return Profile("energy", (), kernel.beta, 1e37)


_MAKERS: dict[str, Callable[[Radial, int], Profile]] = {
    "energy": _energy,
    "imq": _mixture,
    "laplacian": _matern,
    "matern": _matern,
    "rational-quadratic": _rational_quadratic,
    "rbf": _mixture,
}
