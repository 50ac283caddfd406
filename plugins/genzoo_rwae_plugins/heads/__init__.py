"""Heads: features to posteriors of the codes."""
