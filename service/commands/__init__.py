"""The command line by group: what runs, what asks, what watches, what keeps.

Importing a module here adds its commands to `root.cli`. Heavy modules are imported by the
command that needs them, so that --help and completion are quick.
"""
