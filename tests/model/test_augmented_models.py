"""Every augmentation in a model, on frames that it takes; the static encoder never sees it.

Shapes: B batch, T time.
"""

import pytest
import torch

from genzoo_rwae.assemble import assemble
from genzoo_rwae.errors import OptionError, SpecError
from genzoo_rwae.sequences import DataInfo
from genzoo_rwae.spec import load_spec
from genzoo_rwae.zoo import Zoo

ZOO = Zoo(use_entry_points=False)
SPEC = """\
genzoo: 1
name: augmented
data: {use: moving-shapes, batch: 4}
model:
  use: rwae
  encoder: {use: frame, frames: {use: mlp, hidden: 8, width: 6}}
  static: {size: 3, head: {use: pooled, hidden: 8}}
  dynamic: {size: 2, head: {use: lstm, hidden: 8}, prior: {use: lstm, hidden: 5}}
  decoder: {use: frame, hidden: 8, frames: {use: mlp, hidden: 8}}
objective:
  static: {use: mmd}
  dynamic: {use: mmd}
train: {steps: 2}
"""
FRAMES = ((3, 8, 8), (1, 8, 8), (6,))


@pytest.fixture
def assembled(tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC)

    def make(frame_shape, *settings, missing=False):
        info = DataInfo(frame_shape, 4, len(frame_shape) == 3, missing=missing)
        spec = load_spec(tmp_path / "spec.yaml", zoo=ZOO, settings=settings)
        return assemble(spec, info)

    return make


def combinations():
    for name in ZOO.names("augmentation"):
        build = ZOO.find("augmentation", name).component.build
        for frame_shape in FRAMES:
            try:
                build(torch.rand(1, 2, *frame_shape), None)
            except OptionError:
                yield name, frame_shape, False
            else:
                yield name, frame_shape, True


TAKEN = [(name, shape) for name, shape, taken in combinations() if taken]
REFUSED = [(name, shape) for name, shape, taken in combinations() if not taken]
GENERATOR = torch.Generator()


def test_every_augmentation_takes_some_frames():
    assert {name for name, _ in TAKEN} == set(ZOO.names("augmentation"))


@pytest.mark.parametrize(("name", "frame_shape"), TAKEN)
@pytest.mark.parametrize("missing", [False, True])
def test_an_augmentation_trains_in_the_usual_model(assembled, name, frame_shape, missing):
    made = assembled(frame_shape, f"model.dynamic.augment=[{name}]", missing=missing)
    model, objective = made.model, made.objective
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(2):
        x_BT = torch.rand(4, 4, *frame_shape, generator=GENERATOR.manual_seed(step))
        if missing:
            x_BT[0, 1] = torch.nan
        generator = torch.Generator().manual_seed(step)
        passed = model(x_BT, torch.full((4,), 4), generator)
        terms = objective(passed, model, progress=0.5, generator=generator)
        optimizer.zero_grad()
        terms.loss.backward()
        for parameter, value in model.named_parameters():
            assert value.grad is not None, parameter
            assert value.grad.isfinite().all(), parameter
        optimizer.step()
    for parameter, value in model.named_parameters():
        assert value.isfinite().all(), parameter


@pytest.mark.parametrize(("name", "frame_shape"), REFUSED)
def test_frames_that_it_does_not_take_are_refused_before_training(assembled, name, frame_shape):
    fits = next(other for other, shape in TAKEN if shape == frame_shape)
    with pytest.raises(SpecError, match=f"{name} wants") as caught:
        assembled(frame_shape, f"model.dynamic.augment=[{fits}, {name}]")
    assert caught.value.problems[0].path == "model.dynamic.augment[1]"


@pytest.mark.parametrize(("name", "frame_shape"), TAKEN)
def test_it_changes_what_the_motion_encoder_sees_in_training_alone(assembled, name, frame_shape):
    plain = assembled(frame_shape).model
    model = assembled(frame_shape, f"model.dynamic.augment=[{name}]").model
    for one, other in zip(plain.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)  # its trial at assembly drew nothing that weights draw
    x_BT = 0.1 + torch.rand(8, 4, *frame_shape, generator=GENERATOR.manual_seed(0))
    lengths_B = torch.full((8,), 4)

    def codes(of):
        return of(x_BT, lengths_B, torch.Generator().manual_seed(1)).codes

    assert torch.equal(codes(model).static.posterior.mean, codes(plain).static.posterior.mean)
    assert not torch.equal(codes(model).dynamic.posterior.mean, codes(plain).dynamic.posterior.mean)
    for each in (plain, model):
        each.eval()
    assert torch.equal(codes(model).dynamic.posterior.mean, codes(plain).dynamic.posterior.mean)
