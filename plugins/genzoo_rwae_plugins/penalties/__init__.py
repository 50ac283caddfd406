"""Divergences between aggregated posteriors and priors."""
