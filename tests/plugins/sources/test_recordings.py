"""Recordings as sequences: pieces, lengths, scale, marks, and back to sound."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.sources.recordings import Marks, Recording, Recordings
from genzoo_rwae_plugins.sources.spectrograms import spectrogram
from scipy.io import wavfile

from genzoo_rwae.errors import OptionError
from genzoo_rwae.sequences import Factor

RATE = 8_000
LENGTHS = (4_000, 700, 2_400, 1)
OPTIONS = {"mels": 20, "window": 200, "hop": 100, "n_fft": 256}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> list[Recording]:
    folder = tmp_path_factory.mktemp("recordings")
    draw = np.random.default_rng(0)
    found = []
    for label, samples in enumerate(LENGTHS):
        path = folder / f"{label}.wav"
        # every recording has a level and a slope of its own
        sound = draw.normal(size=samples).cumsum() if label % 2 else draw.normal(size=samples)
        sound = 3_000 * (label + 1) * sound / np.abs(sound).max()
        wavfile.write(path, RATE, sound.astype(np.int16))
        marks = Marks(np.array([0.05, 0.15, 0.3]), np.array([0, 1, 2]))
        found.append(Recording(path, {"speaker": label}, {"phone": marks}))
    return found


def opened(recordings, *, representation="log-mel", seconds=0.1, pieces=True, training=None):
    names = tuple("abcd")
    return Recordings(
        "test", "train", recordings=recordings,
        training=recordings if training is None else training,
        view=spectrogram(representation, RATE, **OPTIONS), seconds=seconds, pieces=pieces,
        factors=(Factor("speaker", names, "static"), Factor("phone", names, "dynamic")),
        licence="",
    )  # fmt: skip


def waves(recordings) -> list[np.ndarray]:
    return [wavfile.read(one.path)[1] / np.float32(2**15) for one in recordings]


def test_pieces_follow_each_other_and_the_last_one_is_as_long_as_what_is_left(recordings):
    data = opened(recordings)
    pieces = [-(-samples // 800) for samples in LENGTHS]
    assert len(data) == sum(pieces) == 5 + 1 + 3 + 1
    batch = data.take(np.arange(len(data)))
    assert data.groups(np.arange(len(data))).tolist() == np.repeat(np.arange(4), pieces).tolist()
    assert batch.factors["speaker"].tolist() == np.repeat(np.arange(4), pieces).tolist()
    assert batch.lengths_B.tolist() == [9] * 5 + [8] + [9] * 3 + [1]
    assert batch.x_BT.shape == (10, 9, 20)
    assert data.info.length == 9
    beyond = torch.arange(9) >= batch.lengths_B[:, None]
    assert (batch.x_BT[beyond] == 0).all()
    assert (batch.x_BT[~beyond] != 0).any(dim=-1).all()


def test_whole_recordings_are_cut_off_at_the_longest_and_have_no_groups(recordings):
    data = opened(recordings, seconds=0.3, pieces=False)
    assert len(data) == 4
    assert data.groups(np.arange(4)) is None
    assert data.take(np.arange(4)).lengths_B.tolist() == [25, 8, 25, 1]


def test_the_label_of_a_mark_is_the_one_in_a_pieces_middle(recordings):
    batch = opened(recordings).take(np.arange(10))
    # middles of the first recording: .05 (where the first mark has just ended), .15, .25, .35, .45
    assert batch.factors["phone"].tolist()[:5] == [1, 2, 2, 2, 2]
    assert batch.factors["phone"].tolist()[5] == 0  # of 700 samples: .04375
    marks = Marks(np.array([0.5, 1.0]), np.array([3, 4]))
    assert [marks.at(at) for at in (0.0, 0.49, 0.51, 1.0, 9.0)] == [3, 3, 4, 4, 4]


@pytest.mark.parametrize("representation", ["magnitude", "log-magnitude", "log-mel"])
def test_training_has_mean_0_and_sd_1_in_every_band(recordings, representation):
    data = opened(recordings[:1], representation=representation, seconds=0.5)
    x_TF = data.take(np.array([0])).x_BT[0].double()
    assert x_TF.mean(0).abs().max() < 1e-4
    assert (x_TF.std(0, unbiased=False) - 1).abs().max() < 1e-4


def test_the_scale_is_that_of_training_alone(recordings):
    one, other = (
        opened(recordings[1:2], training=[training]).take(np.array([0])).x_BT
        for training in (recordings[0], recordings[2])
    )
    assert not torch.equal(one, other)
    both = opened(recordings[1:3], training=recordings[:1]).take(np.array([0])).x_BT
    alone = opened(recordings[1:2], training=recordings[:1]).take(np.array([0])).x_BT
    assert torch.equal(both, alone)


def test_silence_is_finite_and_still(tmp_path):
    wavfile.write(tmp_path / "a.wav", RATE, np.zeros(900, np.int16))
    silent = [Recording(tmp_path / "a.wav", {"speaker": 0, "phone": 0})]
    data = opened(silent)
    assert (data.take(np.arange(2)).x_BT == 0).all()
    assert (data.sound(torch.zeros(9, 20)).wave_N == 0).all()


def test_other_draws_take_other_pieces_of_the_same_recording(recordings):
    data = opened(recordings)
    first = data.take(np.arange(10))
    drawn = data.take(np.arange(10), draw=1)
    assert torch.equal(drawn.x_BT, data.take(np.arange(10), draw=1).x_BT)
    assert torch.equal(drawn.x_BT[3], data.take(np.array([3]), draw=1).x_BT[0])
    assert torch.equal(drawn.factors["speaker"], first.factors["speaker"])
    assert drawn.lengths_B.tolist() == [9] * 5 + [8] + [9] * 3 + [1]  # whole ones where possible
    moved = [not torch.equal(a, b) for a, b in zip(drawn.x_BT, first.x_BT, strict=True)]
    assert moved == [True] * 5 + [False] + [True] * 3 + [False]
    assert not torch.equal(drawn.x_BT, data.take(np.arange(10), draw=2).x_BT)


def test_draws_reach_from_the_first_to_the_last_piece(tmp_path):
    ramp = np.array([0, *range(1, 803)], np.int16) * 30
    wavfile.write(tmp_path / "a.wav", RATE, ramp)
    data = opened([Recording(tmp_path / "a.wav", {"speaker": 0, "phone": 0})])
    drawn = [data.take(np.array([0]), draw=draw).x_BT for draw in range(1, 60)]
    assert len({x_BT.numpy().tobytes() for x_BT in drawn}) == 4  # from sample 0, 1, 2 and 3


def test_magnitudes_are_those_that_a_wave_can_have():
    view = spectrogram("magnitude", RATE, **OPTIONS)
    extreme = torch.tensor([[-1e6], [0.5], [1e6]]).expand(-1, view.width)
    assert view.magnitude(extreme).unique().tolist() == [0, 0.5, view.stft.largest]
    mel = spectrogram("log-mel", RATE, **OPTIONS)
    found = mel.magnitude(torch.tensor([[-1e6], [-7.0], [1e6]]).expand(-1, mel.width))
    assert found[:2].max() == 0  # at the floor and below it: silence
    assert 0 < found[2].max() <= mel.stft.largest


@pytest.mark.parametrize("representation", ["magnitude", "log-magnitude"])
def test_a_sequence_with_its_own_phase_is_its_own_sound(recordings, representation):
    data = opened(recordings, representation=representation)
    whole = np.concatenate(waves(recordings)[:1])
    batch = data.take(np.arange(5))
    for place in range(5):
        sound = data.sound(batch.x_BT[place], like=place)
        assert sound.rate == RATE
        assert sound.wave_N.dtype == np.float32
        wanted = whole[800 * place : 800 * (place + 1)]
        assert np.abs(sound.wave_N - wanted)[:-20].max() < 2e-4 * np.abs(wanted).max() + 1e-4


def test_log_mel_with_a_kept_phase_is_nearly_the_sound(recordings):
    data = opened(recordings)
    sound = data.sound(data.take(np.array([0])).x_BT[0], like=0).wave_N
    wanted = waves(recordings)[0][:800]
    assert np.corrcoef(sound, wanted)[0, 1] > 0.9


def test_without_a_phase_or_with_one_of_another_length_it_is_estimated(recordings):
    data = opened(recordings)
    x_T = data.take(np.array([0])).x_BT[0]
    estimated = data.sound(x_T).wave_N
    assert len(estimated) == 9 * 100 - 1
    assert np.array_equal(estimated, data.sound(x_T, like=5).wave_N)  # of 8 steps
    assert len(data.sound(x_T, like=0).wave_N) == 800
    with pytest.raises(IndexError):
        data.sound(x_T, like=10)


def test_any_values_of_a_model_are_a_sound_in_minus_one_to_one(recordings):
    for representation in ("magnitude", "log-magnitude", "log-mel"):
        data = opened(recordings, representation=representation)
        width = data.info.frame_shape[0]
        for size in (0.0, 50.0, 1e6):
            noise = size * torch.randn(30, width, generator=torch.Generator().manual_seed(1))
            found = data.sound(noise).wave_N
            assert np.isfinite(found).all()
            assert np.abs(found).max() <= 1
        assert len(data.sound(torch.zeros(1, width)).wave_N) == 99


def test_data_say_how_they_are_drawn(recordings):
    display = opened(recordings).info.display
    assert (display.form, display.step, display.top) == ("spectrogram", 0.0125, 4_000)


@pytest.mark.parametrize(
    ("change", "option"),
    [({"window": 300}, "window"), ({"window": 1}, "window"), ({"hop": 201}, "hop"),
     ({"hop": 1}, "hop"), ({"n_fft": 257}, "n_fft"), ({"mels": 100}, "mels")],
)  # fmt: skip
def test_options_that_do_not_fit_are_named(change, option):
    with pytest.raises(OptionError) as refused:
        spectrogram("log-mel", RATE, **{**OPTIONS, **change})
    assert refused.value.option == option


def test_no_sequences_are_a_batch_of_none(recordings):
    batch = opened(recordings).take(np.arange(0))
    assert batch.x_BT.shape == (0, 9, 20)
    assert batch.factors["phone"].shape == (0,)
