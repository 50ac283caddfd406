"""The compiled sweep as a Python function: loaded at first use, trusted after a test of its own."""

import ctypes
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genzoo_rwae_kernels.fused.build import BuildError, library_files

__all__ = ["Profile", "Sums", "Sweep", "load", "why_not"]

SOURCE = Path(__file__).with_name("pair_sums.cpp")
SWITCH = "GENZOO_FUSED"

# Pairs times width that are worth a thread of their own: about a third of a millisecond.
GRAIN = 2**22

_lock = threading.Lock()
_loaded: "Sweep | str | None" = None


@dataclass(frozen=True)
class Profile:
    """A radial kernel as the compiled code takes it.

    Attributes:
        name: one that the source knows.
        lengths: one for each scale; squared lengths C_s or lengths, as the profile asks.
        shape: a further number, 0 where the profile asks for none.
        cap: squared distances are cut off here, so that no step overflows.
    """

    name: str
    lengths: tuple[float, ...]
    shape: float
    cap: float


@dataclass(frozen=True)
class Sums:
    """What one sweep gives; of y only across.

    Attributes:
        value_B: float64.
        x_gradient_BND, y_gradient_BMD: float32, of the value with respect to the rows.
        x_potential_BN, y_potential_BM: float64.
    """

    value_B: Tensor
    x_gradient_BND: Tensor
    x_potential_BN: Tensor
    y_gradient_BMD: Tensor | None = None
    y_potential_BM: Tensor | None = None


