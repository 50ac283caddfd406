"""Data from strangers: nothing in them is run, and what claims to be large costs no memory."""

import gzip
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.sources import series_tables, video_files
from genzoo_rwae_plugins.sources.array_files import loaded_array
from genzoo_rwae_plugins.sources.audio import audio
from genzoo_rwae_plugins.sources.clip_folders import FolderClips
from genzoo_rwae_plugins.sources.clip_labels import read_labels
from genzoo_rwae_plugins.sources.clip_stores import natural_order
from genzoo_rwae_plugins.sources.picture_files import read_picture
from genzoo_rwae_plugins.sources.series import series
from genzoo_rwae_plugins.sources.sound_files import read_sound
from genzoo_rwae_plugins.sources.timit_files import read_phones
from PIL import Image

from genzoo_rwae.errors import DataError

ROOT = Path(__file__).parents[3]
GIB = 2**30

# -- planted files --------------------------------------------------------------------------------


class Payload:
    """What a pickle would run: it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def npy(shape: str, descr: str = "'<f4'", behind: bytes = b"") -> bytes:
    """A .npy file whose header says what one likes."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + behind


def npz(entry: bytes, *, name: str = "x.npy", claimed: int | None = None) -> bytes:
    """A .npz file with one entry; `claimed` is the size that its directory tells."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, entry)
    raw = buffer.getvalue()
    if claimed is None:
        return raw
    size, lie = struct.pack("<I", len(entry)), struct.pack("<I", claimed)
    directory = raw.index(b"PK\x01\x02")
    return raw[:directory].replace(size, lie) + raw[directory:].replace(size, lie)


def png(width: int, height: int) -> bytes:
    """A PNG that tells of any size and holds a row or so."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(3 * min(width, 10_000) + 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def gif(side: int, frames: int) -> bytes:
    """A GIF of a large canvas whose frames are a pixel each, 25 bytes or so."""
    frame = b"\x21\xf9\x04\x00\x00\x00\x00\x00\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
    frame += b"\x02\x02\x44\x01\x00"
    head = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return head + frame * frames + b";"


def wav(*, size: int, rate: int = 8_000, channels: int = 1, data: bytes = b"\0\0" * 800) -> bytes:
    head = struct.pack("<HHIIHH", 1, channels, rate, 2 * rate, 2 * channels & 0xFFFF, 16)
    return (
        b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<I", 16) + head
        + b"data" + struct.pack("<I", size) + data
    )  # fmt: skip


def flac(samples: int, channels: int = 8) -> bytes:
    """A FLAC file's head, which tells of any number of samples and holds none."""
    info = struct.pack(">HH", 4096, 4096) + bytes(6)
    info += (8_000 << 44 | (channels - 1) << 41 | 15 << 36 | samples).to_bytes(8, "big") + bytes(16)
    return b"fLaC\x80\x00\x00\x22" + info + b"\xff\xf8" + bytes(64)


def idx(*shape: int) -> bytes:
    return bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + bytes(100)


FILES: dict[str, Callable[[], bytes]] = {
    "terabytes.npy": lambda: npy("(1000000, 1000000)", behind=bytes(400)),
    "overflow.npy": lambda: npy("(4294967296, 4294967296, 4294967296)", behind=bytes(400)),
    "negative.npy": lambda: npy("(-1, 16)", behind=bytes(400)),
    "negatives.npy": lambda: npy("(-4, -25)", behind=bytes(400)),
    "words.npy": lambda: npy("('a', 2)", behind=bytes(400)),
    "deep.npy": lambda: npy("(" * 3_000, behind=bytes(400)),
    "minus.npy": lambda: npy("-" * 9_000 + "1", behind=bytes(400)),
    "code.npy": lambda: npy("(__import__('os').mkdir('pwned'),)", behind=bytes(400)),
    "void.npy": lambda: npy("(4,)", "'V2000000000'", behind=bytes(400)),
    "terabytes.npz": lambda: npz(npy("(1000000, 1000000)", behind=bytes(400))),
    "gigabytes.npz": lambda: npz(npy("(40000, 40000)", behind=bytes(4_000_000))),
    "lying.npz": lambda: npz(npy("(30000, 30000)", behind=bytes(4_000)), claimed=0x7FFFFFFF),
    "empty.npz": lambda: npz(b""),
    "other.npz": lambda: npz(b"not an array", name="../../../pwned"),
    "wide.png": lambda: png(50_000, 50_000),
    "widest.png": lambda: png(2**31 - 1, 2**31 - 1),
    "thin.png": lambda: png(2**31 - 1, 1),
    "cut.png": lambda: png(9_000, 9_000),
    "canvas.gif": lambda: gif(9_000, 4_000),
    "frames.gif": lambda: gif(2_000, 5_000),
    "cut.wav": lambda: wav(size=0xFFFFFFF0),
    "channels.wav": lambda: wav(size=1600, channels=65_535),
    "days.wav": lambda: wav(size=60_000_000, rate=1_000, data=bytes(60_000_000)),
    "days.flac": lambda: flac(2**36 - 1),
    "hours.flac": lambda: flac(8_000 * 4 * 3600 + 1, channels=1),
    "terabytes.idx": lambda: idx(2**32 - 1, 2**32 - 1, 2**32 - 1),
    "gigabytes.idx": lambda: idx(60_000, 2_800, 28),
    "bomb.idx.gz": lambda: gzip.compress(idx(60_000, 280, 28) + bytes(10**8), 1),
    "pipe.png": lambda: b"",
}  # fmt: skip

