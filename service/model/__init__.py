"""A published model: read and verified, held as arrays, followed as the pointer moves; and the
history of the folder.
"""
