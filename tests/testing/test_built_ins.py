"""Every built-in component of a kind with a kit passes it, and so does the example plugin.

The components are those of the registry, whichever they are: a new one is tried without a word
here, and needs an entry only for what it claims, or for what need not hold of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from genzoo_rwae_kernels import Imq, Linear, Rbf

from genzoo_rwae import Zoo
from genzoo_rwae.components import options_of
from genzoo_rwae.errors import PluginError
from genzoo_rwae.testing import KITS, examine

EXAMPLES = Path(__file__).parents[2] / "examples" / "plugins"
SMALL = {
    "hidden": 8,
    "heads": 2,
    "channels": 2,
    "width": 6,
}  # options of these names, where a part has them

METRIC = {"symmetric", "nonnegative", "zero at equal samples", "shift invariant"}
# what is claimed of a component, and what need not hold of it, by kind and name
HOW: dict[tuple[str, str], dict[str, Any]] = {
    **{
        ("kernel", name): {"claims": {"shift invariant", "rotation invariant"}}
        for name in ("imq", "rbf", "rational-quadratic", "laplacian", "matern", "energy")
    },
    ("kernel", "linear"): {"claims": {"rotation invariant"}},
    ("kernel", "polynomial"): {"claims": {"rotation invariant"}},
    ("kernel", "sum"): {"of": (Imq(), Linear()), "weights": (0.5, 2.0)},
    ("kernel", "product"): {"of": (Rbf(), Linear())},
    **{
        (kind, "spectrogram"): {"frame_shapes": [(8,), (17,), (80,)]}
        for kind in ("frame-encoder", "frame-decoder")
    },
    **{
        ("augmentation", name): {"claims": {"still"}}
        for name in ("colour-jitter", "crop", "frequency-mask")
    },
    **{
        ("cost", name): {"claims": {"symmetric", "zero at truth"}}
        for name in ("absolute", "huber", "laplacian-pyramid", "squared-error")
    },
    ("prior", "iid"): {"exceptions": {"remembers"}},
    ("prior", "ex-post-lstm"): {"steps": 5},
    ("penalty", "aggregate-kl"): {"claims": {"shift invariant"}},
    ("penalty", "categorical-kl"): {
        "claims": {"nonnegative", "zero at equal samples", "shift invariant"}
    },
    ("penalty", "energy"): {"claims": {"symmetric", "shift invariant"}},
    ("penalty", "gan"): {"lr": 1e-2},
    ("penalty", "kl"): {"claims": {"nonnegative", "zero at equal samples", "shift invariant"}},
    ("penalty", "mmd"): {"claims": {"symmetric", "shift invariant"}},
    ("penalty", "moment-matching"): {"claims": METRIC},
    # its gradient is that of the optimum, to which its iterations have to come
    ("penalty", "sinkhorn"): {"claims": METRIC, "epsilon": 4.0, "iterations": 300},
    ("penalty", "sliced-wasserstein"): {"claims": METRIC},
}


def built_ins() -> list[tuple[str, str]]:
    zoo = Zoo(use_entry_points=False)
    return [(kind, name) for kind in KITS for name in zoo.names(kind)]


@pytest.mark.parametrize(("kind", "name"), built_ins(), ids=lambda word: word)
def test_a_built_in_passes_the_kit(kind: str, name: str) -> None:
    try:
        component = Zoo(use_entry_points=False).find(kind, name).component
    except PluginError as error:
        if "pip install" in str(error):
            pytest.skip(f"{kind} {name}: its extra is not installed")
        raise
    has = {option.name for option in options_of(component.build)}
    small = {key: value for key, value in SMALL.items() if key in has}
    report = examine(component, **{**small, **HOW.get((kind, name), {})})
    assert not report.failed, str(report)
    assert len(report.passed) >= 3


def test_a_biased_mmd_may_claim_more() -> None:
    mmd = Zoo(use_entry_points=False).find("penalty", "mmd").component
    claims = {"symmetric", "nonnegative", "zero at equal samples", "shift invariant"}
    report = examine(mmd, claims=claims, estimator="biased")
    assert not report.failed, str(report)


def test_the_example_plugin_passes_the_kit() -> None:
    file = EXAMPLES / "genzoo-sliced-wasserstein" / "genzoo_sliced_wasserstein.py"
    component = Zoo([str(file)], use_entry_points=False).find("penalty", "sliced-w2").component
    claims = {"symmetric", "nonnegative", "zero at equal samples"}
    report = examine(component, claims=claims, projections=16)
    assert not report.failed, str(report)
    assert len(report.passed) >= 13


def test_no_entry_is_of_a_component_that_is_gone() -> None:
    assert set(HOW) <= set(built_ins())