# found out before memory was asked for, not by its refusal
SAID = {
    "terabytes.npy": "behind a header", "overflow.npy": "behind a header",
    "negative.npy": "behind a header", "terabytes.npz": "behind a header",
    "gigabytes.npz": "behind a header", "wide.png": "more than 33,177,600 pixels",
    "widest.png": "more than 33,177,600 pixels", "canvas.gif": "more than 33,177,600 pixels",
    "frames.gif": "pixels in a GIF", "days.wav": "at most 4 hours", "days.flac": "at most 4 hours",
    "hours.flac": "at most 4 hours", "terabytes.idx": "found a header that tells of",
    "gigabytes.idx": "found a header that tells of", "pipe.png": "found no file there",
}  # fmt: skip

READ = """
import json, resource, sys
from pathlib import Path
from genzoo_rwae.errors import DataError
from genzoo_rwae_plugins.sources.array_files import loaded_array
from genzoo_rwae_plugins.sources.idx import read_idx
from genzoo_rwae_plugins.sources.picture_files import read_picture
from genzoo_rwae_plugins.sources.sound_files import read_sound
from genzoo_rwae_plugins.sources.video_files import video_frames
import PIL.PngImagePlugin, PIL.GifImagePlugin, PIL.JpegImagePlugin
try:
    import soundfile
except (ImportError, OSError):
    soundfile = None
readers = {
    ".npy": lambda path: loaded_array(path, None), ".npz": lambda path: loaded_array(path, None),
    ".png": lambda path: read_picture(path, "RGB"), ".gif": lambda path: list(video_frames(path)),
    ".wav": lambda path: read_sound(path, 16_000), ".flac": lambda path: read_sound(path, 16_000),
    ".idx": lambda path: read_idx(path, 3), ".gz": lambda path: read_idx(path, 3),
}
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
room = size + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (room, room))
for name in sys.argv[2:]:
    path = Path(name)
    try:
        readers[path.suffix](path)
    except DataError as error:
        said = ["DataError", str(error)]
    except BaseException as error:
        said = [type(error).__name__, str(error)[:500]]
    else:
        said = ["read", ""]
    print(json.dumps([name, *said]), flush=True)
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """How reading each file ended, in a process that may grow by half a gigabyte."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc here that tells a process its size")
    folder = tmp_path_factory.mktemp("hostile")
    for name, made in FILES.items():
        (folder / name).write_bytes(made())
    (folder / "pipe.png").unlink()
    os.mkfifo(folder / "pipe.png")
    roots = os.pathsep.join(str(ROOT / root) for root in (".", "plugins", "kernels"))
    done = subprocess.run(
        [sys.executable, "-c", READ, str(GIB // 2), *FILES],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert not (folder / "pwned").exists()
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {name: (kind, message) for name, kind, message in rows}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_lies_about_its_size_is_refused_in_little_memory(ended, name: str) -> None:
    if name.endswith(".flac"):
        pytest.importorskip("soundfile")
    kind, message = ended[name]
    assert (kind, message[: len(name)]) == ("DataError", name)
    assert SAID.get(name, "") in message
    assert any(words in message for words in ("wanted", "save it again", "copy it again"))


def test_an_array_that_compresses_well_is_read_whatever_its_ratio(tmp_path) -> None:
    path = tmp_path / "zeros.npz"
    np.savez_compressed(path, x=np.zeros((64, 16, 64, 64), np.float32))
    assert loaded_array(path, None).shape == (64, 16, 64, 64)
    assert path.stat().st_size * 500 < 64 * 16 * 64 * 64 * 4


def test_a_pickle_in_an_array_file_is_not_run(tmp_path) -> None:
    marker = tmp_path / "run"
    objects = np.empty(2, object)
    objects[:] = [Payload(marker), 1]
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "objects.npz", x=objects)
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(Payload(marker)))
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Payload(marker)))
    torch.save({"x": Payload(marker)}, tmp_path / "torch.npz")
    joblib = pytest.importorskip("joblib")
    joblib.dump([np.ones(3), Payload(marker)], tmp_path / "joblib.npy")
    for path in sorted(tmp_path.glob("*.np?")):
        keys = ("torch/data.pkl",) if path.stem == "torch" else ()
        for key in (None, *keys):
            with pytest.raises(DataError, match=path.name):
                loaded_array(path, key)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.exists()  # it would have worked


