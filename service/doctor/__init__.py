"""`doctor`: looks at everything that the service stands on, and says what to do about it.

The rule: it looks and changes nothing, whether or not the service runs; each finding names what
is wrong, with what, and what to do. `examine` runs the checks, one module for each subject.
"""
