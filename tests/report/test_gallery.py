"""The gallery of actions: which sequence stands in which row, and what each pixel shows."""

import numpy as np
import pytest
import torch
from PIL import Image

from genzoo_rwae.codes import (
    ActionCode,
    Categorical,
    Codes,
    DiagonalGaussian,
    DynamicCode,
    Latents,
    StaticCode,
)
from genzoo_rwae.report.gallery import action_film, action_sheet, found_actions
from genzoo_rwae.report.page import read_pictures, write_report
from genzoo_rwae.report.pictures import save_png
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch, DataInfo, SequenceData

T, SIDE = 4, 16
LOGITS = torch.tensor([[0, 0, 5.0], [3, 0, 0], [0, 0, 1], [4, 0, 0], [0, 0, 9], [0, 0, 7]])


class Greens(SequenceData):
    """Sequence k is of the green (10 k + 10) and step t of the blue (20 t); lengths 2, 3, 4, ..."""

    def __init__(self, shape=(3, SIDE, SIDE)):
        self.info = DataInfo(shape, T, len(shape) == 3)

    def __len__(self):
        return len(LOGITS)

    def take(self, indices_B, /, *, draw=0):
        i = torch.as_tensor(indices_B)
        if not self.info.bounded:
            return Batch(torch.ones(len(i), T, *self.info.frame_shape), 2 + i % 3, i)
        x = torch.zeros(len(i), T, 3, SIDE, SIDE, dtype=torch.uint8)
        x[:, :, 1] = (10 * i + 10)[:, None, None, None].to(torch.uint8)
        x[:, :, 2] = (20 * torch.arange(T))[:, None, None].to(torch.uint8)
        return Batch(x, 2 + i % 3, i)


class Reds(SequenceModel):
    """Knows each sequence's logits; draws frames of a red that tells action and static noise."""

    def __init__(self, info, actions=3):
        super().__init__(info)
        self.actions = actions
        self.anchor = torch.nn.Parameter(torch.zeros(()))

    def infer(self, x_BT, lengths_B, draw):
        z_BT1 = x_BT.flatten(2)[..., :1]
        law, static = (DiagonalGaussian(z, z) for z in (z_BT1, z_BT1[:, 0]))
        action = None
        if self.actions:
            place = torch.arange(len(x_BT))  # vectors, which come all at once
            if self.info.bounded:
                place = ((x_BT[:, 0, 1, 0, 0] * 255 - 10) / 10).round().long()
            seen = Categorical(LOGITS[place])
            action = ActionCode(seen.typical(), seen, seen)
        return Codes(
            StaticCode(static.mean, static, static), DynamicCode(z_BT1, law, law, z_BT1), action
        )

    def decode(self, latents):
        x = torch.zeros(*latents.dynamic_BTD.shape[:2], *self.info.frame_shape)
        action_B = latents.action_BA.argmax(-1)
        if self.info.bounded:
            red = 100 + 20 * action_B + latents.static_BD[:, 0]
            x[:, :, 0] = (red / 255)[:, None, None, None]
        return x

    def sample_prior(self, count, length, draw, action_BA=None):
        static_BD = torch.randint(9, (count, 1), generator=draw.generator).float()
        return Latents(static_BD, torch.zeros(count, length, 1), action_BA)


@pytest.fixture
def found():
    data = Greens()
    return found_actions(Reds(data.info), data, shown=2, made=3, seed=7)


def colours(picture: Image.Image) -> set[tuple[int, ...]]:
    return {colour for _, colour in picture.getcolors(2**24)}


