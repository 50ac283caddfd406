"""Verification: are two codes of one speaker? All pairs, by the angle between their codes.

Shapes: N sequences, U recordings, D code width, P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Pairs", "all_pairs", "equal_error_rate", "mean_of_groups"]


@dataclass(frozen=True)
class Pairs:
    """All pairs of some codes.

    Attributes:
        similarity_P: cosine of the angle between the two.
        same_P: whether they are of one identity.
    """

    similarity_P: np.ndarray
    same_P: np.ndarray


def all_pairs(z_UD: np.ndarray, identity_U: np.ndarray) -> Pairs:
    """Every pair of codes once; a code that is 0 is at right angles to all others.

    Args:
        z_UD: codes.
        identity_U: their identities.
    """
    length_U1 = np.linalg.norm(z_UD, axis=1, keepdims=True)
    unit_UD = np.divide(z_UD, length_U1, out=np.zeros_like(z_UD), where=length_U1 > 0)
    rows_P, columns_P = np.triu_indices(len(z_UD), 1)
    return Pairs(
        (unit_UD @ unit_UD.T)[rows_P, columns_P], identity_U[rows_P] == identity_U[columns_P]
    )


def equal_error_rate(pairs: Pairs) -> float | None:
    """The rate at which as large a share of strangers is accepted as of the same are refused.

    Pairs at or above a threshold are accepted; between two thresholds the errors are interpolated
    linearly, pairs of equal similarity are accepted together.

    Args:
        pairs: similarities and what is true of them.

    Returns:
        In [0, 1]: 0 where identities are told apart, 1/2 where nothing is told; None where there
        are no pairs of one identity, or none of two.

    >>> equal_error_rate(Pairs(np.array([0.9, 0.8, 0.1]), np.array([True, True, False])))
    0.0
    """
    same, strangers = int(pairs.same_P.sum()), int((~pairs.same_P).sum())
    if not same or not strangers:
        return None
    order_P = np.argsort(-pairs.similarity_P, kind="stable")
    similarity_P, same_P = pairs.similarity_P[order_P], pairs.same_P[order_P]
    ends = np.append(np.flatnonzero(np.diff(similarity_P)), len(same_P) - 1)  # of equal ones
    accepted = np.concatenate([[0.0], np.cumsum(~same_P)[ends] / strangers])
    refused = np.concatenate([[1.0], 1 - np.cumsum(same_P)[ends] / same])
    place = int(np.argmax(accepted >= refused))  # there is one: the last accepts all, refuses none
    gap = refused[place - 1] - accepted[place - 1]
    fall = gap + accepted[place] - refused[place]
    share = gap / fall
    return float(accepted[place - 1] + share * (accepted[place] - accepted[place - 1]))


def mean_of_groups(
    x_ND: np.ndarray, labels_N: np.ndarray, groups_N: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Means [U, D] of the rows of each group, and the group's label [U] (its first row's).

    Args:
        x_ND: rows.
        labels_N: of rows; those of one group agree.
        groups_N: which group each is of; None: every row is its own.
    """
    if groups_N is None:
        return x_ND, labels_N
    _, first_U, group_N = np.unique(groups_N, return_index=True, return_inverse=True)
    total_UD = np.zeros((len(first_U), x_ND.shape[1]))
    np.add.at(total_UD, group_N, x_ND)
    return total_UD / np.bincount(group_N)[:, None], labels_N[first_U]
