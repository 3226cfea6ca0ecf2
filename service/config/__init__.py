"""The configuration: its keys and bounds, where they come from, and what a reload changes."""
