"""What a spec says of the codes of a model: sizes, heads, priors, and what the heads see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from genzoo_rwae.codes import DynamicPrior, StaticPrior
from genzoo_rwae.components import Use
from genzoo_rwae_plugins.heads.action import RecurrentActionHead
from genzoo_rwae_plugins.heads.dynamic import LstmHead
from genzoo_rwae_plugins.heads.static import PooledHead
from genzoo_rwae_plugins.priors.gaussian import GaussianPrior
from genzoo_rwae_plugins.priors.lstm import LstmPrior

__all__ = ["ActionPart", "DynamicPart", "Share", "StaticPart"]

Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True)
class StaticPart:
    """The static code: what does not change along a sequence.

    What the head may see of the order of frames in training is an inductive bias of the literature:
    `shuffled` after S3VAE (arXiv 2005.11437), `one` after Berman et al. (arXiv 2406.18131).

    Attributes:
        size: width of z^c.
        head: from features to q(z^c | x_1:T).
        prior: P(z^c).
        encoder: an encoder of its own; null: the shared one.
        frames: which frames it sees in training: `all`, all of them `shuffled`, a random `subset`,
            or `one` at random (the first one when codes are measured).
        keep: how many a subset has.
        opens: share of the run until which the decoder sees 0 in place of z^c, so that the dynamic
            codes learn first.
    """

    size: PositiveInt = 64
    head: Annotated[Callable[..., Any], Use("static-head")] = PooledHead
    prior: Annotated[Callable[..., Any], Use("prior", of=StaticPrior)] = GaussianPrior
    encoder: Annotated[Callable[..., Any] | None, Use("encoder")] = None
    frames: Literal["all", "shuffled", "subset", "one"] = "all"
    keep: PositiveInt = 4
    opens: Share = 0.0


@dataclass(frozen=True, kw_only=True)
class DynamicPart:
    """The dynamic codes: how it moves.

    Attributes:
        size: width of z^m_t.
        head: from features to q(z^m_t | z^m_<t, x_t).
        prior: P(z^m_t | z^m_<t).
        encoder: an encoder of its own; null: the shared one.
        features: what the head sees of the features: all of them, their `differences` from the step
            before, or `mean-free` ones, without their mean over the sequence.
        augment: changes of what the encoder sees in training, one after the other, so that what
            they change cannot be told by the codes.
    """

    size: PositiveInt = 16
    head: Annotated[Callable[..., Any], Use("dynamic-head")] = LstmHead
    prior: Annotated[Callable[..., Any], Use("prior", of=DynamicPrior)] = LstmPrior
    encoder: Annotated[Callable[..., Any] | None, Use("encoder")] = None
    features: Literal["all", "differences", "mean-free"] = "all"
    augment: Annotated[tuple[Callable[..., Any], ...], Use("augmentation", many=True)] = ()


@dataclass(frozen=True, kw_only=True)
class ActionPart:
    """A categorical action of a whole sequence; the number of actions is all that is known of it.

    Attributes:
        count: A, the number of actions.
        head: from dynamic codes to q(a | z^m_1:T).
        prior: `given-action` tells the dynamic prior the action; `same-for-all` does not.
        relaxation: samples in training are `relaxed` (Gumbel-softmax) or one-hot with the gradient
            of relaxed ones (`straight-through`).
        gradient: who trains q(a | z^m): `all`, the decoder and the dynamic prior as well; `own`,
            the objective's terms of the action alone, so that classes do not settle on what the
            decoder needs first.
        temperature: of the relaxation at the start.
        coldest: of the relaxation at the end; between them it falls geometrically.
    """

    count: Annotated[int, Field(ge=2)]
    head: Annotated[Callable[..., Any], Use("action-head")] = RecurrentActionHead
    prior: Literal["given-action", "same-for-all"] = "same-for-all"
    relaxation: Literal["relaxed", "straight-through"] = "relaxed"
    gradient: Literal["all", "own"] = "all"
    temperature: PositiveFloat = 1.0
    coldest: PositiveFloat = 0.5

    def temperature_at(self, progress: float) -> float:
        """The temperature when a share of the run is over."""
        fall: float = (self.coldest / self.temperature) ** progress
        return self.temperature * fall
