"""Recordings: of every input of the engine, and of markets; written, read and played again."""
