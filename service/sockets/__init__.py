"""The sockets: how they are set, where they may be bound, who is let in, what waits to be read."""