class Sweep:
    """The function of a compiled library."""

    def __init__(self, path: Path) -> None:
        """Load a library.

        Raises:
            OSError: it cannot be loaded.
            AttributeError: it has no such function.
        """
        self._function = ctypes.CDLL(str(path)).genzoo_pair_sums
        whole, real, at = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
        self._function.restype = ctypes.c_int
        self._function.argtypes = [
            *(ctypes.c_char_p, whole, ctypes.POINTER(real), real, real),
            *(whole, whole, whole, whole),
            *(at, at, at, at, ctypes.c_int, ctypes.c_int),
            *(at, at, at, at, at),
        ]

    def __call__(
        self,
        profile: Profile,
        x_BND: Tensor,
        a_BN: Tensor,
        y_BMD: Tensor | None = None,
        b_BM: Tensor | None = None,
        *,
        skip_diagonal: bool = False,
        threads: int | None = None,
    ) -> Sums:
        """Sums within x, or across x and y. Rows float32, at least one; weights of any dtype."""
        x_BND, a_BN = x_BND.detach().contiguous(), a_BN.detach().double().contiguous()
        B, n, D = x_BND.shape
        m = 0
        value_B = torch.empty(B, dtype=torch.float64, device=x_BND.device)
        gradients, potentials = [torch.empty_like(x_BND)], [torch.empty_like(a_BN)]
        if y_BMD is not None and b_BM is not None:
            y_BMD, b_BM = y_BMD.detach().contiguous(), b_BM.detach().double().contiguous()
            m = y_BMD.shape[1]
            gradients.append(torch.empty_like(y_BMD))
            potentials.append(torch.empty_like(b_BM))
        pairs = B * n * (m or (n + 1) // 2)
        if threads is None:
            threads = max(1, min(torch.get_num_threads(), pairs * D // GRAIN))
        code = self._function(
            profile.name.encode(),
            len(profile.lengths),
            (ctypes.c_double * len(profile.lengths))(*profile.lengths),
            *(profile.shape, profile.cap),
            *(B, n, m, D),
            *(_at(x_BND), _at(y_BMD), _at(a_BN), _at(b_BM)),
            *(skip_diagonal, threads),
            _at(value_B),
            *(_at(gradients[0]), _at(gradients[1] if m else None)),
            *(_at(potentials[0]), _at(potentials[1] if m else None)),
        )
        if code == 1:
            raise MemoryError(f"fused: no memory for sums over {B} x {n} and {m} rows of {D}")
        if code != 0:
            raise ValueError(f"fused: the compiled code does not know the profile {profile.name!r}")
        if not m:
            return Sums(value_B, gradients[0], potentials[0])
        return Sums(value_B, gradients[0], potentials[0], gradients[1], potentials[1])


def load() -> Sweep:
    """The compiled sweep; the first call builds or loads it and tests it.

    Raises:
        BuildError: it cannot be had here, or is switched off.
    """
    global _loaded
    if os.environ.get(SWITCH) == "0":
        raise BuildError(f"the environment variable {SWITCH} is 0, which switches it off")
    with _lock:
        if _loaded is None:
            try:
                _loaded = _first_that_works()
            except (BuildError, OSError) as reason:  # the backend is one of several
                _loaded = str(reason)
    if isinstance(_loaded, str):
        raise BuildError(_loaded)
    return _loaded


def why_not() -> str:
    """Why the compiled sweep cannot be had here, in a sentence; empty if it can."""
    try:
        load()
    except BuildError as reason:
        return str(reason)
    return ""


def _first_that_works() -> Sweep:
    if sys.platform == "win32":
        raise BuildError("it is written for Linux and macOS")
    for path in library_files(SOURCE):
        try:
            sweep = Sweep(path)
            # the first call may come from where there are no gradients, as from a metric; this
            # gives them back to no_grad as well
            with torch.inference_mode(False):
                wrong = _wrong(sweep)
        except (OSError, AttributeError, RuntimeError) as error:
            wrong = str(error)
        if not wrong:
            return sweep
        path.unlink(missing_ok=True)
    raise BuildError(f"the code that this compiler makes failed its self-test: {wrong}")


def _wrong(sweep: Sweep) -> str:
    """What the library gets wrong on a small input of far and near rows; empty if nothing."""
    n, m, D = 37, 21, 5
    # Fixed rows without torch's generator, whose state belongs to the user.
    x_BND = _count(2 * n * D).mul(0.7).sin().mul(2.0).reshape(2, n, D)
    y_BMD = _count(2 * m * D).mul(1.3).cos().add(0.5).reshape(2, m, D)
    y_BMD[:, 0] += 50.0
    a_BN = _count(2 * n).cos().abs().reshape(2, n).double()
    b_BM = _count(2 * m).sin().abs().reshape(2, m).double()
    lengths = (40.0, 20.0, 10.0, 3.0)
    for name in ("imq", "rbf"):
        profile = Profile(name, lengths, 0.0, 1e20)
        across = sweep(profile, x_BND, a_BN, y_BMD, b_BM, threads=2)
        within = sweep(profile, x_BND, a_BN, threads=1)
        wide = x_BND.double().requires_grad_()
        d2_across = (wide[:, :, None] - y_BMD.double()[:, None]).square().sum(-1)
        d2_within = (wide[:, :, None] - wide[:, None]).square().sum(-1)
        off_diagonal = 1.0 - torch.eye(n, dtype=torch.float64, device="cpu")
        for where, found, k in (
            ("across", across, _formula(name, d2_across, lengths)),
            ("within", within, _formula(name, d2_within, lengths) * off_diagonal),
        ):
            weights = b_BM if where == "across" else a_BN
            potential_BN = (k * weights[:, None]).sum(-1)
            value_B = (a_BN * potential_BN).sum(-1)
            (gradient,) = torch.autograd.grad(value_B.sum(), wide, retain_graph=True)
            for what, got, wanted in (
                ("value", found.value_B, value_B),
                ("gradient", found.x_gradient_BND, gradient),
                ("potential", found.x_potential_BN, potential_BN),
            ):
                error = float((got - wanted.detach()).norm() / wanted.detach().norm())
                if not error < 1e-5:
                    return f"{what} of {name} {where} is off by {error:.1e}"
    return ""


def _count(length: int) -> Tensor:
    """0, 1, 2, ... whatever the process's default dtype and device are."""
    return torch.arange(length, dtype=torch.float32, device="cpu")


def _formula(name: str, d2: Tensor, lengths: tuple[float, ...]) -> Tensor:
    terms = [(-d2 / c).exp() if name == "rbf" else c / (c + d2) for c in lengths]
    return torch.stack(terms).sum(0)


def _at(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
