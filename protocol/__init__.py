"""What Elite Guard, the service and the trainer agree on: messages, feed, features, model manifest.

Depends on pyzmq, msgpack and msgspec only and keeps to Python 3.10, so that a caller
can install it lightly. Messages, feed, features and manifest are values; sockets, key files and
the trainer's process belong to the clients and to `compat`.
"""

__version__ = "0.1.0"
