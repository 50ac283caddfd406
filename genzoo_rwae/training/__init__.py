"""Training: loop, checkpoints, precision, order of the data."""
