"""What plugins do when training is over, tried before it: a fault shows at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Container
from copy import deepcopy
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console

from genzoo_rwae.codes import DynamicPrior, StaticPrior, draw_sample
from genzoo_rwae.errors import GenzooWarning
from genzoo_rwae.evaluation.codes import drawn_codes, spread_indices
from genzoo_rwae.evaluation.measure import Splits, measure, wants_judge
from genzoo_rwae.part_trial import check_paths
from genzoo_rwae.sequences import Batch, SequenceData, Sound

if TYPE_CHECKING:
    from torch import Tensor

    from genzoo_rwae.sequence_model import SequenceModel
    from genzoo_rwae.spec import Part, Spec
    from genzoo_rwae.zoo import Zoo

__all__ = ["rehearse"]

_FEW = 16  # sequences


class _Few(SequenceData):
    """A few sequences of others, spread evenly."""

    def __init__(self, data: SequenceData) -> None:
        self.data, self.info = data, data.info
        self.indices_N = spread_indices(len(data), _FEW)

    def __len__(self) -> int:
        return len(self.indices_N)

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        return self.data.take(self.indices_N[indices_B], draw=draw)

    def recombine(self, static_B: np.ndarray, dynamic_B: np.ndarray, /) -> Tensor | None:
        return self.data.recombine(self.indices_N[static_B], self.indices_N[dynamic_B])

    def following(self, indices_B: np.ndarray, steps: int, /) -> Tensor | None:
        return self.data.following(self.indices_N[indices_B], steps)

    def sound(self, x_T: Tensor, /, *, like: int | None = None) -> Sound | None:
        return self.data.sound(x_T, like=None if like is None else int(self.indices_N[like]))

    def groups(self, indices_B: np.ndarray, /) -> np.ndarray | None:
        return self.data.groups(self.indices_N[indices_B])


def rehearse(model: SequenceModel, splits: Splits, spec: Spec, zoo: Zoo) -> None:
    """Warn of what plugins do when training is over and that fails on a few sequences before it.

    That is their metrics, priors that are fitted then, and samples of such priors. Each may be
    right all the same, where it wants more sequences or a trained model; so nothing ends here.
    Metrics that want a judge are not tried: there is none yet.

    Args:
        model: not yet trained.
        splits: the data.
        spec: of the model.
        zoo: knows whose code failed.
    """
    was_training = model.training
    parts = spec.parts()
    own = [part for part in parts if part.registered.plugin.origin != "built-in"]
    built_in = {part.registered.plugin.location for part in parts if part not in own}
    tried: dict[str, Callable[[Splits], object]] = {
        f"the metric '{part.name}' of {part.registered.plugin}": partial(_measured, model, part)
        for part in spec.evaluate
        if part in own and not wants_judge(part)
    }
    priors = [part for part in own if part.registered.component.kind in ("prior", "model")]
    if priors:
        who = ", ".join(f"the {p.registered.component.kind} '{p.name}'" for p in priors)
        tried[f"fitting priors to codes and sampling them, with {who},"] = partial(
            _fit_and_sample, model, built_in
        )
    few = Splits(*map(_Few, vars(splits).values()))
    for what, call in tried.items():
        try:
            with torch.random.fork_rng(devices=[]):
                call(few)
        except Exception as error:
            blame = zoo.blame(error)
            place = f" ({blame.place})" if blame else ""
            said = (
                f"{what} fails on {_FEW} sequences and the model before training: "
                f"{type(error).__name__}: {error}{place}; it is asked again when training is over"
            )
            warnings.warn(GenzooWarning(said), stacklevel=2)
    model.train(was_training)


def _measured(model: SequenceModel, metric: Part, few: Splits) -> None:
    measure(model, few, [metric], Console(file=StringIO()))


@torch.no_grad()
def _fit_and_sample(model: SequenceModel, built_in: Container[str], few: Splits) -> None:
    """Fit the priors that are not of the built-in modules, in a copy of the model, and draw."""
    try:
        copied = deepcopy(model).eval()
    except Exception:  # as of one that holds something computed: what cannot be copied is not tried
        return
    for part in copied.modules():
        if isinstance(part, StaticPrior | DynamicPrior) and type(part).__module__ in built_in:
            part.fit_to = lambda draws: None  # type: ignore[method-assign]
    generator = torch.Generator().manual_seed(0)
    copied.fit_priors(lambda most: drawn_codes(copied, few.train, most, generator))
    codes_NTD = drawn_codes(copied, few.train, _FEW, generator).dynamic_NTD
    count, length = codes_NTD.shape[:2]
    latents = copied.sample_prior(count, length, draw_sample(generator))
    check_paths("sampling", latents.dynamic_BTD, codes_NTD.shape)
    copied.decode(latents)