def test_nothing_of_an_archive_is_written_to_disc(tmp_path) -> None:
    raw = npz(npy("(2, 2)", behind=np.ones(4, np.float32).tobytes()), name="../../out.npy")
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "x.npz").write_bytes(raw)
    assert loaded_array(folder / "x.npz", None).tolist() == [[1, 1], [1, 1]]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["x.npz"]


def test_a_picture_that_only_a_program_could_draw_is_no_picture(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    (tmp_path / "a.png").write_bytes(page)
    with pytest.raises(DataError, match="found no picture"):
        read_picture(tmp_path / "a.png", "RGB")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png", format="TIFF")
    with pytest.raises(DataError, match="found no picture"):
        read_picture(tmp_path / "b.png", "RGB")


def test_clips_of_large_pictures_are_refused_before_one_is_decoded(tmp_path) -> None:
    (tmp_path / "clip").mkdir()
    for frame in range(90):
        (tmp_path / "clip" / f"{frame}.png").write_bytes(png(5_000, 5_000))
    with pytest.raises(DataError, match=r"clip: found 90 frames of 5000 x 5000 pixels, wanted"):
        FolderClips(tmp_path)
    assert FolderClips(tmp_path, every=40).lengths == (3,)


def test_video_of_a_canvas_beyond_any_is_refused_by_its_decoder(tmp_path, monkeypatch) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 512, 512, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((512, 512, 3), np.uint8))
        container.mux([*stream.encode(frame), *stream.encode()])
    monkeypatch.setattr(video_files, "MOST_PIXELS", 512 * 512 - 1)
    monkeypatch.setattr(video_files, "_check", lambda *_: None)  # which looks when it is decoded
    with pytest.raises(DataError, match=r"a\.mp4: the video cannot be read"):
        list(video_files.video_frames(tmp_path / "a.mp4"))


def test_tables_of_a_few_bytes_cannot_tell_of_millions_of_cells(tmp_path, monkeypatch) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    same = arrow.table({"a": np.zeros(10_000_000), "b": np.zeros(10_000_000)})
    parquet.write_table(same, tmp_path / "bomb.parquet")
    assert (tmp_path / "bomb.parquet").stat().st_size < 100_000
    monkeypatch.setattr(series_tables, "_MOST_CELLS", 10**7)
    monkeypatch.setattr(parquet, "read_table", None)
    with pytest.raises(DataError, match=r"bomb\.parquet: found 20,000,000 cells"):
        series_tables.read_table(tmp_path / "bomb.parquet", words=(), numbers=None)


def test_times_that_leave_gaps_make_no_grid_beyond_memory(tmp_path) -> None:
    rows = "\n".join(f"{time:.0f},1" for time in [*range(600_000), 5 * 10**8])
    (tmp_path / "a.csv").write_text(f"time,v\n{rows}\n")
    with pytest.raises(DataError, match=r"a\.csv: found 500,000,001 steps for 600,001 rows"):
        series("train", path=tmp_path / "a.csv", time="time", length=8)


@pytest.mark.parametrize("name", ["labels.csv", "a.wav", "a.PHN", "a.png", "a.tsv"])
def test_a_pipe_is_not_waited_for(tmp_path, name: str) -> None:
    path = tmp_path / name
    os.mkfifo(path)
    readers = {
        "labels.csv": lambda: read_labels(path, ("a",), ()),
        "a.wav": lambda: read_sound(path, 8_000),
        "a.PHN": lambda: read_phones(path),
        "a.png": lambda: read_picture(path, "L"),
        "a.tsv": lambda: series("train", path=path, length=2),
    }
    with pytest.raises(DataError, match=name):
        readers[name]()


def test_numbers_of_thousands_of_digits_are_no_tracebacks(tmp_path) -> None:
    digits = "9" * 6_000
    assert natural_order(f"a{digits}") > natural_order("a2")
    (tmp_path / "labels.csv").write_text(f"clip,word\na,{digits}\nb,2\n")
    (factor,) = read_labels(tmp_path / "labels.csv", ("a", "b"), ())
    assert factor.classes == ("2", digits)
    (tmp_path / "a.PHN").write_text(f"0 {digits} h#\n")
    with pytest.raises(DataError, match=r"a\.PHN:1: found"):
        read_phones(tmp_path / "a.PHN")


def test_a_table_names_clips_and_opens_no_file_by_its_words(tmp_path) -> None:
    (tmp_path / "secret.wav").write_bytes(wav(size=1_600))
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.wav").write_bytes(wav(size=1_600))
    table = folder / "labels.csv"
    table.write_text(f"clip,who\n../secret.wav,x\n{tmp_path / 'secret.wav'},x\n")
    with pytest.raises(DataError, match=r"no row for 1 of 1 clips, the first is 'a\.wav'"):
        audio("train", path=folder, labels=table)
