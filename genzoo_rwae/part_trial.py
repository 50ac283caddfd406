"""What a plugin's part makes, compared with what its kind promises where it is first used.

Shapes: B batch, T time, N frames, H features, D code width, A number of actions, S width of a
prior's state, ... the frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from genzoo_rwae.codes import DiagonalGaussian, DynamicPrior, StaticPrior
from genzoo_rwae.errors import PluginError

__all__ = ["check_paths", "try_part"]

_ROWS, _STEPS = 3, 2  # of codes that priors are tried on
_BYTES = 4  # of a number of float32, which is what models see


def try_part(kind: str, who: str, made: Any, wired: tuple[Any, ...]) -> None:
    """Compare what a part made with what its kind promises.

    A net is compared when it is first called, for what it will see is not known before; the laws of
    a prior are tried on a few codes at once; what a function returns is compared every time.

    Args:
        kind: a key of `KINDS`; what a source, a model, a cost, a penalty or a metric makes is
            looked at by those who ask for it.
        who: what the part is called in a message.
        made: what it returned, or the object if it is a class.
        wired: what the host gave it.

    Raises:
        PluginError: they differ; says in what.
    """
    if kind in _NETS:
        _try_net(kind, who, made, wired)
    elif kind == "prior":
        _try_prior(who, made, *wired)
    elif kind in _RESULTS:
        is_right, wanted = _RESULTS[kind]
        if not is_right(made, wired):
            raise _differs(who, made, wanted)


def check_paths(who: str, z_BTD: Any, shape: Sequence[int]) -> None:
    """Compare what a prior's `roll_out` gave with the shape that was asked for.

    Raises:
        PluginError: they differ.
    """
    if not _is_tensor(z_BTD, shape):
        raise _differs(who, z_BTD, f"paths {list(shape)} in float32")


def _is_optimizer(made: Any, wired: tuple[Any, ...]) -> bool:
    if not isinstance(made, torch.optim.Optimizer):
        return False
    moved = {id(parameter) for group in made.param_groups for parameter in group["params"]}
    has_rates = all("lr" in group for group in made.param_groups)
    return has_rates and bool(moved) and moved <= {id(parameter) for parameter in wired[0]}


def _is_number(made: Any) -> bool:
    is_scalar = isinstance(made, Real) or (hasattr(made, "ndim") and made.ndim == 0)
    return is_scalar and math.isfinite(made) and made >= 0


_RESULTS: Mapping[str, tuple[Callable[[Any, tuple[Any, ...]], bool], str]] = {
    "augmentation": (
        lambda made, wired: _is_tensor(made, wired[0].shape) and made.dtype == wired[0].dtype,
        "frames of the shape and the dtype of those that it was given",
    ),
    "judge": (lambda made, wired: isinstance(made, nn.Module), "a torch.nn.Module"),
    "optimizer": (
        _is_optimizer,
        "a torch.optim.Optimizer of parameters that it was given and of no others, with a learning "
        "rate (lr) in every group",
    ),
    "schedule": (lambda made, wired: _is_number(made), "a number, the factor, 0 or more"),
    "tracker": (
        lambda made, wired: all(callable(getattr(made, name, None)) for name in ("log", "close")),
        "an object with the methods log(row) and close()",
    ),
}


@dataclass(frozen=True)
class _Promise:
    """What a net of a kind gives.

    Attributes:
        what: in words.
        shape: by what the net was wired to, its width and what it sees.
        is_kept: whether something is that, of a shape.
    """

    what: str
    shape: Callable[[tuple[Any, ...], int, Tensor], list[int]]
    is_kept: Callable[[Any, Sequence[int]], bool]


def _is_tensor(thing: Any, shape: Sequence[int]) -> bool:
    is_tensor = isinstance(thing, Tensor) and thing.is_floating_point()
    return is_tensor and thing.dtype.itemsize <= _BYTES and list(thing.shape) == list(shape)


def _is_gaussian(thing: Any, shape: Sequence[int]) -> bool:
    """Its log-variance may be one for all rows or entries."""
    if not (isinstance(thing, DiagonalGaussian) and _is_tensor(thing.mean, shape)):
        return False
    spread = thing.log_variance
    if not (isinstance(spread, Tensor) and _is_tensor(spread, spread.shape)):
        return False
    sides = zip(reversed(spread.shape), reversed(shape), strict=False)
    return spread.dim() <= len(shape) and all(one in (1, side) for one, side in sides)


def _is_path_and_law(thing: Any, shape: Sequence[int]) -> bool:
    is_pair = isinstance(thing, tuple | list) and len(thing) == 2
    return is_pair and _is_tensor(thing[0], shape) and _is_gaussian(thing[1], shape)


_NETS: Mapping[str, _Promise] = {
    "encoder": _Promise(
        "features", lambda wired, width, x: [*x.shape[:2], width], is_kept=_is_tensor
    ),
    "frame-encoder": _Promise("features", lambda wired, width, x: [len(x), width], _is_tensor),
    "static-head": _Promise(
        "a DiagonalGaussian(mean, log_variance) of values",
        lambda wired, width, x: [len(x), wired[1]],
        _is_gaussian,
    ),
    "dynamic-head": _Promise(
        "a path and the DiagonalGaussian(mean, log_variance) of its steps, both",
        lambda wired, width, x: [*x.shape[:2], wired[1]],
        _is_path_and_law,
    ),
    "action-head": _Promise("logits", lambda wired, width, x: [len(x), wired[1]], _is_tensor),
    "decoder": _Promise(
        "frames", lambda wired, width, x: [*x.shape[:2], *wired[1]], is_kept=_is_tensor
    ),
    "frame-decoder": _Promise("frames", lambda wired, width, x: [len(x), *wired[1]], _is_tensor),
}


def _try_net(kind: str, who: str, net: Any, wired: tuple[Any, ...]) -> None:
    if not isinstance(net, nn.Module):
        raise _differs(who, net, "a torch.nn.Module")
    width = getattr(net, "width", None)
    features = int(width) if isinstance(width, Integral) and not isinstance(width, bool) else 0
    if kind in ("encoder", "frame-encoder") and features < 1:
        raise PluginError(
            f"{who} has {f'the width {width!r}' if hasattr(net, 'width') else 'no width'}; wanted "
            "the number of features that it gives, as self.width = 128 in its __init__"
        )
    if not isinstance(net, torch.jit.ScriptModule):  # they have no hooks
        net.register_forward_hook(_FirstCall(kind, who, wired, features))


@dataclass(eq=False)
class _FirstCall:
    """A forward hook that compares what a net gives the first time, and goes."""

    kind: str
    who: str
    wired: tuple[Any, ...]
    width: int

    def __call__(self, net: nn.Module, given: tuple[Any, ...], made: Any) -> None:
        for key, hook in list(net._forward_hooks.items()):  # of this net: it may be a copy
            if hook is self:
                del net._forward_hooks[key]
        if not (given and isinstance(given[0], Tensor)):
            return
        promise = _NETS[self.kind]
        shape = promise.shape(self.wired, self.width, given[0])
        if not promise.is_kept(made, shape):
            saw = f"of what it sees, {list(given[0].shape)}"
            raise _differs(self.who, made, f"{promise.what} {shape} in float32 {saw}")


@torch.no_grad()
def _try_prior(who: str, prior: Any, size: int, context: int = 0) -> None:
    if not isinstance(prior, StaticPrior | DynamicPrior):
        raise _differs(who, prior, "a StaticPrior or a DynamicPrior")
    was_training = prior.training
    prior.eval()
    with torch.random.fork_rng(devices=[]):
        if isinstance(prior, StaticPrior):
            _check_law(f"law({_ROWS}) of {who}", prior.law(_ROWS), [_ROWS, size])
        else:
            told = {"context_BC": torch.zeros(_ROWS, context)} if context else {}
            made = prior.along(torch.zeros(_ROWS, _STEPS, size), **told)
            _check_along(f"along(z_BTD) of {who}", made, size)
    prior.train(was_training)


def _check_along(who: str, made: Any, size: int) -> None:
    if not (isinstance(made, tuple | list) and len(made) == 2):
        wanted = f"a law of values [{_ROWS}, {_STEPS}, {size}] and states [{_ROWS}, {_STEPS}, S]"
        raise _differs(who, made, wanted)
    law, state_BTS = made
    _check_law(who, law, [_ROWS, _STEPS, size])
    width = state_BTS.shape[-1] if isinstance(state_BTS, Tensor) and state_BTS.dim() else 0
    if not _is_tensor(state_BTS, [_ROWS, _STEPS, width]):
        wanted = f"states [{_ROWS}, {_STEPS}, S] in float32, what the prior knows of earlier steps"
        raise _differs(f"{who}, beside its law,", state_BTS, wanted)


def _check_law(who: str, law: Any, shape: list[int]) -> None:
    methods = ("sample", "typical", "log_density")
    if not all(callable(getattr(law, method, None)) for method in methods):
        form = "DiagonalGaussian(mean, log_variance) or an object with sample, typical, log_density"
        raise _differs(who, law, f"a law, as {form}")
    if isinstance(law, DiagonalGaussian) and not _is_gaussian(law, shape):
        raise _differs(who, law, f"a law of values {shape} in float32")
    z = law.typical()
    if not _is_tensor(z, shape):
        raise _differs(f"typical() of the law of {who}", z, f"values {shape} in float32")
    drawn = law.sample(torch.Generator().manual_seed(0))
    if not _is_tensor(drawn, shape):
        what = f"sample(generator) of the law of {who}"
        raise _differs(what, drawn, f"values {shape} in float32")
    density = law.log_density(z)
    if not (isinstance(density, Tensor) and list(density.shape) == shape[:-1]):
        raise _differs(f"log_density(z) of the law of {who}", density, f"densities {shape[:-1]}")


def _differs(who: str, made: Any, wanted: str) -> PluginError:
    missing = ": has it a return?" if made is None else ""
    return PluginError(f"{who} gives {_said(made)}; wanted {wanted}{missing}")


def _said(thing: Any) -> str:
    """Of a thing what can be wrong with it."""
    if isinstance(thing, Tensor):
        kind = "a tensor" if thing.dtype == torch.float32 else f"a tensor of {thing.dtype}"
        return f"{kind} {list(thing.shape)}"
    if isinstance(thing, DiagonalGaussian):
        spread = _said(thing.log_variance)
        return f"a DiagonalGaussian of mean {_said(thing.mean)}, log-variance {spread}"
    if isinstance(thing, tuple | list):
        return f"({', '.join(map(_said, thing))})"
    if thing is None or isinstance(thing, Real | str):
        return f"{thing!r:.80}"
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"a {type(thing).__name__}"