def box(picture: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of all pixels of exactly this colour."""
    rows, columns = np.where((np.asarray(picture) == colour).all(axis=-1))
    assert len(rows), f"no pixel is {colour}"
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_sequences_stand_under_their_likeliest_action_the_surest_first(found):
    assert [one.action for one in found] == [0, 1, 2]
    assert [one.count for one in found] == [2, 0, 4]
    assert [one.indices for one in found] == [(3, 1), (), (4, 5)]
    sure = LOGITS.softmax(-1).max(-1).values
    assert found[0].certainty == pytest.approx(float(sure[[1, 3]].mean()))
    assert found[1].certainty == 0.0


def test_samples_of_one_column_share_their_noise(found):
    reds = np.stack([one.made_MT[:, 0, 0, 0, 0] * 255 - 20 * one.action for one in found])
    assert np.allclose(reds, reds[0], atol=0.1)
    assert len(np.unique(reds[0].round())) > 1


def test_model_without_actions_has_no_gallery():
    data = Greens()
    assert found_actions(Reds(data.info, actions=0), data) == []


def test_row_of_the_sheet_shows_sequences_then_samples_of_one_action(found):
    sheet = action_sheet(found)
    # sequence 4 has 3 steps, 5 has 4, 3 and 1 have 2 and 3: three of four are shown, ends kept
    surest, second = box(sheet, (0, 50, 0)), box(sheet, (0, 60, 0))
    assert surest[1::2] == second[1::2]
    assert surest[2] < second[0]
    other = box(sheet, (0, 40, 0))
    assert other[0] == surest[0]
    assert other[3] < surest[1]
    for one in found:
        made = [box(sheet, (round(float(x[0, 0, 0, 0] * 255)), 0, 0)) for x in one.made_MT]
        assert min(left for left, *_ in made) > second[2]
    empty = np.asarray(sheet)[other[3] + 10 : surest[1] - 10, surest[0] : second[2]]
    assert (empty == 255).all()


def test_steps_beyond_a_true_length_are_blank_in_the_sheet_and_hold_still_in_the_film(found):
    sheet = action_sheet(found, steps=4)
    assert (0, 40, 20) in colours(sheet)
    assert (0, 40, 40) not in colours(sheet)  # sequence 3 has two steps
    film = action_film(found)
    assert len(film) == T
    shown = [next(c for c in colours(frame) if c[:2] == (0, 40)) for frame in film]
    assert [blue for _, _, blue in shown] == [0, 20, 20, 20]
    longest = [next(c for c in colours(frame) if c[:2] == (0, 60)) for frame in film]
    assert [blue for _, _, blue in longest] == [0, 20, 40, 60]


def test_film_and_sheet_keep_rows_and_columns_in_line(found):
    for picture in (action_sheet(found), *action_film(found)):
        made = [
            [box(picture, (round(float(x[0, 0, 0, 0] * 255)), 0, 0)) for x in one.made_MT]
            for one in found
        ]
        lefts = [[left for left, *_ in row] for row in made]
        assert lefts[0] == lefts[1] == lefts[2]
        tops = [[top for _, top, *_ in row] for row in made]
        assert all(len(set(row)) == 1 for row in tops)
        assert tops[0] < tops[1] < tops[2]


def test_gallery_without_a_single_sequence_shows_samples(found):
    bare = [one for one in found if not one.count]
    assert action_sheet(bare).width < action_sheet(found).width
    assert len(action_film(bare)) == T


def test_vectors_have_a_gallery_that_does_not_move():
    data = Greens((2,))
    model = Reds(data.info)
    found = found_actions(model, data)
    assert len(action_film(found)) == 1
    assert action_sheet(found).width > 500


def test_page_gives_actions_a_section_with_a_heading_of_its_own(found, tmp_path):
    folder = tmp_path / "run" / "pictures"
    for name in ("swap.png", "actions.png", "mine.png"):
        save_png(action_sheet(found), folder / name)
    pictures = read_pictures(folder, {})
    assert [(p.name, p.section) for p in pictures] == [
        ("swap.png", "Pictures"), ("actions.png", "Actions"), ("mine.png", "Pictures"),
    ]  # fmt: skip
    page = write_report(tmp_path / "run").read_text()
    assert page.count("<h2>Pictures</h2>") == page.count("<h2>Actions</h2>") == 1
    actions = page[page.index('<section id="actions">') :]
    assert "A row for every action" in actions[: actions.index("</section>")]
    assert actions[: actions.index("</section>")].count("<img") == 1
    (folder / "actions.png").unlink()
    assert "<h2>Actions</h2>" not in write_report(tmp_path / "run").read_text()
