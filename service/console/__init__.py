"""What people and scripts see of the commands: words, numbers, progress, exit codes, streams."""
