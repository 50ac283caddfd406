"""Data sources: real, rendered, procedural, and the user's own."""
