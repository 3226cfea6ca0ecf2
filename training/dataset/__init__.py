"""Scores and outcomes joined to samples, every exclusion counted."""
