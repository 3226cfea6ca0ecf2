"""Vectors and paper outcomes of signals that were never scored live, from what was recorded.

The engine is the service's own, and what comes out is a journal of its own, whose signals
may train and never evaluate. A market is cut into pieces, one a symbol and day with signals;
each piece holds all that its signals can see, so that pieces run anywhere, in any order, and
give the same bits as one engine that reads everything. `pieces` says why that is so.
"""
