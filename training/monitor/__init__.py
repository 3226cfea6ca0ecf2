"""The monitor: the served model held against its promise, and what the operator was told of it."""
