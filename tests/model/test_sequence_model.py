"""What every model offers, on small R-WAEs.

Shapes: B batch, T time, D code width.
"""

import pytest
import torch
from genzoo_rwae_plugins.decoders.recurrent import LstmDecoder
from genzoo_rwae_plugins.encoders.recurrent import FrameEncoder, LstmEncoder
from genzoo_rwae_plugins.frames.mlp import MlpFrameDecoder, MlpFrameEncoder
from genzoo_rwae_plugins.heads.static import BidirectionalHead, PooledHead
from genzoo_rwae_plugins.models.rwae import DynamicPart, Rwae, StaticPart
from genzoo_rwae_plugins.penalties.mmd import mmd
from hypothesis import given, settings
from hypothesis import strategies as st

from genzoo_rwae.codes import Latents, draw_mean, draw_sample
from genzoo_rwae.errors import OptionError
from genzoo_rwae.sequence_model import Encoding, Pass, Reconstruction, Samples, Swap
from genzoo_rwae.sequences import DataInfo

SHAPE = (1, 9, 12)


@pytest.fixture
def model(rwae):
    return rwae().eval()


@pytest.fixture
def clips():
    return torch.randint(0, 256, (5, 4, *SHAPE), dtype=torch.uint8)


# -- training passes --------------------------------------------------------------------------


def test_bytes_become_shares_of_255_and_stay_bytes_where_they_came_from(model, clips):
    before = clips.clone()
    assert torch.equal(model.prepare(clips), clips.float() / 255)
    assert torch.equal(clips, before)


def test_floats_are_used_as_they_are_and_are_not_written_to(model):
    x_BT = torch.rand(2, 4, *SHAPE)
    x_BT[0, 0, 0, 0, :2] = torch.tensor([torch.inf, -torch.inf])  # whose sum is NaN
    before = x_BT.clone()
    assert torch.equal(model.prepare(x_BT), before)
    assert torch.equal(x_BT, before)


def test_forward_gives_what_the_objective_sees(model, clips):
    passed = model(clips, torch.full((5,), 4), torch.Generator())
    assert isinstance(passed, Pass)
    assert passed.x_BT.shape == passed.x_hat_BK.shape == (5, 4, *SHAPE)
    static, dynamic = passed.codes.static, passed.codes.dynamic
    for tensor in (static.sample, static.posterior.mean, static.prior.log_variance):
        assert tensor.shape == (5, 3)
    for tensor in (dynamic.sample, dynamic.posterior.mean, dynamic.prior.log_variance):
        assert tensor.shape == (5, 4, 2)
    assert dynamic.state.shape == (5, 4, 5)


def test_bytes_are_taken_as_floats_between_zero_and_one(model, clips):
    lengths = torch.full((5,), 4)
    of_bytes, of_floats = (
        model(x, lengths, torch.Generator().manual_seed(0)) for x in (clips, clips.double() / 255)
    )
    torch.testing.assert_close(of_bytes.x_BT, of_floats.x_BT)
    torch.testing.assert_close(of_bytes.x_hat_BK, of_floats.x_hat_BK)
    assert of_floats.x_BT.dtype == torch.float32
    assert (of_bytes.x_BT.min(), of_bytes.x_BT.max()) == (0, 1)


def test_training_draws_follow_the_generator(model, clips):
    one, same, other = (
        model(clips, torch.full((5,), 4), torch.Generator().manual_seed(seed)).codes
        for seed in (1, 1, 2)
    )
    assert torch.equal(one.dynamic.sample, same.dynamic.sample)
    assert torch.equal(one.static.sample, same.static.sample)
    assert not torch.equal(one.static.sample, other.static.sample)
    assert not torch.equal(one.dynamic.sample, other.dynamic.sample)


def test_prior_is_that_along_the_sampled_path(model, clips):
    dynamic = model(clips, torch.full((5,), 4), torch.Generator()).codes.dynamic
    law, state = model.dynamic_prior.along(dynamic.sample)
    assert torch.equal(dynamic.prior.mean, law.mean)
    assert torch.equal(dynamic.state, state)


def test_some_steps_are_decoded_in_training_alone(rwae, clips):
    model = rwae(decoded=2)
    seen = set()
    for seed in range(30):
        passed = model(clips, torch.full((5,), 4), torch.Generator().manual_seed(seed))
        seen.add(tuple(passed.steps_K.tolist()))
        assert passed.x_hat_BK.shape == (5, 2, *SHAPE)
        assert passed.codes.dynamic.sample.shape[1] == 4
    assert len(seen) == 6  # every pair of the four
    whole = model.eval()(clips, torch.full((5,), 4), torch.Generator())
    assert whole.steps_K.tolist() == [0, 1, 2, 3]
    assert model.reconstruct(clips).x_hat_BT.shape == (5, 4, *SHAPE)


