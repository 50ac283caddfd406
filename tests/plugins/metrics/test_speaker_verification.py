"""Speaker verification on made-up voices whose answers are known.

Shapes: N pieces, T time.
"""

import pytest
import torch
from genzoo_rwae_plugins.metrics.speaker_verification import speaker_verification

from genzoo_rwae.sequences import Factor

T, SPEAKERS, RECORDINGS, PIECES = 4, 5, 4, 3
FACTORS = (
    Factor("speaker", tuple("abcde"), "static"), Factor("word", ("x", "y"), "dynamic"),
)  # fmt: skip


@pytest.fixture
def voices(made_up):
    """Frames of eight numbers: five tell the speaker, one the word, two are noise."""

    def make(count, seed, cut=True):
        draw = torch.Generator().manual_seed(seed)
        speaker_N = torch.arange(SPEAKERS).repeat_interleave(RECORDINGS * PIECES)
        recording_N = torch.arange(SPEAKERS * RECORDINGS).repeat_interleave(PIECES)
        word_N = torch.randint(0, 2, (len(speaker_N),), generator=draw)
        x_NT = 0.3 * torch.randn(len(speaker_N), T, 8, generator=draw)
        x_NT[..., :5] += torch.eye(5)[speaker_N][:, None]
        x_NT[..., 5] += 2.0 * word_N[:, None] - 1
        order = torch.randperm(len(speaker_N), generator=draw)  # pieces lie anywhere
        return made_up.Rows(
            x_NT[order],
            {"speaker": speaker_N[order], "word": word_N[order]},
            FACTORS,
            recordings_N=recording_N[order] if cut else None,
        )

    return made_up.splits(make)


def test_speaker_in_the_static_code_and_word_in_the_dynamic_ones_is_perfect(voices, made_up):
    model = made_up.Told(
        voices.test.info, lambda x: x.mean(1)[:, :5], lambda x: x[..., 5:6] + 0.0 * x[..., :1]
    )
    figures = speaker_verification(model, voices)
    assert figures["static code"].value < 0.02
    assert figures["dynamic codes"].value > 0.35
    assert figures["content in the dynamic codes"]["word"].value > 0.95
    assert "20 recordings" in figures["static code"].note
    assert (figures["static code"].good, figures["dynamic codes"].good) == ("lower", "higher")
    assert figures["static code"].baselines["mean frame"] < 0.35


def test_dynamic_codes_that_hold_nothing_score_as_well_and_the_content_tells(voices, made_up):
    model = made_up.Told(voices.test.info, lambda x: x.mean(1)[:, :5], lambda x: 0 * x[..., :1])
    figures = speaker_verification(model, voices)
    assert figures["dynamic codes"].value == pytest.approx(0.5)
    assert figures["content in the dynamic codes"]["word"].value < 0.7


def test_content_that_training_has_none_of_is_not_measured(voices, made_up):
    voices.train.labels["word"] = torch.zeros_like(voices.train.labels["word"])
    voices.test.labels["word"] = torch.ones_like(voices.test.labels["word"])
    model = made_up.Told(voices.test.info, lambda x: x.mean(1)[:, :5], lambda x: x[..., 5:6])
    figure = speaker_verification(model, voices)["content in the dynamic codes"]["word"]
    assert figure.value is None
    assert "no class of the test split" in figure.note


def test_speaker_that_leaks_into_the_dynamic_codes_lowers_their_rate(voices, made_up):
    model = made_up.Told(voices.test.info, lambda x: 0 * x[:, 0, :1], lambda x: x[..., :5])
    figures = speaker_verification(model, voices)
    assert figures["dynamic codes"].value < 0.02
    assert figures["static code"].value == pytest.approx(0.5)


def test_pieces_of_a_recording_are_averaged(voices, made_up):
    def noisy(x):  # the noise of pieces of one recording cancels, that of a piece does not
        draw = torch.Generator().manual_seed(len(x))
        return x.mean(1)[:, :5] + 0.6 * torch.randn(len(x), 5, generator=draw)

    model = made_up.Told(voices.test.info, noisy, lambda x: x[..., 5:6])
    whole = speaker_verification(model, voices)["static code"].value
    voices.test.recordings_N = None
    alone = speaker_verification(model, voices)["static code"]
    assert "60 recordings" in alone.note
    assert whole < alone.value - 0.05


def test_no_more_recordings_are_paired_than_asked_for_and_they_stay_whole(voices, made_up):
    model = made_up.Told(voices.test.info, lambda x: x.mean(1), lambda x: x)
    assert "7 recordings" in speaker_verification(model, voices, recordings=7)["static code"].note
    assert speaker_verification(model, voices, recordings=1)["static code"].value is None


def test_data_without_such_a_factor_are_not_measured_and_say_which_there_are(voices, made_up):
    model = made_up.Told(voices.test.info, lambda x: x.mean(1), lambda x: x)
    figure = speaker_verification(model, voices, factor="singer")["static code"]
    assert figure.value is None
    assert "no factor 'singer'; known: speaker, word" in figure.note
