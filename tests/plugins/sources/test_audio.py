"""The source `audio`: a folder of one's own."""

from __future__ import annotations

import numpy as np
import pytest
from genzoo_rwae_plugins.sources.audio import audio

from genzoo_rwae.errors import DataError, OptionError

SPLITS = ("train", "validation", "test")
SPEAKERS = ("anna", "ben", "cleo", "dirk", "eli")


@pytest.fixture
def folder(tmp_path, write_hum):
    root = tmp_path / "mine"
    for k, speaker in enumerate(SPEAKERS):
        for take in range(1, 5):
            write_hum(root / speaker / f"take-{take}.wav", 200 + 50 * k, seconds=0.6)
    (root / "anna" / "notes.txt").write_text("no sound")
    write_hum(root / "anna" / ".hidden.wav", 300)
    write_hum(root / ".trash" / "old.wav", 300)
    return root


def names(data, root) -> set[str]:
    return {one.path.relative_to(root).as_posix() for one in data._recordings}


def test_no_recording_is_in_two_parts_and_none_is_lost(folder):
    parts = {split: names(audio(split, path=folder, test=0.2), folder) for split in SPLITS}
    assert [len(parts[split]) for split in SPLITS] == [14, 2, 4]
    assert set.union(*parts.values()) == {
        f"{speaker}/take-{take}.wav" for speaker in SPEAKERS for take in range(1, 5)
    }


def test_no_voice_is_in_two_parts_when_split_by_speaker(folder):
    parts = {
        split: {n.split("/")[0] for n in names(audio(split, path=folder, split_by="speaker"),
                                               folder)}
        for split in SPLITS
    }  # fmt: skip
    assert [len(parts[split]) for split in SPLITS] == [3, 1, 1]
    assert set.union(*parts.values()) == set(SPEAKERS)


def test_subfolders_are_speakers(folder):
    data = audio("train", path=folder, chunk=0.2)
    (factor,) = data.info.factors
    assert (factor.name, factor.classes, factor.code) == ("speaker", SPEAKERS, "static")
    labels = data.take(np.arange(len(data))).factors["speaker"]
    heard = [data._recordings[k].path.parent.name for k in data.groups(np.arange(len(data)))]
    assert [SPEAKERS[label] for label in labels] == heard
    assert len(data) == 3 * len(data._recordings)
    assert data.info.frame_shape == (64,)


def test_a_table_labels_files_by_their_path(folder, tmp_path):
    table = tmp_path / "labels.csv"
    rows = [
        f"{speaker}/take-{take}.wav,{'low' if k < 2 else 'high'},{take}"
        for k, speaker in enumerate(SPEAKERS)
        for take in range(1, 5)
    ]
    table.write_text("\n".join(["clip,speaker,word", *rows]))
    data = audio("test", path=folder, labels=table, dynamic=("word",), split_by="recording")
    assert [(f.name, f.code) for f in data.info.factors] == [
        ("speaker", "static"), ("word", "dynamic"),
    ]  # fmt: skip
    batch = data.take(np.arange(len(data)))
    for place in range(len(data)):
        path = data._recordings[place].path
        assert data.info.factors[1].classes[batch.factors["word"][place]] == path.stem[-1]
    table.write_text("\n".join(["clip,speaker,word", *rows[1:]]))
    with pytest.raises(DataError, match=r"found no row for 1 of 20 clips.*'anna/take-1\.wav'"):
        audio("test", path=folder, labels=table)


def test_whole_recordings_are_padded_with_true_lengths(folder):
    batch = audio("train", path=folder, chunk=None, longest=1.0).take(np.array([0]))
    assert batch.x_BT.shape == (1, 101, 64)
    assert batch.lengths_B.tolist() == [61]


def test_a_flat_folder_has_no_factors_and_no_speakers(tmp_path, write_hum):
    for k in range(10):
        write_hum(tmp_path / f"{k}.wav", 300)
    assert audio("train", path=tmp_path).info.factors == ()
    with pytest.raises(OptionError, match="nothing says who speaks") as refused:
        audio("train", path=tmp_path, split_by="speaker")
    assert refused.value.option == "split_by"
    write_hum(tmp_path / "anna" / "1.wav", 300)
    with pytest.raises(DataError, match=r"0\.wav: found this file beside subfolders"):
        audio("train", path=tmp_path)


def test_what_cannot_be_split_or_found_is_named(tmp_path, write_hum):
    with pytest.raises(DataError, match="found no sound, wanted files that end in"):
        audio("train", path=tmp_path)
    with pytest.raises(DataError, match="found nothing, wanted a folder"):
        audio("train", path=tmp_path / "gone")
    write_hum(tmp_path / "1.wav", 300)
    with pytest.raises(DataError, match="found a file, wanted a folder"):
        audio("train", path=tmp_path / "1.wav")
    write_hum(tmp_path / "2.wav", 300)
    with pytest.raises(DataError, match=r"found 2 recordings, .* at least one more, for training"):
        audio("train", path=tmp_path)
    with pytest.raises(OptionError, match="leave nothing to train on"):
        audio("train", path=tmp_path, validation=0.5, test=0.5)
    with pytest.raises(OptionError, match="there are no labels"):
        audio("train", path=tmp_path, dynamic=("word",))
    (tmp_path / "3.wav").write_bytes(b"RIFF, or so it says")
    with pytest.raises(DataError, match=r"3\.wav: cannot be read as wav"):
        [audio(split, path=tmp_path) for split in SPLITS]
