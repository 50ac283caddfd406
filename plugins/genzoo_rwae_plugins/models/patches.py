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
from genzoo_rwae_plugins.models.following import followed, reordered
from genzoo_rwae_plugins.models.parts import DynamicPart, StaticPart
from genzoo_rwae_plugins.models.rwae import Rwae
from genzoo_rwae_plugins.models.views import movement

__all__ = ["PatchesRwae", "placed"]

_MOST_THINGS = 5  # whose 120 orders are tried at each step
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
    Whatever moves, its patches are read as if it stood still. There are no actions.

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
            return _Patches(share, moving, frame_shape, objects, side, hidden, patches)

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
        self.static = static

    def infer(self, x_BT: Tensor, lengths_B: Tensor, draw: Draw) -> Codes:
        """Codes of a batch of floats [B, T, C, Y, X] beside their priors: z^m, then z^c."""
        shown_BT = self._shown_to_nets(self._dynamic_view(x_BT, draw))
        features_BTH = self._encoder_of("dynamic")(shown_BT, lengths_B)
        moving_BTH = movement(self.dynamic.features, features_BTH, lengths_B)
        z_BTM, path = self._followed(*self.dynamic_head(moving_BTH, lengths_B, draw))
        prior, state_BTH = self.dynamic_prior.along(z_BTM)
        posterior = self._static_posterior(x_BT, z_BTM, lengths_B, draw)
        static = StaticCode(draw(posterior), posterior, self.static_prior.law(len(x_BT)))
        return Codes(static, DynamicCode(z_BTM, path, prior, state_BTH))

    def _followed(self, z_BTM: Tensor, path: DiagonalGaussian) -> tuple[Tensor, DiagonalGaussian]:
        """The codes of things, and their laws, each thing keeping its share along a sequence."""
        with torch.no_grad():
            order_BTK = followed(self.decoder.where(path.mean))
        mean_BTM, log_variance_BTM = (
            reordered(of_things, order_BTK) for of_things in (path.mean, path.log_variance)
        )
        return reordered(z_BTM, order_BTK), DiagonalGaussian(mean_BTM, log_variance_BTM)

    def _static_posterior(
        self, x_BT: Tensor, z_BTM: Tensor, lengths_B: Tensor, draw: Draw
    ) -> DiagonalGaussian:
        """Q(z^c | x_1:T, z^m_1:T) over [B, K S]: every thing by itself, by the same nets."""
        objects = self.decoder.objects
        read_BTK = self.decoder.read(self._shown_to_nets(x_BT), z_BTM)
        read_BTK, lengths_B = self._static_view(read_BTK, lengths_B, draw)
        read_NT = rearrange(read_BTK, "b t k ... -> (b k) t ...")  # N: things of all sequences
        lengths_N = lengths_B.repeat_interleave(objects)
        law = self.static_head(self._encoder_of("static")(read_NT, lengths_N), lengths_N)
        mean_BS, log_variance_BS = (
            rearrange(of_things_NS, "(b k) s -> b (k s)", k=objects)
            for of_things_NS in (law.mean, law.log_variance)
        )
        return DiagonalGaussian(mean_BS, log_variance_BS)


class _Patches(nn.Module):
    """Patches of K things, put onto an even ground, and read where they are.

    Args:
        static: S, static codes of a thing.
        dynamic: D, dynamic codes of a thing at a step.
        frame_shape: (C, Y, X).
        objects, side, hidden, patches: as of the model.
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
    ) -> None:
        super().__init__()
        depth, *sides = frame_shape
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
        h_NH = self.what(rearrange(z_BS, "b (k s) -> (b k) s", k=self.objects))
        patches_NKCPP = repeat(
            softplus(self.patches(h_NH).float()),
            "(b k) c p q -> (b t) k c p q",
            b=batch,
            t=steps,
        )
        rows_NKPY, columns_NKPX = self.spread(z_BTM)
        over_rows = einsum(rows_NKPY, patches_NKCPP, "n k p y, n k c p q -> n k c y q")
        shown_NCYX = einsum(over_rows, columns_NKPX, "n k c y q, n k q x -> n c y x")
        return rearrange(shown_NCYX + self.ground, "(b t) c y x -> b t c y x", b=batch)

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
        of_axes = [
            places_BTKL @ torch.arange(places_BTKL.shape[-1], device=z_BTM.device).float()
            for places_BTKL in self._places(z_BTM)
        ]
        return torch.stack(of_axes, -1)

    def _places(self, z_BTM: Tensor) -> list[Tensor]:
        """For rows and for columns, the probabilities [B, T, K, L] of where patches begin."""
        h_BTKH = self.moved(rearrange(z_BTM, "b t (k d) -> b t k d", k=self.objects))
        return [axis(h_BTKH).float().softmax(-1) for axis in self.places]


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
