"""Codes moved along directions, one at a time or all at once, and single factors exchanged.

Shapes: R directions or row donors, C columns, V places, T time, D code width, ... the frame.
"""

from __future__ import annotations

from typing import Literal

import torch
from einops import rearrange, repeat
from torch import Tensor

from genzoo_rwae.codes import Latents
from genzoo_rwae.evaluation.codes import EncodedSplit, encode_split
from genzoo_rwae.evaluation.directions import Directions, Subspace, principal_directions
from genzoo_rwae.padding import true_steps
from genzoo_rwae.sequence_model import Encoding, SequenceModel
from genzoo_rwae.sequences import SequenceData

__all__ = ["Code", "code_directions", "directions_of", "exchange_all", "move", "traverse"]

Code = Literal["static", "dynamic"]


def code_directions(
    model: SequenceModel, data: SequenceData, code: Code, count: int, most: int = 2_000
) -> Directions:
    """Principal directions of the posterior means of a split.

    Args:
        model: what encodes.
        data: whose sequences.
        code: the static codes, or the dynamic ones of all true steps together.
        count: how many directions.
        most: sequences, spread evenly.
    """
    return directions_of(encode_split(model, data, most), code, count)


def directions_of(codes: EncodedSplit, code: Code, count: int) -> Directions:
    """Principal directions of codes that are encoded already, as `code_directions`."""
    if code == "static":
        return principal_directions(codes.static_ND, count)
    z_NTD = codes.dynamic_NTD
    true_NT = true_steps(z_NTD.shape[1], codes.lengths_N, z_NTD.device)
    return principal_directions(z_NTD[true_NT], count)


@torch.no_grad()
def traverse(
    model: SequenceModel,
    x_T: Tensor,
    length: int,
    directions: Directions,
    code: Code,
    places_V: Tensor,
) -> Tensor:
    """One sequence with one code moved along one direction at a time: [R, V, T, ...].

    The static code gets the place along the direction, counted from the mean of all codes; dynamic
    codes are moved by it, all steps alike, so that the motion stays.

    Args:
        model: what encodes and decodes.
        x_T: [T, ...] the sequence.
        length: its true length.
        directions: along which.
        code: which code is moved.
        places_V: in standard deviations of each direction.
    """
    encoding = model.encode(x_T[None], torch.tensor([length]))
    static_D, dynamic_TD = encoding.static.mean[0], encoding.dynamic.mean[0]
    axes_RD = directions.axes_RD.to(static_D)
    step_RVD = torch.einsum(
        "v,r,rd->rvd", places_V.to(axes_RD), directions.sd_R.to(axes_RD), axes_RD
    )
    shape = step_RVD.shape[:2]
    static_RVD, dynamic_RVTD = static_D.expand(*shape, -1), dynamic_TD.expand(*shape, -1, -1)
    if code == "static":
        along_R = axes_RD @ (static_D - directions.mean_D.to(static_D))
        static_RVD = static_RVD + step_RVD - (along_R[:, None] * axes_RD)[:, None]
    else:
        dynamic_RVTD = dynamic_RVTD + step_RVD[:, :, None]
    made_BT = model.decode(
        Latents(
            static_RVD.flatten(0, 1),
            dynamic_RVTD.flatten(0, 1),
            _action(encoding, shape.numel()),
        )
    ).float()
    made_BT[:, length:] = 0
    return rearrange(made_BT, "(r v) ... -> r v ...", r=shape[0])


@torch.no_grad()
def move(
    model: SequenceModel, x_T: Tensor, length: int, static_D: Tensor, dynamic_D: Tensor
) -> Tensor:
    """One sequence with both codes moved from where they are: [T, ...]; 0 beyond its true length.

    Args:
        model: what encodes and decodes.
        x_T: [T, ...] the sequence.
        length: its true length.
        static_D: what is added to its static code.
        dynamic_D: what is added to its dynamic codes, the same at all steps.
    """
    encoding = model.encode(x_T[None], torch.tensor([length]))
    static_BD, dynamic_BTD = encoding.static.mean, encoding.dynamic.mean
    latents = Latents(
        static_BD + static_D.to(static_BD),
        dynamic_BTD + dynamic_D.to(dynamic_BTD),
        _action(encoding, 1),
    )
    made_T = model.decode(latents).float()[0]
    made_T[length:] = 0
    return made_T


@torch.no_grad()
def exchange_all(
    model: SequenceModel,
    subspace: Subspace,
    donor_RT: Tensor,
    kept_CT: Tensor,
    donor_lengths_R: Tensor,
    kept_lengths_C: Tensor,
) -> Tensor:
    """Every donor's factor in every other sequence: [R, C, T, ...]; 0 beyond the true lengths.

    Args:
        model: what encodes and decodes.
        subspace: where the factor lies in the static code.
        donor_RT: sequences that give the factor.
        kept_CT: sequences that keep all else.
        donor_lengths_R, kept_lengths_C: true lengths.
    """
    donors_RD = model.encode(donor_RT, donor_lengths_R).static.mean
    kept = model.encode(kept_CT, kept_lengths_C)
    static_RCD = subspace.exchange(kept.static.mean[None], donors_RD[:, None])
    rows = len(donors_RD)
    made_BT = model.decode(
        Latents(
            rearrange(static_RCD, "r c d -> (r c) d"),
            repeat(kept.dynamic.mean, "c t d -> (r c) t d", r=rows),
            _action(kept, rows),
        )
    ).float()
    lengths_B = repeat(kept_lengths_C, "c -> (r c)", r=rows)
    made_BT[~true_steps(made_BT.shape[1], lengths_B)] = 0
    return rearrange(made_BT, "(r c) ... -> r c ...", r=rows)


def _action(encoding: Encoding, times: int) -> Tensor | None:
    """The likeliest actions, all of them `times` over."""
    if encoding.action is None:
        return None
    return repeat(encoding.action.typical(), "c a -> (r c) a", r=times)
