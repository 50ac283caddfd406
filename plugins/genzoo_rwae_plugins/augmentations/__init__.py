"""Augmentations: changes of sequences that the codes of motion must not tell."""
