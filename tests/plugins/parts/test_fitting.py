"""Where a patch fits best into frames, against trying every place by itself.

Shapes: B batch, T time, K things, C channels, P a patch's side, Y X a frame's sides, L places.
"""

import pytest
import torch
from genzoo_rwae_plugins.models.fitting import fits, mean_place, near
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 5), st.integers(0, 4), st.integers(0, 5), st.integers(1, 3), st.booleans())
def test_a_fit_is_half_the_squared_error_but_for_what_all_places_share(
    side, more_rows, more_columns, channels, alike
):
    draws = torch.Generator().manual_seed(side + 10 * more_rows + 100 * more_columns)
    rows, columns = side + more_rows, side + more_columns
    frames = torch.randn(2, 3, 1 if alike else 2, channels, rows, columns, generator=draws)
    patches = torch.randn(2, 2, channels, side, side, generator=draws)
    found = fits(frames, patches)
    assert found.shape == (2, 3, 2, more_rows + 1, more_columns + 1)
    frames = frames.expand(-1, -1, 2, -1, -1, -1)
    for row in range(more_rows + 1):
        for column in range(more_columns + 1):
            rest = frames.clone()
            rest[..., row : row + side, column : column + side] -= patches[:, None]
            expected = (frames.square() - rest.square()).sum((-3, -2, -1)) / 2
            torch.testing.assert_close(found[..., row, column], expected, atol=1e-4, rtol=1e-4)


def test_nothing_of_a_patch_goes_round_the_edge():
    frames = torch.zeros(1, 1, 1, 1, 6, 6)
    frames[..., 0, 0] = 9
    patch = torch.zeros(1, 1, 1, 3, 3)
    patch[..., 2, 2] = 1  # would meet the bright pixel from place (-2, -2) alone
    assert fits(frames, patch).allclose(torch.tensor(-0.5), atol=1e-5)


def test_near_is_a_normal_density_about_each_place():
    places = torch.tensor([[[[1.0, 2.5], [0.0, 0.0]]]])
    density = near(places, (4, 5), 1.5)
    assert density.shape == (1, 1, 2, 4, 5)
    for thing, (row, column) in enumerate(places[0, 0].tolist()):
        law = torch.distributions.Normal(torch.tensor([row, column]), 1.5)
        for y in range(4):
            for x in range(5):
                ratio = law.log_prob(torch.tensor([y, x])).sum()
                ratio = ratio - law.log_prob(law.mean).sum()
                torch.testing.assert_close(density[0, 0, thing, y, x], ratio)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**16))
def test_the_mean_place_is_that_of_normalised_weights(rows, columns, seed):
    log = torch.randn(2, 3, 1, rows, columns, generator=torch.Generator().manual_seed(seed))
    weights = log.exp() / log.exp().sum((-2, -1), keepdim=True)
    expected = [
        (weights.sum(-1) * torch.arange(rows)).sum(-1),
        (weights.sum(-2) * torch.arange(columns)).sum(-1),
    ]
    torch.testing.assert_close(mean_place(log + 7), torch.stack(expected, -1))


@pytest.mark.parametrize("place", [(0, 0), (2, 3), (3, 1)])
def test_a_thing_is_found_where_it_is(place):
    patch = torch.rand(1, 1, 2, 4, 4) + 0.2
    frames = 0.1 * torch.rand(1, 1, 1, 2, 8, 8)
    row, column = place
    frames[..., row : row + 4, column : column + 4] += patch[0, 0]
    weights = 50 * fits(frames, patch)
    torch.testing.assert_close(
        mean_place(weights)[0, 0, 0], torch.tensor(place).float(), atol=0.01, rtol=0
    )
