"""R-WAE of things that move about: what they look like in z^c, where they are in z^m.

Shapes: B batch, T time, N sequences of single things, K things, J their places, S static codes of a
thing, M dynamic codes, H features, C channels, P a patch's side, Y X a frame's height and width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

import torch
from einops import rearrange
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from genzoo_rwae.codes import Codes, DiagonalGaussian, Draw, DynamicCode, StaticCode
from genzoo_rwae.components import Use, hookimpl, model
from genzoo_rwae.errors import OptionError
from genzoo_rwae.sequences import DataInfo
from genzoo_rwae_plugins.decoders.recurrent import FrameNet
from genzoo_rwae_plugins.encoders.recurrent import FrameEncoder
from genzoo_rwae_plugins.frames.convolution import ConvFrameDecoder
from genzoo_rwae_plugins.models.following import followed, reordered
from genzoo_rwae_plugins.models.parts import DynamicPart, Share, StaticPart
from genzoo_rwae_plugins.models.placing import Patches, in_float32
from genzoo_rwae_plugins.models.rwae import Rwae
from genzoo_rwae_plugins.models.sharing import SharedPrior
from genzoo_rwae_plugins.models.views import movement

__all__ = ["PatchesRwae"]

_MOST_THINGS = 5  # whose 120 orders are tried at each step
_SMALLEST = 8  # side of a patch that all nets read and draw


@model("rwae-patches")
class PatchesRwae(Rwae):
    """R-WAE of things that move about: z^c says what they look like, z^m_t where they are.

    Generation: x_t = ground + Σ_k R_k patch_k C_kᵀ. A thing's patch is drawn from its own share of
    z^c; R_k and C_k spread it over rows and columns as independent distributions over its place
    say, which are made of its own share of z^m_t alone, by one net for all things. Patches brighten
    and add up where they overlap.
    Inference: Q(z^m_t | z^m_<t, x_t) first, as `rwae` does it. Nothing in it says which thing is
    which, so that two that meet may have changed names when they part; the shares of a step are
    therefore put in the order in which places go on as they moved (see `followed`). Then for every
    thing Q(z^c_k | x_1:T, z^m_1:T) from what is read at its places, by the same distributions.
    Whatever moves, its patches are read as if it stood still. At a second look, the patches that
    the first one would draw are tried at all places: how well they fit decides which thing is
    which, z^m is moved to where they fit best, and z^c is inferred anew. z^m_t is then inferred
    from all steps, and not from those up to t alone. There are no actions.

    Args:
        encoder: frames to features, for the dynamic head; and one like it, of its own weights, for
            patches.
        static: the static code; `size` is that of all things together, its head, encoder and prior
            are shared by them, which are independent under the prior. `encoder` sees patches
            [B, T, C, P, P]; null: one like the model's.
        dynamic: the dynamic codes; `size` likewise.
        objects: K, things in a sequence.
        side: P, of a square patch in pixels; all places are whole patches within the frame. Null
            takes half the frame's shorter side, and 8 where that is more.
        hidden: width of two hidden layers on a thing's share of z^m_t before its places, and of
            z^c before its patch.
        patches: the net that draws a patch [C, P, P].
        again: share of the run after which training takes a second look, which by then knows what
            to look for; null: one look always, and `looks` has no meaning. A run that is limited by
            minutes alone has no shares: 0 or null there.
        looks: how many are taken outside training, where none of them has to be paid in every step;
            each begins where the one before has ended.
        window: as of `rwae`.

    Raises:
        OptionError: frames are no images or smaller than a patch, or a code cannot be shared out
            evenly.

    Source: Han et al., ICLR 2021, arXiv 2101.07496, for codes and objective; to read and write
        through two banks of filters: Gregor et al., "DRAW", ICML 2015, arXiv 1502.04623, with free
        distributions in place of Gaussians; things with places: Eslami et al., "Attend, infer,
        repeat", arXiv 1603.08575, Kosiorek et al., SQAIR, arXiv 1806.01794; codes corrected by what
        they draw: Marino et al., "Iterative amortized inference", arXiv 1807.09356, for whose
        gradients the fit of all places stands.
    """

    decoder: Patches

    def __init__(
        self,
        info: DataInfo,
        /,
        *,
        encoder: Annotated[Callable[..., Any], Use("encoder")] = FrameEncoder,
        static: StaticPart = StaticPart(),
        dynamic: DynamicPart = DynamicPart(),
        objects: Annotated[int, Field(ge=1, le=_MOST_THINGS)] = 2,
        side: PositiveInt | None = None,
        hidden: PositiveInt = 256,
        patches: FrameNet = ConvFrameDecoder,
        again: Share | None = 0.25,
        looks: Annotated[int, Field(ge=2)] = 4,
        window: PositiveInt | None = None,
    ) -> None:
        side = _side(side, info.frame_shape)
        for code, size in (("static", static.size), ("dynamic", dynamic.size)):
            if size % objects:
                raise OptionError(
                    f"a {code} code of {size} for {objects} things; wanted a multiple of "
                    f"{objects}: every thing has its share",
                    option=f"{code}.size",
                )
        share, encoder_of_patches = static.size // objects, static.encoder or encoder

        def decoder(_: int, frame_shape: tuple[int, ...]) -> nn.Module:
            moving = dynamic.size // objects
            return Patches(
                share, moving, frame_shape, objects, side, hidden, patches, bounded=info.bounded
            )

        of_patches = replace(
            static,
            head=lambda features, _: static.head(features, share),
            prior=lambda _: SharedPrior(static.prior(share), objects),
            encoder=lambda frame_shape: encoder_of_patches((frame_shape[0], side, side)),
        )
        super().__init__(
            info,
            encoder=encoder,
            static=of_patches,
            dynamic=dynamic,
            decoder=decoder,
            window=window,
        )
        self.static, self.again, self.looks = static, again, looks
        if again:
            self.follows_progress += ("again",)

    def infer(self, x_BT: Tensor, lengths_B: Tensor, draw: Draw) -> Codes:
        """Codes of a batch of floats [B, T, C, Y, X] beside their priors: z^m, then z^c."""
        shown_BT = self._shown_to_nets(self._dynamic_view(x_BT, draw))
        features_BTH = self._encoder_of("dynamic")(shown_BT, lengths_B)
        moving_BTH = movement(self.dynamic.features, features_BTH, lengths_B)
        z_BTM, path = self.dynamic_head(moving_BTH, lengths_B, draw)
        with torch.no_grad():
            order_BTK = followed(self.decoder.where(path.mean))
        z_BTM, path = _in_order(z_BTM, path, order_BTK)
        shown_BT = self._shown_to_nets(x_BT)
        for _ in range(self._looks_again(draw.progress)):
            z_BTM, path = self._look_again(shown_BT, z_BTM, path, lengths_B)
        prior, state_BTH = self.dynamic_prior.along(z_BTM)
        read_BTK = self.decoder.read(shown_BT, z_BTM)
        posterior = self._static_posterior(*self._static_view(read_BTK, lengths_B, draw))
        static = StaticCode(draw(posterior), posterior, self.static_prior.law(len(x_BT)))
        return Codes(static, DynamicCode(z_BTM, path, prior, state_BTH))

    def _looks_again(self, progress: float) -> int:
        """How often, after the first look."""
        if self.again is None:
            return 0
        return int(progress >= self.again) if self.training else self.looks - 1

    def _look_again(
        self, x_BT: Tensor, z_BTM: Tensor, path: DiagonalGaussian, lengths_B: Tensor
    ) -> tuple[Tensor, DiagonalGaussian]:
        """Dynamic codes and their laws in the order, and corrected, as drawn patches fit best.

        What is drawn comes of the laws' means, at all steps: a law is then one given the whole
        sequence. No gradient goes through the fit; codes get that of where they are moved to.
        """
        decoder = self.decoder
        with torch.no_grad(), _statistics_kept(self):
            law = self._static_posterior(decoder.read(x_BT, path.mean), lengths_B)
            patches_BKCPP = decoder.drawn(law.mean)
        torch.clear_autocast_cache()  # weights that were cast here have no gradient
        with torch.no_grad(), in_float32(x_BT):
            likings_BTKJ = decoder.likings(x_BT, path.mean, patches_BKCPP)
            order_BTK = followed(decoder.where(path.mean), likings_BTKJ)
        z_BTM, path = _in_order(z_BTM, path, order_BTK)
        with torch.no_grad(), in_float32(x_BT):
            found_BTK2 = decoder.found(x_BT, path.mean, patches_BKCPP)
            change_BTM = decoder.moved_to(found_BTK2, path.mean) - path.mean
        return z_BTM + change_BTM, DiagonalGaussian(path.mean + change_BTM, path.log_variance)

    def _static_posterior(self, read_BTK: Tensor, lengths_B: Tensor) -> DiagonalGaussian:
        """Q(z^c | ...) over [B, K S], of what was read: every thing by itself, by the same nets."""
        objects = self.decoder.objects
        read_NT = rearrange(read_BTK, "b t k ... -> (b k) t ...")  # N: things of all sequences
        lengths_N = lengths_B.repeat_interleave(objects)
        law = self.static_head(self._encoder_of("static")(read_NT, lengths_N), lengths_N)
        mean_BS, log_variance_BS = (
            rearrange(of_things_NS, "(b k) s -> b (k s)", k=objects)
            for of_things_NS in (law.mean, law.log_variance)
        )
        return DiagonalGaussian(mean_BS, log_variance_BS)


def _in_order(
    z_BTM: Tensor, path: DiagonalGaussian, order_BTK: Tensor
) -> tuple[Tensor, DiagonalGaussian]:
    """Codes of things, and their laws, in another order at each step."""
    z_BTM, mean_BTM, log_variance_BTM = (
        reordered(of_things, order_BTK) for of_things in (z_BTM, path.mean, path.log_variance)
    )
    return z_BTM, DiagonalGaussian(mean_BTM, log_variance_BTM)


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    """Inside, batch normalisation takes a batch's statistics and keeps none."""
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for layer in layers:
        layer.track_running_stats = not model.training
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def _side(side: int | None, frame_shape: tuple[int, ...]) -> int:
    """Of a patch, in frames that have room for it."""
    if len(frame_shape) != 3:
        raise OptionError(
            f"frames are {list(frame_shape)}; 'rwae-patches' wants images [C, H, W]: take the "
            "model 'rwae' for vectors"
        )
    most = min(frame_shape[1:])
    side = side or min(max(most // 2, _SMALLEST), most)
    if side > most:
        raise OptionError(
            f"patches of {side} pixels in frames of {frame_shape[1]} x {frame_shape[2]}; wanted "
            f"{most} at most",
            option="side",
        )
    return side


@hookimpl
def genzoo_models() -> Iterator[object]:
    yield PatchesRwae
