"""The property kit: what must hold of a component, tried on examples until one breaks it.

For those who write plugins. In a test file:

    from genzoo_rwae.testing import check_penalty
    from my_plugin import my_penalty

    def test_my_penalty() -> None:
        check_penalty(my_penalty, claims={"symmetric", "nonnegative"}, power=1.0)

Or `genzoo check --plugin my_plugin.py`, which runs the kit on all that a file brings. What fails is
shown on the smallest example that was found, with what was found and what was wanted there.

Examples are drawn by hypothesis, the same ones at every run.
"""

try:
    import hypothesis  # noqa: F401
except ImportError as error:
    from genzoo_rwae.testing.extra import MissingExtraError

    raise MissingExtraError from error

from genzoo_rwae.testing import oracle
from genzoo_rwae.testing.augmentations import check_augmentation
from genzoo_rwae.testing.conformance import KITS, examine
from genzoo_rwae.testing.costs import check_cost
from genzoo_rwae.testing.estimators import Estimator, check_estimator
from genzoo_rwae.testing.extra import MissingExtraError
from genzoo_rwae.testing.findings import Finding, PropertyError, Report
from genzoo_rwae.testing.kernels import check_kernel
from genzoo_rwae.testing.nets import (
    check_action_head,
    check_decoder,
    check_dynamic_head,
    check_encoder,
    check_frame_decoder,
    check_frame_encoder,
    check_static_head,
)
from genzoo_rwae.testing.penalties import check_penalty
from genzoo_rwae.testing.priors import check_prior
from genzoo_rwae.testing.strategies import (
    Pair,
    laws,
    lengths,
    pairs_of_categoricals,
    pairs_of_laws,
    pairs_of_samples,
    samples,
    weights,
)

__all__ = [
    "KITS",
    "Estimator",
    "Finding",
    "MissingExtraError",
    "Pair",
    "PropertyError",
    "Report",
    "check_action_head",
    "check_augmentation",
    "check_cost",
    "check_decoder",
    "check_dynamic_head",
    "check_encoder",
    "check_estimator",
    "check_frame_decoder",
    "check_frame_encoder",
    "check_kernel",
    "check_penalty",
    "check_prior",
    "check_static_head",
    "examine",
    "laws",
    "lengths",
    "oracle",
    "pairs_of_categoricals",
    "pairs_of_laws",
    "pairs_of_samples",
    "samples",
    "weights",
]
