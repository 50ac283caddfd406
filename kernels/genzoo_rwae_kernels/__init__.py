"""Tensor maths of genzoo-rwae: kernels, distances and the maximum mean discrepancy.

Functions of tensors, with no knowledge of models, specs or plugins. Float64 loops to test them
(and yours) against are in `genzoo_rwae_kernels.oracle`.
"""

from genzoo_rwae_kernels.distances import squared_distances
from genzoo_rwae_kernels.mmd import Kernel, mmd2_biased, mmd2_unbiased
from genzoo_rwae_kernels.radial import WAE_SCALES, Imq, Radial, Rbf, ScaleMixture

__all__ = [
    "WAE_SCALES",
    "Imq",
    "Kernel",
    "Radial",
    "Rbf",
    "ScaleMixture",
    "mmd2_biased",
    "mmd2_unbiased",
    "squared_distances",
]
