"""The ten market features: per-symbol state in, values in the schema's order out.

`bars` and `windows` hold the state, `correlation` compares symbols.
"""
