"""Series in pictures: where dots, lines and bands are, and whose colour they have."""

import numpy as np
import pytest
import torch
from PIL import Image

from genzoo_rwae.report.bands import posterior_band
from genzoo_rwae.report.lines import legend, series_panels
from genzoo_rwae.report.paper import inks
from genzoo_rwae.report.pictures import clip_rows, reconstruction_rows
from genzoo_rwae.sequences import DataInfo, Display

T = 24
DATA = (0x50, 0x50, 0x50)


def near(image: Image.Image, colour: tuple[int, ...], most: int = 26) -> np.ndarray:
    """[height, width] which pixels are about of this colour."""
    return (np.abs(np.asarray(image, int) - colour) <= most).all(axis=-1)


@pytest.fixture
def flat() -> tuple[np.ndarray, np.ndarray]:
    """Two sequences of three channels that stand still: the data at 0, the model at 1."""
    return np.zeros((2, T, 3)), np.ones((2, T, 3))


def test_every_sequence_has_a_row_and_every_channel_a_panel_with_both_curves(flat) -> None:
    picture = series_panels(*flat, lengths=[None, None])
    for channel, ink in enumerate(inks(3)):
        rows, columns = near(picture, ink).nonzero()
        third = picture.width / 3
        assert third * channel < columns.min() < columns.max() < third * (channel + 1)
        assert columns.max() - columns.min() > 0.8 * third
        lines = np.unique(rows)
        assert (np.diff(lines) > 20).sum() == 1  # one line in each of two rows
        dots = near(picture, DATA)[:, int(third * channel) : int(third * (channel + 1))]
        assert (np.diff(np.unique(dots.nonzero()[0])) > 20).sum() == 1
        assert dots.nonzero()[0].min() > rows.min() + 20  # 0 is below 1


def test_missing_values_have_no_dot_and_cut_no_model(flat) -> None:
    x, x_hat = flat
    whole = near(series_panels(x, x_hat, lengths=[None, None]), DATA).sum()
    x[:, ::2] = np.nan
    picture = series_panels(x, x_hat, lengths=[None, None])
    assert near(picture, DATA).sum() == pytest.approx(whole / 2, rel=0.1)
    assert (np.diff(near(picture, inks(3)[0]).any(0).nonzero()[0]) == 1).all()
    x[:] = np.nan
    assert not near(series_panels(x, x_hat, lengths=[None, None]), DATA).any()


