"""Paper positions: every scored signal with levels, followed to its end."""
