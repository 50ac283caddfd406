"""Float64 loops to compare with: the definitions, term by term, without tensors."""

from genzoo_rwae_kernels.oracle import (
    energy_pair,
    imq_pair,
    laplacian_pair,
    linear_pair,
    matern_pair,
    mmd2_blocks_by_loops,
    mmd2_by_loops,
    mmd2_linear_by_loops,
    polynomial_pair,
    rational_quadratic_pair,
    rbf_pair,
)

__all__ = [
    "energy_pair",
    "imq_pair",
    "laplacian_pair",
    "linear_pair",
    "matern_pair",
    "mmd2_blocks_by_loops",
    "mmd2_by_loops",
    "mmd2_linear_by_loops",
    "polynomial_pair",
    "rational_quadratic_pair",
    "rbf_pair",
]
