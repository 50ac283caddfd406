"""The source `fsdd`: names, splits and labels on made-up recordings, and on the real ones."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.sources.fsdd import fsdd

from genzoo_rwae.errors import DataError

SPEAKERS = ("ada", "bob", "cy", "dee", "eve", "fay")
SPLITS = ("train", "validation", "test")
INDICES = 12


def hertz(digit: int, speaker: int, index: int) -> float:
    return 300 + 300 * digit + 40 * speaker + 2 * index


@pytest.fixture(scope="module")
def root(tmp_path_factory, write_hum):
    folder = tmp_path_factory.mktemp("fsdd")
    for digit in range(3):
        for speaker, name in enumerate(SPEAKERS):
            for index in range(INDICES):
                path = folder / "recordings" / f"{digit}_{name}_{index}.wav"
                write_hum(path, hertz(digit, speaker, index), seconds=0.1 + 0.01 * index)
    return folder


def files_of(data) -> set[str]:
    return {one.path.name for one in data._recordings}


def test_parts_are_by_index_five_for_testing_and_five_for_validation(root):
    parts = {split: files_of(fsdd(split, root=root)) for split in SPLITS}
    assert sum(map(len, parts.values())) == len(set.union(*parts.values())) == 3 * 6 * INDICES
    indices = {
        split: {int(re.search(r"_(\d+)\.", name)[1]) for name in names}
        for split, names in parts.items()
    }
    assert indices == {"test": {0, 1, 2, 3, 4}, "validation": {5, 6, 7, 8, 9}, "train": {10, 11}}


def test_no_voice_is_in_two_parts_when_split_by_speaker(root):
    heard = {}
    for split in SPLITS:
        data = fsdd(split, root=root, split_by="speaker")
        heard[split] = {name.split("_")[1] for name in files_of(data)}
        labels = data.take(np.arange(len(data))).factors["speaker"]
        assert {SPEAKERS[label] for label in labels} == heard[split]
    assert [len(heard[split]) for split in SPLITS] == [4, 1, 1]
    assert set.union(*heard.values()) == set(SPEAKERS)


def test_labels_are_those_of_the_file_that_is_heard(root):
    data = fsdd("test", root=root, representation="magnitude", n_fft=1024, window=800, hop=400)
    assert [(f.name, f.code, len(f.classes)) for f in data.info.factors] == [
        ("speaker", "static", 6), ("digit", "dynamic", 10),
    ]  # fmt: skip
    batch = data.take(np.arange(len(data)))
    shares = data.info.factors[0].classes
    for place in range(0, len(data), 7):
        sound = data.sound(batch.x_BT[place, : batch.lengths_B[place]], like=place)
        spectrum = np.abs(np.fft.rfft(sound.wave_N, 8_000))  # 1 Hz a bin
        digit, speaker = (int(batch.factors[name][place]) for name in ("digit", "speaker"))
        assert shares[speaker] == SPEAKERS[speaker]
        assert 0 <= spectrum.argmax() - hertz(digit, speaker, 0) <= 10  # of an index below 5


def test_sequences_are_padded_to_a_second_with_true_lengths(root):
    data = fsdd("train", root=root)
    batch = data.take(np.array([0, 1]))
    assert batch.x_BT.shape == (2, 63, 40)
    assert batch.lengths_B.tolist() == [1 + 1_600 // 128, 1 + 1_680 // 128]
    assert fsdd("train", root=root, longest=0.1).take(np.array([0])).x_BT.shape == (1, 7, 40)
    assert torch.equal(fsdd("train", root=root / "recordings").take(np.array([0, 1])).x_BT,
                       batch.x_BT)  # fmt: skip


def test_other_layouts_are_named(tmp_path, write_hum):
    with pytest.raises(DataError, match=r"found no \.wav files, wanted recordings/digit_speaker"):
        fsdd("train", root=tmp_path)
    write_hum(tmp_path / "7_ada_3.wav", 300)
    with pytest.raises(DataError, match="found no recordings of the training split"):
        fsdd("test", root=tmp_path)
    with pytest.raises(DataError, match=r"found 1 speakers, of which"):
        fsdd("test", root=tmp_path, split_by="speaker")
    write_hum(tmp_path / "seven.wav", 300)
    with pytest.raises(DataError, match=r"seven\.wav: found this name, wanted digit_speaker_index"):
        fsdd("train", root=tmp_path)


@pytest.mark.data
def test_the_real_ones_are_three_thousand_of_six_speakers(real_data):
    counts = {}
    for split in SPLITS:
        data = fsdd(split, root=real_data("fsdd"))
        batch = data.take(np.arange(len(data)))
        assert batch.x_BT.isfinite().all()
        assert len(set(torch.bincount(batch.factors["digit"]).tolist())) == 1
        assert len(set(torch.bincount(batch.factors["speaker"]).tolist())) == 1
        counts[split] = len(data)
    assert counts == {"train": 2_400, "validation": 300, "test": 300}
    assert data.info.factors[0].classes == (
        "george", "jackson", "lucas", "nicolas", "theo", "yweweler",
    )  # fmt: skip
