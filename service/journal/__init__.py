"""The journal: one SQLite file with its spool, written by one process alone, read by anyone."""
