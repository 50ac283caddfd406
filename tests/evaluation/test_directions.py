"""Principal directions against scikit-learn's, and factors along known directions of made-up codes.

Shapes: N sequences, D code width.
"""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from genzoo_rwae.evaluation.directions import factor_subspace, principal_directions


def mixed(count=3000, noise=0.02, seed=0):
    """Codes [N, 8] that are sums of a vector for each of three independent factors' classes."""
    draw = np.random.default_rng(seed)
    labels = {"hair": draw.integers(4, size=count), "top": draw.integers(3, size=count),
              "skin": draw.integers(2, size=count)}  # fmt: skip
    means = {name: draw.normal(size=(y.max() + 1, 8)) for name, y in labels.items()}
    codes = sum(means[name][y] for name, y in labels.items())
    codes = codes + noise * draw.normal(size=codes.shape)
    return (
        torch.from_numpy(codes).float(),
        {name: torch.from_numpy(y) for name, y in labels.items()},
        {name: torch.from_numpy(m).float() for name, m in means.items()},
    )


def test_principal_directions_are_scikit_learns():
    z_ND = torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
    z_ND = z_ND * torch.arange(1, 7) + 3
    found, pca = principal_directions(z_ND, 4), PCA(4).fit(z_ND)
    signs = np.sign((found.axes_RD.numpy() * pca.components_).sum(1, keepdims=True))
    assert np.allclose(found.axes_RD, signs * pca.components_, atol=1e-3)
    assert np.allclose(found.sd_R, np.sqrt(pca.explained_variance_), rtol=1e-4)
    assert np.allclose(found.share_R, pca.explained_variance_ratio_, rtol=1e-4)
    assert np.allclose(found.mean_D, pca.mean_, atol=1e-4)


def test_directions_point_to_the_same_side_for_mirrored_codes():
    z_ND = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    one, other = (principal_directions(z, 3).axes_RD for z in (z_ND, -z_ND))
    assert torch.allclose(one, other, atol=1e-5)
    largest = one.gather(1, one.abs().argmax(1, keepdim=True))
    assert (largest > 0).all()


def test_a_shift_is_scikit_learns_way_back_from_the_directions():
    z_ND, _, _ = mixed()
    found, peer = principal_directions(z_ND, 3), PCA(3).fit(z_ND)
    places = np.array([1.5, -2.0, 0.5])
    sides = np.sign((found.axes_RD.numpy() * peer.components_).sum(1))  # PCA's point as they like
    scores = places * sides * np.sqrt(peer.explained_variance_)
    wanted = peer.inverse_transform(scores[None])[0] - peer.mean_
    shift_D = found.shift(torch.tensor(places))
    assert np.allclose(shift_D.numpy(), wanted, atol=1e-4)


def test_there_are_no_more_directions_than_entries():
    z_ND = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    assert principal_directions(z_ND, 9).axes_RD.shape == (3, 3)


@pytest.mark.parametrize("factor", ["hair", "top", "skin"])
def test_exchange_moves_one_factor_and_no_other(factor):
    codes, labels, means = mixed()
    subspace = factor_subspace(codes, labels[factor])
    donor = codes.roll(1, 0)
    wanted = codes - means[factor][labels[factor]] + means[factor][labels[factor].roll(1)]
    got = subspace.exchange(codes, donor)
    moved = (codes - donor).square().mean().sqrt()
    # 3,000 draws of factors are not exactly independent: a few percent of what moves
    assert (got - wanted).square().mean().sqrt() < 0.06 * moved
    # while the whole code of the donor is far off
    assert (donor - wanted).square().mean().sqrt() > 0.5 * moved


def test_subspace_has_a_direction_less_than_classes_and_reads_what_it_moves():
    codes, labels, _ = mixed()
    for name, directions in (("hair", 3), ("top", 2), ("skin", 1)):
        subspace = factor_subspace(codes, labels[name])
        assert subspace.onto_DR.shape == (8, directions)
        product = subspace.read_RD @ subspace.onto_DR
        assert torch.allclose(product, torch.eye(directions), atol=1e-3)
        assert (subspace.told_R > 0.8).all()


def test_directions_read_what_fishers_discriminants_do():
    codes, labels, _ = mixed(noise=1.0)
    ours_RD = factor_subspace(codes, labels["hair"]).read_RD.numpy()
    fitted = LinearDiscriminantAnalysis(solver="eigen").fit(codes.numpy(), labels["hair"].numpy())
    theirs_RD = fitted.scalings_.T[: len(ours_RD)]
    lengths_R = np.linalg.norm(ours_RD, axis=1) * np.linalg.norm(theirs_RD, axis=1)
    cosines_R = np.abs((ours_RD * theirs_RD).sum(1)) / lengths_R
    assert cosines_R == pytest.approx(np.ones(3), abs=1e-2)


def test_exchange_with_oneself_changes_nothing_and_is_done_once():
    codes, labels, _ = mixed()
    subspace = factor_subspace(codes, labels["hair"])
    assert torch.allclose(subspace.exchange(codes, codes), codes)
    donor = codes.roll(1, 0)
    once = subspace.exchange(codes, donor)
    assert torch.allclose(subspace.exchange(once, donor), once, atol=1e-4)


def test_factor_that_the_code_does_not_tell_has_no_directions():
    codes, _, _ = mixed()
    noise = torch.randint(0, 4, (len(codes),), generator=torch.Generator().manual_seed(3))
    subspace = factor_subspace(codes, noise)
    assert len(subspace.told_R) <= 1  # better than one permutation half of the time
    assert (subspace.told_R < 0.01).all()
    still = factor_subspace(codes, torch.zeros(len(codes), dtype=torch.long))
    assert len(still.told_R) == 0
    assert torch.equal(still.exchange(codes, codes.roll(1, 0)), codes)


def test_entries_that_are_not_used_do_no_harm():
    codes, labels, _ = mixed()
    padded = torch.cat([codes, torch.zeros(len(codes), 3)], 1)
    subspace = factor_subspace(padded, labels["hair"])
    moved = subspace.exchange(padded, padded.roll(1, 0))
    assert torch.isfinite(moved).all()
    assert moved[:, 8:].abs().max() < 1e-3
