"""Files and folders, written whole, read without being led astray, held by one process."""
