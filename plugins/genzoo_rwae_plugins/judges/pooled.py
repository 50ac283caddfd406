"""A classifier that asks what is there, wherever and whenever it is.

Shapes: B batch, T time, N true frames, F features, C H W an image.
"""

from __future__ import annotations

from collections.abc import Iterator

from einops import reduce
from pydantic import PositiveInt
from torch import Tensor, nn

from genzoo_rwae.components import hookimpl, judge
from genzoo_rwae.errors import OptionError
from genzoo_rwae.evaluation.judge import Verdict
from genzoo_rwae.padding import mean_of_steps, true_steps
from genzoo_rwae.sequences import DataInfo
from genzoo_rwae_plugins.judges.pieces import pieces

__all__ = ["PooledJudge"]

_HALVINGS = 3  # of the frame; with the last layer, a feature sees 38 pixels on a side
_HIDDEN = 256


@judge("pooled")
class PooledJudge(nn.Module):
    """What is there, wherever it is: features of an image's greatest response, their mean in time.

    Three 4x4 convolutions of stride 2 and one of 3x3, each with batch norm; of every channel the
    maximum over the frame, of these the mean over true steps, and of them a head per factor. What
    moves about need not be learnt at every place, and single frames are judged as sequences are;
    of order it knows nothing, so that it cannot tell movements apart.

    Args:
        channels: of the first layer; they double with every layer.
        shortest: in training, pieces of sequences are seen, from this many steps ...
        longest: ... to this many. Null: the whole.

    Raises:
        OptionError: frames are no images, or smaller than 8 pixels; or the shortest piece is longer
            than the longest.

    Source: Oquab et al., "Is object localization for free?", CVPR 2015, Sec. 3 (global maxima).
    """

    def __init__(
        self,
        info: DataInfo,
        /,
        *,
        channels: PositiveInt = 16,
        shortest: PositiveInt = 1,
        longest: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        depth, *sides = info.frame_shape
        if len(sides) != 2 or min(sides) < 2**_HALVINGS:
            raise OptionError(
                f"frames are {list(info.frame_shape)}; 'pooled' wants images [C, H, W] of "
                f"{2**_HALVINGS} pixels or more on a side: take the judge 'recurrent'"
            )
        if longest and longest < shortest:
            raise OptionError(
                f"pieces of {longest} steps at most, and of {shortest} at least; wanted a longest "
                "that is no shorter",
                option="longest",
            )
        self.shortest, self.longest = shortest, longest
        layers: list[nn.Module] = []
        before = depth
        for number in range(_HALVINGS + 1):
            after = channels * 2**number
            kernel = (4, 2, 1) if number < _HALVINGS else (3, 1, 1)
            convolution = nn.Conv2d(before, after, *kernel, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
            before = after
        self.frames = nn.Sequential(*layers)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(before, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, classes))
            for classes in (len(factor.classes) for factor in info.factors)
        )
        self.names = tuple(factor.name for factor in info.factors)

    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Verdict:
        """[B, T, C, H, W] to logits [B, K] of every factor; padding never reaches the net."""
        if self.training:
            x_BT, lengths_B = pieces(x_BT, lengths_B, self.shortest, self.longest)
        true_BT = true_steps(x_BT.shape[1], lengths_B)
        features_NF = reduce(self.frames(x_BT[true_BT]), "n f h w -> n f", "max")
        features_BTF = features_NF.new_zeros(*true_BT.shape, features_NF.shape[-1])
        features_BTF[true_BT] = features_NF
        clip_BF = mean_of_steps(features_BTF, lengths_B)
        logits = {n: head(clip_BF) for n, head in zip(self.names, self.heads, strict=True)}
        return Verdict(logits, clip_BF)


@hookimpl
def genzoo_judges() -> Iterator[object]:
    yield PooledJudge
