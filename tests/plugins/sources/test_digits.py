"""The source `digits`: real images on rendered paths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.sources import digits as source
from genzoo_rwae_plugins.sources.digits import digits
from sklearn.datasets import load_digits

from genzoo_rwae.errors import OptionError


def still(split):
    """The images themselves: a canvas as large as the digit leaves no room to move."""
    data = digits(split, canvas=8, scale=1, length=1)
    return data.take(np.arange(len(data))).x_BT[:, 0, 0].numpy()


def test_shapes_types_and_labels():
    data = digits("train", length=5, canvas=24)
    batch = data.take(np.array([3, 0, 7]))
    assert data.info.frame_shape == (1, 24, 24)
    assert data.info.bounded
    assert batch.x_BT.shape == (3, 5, 1, 24, 24)
    assert batch.x_BT.dtype == torch.uint8
    assert batch.lengths_B.tolist() == [5, 5, 5]
    assert batch.indices_B.tolist() == [3, 0, 7]
    assert set(batch.factors) == {factor.name for factor in data.info.factors}
    for factor in data.info.factors:
        assert batch.factors[factor.name].dtype == torch.int64
        assert int(batch.factors[factor.name].max()) < len(factor.classes)


def test_splits_share_out_all_1797_images_with_every_class_in_its_share():
    seen = []
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        data = digits(split)
        labels = data.take(np.arange(len(data))).factors["digit"]
        assert torch.bincount(labels, minlength=10).numpy() == pytest.approx(
            share * np.bincount(load_digits().target), abs=1.0
        )
        seen.append(still(split))
    found = np.concatenate(seen).reshape(-1, 64)
    wanted = np.rint(load_digits().images.reshape(-1, 64) * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, found)) == sorted(map(bytes, wanted))


def test_an_installation_that_keeps_its_table_elsewhere_is_asked_for_it(monkeypatch):
    monkeypatch.setattr(source, "find_spec", lambda name: None)
    images_NPP, labels_N = source._digits()
    assert np.array_equal(images_NPP, load_digits().images)
    assert np.array_equal(labels_N, load_digits().target)


def test_labels_belong_to_the_images():
    known = {
        bytes(np.rint(image * 255 / 16).astype(np.uint8)): label
        for image, label in zip(load_digits().images, load_digits().target, strict=True)
    }
    labels = digits("test").take(np.arange(179)).factors["digit"].tolist()
    assert labels == [known[bytes(image)] for image in still("test")]


def test_sequence_does_not_depend_on_its_batch():
    data = digits("train")
    whole = data.take(np.array([5, 9, 2, 1400]), draw=3)
    for row, index in enumerate((5, 9, 2, 1400)):
        alone = data.take(np.array([index]), draw=3)
        assert torch.equal(alone.x_BT[0], whole.x_BT[row])
        assert alone.factors["direction"][0] == whole.factors["direction"][row]


def test_paths_differ_between_draws_and_splits_but_not_between_runs():
    everything = np.arange(100)
    first = digits("train").take(everything)
    assert torch.equal(digits("train").take(everything).x_BT, first.x_BT)
    other = digits("train").take(everything, draw=1)
    assert torch.equal(other.factors["digit"], first.factors["digit"])
    assert (other.x_BT != first.x_BT).flatten(1).any(1).float().mean() > 0.95
    assert not torch.equal(
        digits("test").take(everything).factors["direction"], first.factors["direction"]
    )


def test_every_frame_holds_the_whole_digit():
    batch = digits("train").take(np.arange(200))
    light = batch.x_BT.long().flatten(2).sum(2)
    assert (light == light[:, :1]).all()


def test_direction_is_where_the_digit_goes_first():
    data = digits("train", length=2, canvas=200, speed=20.0)
    batch = data.take(np.arange(300))
    x = batch.x_BT[:, :, 0].double()
    places = torch.stack(
        [
            (x.sum(3) * torch.arange(200)).sum(2) / x.sum((2, 3)),
            (x.sum(2) * torch.arange(200)).sum(2) / x.sum((2, 3)),
        ]
    )
    down, right = places[:, :, 1] - places[:, :, 0]
    octant = torch.round(torch.atan2(-down, right) / (torch.pi / 4)).long() % 8
    # some start at a wall and bounce at once, and pixels are rounded
    assert (octant == batch.factors["direction"]).double().mean() > 0.8
    assert torch.bincount(batch.factors["direction"], minlength=8).min() > 15


def test_recombine_keeps_the_digit_of_one_and_the_path_of_the_other():
    data = digits("validation")
    i, j = np.array([0, 1, 2, 3]), np.array([10, 20, 30, 40])
    assert torch.equal(data.recombine(i, i), data.take(i).x_BT)
    mixed = data.recombine(i, j)
    light = lambda x: x.long().flatten(2).sum(2)  # noqa: E731
    assert torch.equal(light(mixed), light(data.take(i).x_BT))
    assert torch.equal(mixed, data.recombine(i, j))
    # the same path: the digit of j put where the digit of i is leaves the same sequence
    assert torch.equal(data.recombine(j, j), data.take(j).x_BT)
    assert not torch.equal(mixed, data.take(i).x_BT)


def test_digit_larger_than_the_canvas_is_refused():
    with pytest.raises(OptionError, match="cannot hold a digit of 24 pixels") as caught:
        digits("train", canvas=20, scale=3)
    assert caught.value.option == "canvas"


@pytest.mark.parametrize("bad", [[-1], [1439], [[0, 1]]])
def test_index_outside_the_split_is_refused(bad):
    with pytest.raises(IndexError, match="got ind"):
        digits("train").take(np.array(bad))
