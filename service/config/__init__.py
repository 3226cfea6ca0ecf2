"""The configuration: its keys and bounds, and where they come from."""
