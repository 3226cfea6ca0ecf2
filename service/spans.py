"""Lengths of time for modules that share nothing else."""

DAY_S = 86_400.0
