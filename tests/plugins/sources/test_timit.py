"""The source `timit`: both layouts made up, and the real sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.sources.timit import timit
from genzoo_rwae_plugins.sources.timit_files import PHONES, read_phones

from genzoo_rwae.errors import DataError, OptionError

SPLITS = ("train", "validation", "test")
RATE = 16_000
SECONDS = 0.5
SAMPLE = [f"dr{1 + k % 8}-{sex}ab{'cdefghij'[k]}0" for sex in "fm" for k in range(8)]


def write_phones(path, *, end: int = round(SECONDS * RATE)):
    lines = ["0 1600 h#", "1600 3200 sh", f"3200 {end} iy"]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, write_hum):
    """TRAIN and TEST as the LDC has them, in large letters."""
    folder = tmp_path_factory.mktemp("timit")
    for part, people in (("TRAIN", 20), ("TEST", 4)):
        for k in range(people):
            speaker = f"{'FM'[k % 2]}{'QR'[part == 'TEST']}{'ABCDEFGHIJKLMNOPQRST'[k]}X0"
            for sentence in ("SA1", "SX12", f"SI{k}"):
                place = folder / "TIMIT" / part / f"DR{1 + k % 8}" / speaker
                write_hum(place / f"{sentence}.WAV", 200 + 10 * k, seconds=SECONDS, rate=RATE)
                write_phones(place / f"{sentence}.PHN")
                (place / f"{sentence}.TXT").write_text("0 8000 She had.\n")
    (folder / "TIMIT" / "DOC").mkdir()
    return folder


@pytest.fixture(scope="module")
def sample(tmp_path_factory, write_hum):
    folder = tmp_path_factory.mktemp("timit_sample")
    for k, speaker in enumerate(SAMPLE):
        for sentence in ("sa1", "sa2", f"si{k}", f"sx{k % 4}", f"sx{10 + k % 5}"):
            path = write_hum(folder / speaker / f"{sentence}.wav", 300, seconds=SECONDS, rate=RATE)
            write_phones(path.with_suffix(".phn"))
    (folder / "README").write_text("A sample.\n")
    return folder


def of(data, what: str) -> set[str]:
    return {getattr(one, what) for one in data._recordings}


def speakers(data) -> set[str]:
    return {one.path.parent.name.lower().split("-")[-1] for one in data._recordings}


def sentences(data) -> set[str]:
    return {one.path.stem.lower() for one in data._recordings}


def test_the_corpus_own_test_speakers_are_tested_and_no_voice_is_in_two_parts(whole):
    heard = {split: speakers(timit(split, root=whole)) for split in SPLITS}
    assert {name[1] for name in heard["test"]} == {"r"}
    assert len(heard["test"]) == 4
    assert {name[0] for name in heard["validation"]} == {"f", "m"}  # one of ten women, and of men
    assert len(heard["validation"]) == 2
    assert sum(map(len, heard.values())) == len(set.union(*heard.values())) == 24
    assert speakers(timit("train", root=whole / "TIMIT")) == heard["train"]
    assert len(timit("validation", root=whole, validation=0)) == 0


def test_a_quarter_of_the_samples_women_and_men_are_tested(sample):
    heard = {split: speakers(timit(split, root=sample)) for split in SPLITS}
    assert [len(heard[split]) for split in SPLITS] == [10, 2, 4]
    assert len(set.union(*heard.values())) == 16
    for names in heard.values():
        assert sum(name[0] == "f" for name in names) == len(names) / 2


def test_folds_hold_out_other_women_and_men_and_test_the_same(sample):
    folds = [
        {split: speakers(timit(split, root=sample, validation=0.25, fold=fold)) for split in SPLITS}
        for fold in range(3)
    ]
    assert len({frozenset(found["test"]) for found in folds}) == 1
    for found in folds:
        assert sorted(name[0] for name in found["validation"]) == ["f", "f", "m", "m"]
        assert not found["validation"] & (found["train"] | found["test"])
    assert len(set().union(*(found["validation"] for found in folds))) == 12


def test_folds_hold_out_other_sentences(sample):
    found = [
        sentences(timit("validation", root=sample, split_by="recording", validation=0.2, fold=fold))
        for fold in range(2)
    ]
    assert found[0]
    assert not found[0] & found[1]


@pytest.mark.parametrize("split_by", ["speaker", "recording"])
def test_a_validation_share_that_leaves_nothing_is_the_option_to_blame(sample, split_by):
    with pytest.raises(OptionError, match="leave nothing to train on") as refused:
        timit("train", root=sample, split_by=split_by, validation=0.9)
    assert refused.value.option == "validation"


@pytest.mark.parametrize("layout", ["whole", "sample"])
def test_no_sentence_is_in_two_parts_when_split_by_recording(layout, request):
    root = request.getfixturevalue(layout)
    read = {split: sentences(timit(split, root=root, split_by="recording")) for split in SPLITS}
    assert all(read.values())
    assert sum(map(len, read.values())) == len(set.union(*read.values()))


def test_pieces_are_those_of_the_protocol(whole):
    data = timit("train", root=whole)
    batch = data.take(np.arange(6))
    assert batch.x_BT.shape == (6, 20, 201)
    assert batch.lengths_B.tolist() == [20, 20, 10, 20, 20, 10]
    assert data.groups(np.arange(6)).tolist() == [0, 0, 0, 1, 1, 1]
    display = data.info.display
    assert (display.form, display.step, display.top) == ("spectrogram", 165 / RATE, RATE / 2)


def test_labels_are_those_of_the_path_and_of_the_middle_of_a_piece(whole):
    data = timit("test", root=whole)
    batch = data.take(np.arange(len(data)))
    classes = {factor.name: factor.classes for factor in data.info.factors}
    codes = {factor.name: factor.code for factor in data.info.factors}
    assert codes == {
        "speaker": "static", "sex": "static", "dialect": "static", "phone": "dynamic",
    }  # fmt: skip
    for place in range(len(data)):
        told = {name: classes[name][int(batch.factors[name][place])] for name in classes}
        path = data._recordings[int(data.groups(np.array([place]))[0])].path
        assert told["speaker"] == path.parent.name.lower()
        assert told["sex"] == {"f": "female", "m": "male"}[told["speaker"][0]]
        assert classes["dialect"].index(told["dialect"]) == int(path.parents[1].name[2]) - 1
    # their middles: .1 s, where h# has just ended, .3 s and .45 s
    assert [PHONES[k] for k in batch.factors["phone"][:3]] == ["sh", "iy", "iy"]
    early = timit("test", root=whole, chunk=0.1).take(np.arange(3)).factors["phone"]
    assert [PHONES[k] for k in early] == ["h#", "sh", "iy"]


def test_phones_are_told_only_where_every_recording_has_them(whole, tmp_path, write_hum):
    names = [factor.name for factor in timit("test", root=whole, chunk=None).info.factors]
    assert names == ["speaker", "sex", "dialect"]  # a whole recording has many
    for k in range(4):
        write_hum(tmp_path / f"dr1-{'fm'[k % 2]}aa{'ab'[k // 2]}0" / "sa1.wav", 300, rate=RATE)
    for k in range(4, 8):
        write_hum(tmp_path / f"dr1-{'fm'[k % 2]}aa{'cd'[k // 2 - 2]}0" / "sa1.wav", 300, rate=RATE)
    names = [factor.name for factor in timit("test", root=tmp_path).info.factors]
    assert names == ["speaker", "sex", "dialect"]


def test_converted_copies_are_no_second_recordings(whole, tmp_path, write_hum):
    for k in range(8):
        place = tmp_path / f"dr2-{'fm'[k % 2]}bb{'cdef'[k // 2]}0"
        write_hum(place / "SA1.WAV", 300, rate=RATE)
        write_hum(place / "SA1.WAV.wav", 300, rate=RATE)
        write_hum(place / "SX3.WAV.wav", 300, rate=RATE)
    found = [one.path.name for one in timit("train", root=tmp_path)._recordings]
    assert found == ["SA1.WAV", "SX3.WAV.wav"] * 4


def test_phones_are_read_in_the_order_of_time(tmp_path):
    path = tmp_path / "a.phn"
    write_phones(path)
    marks = read_phones(path)
    assert marks.ends_M.tolist() == [0.1, 0.2, SECONDS]
    assert [PHONES[k] for k in marks.labels_M] == ["h#", "sh", "iy"]
    assert len(set(PHONES)) == 61


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "found no phones"),
        ("0 1600 h#\n1600 xx sh\n", r"a\.phn:2: found '1600 xx sh'"),
        ("0 1600 h#\n1600 3200\n", r"a\.phn:2"),
        ("0 1600 q?\n", r"a\.phn:1: found '0 1600 q\?', wanted .* one of TIMIT's 61 phones"),
        ("0 1600 h#\n0 1600 sh\n", "wanted phones in the order of time"),
        ("0 1600 é\n", "cannot be read"),
    ],
)
def test_damaged_phones_are_named(tmp_path, text, said):
    (tmp_path / "a.phn").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        read_phones(tmp_path / "a.phn")


def test_other_layouts_are_named(tmp_path, write_hum):
    with pytest.raises(DataError, match=r"found no recordings of TIMIT, wanted TRAIN and TEST as"):
        timit("train", root=tmp_path)
    write_hum(tmp_path / "TRAIN" / "DR9" / "FAAA0" / "SA1.WAV", 300)
    (tmp_path / "TEST").mkdir()
    with pytest.raises(DataError, match="found no recordings of TIMIT"):
        timit("train", root=tmp_path)
    write_hum(tmp_path / "dr1-faaa0" / "sa1.wav", 300)
    with pytest.raises(DataError, match="found no recordings of TIMIT"):
        timit("train", root=tmp_path)


@pytest.mark.data
def test_the_real_sample_is_sixteen_speakers_ten_sentences_each(real_data):
    pytest.importorskip("soundfile", reason="one file is SPHERE, and soundfile is not installed")
    root, recordings, phones = real_data("timit_sample"), 0, torch.zeros(61, dtype=torch.int64)
    for split in SPLITS:
        data = timit(split, root=root)
        batch = data.take(np.arange(len(data)))
        assert batch.x_BT.isfinite().all()
        recordings += len(data._recordings)
        phones += torch.bincount(batch.factors["phone"], minlength=61)
    assert recordings == 160
    assert (phones > 0).sum() >= 55
    # silence at both ends of a sentence is by far the most frequent
    assert PHONES[int(phones.argmax())] == "h#"
