"""Oracles that nobody here wrote: geomloss, torchmetrics, POT, librosa, and their known defects.

They are the extra `anchors`; a test whose package is not installed is skipped and says so.

Shapes: T batch, N rows of x, M rows of y, D code width.
"""

import numpy as np
import pytest
import torch
from genzoo_rwae_kernels import Energy, Imq, Laplacian, Polynomial, Rbf, mmd2_biased, mmd2_unbiased
from genzoo_rwae_kernels.spectra import Stft, griffin_lim, mel_bank
from genzoo_rwae_plugins.penalties.sinkhorn import sinkhorn
from genzoo_rwae_plugins.penalties.sliced_wasserstein import sliced_wasserstein
from torch import Tensor

D = 3


def samples(n: int, m: int, *lead: int, shift: float = 0.5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n * m)
    x = torch.randn(*lead, n, D, generator=generator, dtype=torch.float64)
    return x, torch.randn(*lead, m, D, generator=generator, dtype=torch.float64) + shift


# -- geomloss: V-statistics alone, and half of the squared MMD ----------------------------------


def geomloss(name: str, **options: object) -> object:
    losses = pytest.importorskip("geomloss", reason="geomloss is not installed (extra: anchors)")
    return losses.SamplesLoss(name, backend="tensorized", **options)


@pytest.mark.parametrize("lead", [(), (4,)])
def test_rbf_is_twice_geomlosses_gaussian(lead: tuple[int, ...]) -> None:
    x, y = samples(11, 7, *lead)
    blur = 0.8  # exp(-d2 / (2 blur^2)); ours has 2 D sigma^2 s
    kernel = Rbf(scales=[1.0], sigma=blur / D**0.5)
    theirs = 2 * geomloss("gaussian", blur=blur)(x, y)  # type: ignore[operator]
    torch.testing.assert_close(mmd2_biased(x, y, kernel), theirs.reshape(lead))


def test_gradients_are_geomlosses_too() -> None:
    x, y = samples(9, 9)
    x.requires_grad_()
    kernel = Rbf(scales=[1.0], sigma=1.0 / D**0.5)
    (ours,) = torch.autograd.grad(mmd2_biased(x, y, kernel), x)
    (theirs,) = torch.autograd.grad(2 * geomloss("gaussian", blur=1.0)(x, y), x)  # type: ignore[operator]
    torch.testing.assert_close(ours, theirs)


def test_energy_is_geomlosses() -> None:
    x, y = samples(10, 6)
    theirs = 2 * geomloss("energy")(x, y)  # type: ignore[operator]
    # theirs is guarded by an epsilon under the root
    torch.testing.assert_close(mmd2_biased(x, y, Energy()), theirs / 2, rtol=1e-3, atol=1e-3)


def test_laplacian_is_twice_geomlosses() -> None:
    x, y = samples(10, 6)
    kernel = Laplacian(scales=[1.0], sigma=1.0 / (2 * D) ** 0.5)  # a length of 1
    theirs = 2 * geomloss("laplacian", blur=1.0)(x, y)  # type: ignore[operator]
    torch.testing.assert_close(mmd2_biased(x, y, kernel), theirs, rtol=1e-3, atol=1e-4)


def test_sinkhorn_is_twice_geomlosses() -> None:
    x, y = samples(12, 12, shift=1.0)
    epsilon = 0.2
    blur = (epsilon * D) ** 0.5  # theirs has the cost d2 / 2 and blur^2 for its regularisation
    theirs = 2 * geomloss("sinkhorn", p=2, blur=blur, scaling=0.99)(x, y)  # type: ignore[operator]
    torch.testing.assert_close(sinkhorn(x, y, epsilon=epsilon), theirs, rtol=1e-3, atol=1e-4)


def test_ours_keeps_the_second_derivative_that_geomloss_gets_wrong() -> None:
    x, y = samples(5, 4)
    kernel = Rbf(scales=[1.0], sigma=1.0 / D**0.5)
    assert torch.autograd.gradgradcheck(lambda a: mmd2_biased(a, y, kernel), x.requires_grad_())


# -- torchmetrics: the kernel inception distance, normalised by one sample's size ----------------


def test_polynomial_u_is_the_kernel_inception_distance_where_sizes_are_equal() -> None:
    kid = pytest.importorskip(
        "torchmetrics.image.kid", reason="torchmetrics is not installed (extra: anchors)"
    )
    x, y = samples(8, 8)
    theirs = kid.poly_mmd(x, y, degree=3, gamma=None, coef=1.0)
    torch.testing.assert_close(mmd2_unbiased(x, y, Polynomial(degree=3)), theirs)


