"""Kernels that a spec can name."""