def test_nothing_is_drawn_beyond_the_true_length(flat) -> None:
    picture = series_panels(*flat, lengths=[None, T // 2])
    half = picture.height // 2
    above, below = (near(picture, inks(3)[0])[part] for part in (slice(half), slice(half, None)))
    assert np.ptp(below.any(0).nonzero()[0]) < 0.55 * np.ptp(above.any(0).nonzero()[0])


def test_the_band_lies_between_its_ends_around_the_line(flat) -> None:
    x, x_hat = flat
    band = np.stack([x_hat - 0.5, x_hat + 0.25])
    x[:, 0], x_hat[:, 0] = -0.1, 1.25  # the same axis with and without a band
    plain = series_panels(x, x_hat, lengths=[None, None])
    banded = series_panels(x, x_hat, lengths=[None, None], band_2BTF=band)
    column = plain.width // 6
    changed = (np.asarray(plain) != np.asarray(banded)).any(-1)[: plain.height // 2, column]
    line = near(plain, inks(3)[0])[: plain.height // 2, column].nonzero()[0].mean()
    zero = near(plain, DATA)[: plain.height // 2].nonzero()[0].mean()
    unit = zero - line
    rows = changed.nonzero()[0]
    assert (line - rows.min()) / unit == pytest.approx(0.25, abs=0.1)
    assert (rows.max() - line) / unit == pytest.approx(0.5, abs=0.1)


def test_the_legend_names_channels_in_their_colours_where_there_is_room() -> None:
    line = legend(("temperature", "wind"), 300)
    assert line is not None
    places = [near(line, ink).nonzero()[1].min() for ink in inks(2)]
    assert places == sorted(places)
    assert legend(("temperature",) * 12, 300) is None
    assert legend((), 300) is None


def test_rows_of_lines_have_a_legend_and_heat_maps_none() -> None:
    x = np.random.default_rng(0).normal(size=(2, T, 3))
    named, bare = Display("lines", names=("a", "b", "c")), Display("lines")
    assert clip_rows(x, display=named).height > clip_rows(x, display=bare).height
    many = Display("lines", names=tuple(map(str, range(40))))
    x = np.random.default_rng(0).normal(size=(2, T, 40))
    assert clip_rows(x, display=many).height == clip_rows(x, display=bare).height
    # a heat map of what is there, above that of the model
    x[:, ::3] = np.nan
    assert reconstruction_rows(x, np.nan_to_num(x), display=many).width > 600


def test_single_values_between_gaps_are_seen() -> None:
    x = np.full((1, T, 1), np.nan)
    x[0, ::4] = 1.0
    assert near(clip_rows(x), inks(1)[0], 60).sum() > 6


# -- bands ------------------------------------------------------------------------------------


def test_nine_of_ten_decodes_lie_in_the_band(rwae_of_lines) -> None:
    model = rwae_of_lines.eval()
    x_BT = torch.randn(2, 5, 3)
    lengths_B = torch.tensor([5, 4])
    generator = torch.Generator().manual_seed(1)
    low, high = posterior_band(model, x_BT, lengths_B, generator, draws=400)
    assert low.shape == x_BT.shape
    assert (low < high).all()
    inside = []
    with torch.no_grad():
        for seed in range(400):
            generator = torch.Generator().manual_seed(100 + seed)
            x_hat_BT = model(x_BT, lengths_B, generator).x_hat_BK
            inside.append(((low <= x_hat_BT) & (x_hat_BT <= high)).float().mean())
    assert torch.stack(inside).mean() == pytest.approx(0.9, abs=0.03)


def test_the_band_is_that_of_its_generator_and_leaves_no_gradient(rwae_of_lines) -> None:
    x_BT, lengths_B = torch.randn(2, 5, 3), torch.tensor([5, 5])
    one, other = (
        posterior_band(rwae_of_lines.eval(), x_BT, lengths_B, torch.Generator().manual_seed(3))
        for _ in range(2)
    )
    assert torch.equal(one, other)
    assert not one.requires_grad


def test_every_draw_of_a_sequence_has_its_length(rwae_of_lines, monkeypatch) -> None:
    x_BT, lengths_B = torch.randn(3, 5, 3), torch.tensor([5, 1, 3])
    infer, seen = rwae_of_lines.infer, []
    monkeypatch.setattr(rwae_of_lines, "infer", lambda *said: seen.append(said) or infer(*said))
    posterior_band(rwae_of_lines, x_BT, lengths_B, torch.Generator(), draws=4)
    (x_NT, lengths_N, _), *_ = seen
    for x_T, length in zip(x_BT, lengths_B, strict=True):
        rows = (x_NT == x_T).flatten(1).all(1)
        assert lengths_N[rows].tolist() == [length] * 4


@pytest.fixture
def rwae_of_lines():
    from functools import partial

    from genzoo_rwae_plugins.decoders.recurrent import FrameDecoder
    from genzoo_rwae_plugins.encoders.recurrent import FrameEncoder
    from genzoo_rwae_plugins.frames.mlp import MlpFrameDecoder, MlpFrameEncoder
    from genzoo_rwae_plugins.models.parts import DynamicPart, StaticPart
    from genzoo_rwae_plugins.models.rwae import Rwae

    torch.manual_seed(0)
    return Rwae(
        DataInfo((3,), 5, bounded=False),
        encoder=partial(FrameEncoder, frames=partial(MlpFrameEncoder, hidden=8, width=6)),
        static=StaticPart(size=3),
        dynamic=DynamicPart(size=2),
        decoder=partial(FrameDecoder, hidden=8, frames=partial(MlpFrameDecoder, hidden=8)),
    )
