"""R-WAE of things that move about: what they look like in z^c, where they are in z^m.

Shapes: B batch, T time, N frames, K things, S static codes of a thing, M dynamic codes, H features,
C channels, P a patch's side, Y X a frame's height and width, L = Y − P + 1 (or X) places along an
axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any

import torch
from einops import einsum, rearrange, repeat
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import pad, softplus

from genzoo_rwae.codes import Codes, DiagonalGaussian, Draw, DynamicCode, StaticCode
from genzoo_rwae.components import Use, hookimpl, model
from genzoo_rwae.errors import OptionError
from genzoo_rwae.sequences import DataInfo
from genzoo_rwae_plugins.decoders.recurrent import FrameNet
from genzoo_rwae_plugins.encoders.recurrent import FrameEncoder
from genzoo_rwae_plugins.frames.convolution import ConvFrameDecoder
from genzoo_rwae_plugins.models.fitting import fits, mean_place, near
from genzoo_rwae_plugins.models.following import followed, reordered
from genzoo_rwae_plugins.models.parts import DynamicPart, Share, StaticPart
from genzoo_rwae_plugins.models.rwae import Rwae
from genzoo_rwae_plugins.models.views import movement

__all__ = ["PatchesRwae", "placed"]

_MOST_THINGS = 5  # whose 120 orders are tried at each step
_NOISE = 2.0  # of frames, in their units squared: what is off together counts as one
_WANDERS = 3.0  # pixels that a place may be off
_STEPS, _DAMPED, _LONGEST = (
    3,
    1.0,
    1.0,
)  # of codes that are moved: pixels squared, and a code's unit
_SMALLEST = 8  # side of a patch that all nets read and draw
_DARK = -4.0  # of the ground at the start, before squashing: 0.02


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
    which, z^m is moved to where they fit best, and z^c is inferred anew. There are no actions.

    Args:
        encoder: frames to features, for the dynamic head; and one like it, of its own weights, for
            patches.
        static: the static code; `size` is that of all things together, its head and encoder are
            shared by them. `encoder` sees patches [B, T, C, P, P]; null: one like the model's.
        dynamic: the dynamic codes; `size` likewise.
        objects: K, things in a sequence.
        side: P, of a square patch in pixels; all places are whole patches within the frame. Null
            takes half the frame's shorter side, and 8 where that is more.
        hidden: width of two hidden layers on a thing's share of z^m_t before its places, and of
            z^c before its patch.
        patches: the net that draws a patch [C, P, P].
        again: share of the run after which training takes a second look, which by then knows what
            to look for; null never does, and nothing else either.
        looks: how many are taken outside training, where none of them has to be paid in every step;
            each begins where the one before has ended.
        window: as of `rwae`.

    Raises:
        OptionError: frames are no images or smaller than a patch, or a code cannot be shared out
            evenly.

    Source: Han et al., ICLR 2021, arXiv 2101.07496, for codes and objective; to read and write
        through two banks of filters: Gregor et al., "DRAW", ICML 2015, arXiv 1502.04623, with free
        distributions in place of Gaussians; things with places: Eslami et al., "Attend, infer,
        repeat", arXiv 1603.08575, Kosiorek et al., SQAIR, arXiv 1806.01794.
    """

    decoder: _Patches

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
            return _Patches(
                share, moving, frame_shape, objects, side, hidden, patches, bounded=info.bounded
            )

        of_patches = replace(
            static,
            head=lambda features, _: static.head(features, share),
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

        What is drawn comes of the laws' means alone: given x and z^m_<t, a law is still a Gaussian.
        No gradient goes through the fit; codes get that of where they are moved to.
        """
        decoder = self.decoder
        with torch.no_grad():
            law = self._static_posterior(decoder.read(x_BT, path.mean), lengths_B)
            patches_BKCPP = decoder.drawn(law.mean)
            likings_BTKJ = decoder.likings(x_BT, path.mean, patches_BKCPP)
            order_BTK = followed(decoder.where(path.mean), likings_BTKJ)
        z_BTM, path = _in_order(z_BTM, path, order_BTK)
        with torch.no_grad():
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


class _Patches(nn.Module):
    """Patches of K things, put onto an even ground, and read where they are.

    Args:
        static: S, static codes of a thing.
        dynamic: D, dynamic codes of a thing at a step.
        frame_shape: (C, Y, X).
        objects, side, hidden, patches: as of the model.
        bounded: frames are squashed to [0, 1].
    """

    def __init__(
        self,
        static: int,
        dynamic: int,
        frame_shape: tuple[int, ...],
        objects: int,
        side: int,
        hidden: int,
        patches: Callable[..., Any],
        *,
        bounded: bool,
    ) -> None:
        super().__init__()
        depth, *sides = frame_shape
        self.bounded = bounded
        self.objects, self.side, self.all_static = objects, side, objects * static
        self.moved = _hidden_layers(dynamic, hidden)
        self.places = nn.ModuleList(nn.Linear(hidden, whole - side + 1) for whole in sides)
        self.what = _hidden_layers(static, hidden)
        self.patches = patches(hidden, (depth, side, side))
        self.ground = nn.Parameter(torch.full((depth, 1, 1), _DARK))

    def forward(self, z_BTD: Tensor) -> Tensor:
        """All codes [B, T, K S + M] to frames [B, T, C, Y, X], before any squashing."""
        batch, steps = z_BTD.shape[:2]
        z_BS, z_BTM = z_BTD[:, 0, : self.all_static], z_BTD[..., self.all_static :]
        patches_NKCPP = repeat(self.drawn(z_BS), "b k c p q -> (b t) k c p q", t=steps)
        rows_NKPY, columns_NKPX = self.spread(z_BTM)
        over_rows = einsum(rows_NKPY, patches_NKCPP, "n k p y, n k c p q -> n k c y q")
        shown_NCYX = einsum(over_rows, columns_NKPX, "n k c y q, n k q x -> n c y x")
        return rearrange(shown_NCYX + self.ground, "(b t) c y x -> b t c y x", b=batch)

    def drawn(self, z_BS: Tensor) -> Tensor:
        """The patches [B, K, C, P, P] of static codes, before they are put on the ground."""
        h_NH = self.what(rearrange(z_BS, "b (k s) -> (b k) s", k=self.objects))
        patches_NCPP = softplus(self.patches(h_NH).float())
        return rearrange(patches_NCPP, "(b k) c p q -> b k c p q", k=self.objects)

    def likings(self, x_BT: Tensor, z_BTM: Tensor, patches_BKCPP: Tensor) -> Tensor:
        """How well each thing's patch fits at each thing's place: log-likelihoods [B, T, K, J]."""
        x_BTCYX = x_BT[:, :, : patches_BKCPP.shape[2]]  # whether pixels are there comes behind
        bare_BTKCYX = (x_BTCYX - self._shown(self.ground))[:, :, None]
        fits_BTKLL = fits(bare_BTKCYX, self._seen(patches_BKCPP)) / _NOISE
        near_BTJLL = near(self.where(z_BTM), fits_BTKLL.shape[-2:], _WANDERS)
        likings = [
            (fits_BTKLL + near_BTLL[:, :, None]).flatten(-2).logsumexp(-1)
            for near_BTLL in near_BTJLL.unbind(2)
        ]
        return torch.stack(likings, -1)

    def found(self, x_BT: Tensor, z_BTM: Tensor, patches_BKCPP: Tensor) -> Tensor:
        """The places [B, T, K, 2] about those of z^m at which patches fit best.

        What the other things show at their places is no more to be explained.
        """
        x_BTKCYX = x_BT[:, :, None, : patches_BKCPP.shape[2]]
        patches_NKCPP = repeat(patches_BKCPP, "b k c p q -> (b t) k c p q", t=x_BT.shape[1])
        rows_NKPY, columns_NKPX = self.spread(z_BTM)
        over_rows = einsum(rows_NKPY, patches_NKCPP, "n k p y, n k c p q -> n k c y q")
        each_NKCYX = einsum(over_rows, columns_NKPX, "n k c y q, n k q x -> n k c y x")
        others_NKCYX = self._shown(each_NKCYX.sum(1, keepdim=True) - each_NKCYX + self.ground)
        left_BTKCYX = x_BTKCYX - rearrange(others_NKCYX, "(b t) ... -> b t ...", b=len(x_BT))
        fits_BTKLL = fits(left_BTKCYX, self._seen(patches_BKCPP)) / _NOISE
        near_BTKLL = near(self.where(z_BTM), fits_BTKLL.shape[-2:], 2 * _WANDERS)
        return mean_place(fits_BTKLL + near_BTKLL)

    def _seen(self, patches_BKCPP: Tensor) -> Tensor:
        """What patches add to the ground in a frame."""
        return self._shown(patches_BKCPP + self.ground) - self._shown(self.ground)

    def _shown(self, before: Tensor) -> Tensor:
        return before.sigmoid() if self.bounded else before

    def read(self, x_BT: Tensor, z_BTM: Tensor) -> Tensor:
        """What is at the things' places: frames [B, T, C, Y, X] to [B, T, K, C, P, P]."""
        rows_NKPY, columns_NKPX = self.spread(z_BTM)
        x_NCYX = rearrange(x_BT, "b t c y x -> (b t) c y x")
        of_rows = einsum(rows_NKPY, x_NCYX, "n k p y, n c y x -> n k c p x")
        read = einsum(of_rows, columns_NKPX, "n k c p x, n k q x -> n k c p q")
        return rearrange(read, "(b t) k c p q -> b t k c p q", b=len(x_BT))

    def spread(self, z_BTM: Tensor) -> tuple[Tensor, Tensor]:
        """Where the rows [N, K, P, Y] and the columns [N, K, P, X] of patches are, at all steps."""
        rows_BTKL, columns_BTKL = self._places(z_BTM)
        rows_NKL, columns_NKL = rows_BTKL.flatten(0, 1), columns_BTKL.flatten(0, 1)
        return placed(rows_NKL, self.side), placed(columns_NKL, self.side)

    def where(self, z_BTM: Tensor) -> Tensor:
        """The mean row and column [B, T, K, 2] at which patches begin."""
        return torch.stack([_mean(places_BTKL) for places_BTKL in self._places(z_BTM)], -1)

    def moved_to(self, where_BTK2: Tensor, z_BTM: Tensor) -> Tensor:
        """Dynamic codes near given ones [B, T, M] that say where things are, as far as they can.

        Some steps of Gauss and Newton, none of them long.
        """
        for _ in range(_STEPS):
            now_BTK2, slopes_BTK2D = self._slopes(z_BTM)
            squares_BTK22 = slopes_BTK2D @ slopes_BTK2D.mT
            damped_BTK22 = squares_BTK22 + _DAMPED * torch.eye(2, device=z_BTM.device)
            off_BTK21 = (where_BTK2 - now_BTK2)[..., None]
            step_BTKD = (slopes_BTK2D.mT @ torch.linalg.solve(damped_BTK22, off_BTK21))[..., 0]
            length_BTK1 = step_BTKD.norm(dim=-1, keepdim=True)
            step_BTKD = step_BTKD * (_LONGEST / length_BTK1.clamp_min(_LONGEST))
            z_BTM = z_BTM + rearrange(step_BTKD, "b t k d -> b t (k d)")
        return z_BTM

    def _slopes(self, z_BTM: Tensor) -> tuple[Tensor, Tensor]:
        """Mean places [B, T, K, 2], and their slopes in a thing's codes [B, T, K, 2, D]."""
        z_BTKD = self._of_things(z_BTM)
        with torch.enable_grad(), _in_float32(z_BTM):
            z_BTKD = z_BTKD.detach().requires_grad_()
            h_BTKH = self.moved(z_BTKD)
            means = [_mean(axis(h_BTKH).softmax(-1)) for axis in self.places]
            slopes = [
                torch.autograd.grad(mean_BTK.sum(), z_BTKD, retain_graph=True)[0]
                for mean_BTK in means
            ]
        return torch.stack(means, -1).detach(), torch.stack(slopes, -2)

    def _places(self, z_BTM: Tensor) -> list[Tensor]:
        """For rows and for columns, the probabilities [B, T, K, L] of where patches begin."""
        with _in_float32(z_BTM):
            h_BTKH = self.moved(self._of_things(z_BTM))
            return [axis(h_BTKH).softmax(-1) for axis in self.places]

    def _of_things(self, z_BTM: Tensor) -> Tensor:
        return rearrange(z_BTM.float(), "b t (k d) -> b t k d", k=self.objects)


def _mean(places_BTKL: Tensor) -> Tensor:
    return places_BTKL @ torch.arange(places_BTKL.shape[-1], device=places_BTKL.device).float()


def _in_float32(like: Tensor) -> torch.autocast:
    """Places are told more finely than bfloat16 knows."""
    return torch.autocast(like.device.type, enabled=False)


def _hidden_layers(codes: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(codes, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.2),
    )


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


def placed(places_NKL: Tensor, side: int) -> Tensor:
    """Where each row of a patch lands, from where the patch's first row does.

    Args:
        places_NKL: [..., L], the probability that the patch begins at place l.
        side: P.

    Returns:
        [..., P, L + P - 1]: at [p, y] the probability that the patch begins at y − p.

    >>> placed(torch.tensor([0.25, 0.75]), 2)
    tensor([[0.2500, 0.7500, 0.0000],
            [0.0000, 0.2500, 0.7500]])
    """
    around = pad(places_NKL, (side - 1, side - 1))
    return around.unfold(-1, places_NKL.shape[-1] + side - 1, 1).flip(-2)


@hookimpl
def genzoo_models() -> Iterator[object]:
    yield PatchesRwae
