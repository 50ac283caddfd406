"""Decoders: codes to frames."""
