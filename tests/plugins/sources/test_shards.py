"""Shards hold what a source gave, and give it in any order, on any number of ranks."""

import hashlib
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.sources.audio import audio
from genzoo_rwae_plugins.sources.clips import clips
from genzoo_rwae_plugins.sources.moving_shapes import moving_shapes
from genzoo_rwae_plugins.sources.series import series
from genzoo_rwae_plugins.sources.shards import shards
from genzoo_rwae_plugins.sources.walkers import walkers
from safetensors.numpy import load, save

import genzoo_rwae as gz
from genzoo_rwae.digests import Digest
from genzoo_rwae.errors import DataError
from genzoo_rwae.ranks import Ranks, RowShares
from genzoo_rwae.sequences import Split
from genzoo_rwae.shards import INDEX, read_index, write_shards, writing_order
from genzoo_rwae.shards.index import MOST_SHARDS, Shard, ShardIndex, SplitShards
from genzoo_rwae.training.batches import Batches

ROOT = Path(__file__).parents[3]
SPLITS = get_args(Split)
Source = Callable[[Split], gz.SequenceData]


class Ragged(gz.SequenceData):
    """Pieces of recordings, of unequal lengths, with missing values."""

    info = gz.DataInfo(
        (3,), 5, bounded=False, missing=True, licence="mine",
        factors=(gz.Factor("who", ("a", "b", "c"), "static"),),
        display=gz.Display("lines", ("x", "y", "z"), step=0.5),
    )  # fmt: skip

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> gz.Batch:
        indices_B = np.asarray(indices_B, np.int64)
        rows = [np.random.default_rng(i).normal(size=(5, 3)) for i in indices_B]
        x_BTF = np.stack(rows).astype(np.float32)  # which refuses no rows: nobody asks for them
        x_BTF[:, 0, 1] = np.nan
        lengths_B = 1 + indices_B % 5
        x_BTF[np.arange(5) >= lengths_B[:, None]] = 0
        indices = torch.from_numpy(indices_B)
        return gz.Batch(
            torch.from_numpy(x_BTF), torch.from_numpy(lengths_B), indices, {"who": indices % 3}
        )

    def groups(self, indices_B: np.ndarray, /) -> np.ndarray:
        return np.asarray(indices_B) // 4 + 10**12


def written(folder: Path, source: Source, **options: Any) -> Path:
    write_shards({split: source(split) for split in SPLITS}, folder, source="it", **options)
    return folder


