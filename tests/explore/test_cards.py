"""Clips and figures as HTML."""

import base64
import io
import re
import wave

import numpy as np
import pytest
import torch
from PIL import Image

from genzoo_rwae.explore.cards import cards, figures_table, heading, said, stills
from genzoo_rwae.explore.exploration import Clip
from genzoo_rwae.report.figures import figures_of
from genzoo_rwae.sequences import DataInfo, Display, SequenceData, Sound

HOSTILE = "\"'</p></b></figure><script>own()</script><img src=x onerror=own()>{{ 7*7 }}${own()}"


class Data(SequenceData):
    """Data of any shape; those whose frames are vectors are heard."""

    def __init__(self, *shape, form=None):
        self.info = DataInfo(shape, 5, len(shape) == 3, display=Display(form) if form else None)
        self.heard = []

    def __len__(self):
        return 0

    def take(self, indices_B, /, *, draw=0):
        raise NotImplementedError

    def sound(self, x_T, /, *, like=None):
        self.heard.append((len(x_T), like))
        return Sound(np.zeros(100 * len(x_T), np.float32), 8_000) if x_T.ndim == 2 else None


def embedded(html: str, kind: str) -> list[bytes]:
    return [base64.b64decode(found) for found in re.findall(f'"data:{kind};base64,([^"]+)"', html)]


def test_pictures_move_all_for_as_long_as_the_longest():
    clips = [Clip("a", "", torch.rand(5, 1, 8, 8), 5), Clip("b", "", torch.rand(5, 1, 8, 8), 2)]
    long, short = map(io.BytesIO, embedded(cards(clips, Data(1, 8, 8)), "image/gif"))
    with Image.open(long) as one, Image.open(short) as other:
        times = []
        for film in (one, other):
            spent = 0
            for place in range(film.n_frames):
                film.seek(place)
                spent += film.info["duration"]
            times.append(spent)
        assert times[0] == times[1]
        other.seek(other.n_frames - 1)  # beyond its end: paper
        assert len(other.convert("RGB").getcolors()) == 1


def test_a_clip_begins_anew_beside_another_and_is_the_same_beside_the_same():
    one, other, third = (Clip("a", "", torch.rand(2, 1, 8, 8), 2) for _ in range(3))
    first, again, beside = (
        embedded(cards(clips, Data(1, 8, 8)), "image/gif")[0]
        for clips in ([one, other], [one, other], [one, third])
    )
    assert first == again
    assert first != beside
    with Image.open(io.BytesIO(first)) as before, Image.open(io.BytesIO(beside)) as after:
        assert before.tobytes() == after.tobytes()


def test_vectors_are_drawn_whole_and_heard_at_their_true_length_in_a_phase():
    data = Data(20, form="spectrogram")
    clips = [Clip("a", "", torch.rand(5, 20), 5, 7), Clip("b", "", torch.rand(5, 20), 2)]
    html = cards(clips, data)
    assert len(embedded(html, "image/png")) == 2
    assert data.heard == [(5, 7), (2, None)]
    lengths = []
    for sound in embedded(html, "audio/wav"):
        with wave.open(io.BytesIO(sound)) as file:
            lengths.append(file.getnframes())
    assert lengths == [500, 200]


def test_what_is_no_sound_has_no_player():
    assert "<audio" not in cards([Clip("a", "", torch.rand(2, 3, 8, 8), 2)], Data(3, 8, 8))


def test_images_are_shown_in_whole_pixels():
    for side in (8, 24, 28, 64, 300):
        html = cards([Clip("a", "", torch.rand(1, 1, side, side), 1)], Data(1, side, side))
        (width,) = re.findall(r'figure style="width: (\d+)px"', html)
        assert int(width) % side == 0


def test_stills_are_first_frames():
    x_T = torch.zeros(3, 1, 8, 8)
    x_T[0] = 1.0
    (still,) = stills([Clip("a", "", x_T, 3)], Data(1, 8, 8))
    assert still.convert("L").getextrema() == (255, 255)


def test_figures_stand_beside_what_to_compare_them_with():
    evaluation = {"probes": {"who": {"value": 0.5, "chance": 0.25, "good": "higher", "note": "n"}}}
    html = figures_table(figures_of(evaluation))
    assert re.search(r'title="n".*>who<small>chance <b>0.25</b>.*>0.5 <span>↑<', html, re.DOTALL)
    assert "wanted" in figures_table((), "wanted")


@pytest.mark.parametrize(
    "made",
    [
        lambda name: cards([Clip(name, name, torch.rand(1, 1, 8, 8), 1)], Data(1, 8, 8)),
        lambda name: figures_table(
            figures_of(
                {name: {name: {"value": name, "note": name, "spread": name, "good": name,
                               "chance": name, "baselines": {name: name}}}}
            ),
            name,
        ),
        lambda name: heading(name, name),
        said,
    ],
    ids=["cards", "figures", "heading", "message"],
)  # fmt: skip
def test_names_are_text(made):
    html = made(HOSTILE)
    assert "<script" not in html
    assert "<img src=x" not in html
    assert set(re.findall(r"<(\w+)", html)) <= set(re.findall(r"<(\w+)", made("tame")))
    assert html.count('"') == made("tame").count('"')
