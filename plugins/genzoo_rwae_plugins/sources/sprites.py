"""The Sprites benchmark: dressed characters that walk, cast spells and slash.

Shapes: B batch, T time, N characters, C H W frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData, Split
from genzoo_rwae_plugins.sources.batches import (
    batch_of_equal_lengths,
    checked_indices,
    frames_first_channels,
)
from genzoo_rwae_plugins.sources.places import cache_folder, data_folder
from genzoo_rwae_plugins.sources.sprite_sheets import (
    ACTIONS,
    CHARACTERS,
    LAYERS,
    STEPS,
    VARIANTS,
    frames_of,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["sprites"]

_SPLIT_SEED = 423  # of the benchmark's authors
_TRAIN_CHARACTERS = 1000


_LICENCE = (
    "Sprites: Liberated Pixel Cup art by Stephen Challener (Redshrike), Johannes Sjölund, Marcel "
    "van de Steeg, Nila122, Shaun Williams, Matthew Krohn, Thane Brimhall, Manuel Riecke, "
    "JaidynReiman and Joe White, dual-licensed CC BY-SA 3.0 and GPL 3.0; data set by Li and Mandt "
    "(2018). Renderings carry the same licence."
)


@source("sprites")
def sprites(
    split: Split,
    /,
    *,
    root: Path | None = None,
    cache: Path | None = None,
    validation: Annotated[int, Field(ge=0, lt=_TRAIN_CHARACTERS)] = 50,
    checksum: Literal["published", "none"] = "published",
) -> SequenceData:
    """Sprites benchmark: 1,296 dressed characters in 9 actions, 8 frames of 64x64x3.

    Rendered once from the layer sheets (seconds) and kept as an array of 1.1 GB, which is then
    memory-mapped. train and validation share the benchmark's 1,000 training characters (9,000
    sequences), test is its 296 others (2,664). Factors: `body`, `bottom`, `top`, `hair` (static)
    and `action` (dynamic). Every draw is the same.

    Args:
        root: the folder layers of github.com/YingzhenLi/Sprites; by default sprites/layers within
            GENZOO_DATA.
        cache: folder of the rendered array; by default genzoo-rwae in XDG_CACHE_HOME or ~/.cache.
        validation: how many of the 1,000 training characters are held out for validation.
        checksum: published refuses frames that differ from the benchmark's by a single byte;
            none is for layers of one's own (13 square cells a row, of any size).

    Raises:
        DataError: a layer is missing or damaged, the frames are not the published ones, or the
            cache cannot be written.

    Source: Li and Mandt, "Disentangled sequential autoencoder", ICML 2018, arXiv 1803.02991.
        Layers: Liberated Pixel Cup, CC BY-SA 3.0 or GPL 3.0.
    """
    folder = data_folder(root, source="sprites", within="sprites/layers")
    frames = frames_of(folder, cache_folder(cache), check=checksum == "published")
    return _Sprites(frames, _characters_of(split, validation))


class _Sprites(SequenceData):
    """One split: sequence `character x 9 + action` of its characters."""

    def __init__(self, frames: np.ndarray, characters_N: np.ndarray) -> None:
        self._frames = frames
        self._characters_N = characters_N
        side = frames.shape[3]
        self.info = DataInfo(
            frame_shape=(3, side, side),
            length=STEPS,
            bounded=True,
            licence=_LICENCE,
            factors=(
                *(
                    Factor(name, tuple(str(k) for k in range(VARIANTS)), "static")
                    for name in ("body", "bottom", "top", "hair")
                ),
                Factor("action", ACTIONS, "dynamic"),
            ),
        )

    def __len__(self) -> int:
        return len(self._characters_N) * len(ACTIONS)

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        indices_B = checked_indices(indices_B, len(self))
        characters_B, actions_B = self._place(indices_B)
        labels = np.unravel_index(characters_B, (VARIANTS,) * len(LAYERS))
        names = (factor.name for factor in self.info.factors)
        factors = dict(zip(names, (*labels, actions_B), strict=True))
        x_BT = frames_first_channels(self._frames[characters_B, actions_B])
        return batch_of_equal_lengths(x_BT, indices_B, factors)

    def recombine(self, static_B: np.ndarray, dynamic_B: np.ndarray, /) -> Tensor:
        """The characters of `static_B` in the actions of `dynamic_B`."""
        characters_B, _ = self._place(checked_indices(static_B, len(self)))
        _, actions_B = self._place(checked_indices(dynamic_B, len(self)))
        return frames_first_channels(self._frames[characters_B, actions_B])

    def _place(self, indices_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        places_B, actions_B = np.divmod(indices_B, len(ACTIONS))
        return self._characters_N[places_B], actions_B


def _characters_of(split: Split, validation: int) -> np.ndarray:
    order_N = np.random.RandomState(_SPLIT_SEED).permutation(CHARACTERS)
    train = _TRAIN_CHARACTERS - validation
    bounds = {
        "train": slice(0, train),
        "validation": slice(train, _TRAIN_CHARACTERS),
        "test": slice(_TRAIN_CHARACTERS, None),
    }
    return order_N[bounds[split]]


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield sprites
