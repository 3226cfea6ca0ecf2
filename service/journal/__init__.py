"""The journal: one SQLite file with its spool, written by the service alone, read by anyone."""
