"""Made-up models and data whose answers are known.

Shapes: B batch, N sequences, T time, D code width; frames are vectors.
"""

from dataclasses import dataclass, field

import pytest
import torch

from genzoo_rwae.codes import Codes, DiagonalGaussian, DynamicCode, StaticCode
from genzoo_rwae.evaluation import Splits
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData


class Told(SequenceModel):
    """A model whose codes and frames are given functions of the data."""

    def __init__(self, info, /, static, dynamic, decode=None, sd=1e-3):
        super().__init__(info)
        self.anchor = torch.nn.Parameter(torch.zeros(()))  # a device to be on
        self.static, self.dynamic, self.decoded, self.sd = static, dynamic, decode, sd

    def infer(self, x_BT, lengths_B, draw):
        static, dynamic = (self._law(mean(x_BT)) for mean in (self.static, self.dynamic))
        return Codes(
            StaticCode(draw(static), static, static),
            DynamicCode(draw(dynamic), dynamic, dynamic, dynamic.mean),
        )

    def decode(self, latents):
        return self.decoded(latents.static_BD, latents.dynamic_BTD)

    def sample_prior(self, count, length, draw, action_BA=None):
        raise NotImplementedError

    def _law(self, mean):
        spread = torch.full((), self.sd).log().mul(2)
        return DiagonalGaussian(mean, spread.expand_as(mean))


@dataclass
class Rows(SequenceData):
    """Sequences of vectors [N, T, F] and their labels."""

    x_NT: torch.Tensor
    labels: dict = field(default_factory=dict)
    factors: tuple = ()
    lengths_N: torch.Tensor | None = None
    recordings_N: torch.Tensor | None = None

    def __post_init__(self):
        self.info = DataInfo(tuple(self.x_NT.shape[2:]), self.x_NT.shape[1], False, self.factors)
        if self.lengths_N is None:
            self.lengths_N = torch.full((len(self.x_NT),), self.x_NT.shape[1])

    def __len__(self):
        return len(self.x_NT)

    def take(self, indices_B, /, *, draw=0):
        i = torch.as_tensor(indices_B)
        labels = {name: labels_N[i] for name, labels_N in self.labels.items()}
        return Batch(self.x_NT[i], self.lengths_N[i], i, labels)

    def groups(self, indices_B, /):
        return None if self.recordings_N is None else self.recordings_N[indices_B].numpy()


WHO = Factor("who", ("a", "b", "c", "d"), "static")
WAY = Factor("way", ("x", "y"), "dynamic")


def rows(count, seed):
    """Four identities in the first number, two ways to move in the second; the third is noise."""
    generator = torch.Generator().manual_seed(seed)
    who_N, way_N = torch.arange(count) % 4, torch.arange(count) // 4 % 2
    x_NT3 = 0.1 * torch.randn(count, 4, 3, generator=generator)
    x_NT3[..., 0] += who_N[:, None]
    x_NT3[..., 1] += 3 * (2 * way_N[:, None] - 1) * (1 + torch.arange(4))
    return Rows(x_NT3, {"who": who_N, "way": way_N}, (WHO, WAY))


@dataclass(frozen=True)
class MadeUp:
    """What tests build their cases from."""

    rows = staticmethod(rows)
    Rows = Rows
    Told = Told

    def splits(self, make=rows, train=400, test=200):
        return Splits(make(train, 1), make(0, 2), make(test, 3))

    def perfect(self, splits, **more):
        """Who in the static code, the way in the dynamic ones, nothing else anywhere."""
        return Told(splits.test.info, lambda x: x[:, :, :1].mean(1), lambda x: x[..., 1:2], **more)

    def leaky(self, splits, **more):
        """Everything in both codes."""
        return Told(splits.test.info, lambda x: x.mean(1), lambda x: x, **more)


@pytest.fixture
def made_up():
    return MadeUp()
