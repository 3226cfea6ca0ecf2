"""Scores and outcomes joined to samples, every exclusion counted; several journals as one, and what
models answered live.
"""
