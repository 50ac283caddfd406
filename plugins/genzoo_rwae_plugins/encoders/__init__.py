"""Encoders: frames to features per step."""