def test_decoded_steps_are_those_of_the_whole(rwae, clips):
    model = rwae(decoded=2).eval()
    passed = model(clips, torch.full((5,), 4), torch.Generator().manual_seed(0))
    codes, steps = passed.codes, torch.tensor([1, 3])
    some = model.decode(Latents(codes.static.sample, codes.dynamic.sample[:, steps]))
    torch.testing.assert_close(some, passed.x_hat_BK[:, steps])


def test_decoder_with_a_state_refuses_to_leave_steps_out():
    with pytest.raises(OptionError, match=r"LstmDecoder carries a state.*decoder: frame") as caught:
        Rwae(DataInfo((1, 8, 8), 4, True), decoder=LstmDecoder, decoded=2)
    assert caught.value.option == "decoded"


def check_gradients(objective, model, x):
    both = objective(static=(mmd, {"weight": 10.0}), dynamic=(mmd, {"weight": 10.0}))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(2):
        generator = torch.Generator().manual_seed(step)
        passed = model(x, torch.full((len(x),), x.shape[1]), generator)
        loss = both(passed, model, progress=1.0, generator=generator).loss
        optimizer.zero_grad()
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, f"step {step}: {name}"
            assert parameter.grad.isfinite().all(), f"step {step}: {name}"
            assert parameter.grad.abs().max() > 0, f"step {step}: {name}"
        optimizer.step()


@pytest.mark.parametrize("head", [PooledHead, BidirectionalHead])
def test_every_parameter_learns_from_the_full_objective(objective, rwae, clips, head):
    check_gradients(objective, rwae(head=head), clips)


def test_every_parameter_of_a_model_of_vectors_learns(objective, rwae):
    check_gradients(objective, rwae(shape=(6,), bounded=False), torch.randn(5, 4, 6))


# -- encoding ---------------------------------------------------------------------------------


def test_encoding_is_the_posteriors_along_their_means(model, clips):
    encoding = model.encode(clips)
    assert isinstance(encoding, Encoding)
    assert encoding.static.mean.shape == encoding.static.log_variance.shape == (5, 3)
    assert encoding.dynamic.mean.shape == encoding.dynamic.log_variance.shape == (5, 4, 2)
    codes = model.infer(model.prepare(clips), torch.full((5,), 4), draw_mean)
    assert torch.equal(codes.dynamic.sample, encoding.dynamic.mean)
    assert not encoding.static.mean.requires_grad


def test_evaluation_gives_the_same_twice(model, clips):
    assert torch.equal(model.encode(clips).dynamic.mean, model.encode(clips).dynamic.mean)
    assert torch.equal(model.reconstruct(clips).x_hat_BT, model.reconstruct(clips).x_hat_BT)


def test_weights_carry_the_whole_model(rwae, clips):
    trained, fresh = rwae(), rwae()
    trained(clips, torch.full((5,), 4), torch.Generator())  # running statistics move
    fresh.load_state_dict(trained.state_dict())
    one, other = (model.eval().reconstruct(clips).x_hat_BT for model in (trained, fresh))
    assert torch.equal(one, other)


def net_with(encoder, head):
    torch.manual_seed(0)

    def frames(shape):
        return MlpFrameEncoder(shape, hidden=8, width=6)

    encoders = {
        "frame": lambda shape: FrameEncoder(shape, frames=frames),
        "lstm": lambda shape: LstmEncoder(shape, hidden=5, frames=frames),
        "bidirectional": lambda shape: LstmEncoder(
            shape, hidden=5, direction="bidirectional", frames=frames
        ),
    }
    return Rwae(
        DataInfo((6,), 4, False),
        encoder=encoders[encoder],
        static=StaticPart(size=3, head=head),
        dynamic=DynamicPart(size=2),
        decoder=lambda codes, shape: LstmDecoder(codes, shape, hidden=4, frames=MlpFrameDecoder),
    ).eval()


