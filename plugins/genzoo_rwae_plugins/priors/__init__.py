"""Priors of static and dynamic codes."""
