"""Nets over the steps of a sequence, which encoders, heads and decoders share."""
