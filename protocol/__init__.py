"""What Elite Guard, the service and the trainer agree on: messages, feed, features, model manifest.

Depends on pyzmq, msgpack and msgspec only and keeps to Python 3.10, so that a caller
can install it lightly. Nothing here reads a file or, but for the client, opens a socket.
"""

__version__ = "0.1.0"
