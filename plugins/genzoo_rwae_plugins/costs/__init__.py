"""Reconstruction costs."""
