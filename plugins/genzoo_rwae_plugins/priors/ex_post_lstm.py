"""A dynamic prior that is fitted to the codes when training is over.

Shapes: B batch, N paths, T time, D code width, K components, C width of the context, S width of the
state.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any

import torch
from einops import rearrange
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from genzoo_rwae.codes import Draw, DynamicPrior, Law, Paths
from genzoo_rwae.components import Use, hookimpl, prior
from genzoo_rwae.errors import GenzooWarning
from genzoo_rwae.padding import true_steps
from genzoo_rwae_plugins.priors.lstm import LstmPrior
from genzoo_rwae_plugins.priors.mixture import GaussianMixture
from genzoo_rwae_plugins.priors.recurrent import OverRecurrence
from genzoo_rwae_plugins.priors.told import told_prior

__all__ = ["ExPostLstm", "MixtureLstm", "nats_a_step"]

_HELD_OUT = 10  # one path of so many
_LOOKS = 20  # at what is held out
_CLIP = 1.0  # norm of the gradient of nats a step
_AT_ONCE = 64  # paths whose laws are held in memory


class MixtureLstm(OverRecurrence):
    """P(z_t | z_<t) = Σ_k w_k N(μ_k, diag σ_k²) of an LSTM over the codes so far.

    It is not learnt with a model: its weights start alike whatever torch's generator does, and no
    optimiser sees them but that of `fit`. What it reads and says is in standardised codes.

    Args:
        size: D.
        context: C; 0: it is told nothing.
        hidden: width of the LSTM.
        components: K.
        smallest_sd: of any component, in units of the codes.
    """

    recurrence = nn.LSTM
    centre: Tensor
    scale: Tensor

    def __init__(
        self, size: int, context: int, *, hidden: int, components: int, smallest_sd: float
    ) -> None:
        super().__init__()
        self.size, self.smallest_sd = size, smallest_sd
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        with torch.random.fork_rng(devices=[]):  # the model's other parts start as without it
            self.add_recurrence(size + context, hidden)
            self.logits = nn.Linear(hidden, components)
            self.mean = nn.Linear(hidden, components * size)
            self.log_variance = nn.Linear(hidden, components * size)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():  # as torch starts these layers
            nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5, generator=generator)
        # else all components would learn the same
        nn.init.normal_(self.mean.bias, generator=generator)
        self.requires_grad_(False)

    def _run(self, z_BTD: Tensor, context_BC: Tensor | None, memory: Any) -> tuple[Tensor, Any]:
        return super()._run((z_BTD - self.centre) / self.scale, context_BC, memory)

    def _law(self, state_BTS: Tensor, *, starts: bool) -> GaussianMixture:
        """Laws [B, T, D] of states."""
        by_component = "b t (k d) -> b t k d"
        mean = rearrange(self.mean(state_BTS).float(), by_component, d=self.size)
        said = rearrange(self.log_variance(state_BTS).float(), by_component, d=self.size)
        log_variance = said + 2 * self.scale.log()
        floor = log_variance.new_tensor(2 * math.log(self.smallest_sd))
        return GaussianMixture(
            self.logits(state_BTS).float(),
            self.centre + self.scale * mean,
            torch.logaddexp(log_variance, floor),
        )

    @torch.enable_grad()
    def fit(self, paths: Paths, held_out: Paths, *, steps: int, batch: int, lr: float) -> float:
        """Train; the weights that are best for what is held out are kept.

        Args:
            paths: what it learns from.
            held_out: what chooses among the weights.
            steps: of AdamW, under half a cosine.
            batch: paths a step.
            lr: the first learning rate.

        Returns:
            The log-density of a step of what is held out, in nats.
        """
        known_ND = paths.z_NTD[_true(paths)]  # of all steps
        self.centre.copy_(known_ND.mean(0))
        # codes that hardly change are not blown up
        self.scale.copy_(known_ND.std(0, correction=0).clamp_min(self.smallest_sd))
        self.requires_grad_(True)
        optimizer = torch.optim.AdamW(self.parameters(), lr=lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        generator = torch.Generator().manual_seed(0)
        best, best_weights = -math.inf, copy.deepcopy(self.state_dict())
        between = max(1, steps // _LOOKS)
        for step in range(1, steps + 1):
            rows_B = torch.randint(len(paths.z_NTD), (batch,), generator=generator)
            of_batch = _rows(paths, rows_B)
            optimizer.zero_grad()
            torch.autograd.backward(-_sum_of_nats(self, of_batch) / _true(of_batch).sum())
            nn.utils.clip_grad_norm_(self.parameters(), _CLIP)
            optimizer.step()
            schedule.step()
            if step % between == 0 or step == steps:
                nats = nats_a_step(self, held_out)
                if nats > best:
                    best, best_weights = nats, copy.deepcopy(self.state_dict())
        self.load_state_dict(best_weights)
        self.requires_grad_(False)
        self.zero_grad(set_to_none=True)
        return best


@torch.no_grad()
def nats_a_step(prior: DynamicPrior, paths: Paths) -> float:
    """Mean log-density of a true step of given paths, in nats."""
    total = 0.0
    for first in range(0, len(paths.z_NTD), _AT_ONCE):
        rows_B = torch.arange(first, min(first + _AT_ONCE, len(paths.z_NTD)))
        total += _sum_of_nats(prior, _rows(paths, rows_B)).item()
    return total / _true(paths).sum().item()


def _sum_of_nats(prior: DynamicPrior, paths: Paths) -> Tensor:
    """Log-density of all true steps together: []."""
    log_p_NT = prior.log_density(paths.z_NTD, paths.context_NC)
    return log_p_NT.masked_fill(~_true(paths), 0.0).sum()


def _true(paths: Paths) -> Tensor:
    """Which steps are no padding [N, T]."""
    return true_steps(paths.z_NTD.shape[1], paths.lengths_N, paths.z_NTD.device)


def _rows(paths: Paths, rows_B: Tensor) -> Paths:
    told = paths.context_NC
    return Paths(
        paths.z_NTD[rows_B], paths.lengths_N[rows_B], None if told is None else told[rows_B]
    )


def _unpadded(paths: Paths, device: torch.device) -> Paths:
    """The same on a device, with 0 beyond the true lengths."""
    told = paths.context_NC
    z_NTD = paths.z_NTD.float().masked_fill(~_true(paths)[..., None], 0.0).to(device)
    return Paths(z_NTD, paths.lengths_N.to(device), None if told is None else told.to(device))


@prior("ex-post-lstm")
class ExPostLstm(DynamicPrior):
    """The prior `learnt` in training; then mixtures of an LSTM, fitted to the paths there are.

    Penalties and prices never see the mixtures. A prior that is matched step by step need not
    give the paths that codes take: a penalty asks whether samples can be told apart, and a batch of
    them seldom can beside a state of a hundred numbers. The LSTM is fitted by likelihood to draws
    of Q(z^m | x) for training sequences; a tenth of them is held out, chooses among its weights,
    and has the last word: where `learnt` is as likely there, it stays. Until then, and in the
    weights of the best validation loss, the prior is `learnt`. Paths longer than those of the data
    are beyond what it was fitted to.

    Args:
        learnt: the dynamic prior in training.
        hidden: width of the LSTM.
        components: K, of the mixture of every step.
        sequences: most training sequences whose codes are fitted, spread evenly.
        steps: of its training.
        batch: paths a step.
        lr: its first learning rate; it falls by half a cosine.
        smallest_sd: of any component, in units of the codes.

    Raises:
        OptionError: the model tells its prior the action, and `learnt` cannot be told.

    Source: Ghosh et al., arXiv 1903.12436, Sec. 4 (ex-post density estimation), of paths in place
        of single codes; mixtures of a recurrent net: Graves, arXiv 1308.0850, Sec. 4.
    """

    fitted: Tensor

    def __init__(
        self,
        size: int,
        context: int = 0,
        /,
        *,
        learnt: Annotated[Callable[..., Any], Use("prior", of=DynamicPrior)] = LstmPrior,
        hidden: PositiveInt = 128,
        components: PositiveInt = 20,
        sequences: Annotated[int, Field(ge=2)] = 8_000,
        steps: PositiveInt = 1_500,
        batch: PositiveInt = 64,
        lr: PositiveFloat = 1e-2,
        smallest_sd: Annotated[float, Field(ge=1e-3)] = 0.03,
    ) -> None:
        super().__init__()
        self.sequences, self.steps, self.batch, self.lr = sequences, steps, batch, lr
        self.register_buffer("fitted", torch.tensor(False))
        self.learnt = told_prior(learnt, size, context, "learnt")
        sizes = {"hidden": hidden, "components": components}
        self.unfitted = partial(MixtureLstm, size, context, **sizes, smallest_sd=smallest_sd)
        self.mixtures = self.unfitted()

    @property
    def current(self) -> DynamicPrior:
        """`learnt`, or the mixtures once they are fitted."""
        if self.training or not self.fitted:
            return self.learnt
        return self.mixtures

    def along(self, z_BTD: Tensor, context_BC: Tensor | None = None) -> tuple[Law, Tensor]:
        """Teacher-forced laws [B, T, D] and states [B, T, S] of the current prior."""
        return self.current.along(z_BTD, *(() if context_BC is None else (context_BC,)))

    def roll_out(
        self,
        count: int,
        length: int,
        draw: Draw,
        start_BTD: Tensor | None = None,
        context_BC: Tensor | None = None,
    ) -> Tensor:
        """Paths [B, length, D] of the current prior; after `start_BTD` if there is one."""
        told = {} if context_BC is None else {"context_BC": context_BC}
        return self.current.roll_out(count, length, draw, start_BTD, **told)

    def fit_to(self, draws: Callable[[int], Paths]) -> str | None:
        """The LSTM, on the CPU from the same start; whatever was fitted before is forgotten.

        Warns:
            GenzooWarning: there is a single path, or codes are not finite; the prior stays that
                of the training.
        """
        self.fitted.fill_(False)
        said = self.learnt.fit_to(draws)
        drawn = draws(self.sequences)
        count, device = len(drawn.z_NTD), drawn.z_NTD.device
        paths = _unpadded(drawn, torch.device("cpu"))
        if count < 2 or not paths.z_NTD.isfinite().all():
            found = "a single sequence" if count < 2 else f"{count:,} sequences, not all finite"
            warnings.warn(
                f"no LSTM can be fitted to the codes of {found}; the prior stays that of the "
                "training",
                GenzooWarning,
                stacklevel=2,
            )
            return said
        order_N = torch.randperm(count, generator=torch.Generator().manual_seed(0))
        held = max(1, count // _HELD_OUT)
        held_out = _rows(paths, order_N[:held])
        before = nats_a_step(self.learnt, _unpadded(held_out, device))
        mixtures = self.unfitted()
        after = mixtures.fit(
            _rows(paths, order_N[held:]), held_out, steps=self.steps, batch=self.batch, lr=self.lr
        )
        taken = after > before
        self.mixtures.load_state_dict(mixtures.state_dict())
        self.fitted.fill_(taken)
        return (
            f"an LSTM with mixtures, fitted to the codes of {count:,} sequences, "
            f"is {'' if taken else 'not '}taken: it gives a step held out {after:.2f} nats, the "
            f"prior of the training {before:.2f}"
        )


@hookimpl
def genzoo_priors() -> Iterator[object]:
    yield ExPostLstm