def test_unequal_sizes_are_right_here_and_wrong_there() -> None:
    kid = pytest.importorskip(
        "torchmetrics.image.kid", reason="torchmetrics is not installed (extra: anchors)"
    )
    x, y = samples(12, 5)

    def k(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.mT / D + 1.0) ** 3

    within = [(g.sum() - g.trace()) / (len(g) * (len(g) - 1)) for g in (k(x, x), k(y, y))]
    right = sum(within) - 2 * k(x, y).mean()
    torch.testing.assert_close(mmd2_unbiased(x, y, Polynomial(degree=3)), right)
    theirs = kid.poly_mmd(x, y, degree=3, gamma=None, coef=1.0)
    assert abs(theirs - right) > 0.1 * abs(right)


# -- POT -----------------------------------------------------------------------------------------


def test_sliced_wasserstein_in_one_dimension_is_exact_transport() -> None:
    ot = pytest.importorskip("ot", reason="POT is not installed (extra: anchors)")
    x, y = samples(20, 20)
    x, y = x[:, :1], y[:, :1]
    exact = ot.emd2_1d(x[:, 0].numpy(), y[:, 0].numpy(), metric="sqeuclidean")
    assert float(sliced_wasserstein(x, y, projections=3)) == pytest.approx(exact)


def test_sliced_wasserstein_agrees_with_pot_over_many_directions() -> None:
    ot = pytest.importorskip("ot", reason="POT is not installed (extra: anchors)")
    x, y = samples(40, 40, shift=1.0)
    torch.manual_seed(0)
    ours = float(sliced_wasserstein(x, y, projections=4000))
    theirs = ot.sliced_wasserstein_distance(x.numpy(), y.numpy(), n_projections=4000, seed=0) ** 2
    assert ours == pytest.approx(theirs, rel=0.05)


def test_sinkhorn_at_a_small_epsilon_nears_exact_transport() -> None:
    ot = pytest.importorskip("ot", reason="POT is not installed (extra: anchors)")
    x, y = samples(15, 15, shift=2.0)
    uniform = torch.full((15,), 1 / 15, dtype=torch.float64).numpy()
    exact = float(ot.emd2(uniform, uniform, ot.dist(x.numpy(), y.numpy())))
    gaps = [abs(float(sinkhorn(x, y, epsilon=e, iterations=2000)) - exact) for e in (0.5, 0.02)]
    assert gaps[1] < 0.05 * exact
    assert gaps[1] < gaps[0]


def test_imq_is_a_mean_of_gaussian_kernels_over_an_exponential_law() -> None:
    x, y = samples(6, 5)
    # c / (c + d2) = ∫ exp(-s) exp(-s d2 / c) ds, by quadrature; rbf has exp(-d2 / (2 D sigma^2 s))
    nodes, weights = np.polynomial.laguerre.laggauss(40)
    parts = [float(mmd2_biased(x, y, Rbf(scales=[1 / node]))) for node in nodes]
    assert float(mmd2_biased(x, y, Imq(scales=[1.0]))) == pytest.approx(weights @ parts, rel=1e-6)


# -- librosa: spectra, mel bands and Griffin-Lim from phase 0 -------------------------------------


def librosa() -> object:
    return pytest.importorskip("librosa", reason="librosa is not installed (extra: anchors)")


def chirp() -> np.ndarray:
    time = np.arange(8_000) / 8_000
    return 0.5 * np.sin(2 * np.pi * (200 * time + 600 * time**2)) * np.hanning(8_000)


def test_mel_bands_are_librosas_of_htk_without_norm() -> None:
    wanted = librosa().filters.mel(sr=16_000, n_fft=512, n_mels=64, htk=True, norm=None)
    assert mel_bank(257, 64, 16_000).numpy() == pytest.approx(wanted.T, abs=1e-5)


def test_transform_and_its_inverse_are_librosas() -> None:
    stft, wave = Stft(320, 165, 400), chirp()
    options = {"hop_length": 165, "win_length": 320}
    wanted = librosa().stft(wave, n_fft=400, pad_mode="constant", **options)
    spectra = stft(torch.from_numpy(wave))
    assert np.abs(spectra.numpy() - wanted.T).max() < 1e-9
    noise = spectra * torch.rand(spectra.shape, generator=torch.Generator().manual_seed(0))
    theirs = librosa().istft(noise.numpy().T, n_fft=400, length=7_900, **options)
    assert np.abs(stft.inverse(noise, 7_900).numpy() - theirs).max() < 1e-9


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_griffin_lim_is_librosas_step_by_step_and_as_good_in_the_end(momentum: float) -> None:
    stft = Stft(256, 64, 256)
    magnitude = stft(torch.from_numpy(chirp())).abs()
    for iterations in (1, 2, 5, 60):
        ours = griffin_lim(magnitude, stft, 8_000, iterations=iterations, momentum=momentum)
        theirs = librosa().griffinlim(
            magnitude.numpy().T, n_iter=iterations, hop_length=64, n_fft=256, momentum=momentum,
            init=None, length=8_000, pad_mode="constant",
        )  # fmt: skip
        assert np.abs(ours.numpy() - theirs).max() < (1e-6 if iterations < 60 else 0.02)
