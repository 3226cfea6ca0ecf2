"""The monitor: the served model held against its promise."""
