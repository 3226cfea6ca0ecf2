"""`top` and `status`: the service on one screen, asked like any client and read beside it.

`look` gathers, `trend` compares with what was seen before, `blocks` and `frame` draw without
asking anything, `screen` keeps it up to date.
"""
