"""What a plugin's part makes, compared with what its kind promises where it is first used.

Shapes: B batch, T time, N frames, H features, D code width, A number of actions, S width of a
prior's state, ... the frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from genzoo_rwae.codes import DiagonalGaussian, DynamicPrior, StaticPrior, draw_sample
from genzoo_rwae.errors import PluginError

__all__ = ["try_part"]

_ROWS, _STEPS = 2, 3  # of codes that priors are tried on


def try_part(kind: str, who: str, made: Any, wired: tuple[Any, ...]) -> None:
    """Compare what a part made with what its kind promises.

    A net is compared when it is first called, for it is not known before what it will see; a prior
    is tried on a few codes at once; what a function returns is compared every time.

    Args:
        kind: a key of `KINDS`; what an objective, a source or a metric makes is looked at by those
            who ask for it.
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
            raise _differs(who, made, wanted.format(shape=list(getattr(wired[0], "shape", ()))))


_RESULTS: Mapping[str, tuple[Callable[[Any, tuple[Any, ...]], bool], str]] = {
    "augmentation": (
        lambda made, wired: _is_tensor(made, wired[0].shape),
        "a tensor of floats {shape}, the shape of the frames that it was given",
    ),
    "judge": (lambda made, wired: isinstance(made, nn.Module), "a torch.nn.Module"),
    "optimizer": (
        lambda made, wired: isinstance(made, torch.optim.Optimizer),
        "a torch.optim.Optimizer of the parameters that it was given",
    ),
    "schedule": (
        lambda made, wired: isinstance(made, Real) and math.isfinite(made),
        "a number, the factor",
    ),
    "tracker": (
        lambda made, wired: (
            callable(getattr(made, "log", None)) and callable(getattr(made, "close", None))
        ),
        "an object with the methods log(row) and close()",
    ),
}

# what a net of a kind gives, by what it was wired to, its width and what it is called with
_NETS: Mapping[str, Callable[[tuple[Any, ...], int, Tensor], tuple[str, list[int]]]] = {
    "encoder": lambda wired, width, x: ("features", [*x.shape[:2], width]),
    "frame-encoder": lambda wired, width, x: ("features", [len(x), width]),
    "static-head": lambda wired, width, x: ("a law", [len(x), wired[1]]),
    "dynamic-head": lambda wired, width, x: ("a path and its laws", [*x.shape[:2], wired[1]]),
    "action-head": lambda wired, width, x: ("logits", [len(x), wired[1]]),
    "decoder": lambda wired, width, x: ("frames", [*x.shape[:2], *wired[1]]),
    "frame-decoder": lambda wired, width, x: ("frames", [len(x), *wired[1]]),
}


def _try_net(kind: str, who: str, net: Any, wired: tuple[Any, ...]) -> None:
    if not isinstance(net, nn.Module):
        raise _differs(who, net, "a torch.nn.Module")
    width = getattr(net, "width", 0)
    if kind in ("encoder", "frame-encoder") and not (isinstance(width, int) and width > 0):
        raise PluginError(
            f"{who} has {f'width {width!r}' if hasattr(net, 'width') else 'no width'}; wanted the "
            "number of features that it gives, as self.width = 128 in its __init__"
        )

    def first(net: nn.Module, given: tuple[Any, ...], made: Any) -> None:
        handle.remove()
        if given and isinstance(given[0], Tensor):
            what, shape = _NETS[kind](wired, width, given[0])
            if not _is_made(what, made, shape):
                saw = list(given[0].shape)
                raise _differs(who, made, f"{what} {shape} of what it sees, {saw}" + _form(what))

    handle = net.register_forward_hook(first)


def _is_made(what: str, made: Any, shape: list[int]) -> bool:
    if what == "a law":
        return isinstance(made, DiagonalGaussian) and _is_tensor(made.mean, shape)
    if what == "a path and its laws":
        if not (isinstance(made, tuple) and len(made) == 2):
            return False
        path_BTD, law = made
        return _is_tensor(path_BTD, shape) and _is_made("a law", law, shape)
    return _is_tensor(made, shape)


def _form(what: str) -> str:
    return {
        "a law": ", a DiagonalGaussian(mean, log_variance)",
        "a path and its laws": ", as a tensor and a DiagonalGaussian(mean, log_variance)",
    }.get(what, "")


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
            _try_paths(who, prior, size, context)
    prior.train(was_training)


def _try_paths(who: str, prior: DynamicPrior, size: int, context: int) -> None:
    told: dict[str, Tensor] = {"context_BC": torch.zeros(_ROWS, context)} if context else {}
    z_BTD = torch.zeros(_ROWS, _STEPS, size)
    made = prior.along(z_BTD, **told)
    steps = [_ROWS, _STEPS]
    wanted = f"a law of codes {[*steps, size]} and a tensor of states {steps[:-1]}"
    if not (isinstance(made, tuple) and len(made) == 2):
        raise _differs(f"along(z_BTD) of {who}", made, f"{wanted[:-1]}, {_STEPS}, S]")
    law, state_BTS = made
    _check_law(f"along(z_BTD) of {who}", law, [*steps, size])
    if not (isinstance(state_BTS, Tensor) and list(state_BTS.shape[:-1]) == steps):
        what = f"a tensor {[*steps, 'S']}".replace("'", "") + " beside the law, what it knows of z"
        raise _differs(f"along(z_BTD) of {who}", state_BTS, what)
    draw = draw_sample(torch.Generator().manual_seed(0))
    for start in ({}, {"start_BTD": z_BTD}):
        path_BTD = prior.roll_out(_ROWS, _STEPS + 1, draw, **start, **told)
        shape = [_ROWS, _STEPS + 1, size]
        if not _is_tensor(path_BTD, shape):
            given = ", start_BTD" if start else ""
            called = f"roll_out({_ROWS}, {_STEPS + 1}, draw{given}) of {who}"
            raise _differs(called, path_BTD, f"a tensor of paths {shape}, the start not repeated")


def _check_law(who: str, law: Any, shape: list[int]) -> None:
    methods = ("sample", "typical", "log_density")
    if not all(callable(getattr(law, method, None)) for method in methods):
        form = "DiagonalGaussian(mean, log_variance) or an object with sample, typical, log_density"
        raise _differs(who, law, f"a law, as {form}")
    values = law.typical()
    if not _is_tensor(values, shape):
        raise PluginError(f"{who} gives a law of {_said(values)}; wanted one of values {shape}")


def _is_tensor(thing: Any, shape: Any) -> bool:
    is_tensor = isinstance(thing, Tensor) and thing.is_floating_point()
    return is_tensor and list(thing.shape) == list(shape)


def _differs(who: str, made: Any, wanted: str) -> PluginError:
    missing = ": has it a return?" if made is None else ""
    return PluginError(f"{who} gives {_said(made)}; wanted {wanted}{missing}")


def _said(thing: Any) -> str:
    """Of a thing what can be wrong with it."""
    if isinstance(thing, Tensor):
        kind = "a tensor" if thing.is_floating_point() else f"{thing.dtype}"
        return f"{kind} {list(thing.shape)}"
    if isinstance(thing, DiagonalGaussian):
        return f"a DiagonalGaussian of mean {_said(thing.mean)}"
    if isinstance(thing, tuple):
        return f"({', '.join(map(_said, thing))})"
    if thing is None or isinstance(thing, Real | str):
        return f"{thing!r:.80}"
    return f"a {type(thing).__name__}"