@pytest.mark.parametrize("head", [PooledHead, BidirectionalHead])
@pytest.mark.parametrize("encoder", ["frame", "lstm", "bidirectional"])
@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    more=st.integers(0, 3),
    garbage=st.sampled_from([0.0, 1.0, 1e4]),
)
def test_padding_never_changes_a_code(encoder, head, lengths, more, garbage):
    model = net_with(encoder, head)
    x = torch.randn(len(lengths), max(lengths) + more, 6) * garbage
    lengths_B = torch.tensor(lengths)
    rows = [torch.randn(length, 6) for length in lengths]
    for row, true in enumerate(rows):
        x[row, : len(true)] = true
    together = model.encode(x, lengths_B)
    for row, true in enumerate(rows):
        alone = model.encode(true[None])
        torch.testing.assert_close(together.static.mean[row], alone.static.mean[0])
        torch.testing.assert_close(together.static.log_variance[row], alone.static.log_variance[0])
        torch.testing.assert_close(together.dynamic.mean[row, : len(true)], alone.dynamic.mean[0])


def test_one_step_code_sees_no_later_frame_through_the_whole_model():
    model, x = net_with("lstm", PooledHead), torch.randn(3, 5, 6)
    other = x.clone()
    other[:, 3] += 1
    before, after = model.encode(x), model.encode(other)
    assert torch.equal(before.dynamic.mean[:, :3], after.dynamic.mean[:, :3])
    assert (before.dynamic.mean[:, 3:] != after.dynamic.mean[:, 3:]).any(-1).all()
    assert (before.static.mean != after.static.mean).any(-1).all()


# -- reconstructions --------------------------------------------------------------------------


def test_reconstruction_is_decoded_from_means(model, clips):
    back = model.reconstruct(clips)
    assert isinstance(back, Reconstruction)
    encoding = model.encode(clips)
    torch.testing.assert_close(
        back.x_hat_BT, model.decode(Latents(encoding.static.mean, encoding.dynamic.mean))
    )
    wanted = (back.x_hat_BT - clips.float() / 255).square().flatten(1).mean(1)
    torch.testing.assert_close(back.mse_B, wanted)


def test_error_is_over_true_steps_only(model, clips):
    lengths = torch.tensor([4, 1, 2, 3, 4])
    back = model.reconstruct(clips, lengths)
    for row, length in enumerate(lengths.tolist()):
        gap = back.x_hat_BT[row, :length] - clips[row, :length].float() / 255
        assert back.mse_B[row].item() == pytest.approx(gap.square().mean().item(), rel=1e-5)


@pytest.mark.parametrize("bounded", [True, False])
def test_frames_are_between_zero_and_one_where_the_data_are(rwae, bounded):
    model = rwae(shape=(6,), bounded=bounded).eval()
    for parameter in model.decoder.parameters():
        torch.nn.init.normal_(parameter, std=5.0)
    x = model.sample(50, generator=torch.Generator().manual_seed(0)).x_BT
    assert (x.min() < 0 and x.max() > 1) is not bounded
    if bounded:
        assert x.min() >= 0
        assert x.max() <= 1


