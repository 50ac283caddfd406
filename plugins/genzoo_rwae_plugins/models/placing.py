"""Patches of things on an even ground: drawn where codes say, read there, and fitted.

Shapes: B batch, T time, N frames, K things, J their places, S static codes of a thing, D dynamic
codes of a thing, M = K D, C channels, P a patch's side, Y X a frame's height and width,
L = Y − P + 1 (or X − P + 1) places along an axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from einops import einsum, rearrange, repeat
from torch import Tensor, nn
from torch.nn.functional import pad, softplus

from genzoo_rwae_plugins.models.fitting import fits, mean_place, near

__all__ = ["Patches", "in_float32", "placed"]

_DARK = -4.0  # of the ground at the start, before squashing: 0.02
_NOISE = 2.0  # variance of a pixel about what is drawn; large, since pixels err together
_WANDERS = 3.0  # pixels that a place may be off
_STEPS = 3  # of codes that are moved
_DAMPED = 1.0  # pixels squared a code's unit squared, below which slopes count for little
_LONGEST = 1.0  # step, in a code's units


class Patches(nn.Module):
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
        z_BS, z_BTM = z_BTD[:, 0, : self.all_static], z_BTD[..., self.all_static :]
        over_rows, columns_NKPX = self._over_rows(self.drawn(z_BS), z_BTM)
        shown_NCYX = einsum(over_rows, columns_NKPX, "n k c y q, n k q x -> n c y x")
        return rearrange(shown_NCYX + self.ground, "(b t) c y x -> b t c y x", b=len(z_BTD))

    def _over_rows(self, patches_BKCPP: Tensor, z_BTM: Tensor) -> tuple[Tensor, Tensor]:
        """Patches spread over rows [N, K, C, Y, P] at all steps, and where their columns go."""
        patches_NKCPP = repeat(patches_BKCPP, "b k c p q -> (b t) k c p q", t=z_BTM.shape[1])
        rows_NKPY, columns_NKPX = self.spread(z_BTM)
        over_rows = einsum(rows_NKPY, patches_NKCPP, "n k p y, n k c p q -> n k c y q")
        return over_rows, columns_NKPX

    def drawn(self, z_BS: Tensor) -> Tensor:
        """The patches [B, K, C, P, P] of static codes, before they are put on the ground."""
        h_NH = self.what(rearrange(z_BS, "b (k s) -> (b k) s", k=self.objects))
        patches_NCPP = softplus(self.patches(h_NH).float())
        return rearrange(patches_NCPP, "(b k) c p q -> b k c p q", k=self.objects)

    def likings(self, x_BT: Tensor, z_BTM: Tensor, patches_BKCPP: Tensor) -> Tensor:
        """How well each thing's patch fits at each thing's place: log-likelihoods [B, T, K, J]."""
        x_BTKCYX, there_BTKCYX = self._split(x_BT)
        bare_BTKCYX = (x_BTKCYX - self._shown(self.ground)) * there_BTKCYX
        fits_BTKLL = fits(bare_BTKCYX, self._seen(patches_BKCPP)) / _NOISE
        near_BTJLL = near(self.where(z_BTM), fits_BTKLL.shape[-2:], _WANDERS)
        likings = [
            (fits_BTKLL + near_BTLL[:, :, None]).flatten(-2).logsumexp(-1)
            for near_BTLL in near_BTJLL.unbind(2)
        ]
        return torch.stack(likings, -1)

    def found(self, x_BT: Tensor, z_BTM: Tensor, patches_BKCPP: Tensor) -> Tensor:
        """The places [B, T, K, 2] about those of z^m at which patches fit best.

        What the other things show at their places is no more to be explained, nor is what is
        missing.
        """
        x_BTKCYX, there_BTKCYX = self._split(x_BT)
        over_rows, columns_NKPX = self._over_rows(patches_BKCPP, z_BTM)
        each_NKCYX = einsum(over_rows, columns_NKPX, "n k c y q, n k q x -> n k c y x")
        others_NKCYX = self._shown(each_NKCYX.sum(1, keepdim=True) - each_NKCYX + self.ground)
        left_BTKCYX = x_BTKCYX - rearrange(others_NKCYX, "(b t) ... -> b t ...", b=len(x_BT))
        fits_BTKLL = fits(left_BTKCYX * there_BTKCYX, self._seen(patches_BKCPP)) / _NOISE
        near_BTKLL = near(self.where(z_BTM), fits_BTKLL.shape[-2:], 2 * _WANDERS)
        return mean_place(fits_BTKLL + near_BTKLL)

    def _split(self, x_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Frames, with an axis for things, and 1 where channels behind say that they are there."""
        depth = len(self.ground)
        x_BTKCYX = x_BT[:, :, None].float()
        frames, there = x_BTKCYX[:, :, :, :depth], x_BTKCYX[:, :, :, depth:]
        return frames, there if there.shape[3] else torch.ones_like(frames[:1, :1])

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
        with torch.inference_mode(False), torch.enable_grad(), in_float32(z_BTM):
            z_BTKD = self._of_things(z_BTM).detach().clone().requires_grad_()
            h_BTKH = self.moved(z_BTKD)
            means = [_mean(axis(h_BTKH).softmax(-1)) for axis in self.places]
            slopes = [
                torch.autograd.grad(mean_BTK.sum(), z_BTKD, retain_graph=True)[0]
                for mean_BTK in means
            ]
        return torch.stack(means, -1).detach(), torch.stack(slopes, -2)

    def _places(self, z_BTM: Tensor) -> list[Tensor]:
        """For rows and for columns, the probabilities [B, T, K, L] of where patches begin."""
        with in_float32(z_BTM):
            h_BTKH = self.moved(self._of_things(z_BTM))
            return [axis(h_BTKH).softmax(-1) for axis in self.places]

    def _of_things(self, z_BTM: Tensor) -> Tensor:
        return rearrange(z_BTM.float(), "b t (k d) -> b t k d", k=self.objects)


def _mean(places_BTKL: Tensor) -> Tensor:
    return (places_BTKL * torch.arange(places_BTKL.shape[-1], device=places_BTKL.device)).sum(-1)


def in_float32(like: Tensor) -> torch.autocast:
    """Places are told more finely than bfloat16 knows."""
    return torch.autocast(like.device.type, enabled=False)


def _hidden_layers(codes: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(codes, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.2),
    )


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
