"""The compiled sweep over pairs as a Python function."""

import ctypes
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from genzoo_rwae_kernels.fused.loading import Compiled, at, numbered
from genzoo_rwae_kernels.sweeps import ALL, EVERYTHING, Kinds, Sums, Wanted

__all__ = ["PAIR_SUMS", "Profile", "Sweep"]

# Pairs times width that are worth a thread of their own: about a third of a millisecond.
GRAIN = 2**22


@dataclass(frozen=True)
class Profile:
    """A radial kernel as the compiled code takes it.

    Attributes:
        name: one that the source knows.
        lengths: one for each scale; squared lengths C_s or lengths, as the profile asks.
        shape: a further number, 0 where the profile asks for none.
        cap: squared distances are cut off here, so that no step overflows.
        reach: largest squared distance of a row from the centre of all rows up to which products
            of float32 do for differences; 0: nowhere.
    """

    name: str
    lengths: tuple[float, ...]
    shape: float
    cap: float
    reach: float = 0.0

    @cached_property
    def arguments(self) -> tuple[object, ...]:
        """The profile as the compiled function's first arguments."""
        count = len(self.lengths)
        lengths = (ctypes.c_double * count)(*self.lengths)
        return (self.name.encode(), count, lengths, self.shape, self.cap, self.reach)


class Sweep:
    """The function of a compiled library."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """The function of a library.

        Raises:
            AttributeError: it has none.
        """
        self._function = library.genzoo_pair_sums
        whole, real, where = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
        self._function.restype = ctypes.c_int
        self._function.argtypes = [
            *(ctypes.c_char_p, whole, ctypes.POINTER(real), real, real, real),
            *(whole, whole, whole, whole),
            *(where, where, where, where, where, ctypes.c_int, ctypes.c_int, ctypes.c_int),
            *(where, where, where, where, where, where),
        ]

    def __call__(
        self,
        profile: Profile,
        x_BND: Tensor,
        y_BMD: Tensor,
        a_BN: Tensor | None,
        b_BM: Tensor | None,
        coefficients_B3: Tensor,
        *,
        kinds: Kinds = ALL,
        skip_diagonal: bool = False,
        wanted: Wanted = EVERYTHING,
        threads: int | None = None,
    ) -> Sums:
        """The sums, the value that they make with the coefficients, and its gradients.

        Args:
            profile: the kernel.
            x_BND: float32, at least one row.
            y_BMD: float32, any number of rows.
            a_BN: weights of x; None: all 1.
            b_BM: weights of y; None: all 1.
            coefficients_B3: of the sums within x, within y and across.
            kinds: which of the sums.
            skip_diagonal: leave the pairs (x_i, y_i) out of the sum across.
            wanted: which of the gradients; None stands for the others.
            threads: None: as many as the sums are worth.
        """
        x_BND, y_BMD = x_BND.contiguous(), y_BMD.contiguous()
        (B, n, D), m = x_BND.shape, y_BMD.shape[1]
        coefficients_B3 = coefficients_B3.detach().double().contiguous()
        a_BN, b_BM = (
            None if given is None else given.detach().double().contiguous()
            for given in (a_BN, b_BM)
        )
        empty = partial(torch.empty, dtype=torch.float64, device=x_BND.device)
        found = Sums(
            empty(B),
            empty(B, 3),
            torch.empty_like(x_BND) if wanted.x else None,
            torch.empty_like(y_BMD) if wanted.y else None,
            empty(B, n) if wanted.a else None,
            empty(B, m) if wanted.b else None,
        )
        if threads is None:
            threads = torch.get_num_threads()
            if threads > 1:
                pairs = n * n // 2 * bool(kinds & Kinds.WITHIN_X)
                pairs += m * m // 2 * bool(kinds & Kinds.WITHIN_Y)
                pairs += n * m * bool(kinds & Kinds.ACROSS)
                threads = max(1, min(threads, B * pairs * D // GRAIN))
        code = self._function(
            *profile.arguments,
            *(B, n, m, D),
            *map(at, (x_BND, y_BMD, a_BN, b_BM, coefficients_B3)),
            *(kinds, skip_diagonal, threads),
            *map(at, found),
        )
        if code == 1:
            raise MemoryError(f"fused: no memory for sums over {B} x {n} and {m} rows of {D}")
        if code != 0:
            raise ValueError(f"fused: the compiled code does not know the profile {profile.name!r}")
        return found


def _wrong(sweep: Sweep) -> str:
    """What the library gets wrong on a small input of far and near rows; empty if nothing."""
    n, m, D = 37, 21, 5
    # Fixed rows without torch's generator, whose state belongs to the user.
    x_BND = numbered(2 * n * D).mul(0.7).sin().mul(2.0).reshape(2, n, D)
    y_BMD = numbered(2 * m * D).mul(1.3).cos().add(0.5).reshape(2, m, D)
    a_BN = numbered(2 * n).cos().abs().reshape(2, n).double()
    b_BM = numbered(2 * m).sin().abs().reshape(2, m).double()
    lengths, coefficients = (40.0, 20.0, 10.0, 3.0), (1.5, 0.5, -2.0)
    coefficients_B3 = torch.tensor([coefficients] * 2, dtype=torch.float64, device="cpu")
    for name in ("imq", "rbf"):
        for way, reach, apart in (("differences", 0.0, 50.0), ("products", 1e20, 0.0)):
            profile = Profile(name, lengths, 0.0, 1e20, reach)
            far_M1 = (numbered(m) == 0).float()[:, None]
            given = (x_BND, y_BMD + apart * far_M1, a_BN, b_BM)
            found = sweep(profile, *given, coefficients_B3, threads=2)
            leaves = [part.double().requires_grad_() for part in given]
            x, y, a, b = leaves
            sums_B3 = torch.stack(
                [
                    _formula(name, x, x, a, a, lengths) - len(lengths) * a.square().sum(-1),
                    _formula(name, y, y, b, b, lengths) - len(lengths) * b.square().sum(-1),
                    _formula(name, x, y, a, b, lengths),
                ],
                dim=-1,
            )
            value_B = (sums_B3 * coefficients_B3).sum(-1)
            gradients = torch.autograd.grad(value_B.sum(), leaves)
            names = (
                "value",
                "sums",
                "gradient of x",
                "gradient of y",
                "gradient of a",
                "gradient of b",
            )
            for what, got, wanted in zip(names, found, (value_B, sums_B3, *gradients), strict=True):
                assert got is not None
                error = float((got - wanted.detach()).norm() / wanted.detach().norm())
                if not error < 1e-5:
                    return f"{what} of {name} by {way}: off by {error:.1e}"
    return ""


def _formula(
    name: str, x: Tensor, y: Tensor, a: Tensor, b: Tensor, lengths: tuple[float, ...]
) -> Tensor:
    d2 = (x[:, :, None] - y[:, None]).square().sum(-1)
    terms = [(-d2 / c).exp() if name == "rbf" else c / (c + d2) for c in lengths]
    return (a[:, :, None] * b[:, None] * torch.stack(terms).sum(0)).sum((1, 2))


PAIR_SUMS = Compiled(
    Path(__file__).with_name("pair_sums.cpp"), "the MMD's backend fused", Sweep, _wrong
)