VERBS = {
    "encode": lambda model, x_BT: model.encode(x_BT),
    "reconstruct": lambda model, x_BT: model.reconstruct(x_BT),
    "swap, static": lambda model, x_BT: model.swap(x_BT, torch.zeros(5, 4, *SHAPE)),
    "swap, motion": lambda model, x_BT: model.swap(torch.zeros(5, 4, *SHAPE), x_BT),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_frames_that_are_no_images_are_refused_and_noisy_ones_taken(model, clips, verb):
    said = r"values go from 0 to 2\d\d; this model sees images: wanted bytes \(uint8\), or floats"
    for wrong in (clips.float(), clips.long(), clips.double()):
        with pytest.raises(ValueError, match=said):
            verb(model, wrong)
    with pytest.raises(ValueError, match="values go from -3 to"):
        verb(model, clips / 255 - 3)
    for end in (torch.inf, -torch.inf):
        infinite = clips / 255
        infinite[2, 1, 0, 3, 3] = end
        with pytest.raises(ValueError, match="some values are infinite"):
            verb(model, infinite)
    with pytest.raises(TypeError, match=r"frames are a ndarray; wanted a torch\.Tensor"):
        verb(model, clips.numpy())
    beyond = clips / 255
    beyond[:, 3] = torch.inf
    model.encode(beyond, torch.full((5,), 3))  # that nobody sees
    verb(model, clips / 255 + 0.4)
    verb(model, clips / 255 - 0.4)


def test_vectors_may_have_any_size_and_no_sequences_are_no_fault(rwae, model):
    assert rwae(shape=(6,), bounded=False).eval().encode(300 * torch.randn(3, 4, 6))
    assert len(model.encode(torch.zeros(0, 4, *SHAPE)).static.mean) == 0


# -- samples ----------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [None, 1, 4, 11])
def test_samples_have_any_length_and_the_datas_by_default(model, length):
    samples = model.sample(3, length)
    assert isinstance(samples, Samples)
    assert samples.x_BT.shape == (3, length or 4, *SHAPE)
    assert samples.latents.static_BD.shape == (3, 3)
    assert samples.latents.dynamic_BTD.shape == (3, length or 4, 2)
    torch.testing.assert_close(samples.x_BT, model.decode(samples.latents))


@pytest.mark.parametrize(("count", "length"), [(0, 4), (3, 0), (3, -1)])
def test_samples_of_no_size_are_refused(model, count, length):
    with pytest.raises(ValueError, match=f"{count} samples of length {length}; wanted"):
        model.sample(count, length)


def test_samples_follow_their_generator(model):
    one, same, other = (
        model.sample(3, generator=torch.Generator().manual_seed(seed)).x_BT for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_prior_of_the_model_is_its_parts(model):
    draw = draw_sample(torch.Generator().manual_seed(0))
    drawn = model.sample_prior(2000, 2, draw)
    # N(0, I) both, and so is the first dynamic code: 4 standard errors
    for code in (drawn.static_BD, drawn.dynamic_BTD[:, 0]):
        assert code.mean(0).abs().max() < 4 / 2000**0.5
        assert (code.std(0) - 1).abs().max() < 4 / 4000**0.5


# -- swaps ------------------------------------------------------------------------------------


def test_swap_with_itself_is_its_reconstruction(model, clips):
    swapped = model.swap(clips, clips)
    assert isinstance(swapped, Swap)
    torch.testing.assert_close(swapped.x_BT, model.reconstruct(clips).x_hat_BT)


def test_swap_takes_the_static_code_of_the_first_and_the_motion_of_the_second(model, clips):
    other = clips.flip(0)
    codes = Latents(model.encode(clips).static.mean, model.encode(other).dynamic.mean)
    wanted = model.decode(codes)
    torch.testing.assert_close(model.swap(clips, other).x_BT, wanted)


def test_swap_is_as_long_as_the_motion(model, clips):
    assert model.swap(clips, clips[:, :2]).x_BT.shape == (5, 2, *SHAPE)


def test_swap_of_unequal_batches_is_refused(model, clips):
    with pytest.raises(ValueError, match="5 sequences give static codes and 3 give motion"):
        model.swap(clips, clips[:3])


@pytest.mark.parametrize("shape", [(5, 4, 1, 12, 9), (5, 4, 3, 9, 12), (4, 1, 9, 12), (5, 4, 108)])
@pytest.mark.parametrize("verb", ["encode", "reconstruct", "swap", "forward"])
def test_frames_of_another_shape_are_refused_with_got_and_wanted(model, shape, verb):
    x = torch.rand(shape)
    more = {"swap": (x,), "forward": (torch.full((shape[0],), shape[1]), None)}.get(verb, ())
    got = r"\(" + ", ".join(map(str, shape[2:])) + r",?\)"
    with pytest.raises(ValueError, match=rf"frames are {got} .*built for \[B, T, 1, 9, 12\]"):
        getattr(model, verb)(x, *more)


def test_vectors_go_the_whole_way(rwae):
    model, x = rwae(shape=(6,), bounded=False).eval(), torch.randn(5, 4, 6)
    assert model.reconstruct(x).x_hat_BT.shape == (5, 4, 6)
    assert model.sample(2, 9).x_BT.shape == (2, 9, 6)
    assert model.swap(x, x.flip(0)).x_BT.shape == (5, 4, 6)
    assert model(x, torch.full((5,), 4), None).x_hat_BK.shape == (5, 4, 6)


def test_padding_changes_neither_side_of_a_swap(model, clips):
    lengths = torch.tensor([2, 4, 1, 3, 4])
    true_BT = torch.arange(4) < lengths[:, None]
    other = torch.randint(0, 256, clips.shape, dtype=torch.uint8)
    dirty = torch.where(true_BT[:, :, None, None, None], clips, other)
    clean = model.swap(clips, clips, lengths, lengths).x_BT[true_BT]
    torch.testing.assert_close(model.swap(dirty, dirty, lengths, lengths).x_BT[true_BT], clean)
    without_lengths = model.swap(dirty, dirty).x_BT[true_BT]
    assert not torch.allclose(without_lengths, model.swap(clips, clips).x_BT[true_BT])
