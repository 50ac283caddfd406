"""Tensor maths of genzoo-rwae: kernels, distances, the maximum mean discrepancy, attention.

Functions of tensors, with no knowledge of models, specs or plugins. Float64 loops to test them
(and yours) against are in `genzoo_rwae_kernels.oracle`.
"""

from genzoo_rwae_kernels.algebra import (
    Product,
    RadialProduct,
    RadialSum,
    Sum,
    kernel_product,
    kernel_sum,
)
from genzoo_rwae_kernels.attention import attention, rotary
from genzoo_rwae_kernels.bandwidth import median_squared_distance, scale_ladder
from genzoo_rwae_kernels.blocks import (
    mmd2_block,
    mmd2_block_variance,
    mmd2_linear,
    mmd2_linear_variance,
)
from genzoo_rwae_kernels.conv_lstm import ConvLstmCell
from genzoo_rwae_kernels.distances import squared_distances
from genzoo_rwae_kernels.halving import doubling_convolution, halving_convolution
from genzoo_rwae_kernels.inner_products import Linear, Polynomial
from genzoo_rwae_kernels.kinked import Energy, Laplacian, Matern
from genzoo_rwae_kernels.mmd import Kernel, mmd2_biased, mmd2_unbiased
from genzoo_rwae_kernels.normalisation import batch_norm, group_norm
from genzoo_rwae_kernels.radial import (
    WAE_SCALES,
    Imq,
    Radial,
    RationalQuadratic,
    Rbf,
    ScaleMixture,
)
from genzoo_rwae_kernels.random_features import mmd2_random_features
from genzoo_rwae_kernels.shares import mmd2_unbiased_part
from genzoo_rwae_kernels.two_sample import TwoSampleTest, two_sample_test

__all__ = [
    "WAE_SCALES",
    "ConvLstmCell",
    "Energy",
    "Imq",
    "Kernel",
    "Laplacian",
    "Linear",
    "Matern",
    "Polynomial",
    "Product",
    "Radial",
    "RadialProduct",
    "RadialSum",
    "RationalQuadratic",
    "Rbf",
    "ScaleMixture",
    "Sum",
    "TwoSampleTest",
    "attention",
    "batch_norm",
    "doubling_convolution",
    "group_norm",
    "halving_convolution",
    "kernel_product",
    "kernel_sum",
    "median_squared_distance",
    "mmd2_biased",
    "mmd2_block",
    "mmd2_block_variance",
    "mmd2_linear",
    "mmd2_linear_variance",
    "mmd2_random_features",
    "mmd2_unbiased",
    "mmd2_unbiased_part",
    "rotary",
    "scale_ladder",
    "squared_distances",
    "two_sample_test",
]
