"""genzoo-rwae: a zoo of disentangling sequence models, assembled from registered parts.

>>> import genzoo_rwae as gz
>>> model = gz.build("spec.yaml")             # doctest: +SKIP
>>> model = gz.load("runs/my-run")            # doctest: +SKIP
>>> model.swap(clips_a, clips_b).x_BT.shape   # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genzoo_rwae.adversarial import AdversarialPenalty as AdversarialPenalty
    from genzoo_rwae.codes import ActionCode as ActionCode
    from genzoo_rwae.codes import Categorical as Categorical
    from genzoo_rwae.codes import Codes as Codes
    from genzoo_rwae.codes import DiagonalGaussian as DiagonalGaussian
    from genzoo_rwae.codes import DrawnCodes as DrawnCodes
    from genzoo_rwae.codes import DynamicCode as DynamicCode
    from genzoo_rwae.codes import DynamicPrior as DynamicPrior
    from genzoo_rwae.codes import Latents as Latents
    from genzoo_rwae.codes import Paths as Paths
    from genzoo_rwae.codes import StaticCode as StaticCode
    from genzoo_rwae.codes import StaticPrior as StaticPrior
    from genzoo_rwae.components import Use as Use
    from genzoo_rwae.components import action_head as action_head
    from genzoo_rwae.components import augmentation as augmentation
    from genzoo_rwae.components import cost as cost
    from genzoo_rwae.components import decoder as decoder
    from genzoo_rwae.components import dynamic_head as dynamic_head
    from genzoo_rwae.components import encoder as encoder
    from genzoo_rwae.components import frame_decoder as frame_decoder
    from genzoo_rwae.components import frame_encoder as frame_encoder
    from genzoo_rwae.components import hookimpl as hookimpl
    from genzoo_rwae.components import judge as judge
    from genzoo_rwae.components import kernel as kernel
    from genzoo_rwae.components import metric as metric
    from genzoo_rwae.components import model as model
    from genzoo_rwae.components import optimizer as optimizer
    from genzoo_rwae.components import penalty as penalty
    from genzoo_rwae.components import prior as prior
    from genzoo_rwae.components import schedule as schedule
    from genzoo_rwae.components import source as source
    from genzoo_rwae.components import static_head as static_head
    from genzoo_rwae.components import tracker as tracker
    from genzoo_rwae.draws import normal_draws as normal_draws
    from genzoo_rwae.draws import shared_draws as shared_draws
    from genzoo_rwae.draws import uniform_draws as uniform_draws
    from genzoo_rwae.errors import CheckpointError as CheckpointError
    from genzoo_rwae.errors import DataError as DataError
    from genzoo_rwae.errors import GenzooError as GenzooError
    from genzoo_rwae.errors import OptionError as OptionError
    from genzoo_rwae.errors import PluginError as PluginError
    from genzoo_rwae.errors import RunError as RunError
    from genzoo_rwae.errors import SpecError as SpecError
    from genzoo_rwae.evaluation import Figure as Figure
    from genzoo_rwae.evaluation import Judge as Judge
    from genzoo_rwae.evaluation import Verdict as Verdict
    from genzoo_rwae.padding import mean_of_steps as mean_of_steps
    from genzoo_rwae.padding import true_steps as true_steps
    from genzoo_rwae.run import build as build
    from genzoo_rwae.run import evaluate as evaluate
    from genzoo_rwae.run import load as load
    from genzoo_rwae.sequence_model import Encoding as Encoding
    from genzoo_rwae.sequence_model import Reconstruction as Reconstruction
    from genzoo_rwae.sequence_model import Samples as Samples
    from genzoo_rwae.sequence_model import SequenceModel as SequenceModel
    from genzoo_rwae.sequence_model import Swap as Swap
    from genzoo_rwae.sequences import Batch as Batch
    from genzoo_rwae.sequences import DataInfo as DataInfo
    from genzoo_rwae.sequences import Display as Display
    from genzoo_rwae.sequences import EpochOrder as EpochOrder
    from genzoo_rwae.sequences import Factor as Factor
    from genzoo_rwae.sequences import SequenceData as SequenceData
    from genzoo_rwae.sequences import Sound as Sound
    from genzoo_rwae.spec import load_spec as load_spec
    from genzoo_rwae.zoo import Zoo as Zoo

__version__ = "0.1.0"

# imported when first asked for: `genzoo list` must not wait for torch
_HOMES = {
    "adversarial": ("AdversarialPenalty",),
    "codes": (
        "ActionCode", "Categorical", "Codes", "DiagonalGaussian", "DrawnCodes", "DynamicCode",
        "DynamicPrior", "Latents", "Paths", "StaticCode", "StaticPrior",
    ),
    "components": (
        "Use", "action_head", "augmentation", "cost", "decoder", "dynamic_head", "encoder",
        "frame_decoder", "frame_encoder", "hookimpl", "judge", "kernel", "metric", "model",
        "optimizer", "penalty", "prior", "schedule", "source", "static_head", "tracker",
    ),
    "draws": ("normal_draws", "shared_draws", "uniform_draws"),
    "errors": (
        "CheckpointError", "DataError", "GenzooError", "OptionError", "PluginError", "RunError",
        "SpecError",
    ),
    "evaluation": ("Figure", "Judge", "Verdict"),
    "padding": ("mean_of_steps", "true_steps"),
    "run": ("build", "evaluate", "load"),
    "sequence_model": ("Encoding", "Reconstruction", "Samples", "SequenceModel", "Swap"),
    "sequences": (
        "Batch", "DataInfo", "Display", "EpochOrder", "Factor", "SequenceData", "Sound",
    ),
    "spec": ("load_spec",),
    "zoo": ("Zoo",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'genzoo_rwae' has no attribute '{name}'")
    # the module itself stays reachable under names that it shares with a function in it
    value = getattr(import_module(f"genzoo_rwae.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
