"""Nets on single frames, encoding and decoding."""
