"""Videos and scaled pictures as clips: decoded once, kept, and refused where they are bombs."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.sources import kept_clips, video_files
from genzoo_rwae_plugins.sources.clips import clips
from genzoo_rwae_plugins.sources.video_files import video_frames
from PIL import Image

from genzoo_rwae.errors import DataError, OptionError

HEIGHT, WIDTH = 24, 32


def drawn(clip, steps):
    """[T, H, W, 3]: frame t of clip c is flat, (20 c + t, 100, t), but for a red left quarter."""
    x = np.empty((steps, HEIGHT, WIDTH, 3), np.uint8)
    x[:] = [[[[20 * clip + 3 * t, 100, 9 * t]]] for t in range(steps)]
    x[:, :, : WIDTH // 4] = (250, 0, 0)
    return x


def save_gif(path, x):
    first, *others = [Image.fromarray(frame) for frame in x]
    first.save(path, save_all=True, append_images=others, duration=50, loop=0)
    return path


def save_video(path, x, codec, pixels):
    av = pytest.importorskip("av", reason="PyAV is not installed (extra `video`)")
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = *x.shape[1:3], pixels
        for frame in x:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return path


@pytest.fixture
def gifs(tmp_path):
    """Clip c has 5 + c frames."""
    folder = tmp_path / "gifs"
    folder.mkdir()
    for c in range(5):
        save_gif(folder / f"walk-{c}.gif", drawn(c, 5 + c))
    (folder / "labels.csv").write_text("clip,who\n" + "".join(f"walk-{c},{c}\n" for c in range(5)))
    return folder


@pytest.fixture
def opened(gifs, tmp_path):
    return lambda split="train", **more: clips(
        split, **{"path": gifs, "cache": tmp_path / "cache", **more}
    )


# -- what is read --------------------------------------------------------------------------------


def test_gifs_come_back_to_the_pixel_with_their_lengths_and_labels(opened, gifs):
    seen = set()
    for split in ("train", "validation", "test"):
        data = opened(split, labels=gifs / "labels.csv")
        assert (data.info.frame_shape, data.info.length) == ((3, HEIGHT, WIDTH), 9)
        batch = data.take(np.arange(len(data)))
        assert batch.x_BT.dtype == torch.uint8
        for x, length, who in zip(
            batch.x_BT, batch.lengths_B.tolist(), batch.factors["who"].tolist(), strict=True
        ):
            assert length == 5 + who
            assert np.array_equal(x[:length].permute(0, 2, 3, 1), drawn(who, length))
            assert not x[length:].any()
            seen.add(who)
    assert seen == set(range(5))


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.MOV", "mpeg4", "yuv420p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.avi", "ffv1", "bgr0"),
        ("a.mkv", "ffv1", "bgr0"),
    ],
)
def test_videos_come_back_as_they_were_written(tmp_path, name, codec, pixels):
    x = drawn(2, 7)
    found = np.stack(list(video_frames(save_video(tmp_path / name, x, codec, pixels))))
    assert found.shape == x.shape
    if codec == "ffv1":
        assert np.array_equal(found, x)
    else:  # lossy, and the colours of two by two pixels are one
        assert np.abs(found.astype(int) - x)[:, :, WIDTH // 2 :].max() <= 12


def test_video_is_turned_as_its_recorder_says(tmp_path):
    x = drawn(0, 2)
    path = save_video(tmp_path / "a.mp4", x, "libx264", "yuv420p")
    still = next(video_frames(path))

    def matrix(*values):
        return b"".join(value.to_bytes(4, "big", signed=True) for value in values)

    one, end = 2**16, 2**30
    upright = matrix(one, 0, 0, 0, one, 0, 0, 0, end)
    raw = path.read_bytes()
    header = raw.index(upright, raw.index(b"tkhd"))
    clockwise = matrix(0, one, 0, -one, 0, 0, 0, 0, end)
    path.write_bytes(raw[:header] + clockwise + raw[header + len(upright) :])
    turned = next(video_frames(path))
    assert turned.shape == (WIDTH, HEIGHT, 3)
    assert np.array_equal(turned, np.rot90(still, -1))


def test_every_keeps_every_so_many_th_frame_of_all_kinds(opened, gifs, tmp_path):
    assert opened(every=3).info.length == 3
    steps = [frame[0, -1, 2] for frame in video_frames(gifs / "walk-4.gif", every=3)]
    assert steps == [0, 27, 54]
    x = drawn(0, 7)
    path = save_video(tmp_path / "a.avi", x, "ffv1", "bgr0")
    assert np.array_equal(list(video_frames(path, every=3)), x[::3])
    np.save(tmp_path / "x.npy", np.stack([x] * 3))
    batch = clips("train", path=tmp_path / "x.npy", every=3).take(np.array([0]))
    assert np.array_equal(batch.x_BT[0].permute(0, 2, 3, 1), x[::3])


def make_pictures(folder, scale=1):
    for c in range(4):
        (folder / f"clip-{c}").mkdir(parents=True)
        for t, frame in enumerate(drawn(c, 3)):
            large = frame.repeat(1 + c * scale, 0).repeat(1 + c * scale, 1)
            Image.fromarray(large).save(folder / f"clip-{c}" / f"{t}.png")
    return folder


def test_size_scales_videos_and_pictures_to_one_size(opened, tmp_path):
    of_gifs = opened(size=(6, 8))
    of_pictures = clips(
        "train", path=make_pictures(tmp_path / "p"), size=(6, 8), cache=tmp_path / "cache"
    )
    for data in (of_gifs, of_pictures):
        assert data.info.frame_shape == (3, 6, 8)
        x = data.take(np.arange(len(data))).x_BT
        assert x[:, 0, 0, :, :1].eq(250).all()  # a quarter of the width, as before
        assert x[:, 0, 1, :, 3:].eq(100).all()


def test_size_crops_to_its_proportions_around_the_middle(gifs):
    (first, *_) = video_frames(gifs / "walk-0.gif", size=(HEIGHT, HEIGHT))
    wanted = drawn(0, 1)[0, :, (WIDTH - HEIGHT) // 2 : (WIDTH + HEIGHT) // 2]
    assert np.array_equal(first, wanted)


def test_scaling_down_averages_what_it_covers(tmp_path):
    """A checkerboard of single pixels turns grey; single pixels of it are black or white."""
    board = np.indices((64, 64)).sum(0) % 2 * 255
    path = save_gif(tmp_path / "a.gif", np.repeat(board[None, ..., None], 3, -1).astype(np.uint8))
    (small,) = video_frames(path, size=(8, 8))
    assert np.abs(small.astype(int) - 127.5).max() < 4


# -- what is kept --------------------------------------------------------------------------------


def test_second_use_decodes_nothing_and_a_damaged_file_is_decoded_again(
    opened, tmp_path, monkeypatch
):
    everything = np.arange(3)
    whole = opened().take(everything).x_BT
    kept = sorted((tmp_path / "cache").iterdir())
    assert len(kept) == 5
    decoded = []
    keep = kept_clips._keep
    monkeypatch.setattr(
        kept_clips, "_keep", lambda *them: (decoded.append(them[1]), keep(*them))[1]
    )
    opened("test")
    assert decoded == []
    content = kept[2].read_bytes()
    for damage in (content[:-1], content + b"x", b"", b"no array"):
        kept[2].write_bytes(damage)
        assert torch.equal(opened().take(everything).x_BT, whole)
    assert decoded == [kept[2]] * 4
    assert sorted((tmp_path / "cache").iterdir()) == kept


def test_changed_files_and_other_options_are_decoded_anew(opened, gifs):
    before = opened().take(np.arange(3)).x_BT
    assert opened(every=2).info.length == 5
    assert opened(size=(6, 8)).info.frame_shape == (3, 6, 8)
    for path in gifs.glob("*.gif"):
        save_gif(path, 255 - drawn(0, 5))
        os.utime(path, ns=(10**18, 10**18))
    after = opened().take(np.arange(3)).x_BT
    assert after.shape[1] == 5
    assert not torch.equal(before[:, :5], after)


def test_cache_that_is_cleared_during_a_run_is_an_error_that_says_so(opened, tmp_path):
    data = opened()
    for path in (tmp_path / "cache").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="do not clear the cache during a run"):
        data.take(np.array([0]))


def test_cache_is_by_default_the_users(gifs, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    clips("train", path=gifs)
    assert len(list((tmp_path / "xdg" / "genzoo-rwae").glob("clip-*.npy"))) == 5


def test_cache_that_cannot_be_written_is_named(opened, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be kept: .*file.*give `cache:"):
        opened(cache=tmp_path / "file")


def test_pictures_without_a_size_are_kept_nowhere(tmp_path):
    for c in range(3):
        (tmp_path / "p" / str(c)).mkdir(parents=True)
        Image.fromarray(drawn(c, 1)[0]).save(tmp_path / "p" / str(c) / "0.png")
    clips("train", path=tmp_path / "p", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


# -- what is refused -----------------------------------------------------------------------------


def test_damaged_files_are_named_however_they_are_damaged(gifs, opened, tmp_path):
    whole = (gifs / "walk-1.gif").read_bytes()
    for content in (b"", b"hello", whole[:40], whole[: len(whole) // 2], whole[:-3]):
        (gifs / "walk-1.gif").write_bytes(content)
        with pytest.raises(DataError, match=r"walk-1\.gif: "):
            opened()
    assert not list((tmp_path / "cache").glob(".*"))
    for length in range(0, len(whole), 5):  # wherever it is cut, nothing but a DataError comes out
        (gifs / "walk-1.gif").write_bytes(whole[:length])
        with suppress(DataError):
            list(video_frames(gifs / "walk-1.gif"))
    path = save_video(tmp_path / "a.mp4", drawn(0, 5), "libx264", "yuv420p")
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for content in (b"", b"hello" * 99, whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.mp4: the video cannot be read"):
            list(video_frames(path))
    for _ in range(50):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[random.integers(len(whole), size=20)] = random.integers(256, size=20)
        path.write_bytes(damaged.tobytes())
        with suppress(DataError):
            list(video_frames(path))


def test_file_that_points_to_others_is_no_video(tmp_path):
    pytest.importorskip("av")
    save_video(tmp_path / "a.mp4", drawn(0, 2), "libx264", "yuv420p")
    lists = {
        "hls": f"#EXTM3U\n#EXTINF:1.0,\n{tmp_path / 'a.mp4'}\n#EXT-X-ENDLIST\n",
        "concat": "ffconcat version 1.0\nfile 'a.mp4'\n",
    }
    for text in lists.values():
        (tmp_path / "list.mp4").write_text(text)
        with pytest.raises(DataError, match=r"list\.mp4: the video cannot be read"):
            list(video_frames(tmp_path / "list.mp4"))


def test_bombs_are_refused_by_pixels_frames_and_bytes(gifs, opened, tmp_path, monkeypatch):
    video = save_video(tmp_path / "a.avi", drawn(0, 9), "ffv1", "bgr0")
    for limit, value, message in (
        ("MOST_PIXELS", HEIGHT * WIDTH - 1, "32 x 24 pixels, wanted at most 767 pixels"),
        ("_MOST_FRAMES", 8, "found more than 8 frames"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(video_files, limit, value)
            for path in (gifs / "walk-4.gif", video):
                with pytest.raises(DataError, match=message):
                    list(video_frames(path, every=5))
    monkeypatch.setattr(kept_clips, "MOST_BYTES", 8 * HEIGHT * WIDTH * 3)
    with pytest.raises(DataError, match=r"walk-4\.gif: .*give a smaller `size`"):
        opened()
    assert opened(every=2).info.length == 5


def test_folders_that_are_neither_videos_nor_subfolders_are_refused(gifs, opened, tmp_path):
    nested = tmp_path / "nested"
    nested.mkdir()
    gifs.rename(nested / "walk")
    with pytest.raises(DataError, match=r"5 videos in a subfolder.*move them up"):
        clips("train", path=nested)
    (nested / "walk").rename(gifs)
    (gifs / "more").mkdir()
    with pytest.raises(DataError, match="found 5 videos beside 1 subfolders"):
        opened()
    (gifs / "more").rmdir()
    save_gif(gifs / "large.gif", drawn(0, 2).repeat(2, 1))
    with pytest.raises(DataError, match=r"32 x 24 pixels, wanted 32 x 48 .*give `size:"):
        opened()
    assert opened(size=(8, 8)).info.frame_shape == (3, 8, 8)
    (gifs / "large.gif").rename(gifs / "walk-3.mp4")
    with pytest.raises(DataError, match=r"found a clip 'walk-3' again"):
        opened()


def test_array_has_no_size(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((9, 2, 4, 4), np.uint8))
    with pytest.raises(OptionError, match="pictures of an array keep their size") as caught:
        clips("train", path=tmp_path / "x.npy", size=(2, 2))
    assert caught.value.option == "size"


def test_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(DataError, match=r"pip install 'genzoo-rwae\[video\]'"):
        list(video_frames(tmp_path / "a.mp4"))