def of_shapes(split: Split) -> gz.SequenceData:
    return moving_shapes(split, sequences=300, held_out=20, length=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 clips of 12 KB in four shards."""
    return written(tmp_path_factory.mktemp("shapes") / "shards", of_shapes, megabytes=1)


# -- what is kept ---------------------------------------------------------------------------------


def sources(tmp_path: Path, write_hum: Callable[..., Path]) -> dict[str, Source]:
    draw = np.random.default_rng(0)
    np.save(tmp_path / "grey.npy", draw.random((30, 3, 6, 5), np.float32))
    rows = [f"{t},s{s},{'' if t % 7 == 3 else t + s}" for s in range(8) for t in range(50)]
    (tmp_path / "a.csv").write_text("\n".join(["time,who,v", *rows]))
    for take in range(20):
        write_hum(tmp_path / "hums" / f"{take}.wav", 200 + 9 * take, seconds=0.2 + 0.02 * take)
    return {
        "ragged": lambda split: Ragged(17 if split == "train" else 0),
        "pictures": of_shapes,
        "float pictures": lambda split: clips(split, path=tmp_path / "grey.npy"),
        "skeletons": lambda split: walkers(split, sequences=40, held_out=8),
        "series": lambda split: series(
            split, path=tmp_path / "a.csv", time="time", entity="who", labels=("who",), length=8
        ),
        "sound": lambda split: audio(split, path=tmp_path / "hums", chunk=0.15),
    }


@pytest.mark.parametrize(
    "name", ["ragged", "pictures", "float pictures", "skeletons", "series", "sound"]
)
def test_all_that_a_source_gives_comes_back(
    name: str, tmp_path: Path, write_hum: Callable[..., Path]
) -> None:
    source = sources(tmp_path, write_hum)[name]
    folder = written(tmp_path / "shards", source, megabytes=1)
    for split in SPLITS:
        was, now = source(split), shards(split, path=folder)
        assert (now.info, len(now)) == (was.info, len(was))
        order = writing_order(split, len(was))
        assert sorted(order) == list(range(len(was)))
        if not len(was):
            continue
        before, after = was.take(order), now.take(np.arange(len(now)))
        assert after.x_BT.dtype == before.x_BT.dtype
        assert torch.equal(after.x_BT.nan_to_num(-7), before.x_BT.nan_to_num(-7))
        assert torch.equal(after.lengths_B, before.lengths_B)
        assert after.factors.keys() == before.factors.keys()
        assert all(torch.equal(after.factors[f], before.factors[f]) for f in before.factors)
        groups = was.groups(order)
        assert (groups is None) == (now.groups(np.arange(len(now))) is None)
        assert groups is None or np.array_equal(groups, now.groups(np.arange(len(now))))


def test_training_sequences_are_mixed_and_the_others_keep_their_places(folder: Path) -> None:
    assert not np.array_equal(writing_order("train", 300), np.arange(300))
    assert np.array_equal(writing_order("test", 300), np.arange(300))
    assert len(read_index(folder).splits["train"].shards) == 4


def test_pictures_lie_with_their_channels_last(folder: Path) -> None:
    x_BT = shards("train", path=folder).take(np.arange(3)).x_BT
    assert x_BT.shape == (3, 4, 3, 32, 32)
    assert x_BT.permute(0, 1, 3, 4, 2).is_contiguous()


def test_there_may_be_no_indices_and_none_outside(folder: Path) -> None:
    data = shards("train", path=folder)
    assert data.take(np.array([], np.int64)).x_BT.shape == (0, 4, 3, 32, 32)
    for wrong in (-1, 300):
        with pytest.raises(IndexError, match="the split has 300"):
            data.take(np.array([wrong]))


class Padded(Ragged):
    """One step of each sequence is true, of 4,000."""

    info = gz.DataInfo((16,), 4_000, bounded=False)

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> gz.Batch:
        x_BTF = np.zeros((len(indices_B), 4_000, 16), np.float32)
        ones_B = torch.ones(len(indices_B), dtype=torch.int64)
        return gz.Batch(torch.from_numpy(x_BTF), ones_B, torch.as_tensor(indices_B))


def test_padding_is_not_kept_until_a_shard_is_full(tmp_path: Path) -> None:
    one = Padded(64).take(np.arange(64)).x_BT.nbytes
    tracemalloc.start()
    write_shards({"train": Padded(512)}, tmp_path, source="padded")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3 * one  # of 8 that are taken


def test_a_source_that_contradicts_its_description_is_not_written(tmp_path: Path) -> None:
    class Unlabelled(Ragged):
        def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> gz.Batch:
            batch = super().take(indices_B)
            return gz.Batch(batch.x_BT, batch.lengths_B, batch.indices_B, {"who": batch.indices_B})

    class Infinite(Ragged):
        def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> gz.Batch:
            batch = super().take(indices_B)
            batch.x_BT[:, 0, 0] = np.inf
            return batch

    class Double(Ragged):
        def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> gz.Batch:
            batch = super().take(indices_B)
            return gz.Batch(batch.x_BT.double(), batch.lengths_B, batch.indices_B, batch.factors)

    for number, (data, said) in enumerate(
        [(Unlabelled, "factor:who 1. of"), (Infinite, "not finite"), (Double, "float64")]
    ):
        with pytest.raises(DataError, match=rf"source 'it' gives .*{said}"):
            written(tmp_path / str(number), lambda split, data=data: data(12))
        assert not (tmp_path / str(number) / INDEX).exists()


# -- training: order, ranks, going on -------------------------------------------------------------


def test_an_epoch_has_every_sequence_once_whatever_the_number_of_ranks(folder: Path) -> None:
    batches = Batches(shards("train", path=folder, window=2), 30, seed=3)
    alone = [batches.at(step) for step in range(10)]
    seen = torch.cat([batch.indices_B for batch in alone])
    assert sorted(seen.tolist()) == list(range(300))
    for count in (2, 4):
        for step, batch in enumerate(alone):
            ranks = Ranks()
            ranks.count = count
            shares = RowShares(ranks, 30)
            parts = [batches.at(step, shares.rows_of(number)) for number in range(count)]
            assert torch.equal(torch.cat([part.x_BT for part in parts]), batch.x_BT)
            assert torch.equal(torch.cat([part.indices_B for part in parts]), batch.indices_B)


def test_a_run_goes_on_in_mid_epoch_in_the_same_order(folder: Path) -> None:
    def from_step(first: int) -> list[list[int]]:
        batches = Batches(shards("train", path=folder, window=2), 30, seed=3)
        return [batch.indices_B.tolist() for batch in batches.start(first, 23)][: 23 - first]

    whole = from_step(0)
    assert len(whole) == 23
    for first in (4, 10, 17):
        assert from_step(first) == whole[first:]
    assert whole[:10] != whole[10:20]  # another epoch, another order


def test_sources_without_an_order_of_their_own_have_the_usual_one() -> None:
    """Of version 0.1, so that its runs go on: NumPy's permutation from (seed, 0, epoch)."""
    batches = Batches(Ragged(40), 8, seed=5)
    for step in (0, 4, 5, 12):
        epoch, number = divmod(step, 5)
        usual = np.random.default_rng(np.random.SeedSequence([5, 0, epoch])).permutation(40)
        assert np.array_equal(batches.indices(step), usual[8 * number : 8 * number + 8])


# -- memory ---------------------------------------------------------------------------------------

STREAM = """
import sys
from pathlib import Path
import numpy as np
from genzoo_rwae_plugins.sources.shards import shards
from genzoo_rwae.training.batches import Batches

def resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024

def mapped():
    return {line.split()[-1] for line in open("/proc/self/maps") if sys.argv[1] in line}

batches = Batches(shards("train", path=Path(sys.argv[1]), window=3), 32, seed=0)
batches.at(0)
Path("/proc/self/clear_refs").write_text("5")
before, most = resident("VmRSS"), 0
for step in range(batches.per_epoch):
    batches.at(step)
    most = max(most, len(mapped()))
print(most, resident("VmHWM") - before)
"""


def test_what_is_in_memory_is_the_window_and_not_the_data(tmp_path: Path) -> None:
    """120 MB in 40 shards: 3 + 1 of them are mapped, and memory grows by less than 40 MB."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("no /proc here that tells a process its memory")

    class Large(Ragged):
        info = gz.DataInfo((3, 64, 64), 8, bounded=True)

        def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> gz.Batch:
            x_BT = torch.ones(len(indices_B), 8, 3, 64, 64, dtype=torch.uint8)
            return gz.Batch(x_BT, torch.full((len(x_BT),), 8), torch.as_tensor(indices_B))

        def groups(self, indices_B: np.ndarray, /) -> None:
            return None

    folder = written(
        tmp_path / "s", lambda split: Large(1_220 if split == "train" else 0), megabytes=3
    )
    assert len(read_index(folder).splits["train"].shards) == 40
    roots = os.pathsep.join(str(ROOT / root) for root in (".", "plugins", "kernels"))
    done = subprocess.run(
        [sys.executable, "-c", STREAM, str(folder)],
        env={**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    mapped, grown = map(float, done.stdout.split())
    assert mapped == 4
    assert grown < 40


# -- hostile shards -------------------------------------------------------------------------------


class Payload:
    """What a pickle would run: it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def ragged(tmp_path: Path) -> Path:
    return written(tmp_path / "ragged", lambda split: Ragged(6 if split == "train" else 0))


def replace_shard(folder: Path, raw: bytes) -> None:
    """Put other bytes into the only shard, with an index that is of them."""
    (folder / "train-000000.safetensors").write_bytes(raw)
    said = json.loads((folder / INDEX).read_text())
    said["splits"]["train"]["shards"][0][2:] = len(raw), hashlib.sha256(raw).hexdigest()
    (folder / INDEX).write_text(json.dumps(said))


def read_all(folder: Path) -> gz.Batch:
    return shards("train", path=folder).take(np.arange(6))


def test_no_pickle_in_a_shard_is_run(ragged: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for raw in (pickle.dumps(Payload(marker)), pickle.dumps(Payload(marker)) + bytes(999)):
        replace_shard(ragged, raw)
        with pytest.raises(DataError, match=r"train-000000\.safetensors"):
            read_all(ragged)
        (ragged / INDEX).write_bytes(raw)
        with pytest.raises(DataError, match=r"shards\.json"):
            read_all(ragged)
        written_again = written(tmp_path / str(len(raw)), lambda split: Ragged(6))
        (ragged / INDEX).write_bytes((written_again / INDEX).read_bytes())
    assert not marker.exists()
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.exists()  # it would have worked


def header(told: object, behind: bytes = bytes(64)) -> bytes:
    text = (told if isinstance(told, str) else json.dumps(told)).encode()
    return struct.pack("<Q", len(text)) + text + behind


def steps(shape: list[int], end: int) -> dict[str, Any]:
    return {"steps": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff" * 8, bytes(8), struct.pack("<Q", 2**62) + b"{}", header("{"), header("{}", b""),
        header(steps([10**6, 10**6], 64)), header(steps([10**6, 10**6], 4 * 10**12)),
        header(steps([2**62, 2**62, 2**62], 64)), header(steps([16, 1], 64)),
        header("[" * 50_000), struct.pack("<Q", 10**8 + 1) + b"{}",
        header({"__metadata__": {"a": "b" * 2_000_000}}, b""),
    ],
    ids=range(12),
)  # fmt: skip
def test_a_shard_whose_header_lies_is_refused_by_name(ragged: Path, raw: bytes) -> None:
    replace_shard(ragged, raw)
    with pytest.raises(DataError, match=r"train-000000\.safetensors: found .*copy it again"):
        read_all(ragged)


def with_lie(folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    tensors = load((folder / "train-000000.safetensors").read_bytes())
    tensors[name] = change(tensors[name])
    replace_shard(folder, save(tensors))


def changed(place: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(rows: np.ndarray) -> np.ndarray:
        rows = rows.copy()
        rows.reshape(-1)[place] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("lengths", changed(1, 0), "lengths 0 of sequence 1, wanted 1 to 5"),
        ("lengths", changed(0, -4), "lengths -4"),
        ("lengths", changed(2, 2**40), "lengths 1099511627776"),
        ("lengths", lambda rows: np.ones_like(rows), "'steps' of shape"),
        ("lengths", lambda rows: rows[:3], "'lengths' of shape"),
        ("lengths", lambda rows: rows.astype(np.float64), "type F64"),
        ("factor:who", changed(3, 3), "factor:who 3 of sequence 3, wanted 0 to 2"),
        ("factor:who", changed(3, -1), "factor:who -1"),
        ("steps", lambda rows: rows[1:], "'steps' of shape"),
        ("steps", lambda rows: rows.astype(np.float16), "type F16"),
        ("steps", changed(0, np.inf), "1 values that are not finite"),
    ],
)
def test_tensors_that_contradict_the_index_are_refused(
    ragged: Path, name: str, change: Callable[[np.ndarray], np.ndarray], said: str
) -> None:
    with_lie(ragged, name, change)
    with pytest.raises(DataError, match=rf"train-000000\.safetensors: found .*{said}"):
        read_all(ragged)


def test_missing_values_where_none_may_be_are_refused(ragged: Path) -> None:
    said = json.loads((ragged / INDEX).read_text())
    said["splits"]["train"]["info"]["missing"] = False
    (ragged / INDEX).write_text(json.dumps(said))
    with pytest.raises(DataError, match=r"train-000000\.safetensors: .*wanted finite ones"):
        read_all(ragged)


def flip(path: Path, place: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("place", [-1, -40])
def test_a_shard_with_a_wrong_bit_is_refused_when_it_is_opened(ragged: Path, place: int) -> None:
    flip(ragged / "train-000000.safetensors", place)
    said = r"train-000000\.safetensors: found its bytes are not those that were written; wanted"
    with pytest.raises(DataError, match=said):
        read_all(ragged)


def test_shards_are_compared_with_their_digests_once(
    ragged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, of_file = [], Digest.of_file
    monkeypatch.setattr(Digest, "of_file", lambda path: looked.append(path.name) or of_file(path))
    data = shards("train", path=ragged)
    assert looked == []  # nothing is read before it is wanted
    data.take(np.arange(6))
    data._opened.cache_clear()  # type: ignore[attr-defined]
    data.take(np.arange(6))
    assert looked == ["train-000000.safetensors"]


def test_every_shard_is_compared(folder: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(folder, tmp_path / "copied")
    flip(copied / "train-000001.safetensors", -1)
    data = shards("train", path=copied)
    data.take(np.arange(3))
    with pytest.raises(DataError, match=r"train-000001\.safetensors: found its bytes"):
        data.take(np.arange(len(data)))


def test_shards_of_an_index_without_digests_are_read(ragged: Path) -> None:
    wanted = read_all(ragged).x_BT
    said = json.loads((ragged / INDEX).read_text())
    del said["splits"]["train"]["shards"][0][3]
    (ragged / INDEX).write_text(json.dumps(said))
    assert torch.equal(read_all(ragged).x_BT.nan_to_num(7.0), wanted.nan_to_num(7.0))


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_shard_cut_short_is_named_before_a_run_and_in_it(ragged: Path, size: int) -> None:
    path = ragged / "train-000000.safetensors"
    data = shards("train", path=ragged)
    data.take(np.arange(6))
    os.truncate(path, size if size >= 0 else path.stat().st_size - 1)
    with pytest.raises(DataError, match=r"train-000000\.safetensors: found .* bytes"):
        data.take(np.arange(6))  # it is mapped already
    with pytest.raises(DataError, match=r"train-000000\.safetensors: found .* bytes"):
        shards("train", path=ragged)
    path.unlink()
    with pytest.raises(DataError, match=r"train-000000\.safetensors: found no file there"):
        shards("train", path=ragged)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), 2), (("splits",), {}), (("splits", "train"), None),
        (("splits", "train", "dtype"), "object"), (("splits", "train", "info", "length"), 0),
        (("splits", "train", "info", "frame_shape"), [2**40]),
        (("splits", "train", "shards"), [["../x.safetensors", 1, 9]]),
        (("splits", "train", "shards"), [["/etc/passwd", 1, 9]]),
        (("splits", "train", "shards"), [["x", 0, 9]]), (("splits", "train", "shards"), [["x", 9]]),
        (("splits", "train", "shards"), [["x", 2**70, 9]]), (("splits", "train", "shards"), 7),
        (("splits", "train", "shards"), [["x", 1, 9, "not hexadecimal"]]),
        (("splits", "train", "shards"), [["x", 1, 9, 5]]),
    ],
    ids=str,
)  # fmt: skip
def test_an_index_that_is_none_is_refused(ragged: Path, path: tuple[str, ...], value: Any) -> None:
    said = json.loads((ragged / INDEX).read_text())
    at = said
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    (ragged / INDEX).write_text(json.dumps(said))
    with pytest.raises(DataError, match=r"shards\.json: cannot be read as an index of shards"):
        shards("train", path=ragged)


def test_a_folder_that_was_not_written_to_its_end_says_so(ragged: Path, tmp_path: Path) -> None:
    (ragged / INDEX).unlink()
    for path in (ragged, tmp_path / "nowhere"):
        with pytest.raises(DataError, match=r"shards\.json: found .*genzoo data shard SPEC"):
            shards("train", path=path)


# -- of any size ----------------------------------------------------------------------------------


def test_more_shards_than_an_index_can_name_are_refused_before_any_is_written(
    tmp_path: Path,
) -> None:
    splits = {split: Ragged(10**12) for split in SPLITS}
    with pytest.raises(DataError, match=r"3,000,000,000,000 sequences of 180\.0 TB.*--size 900 or"):
        write_shards(splits, tmp_path / "there", source="it", megabytes=899)
    assert not (tmp_path / "there").exists()


def test_an_index_of_the_most_shards_is_read(tmp_path: Path) -> None:
    shard = Shard(f"validation-{MOST_SHARDS - 1:06}.safetensors", 10**5, 10**9)
    none = SplitShards(Ragged.info, "float32", True, ())
    full = SplitShards(Ragged.info, "float32", True, (shard,) * MOST_SHARDS)
    ShardIndex("it", {"train": none, "validation": full, "test": none}).write(tmp_path)
    assert len(read_index(tmp_path).splits["validation"].shards) == MOST_SHARDS
