"""One address for several services: a stock ROUTER/DEALER proxy. Needs nothing but pyzmq.

    python proxy.py tcp://127.0.0.1:5561 tcp://127.0.0.1:5571 tcp://127.0.0.1:5572

The first address is bound for the clients, the others are the services. Requests go to them in
turn; docs/scaling.md has its unit, and says what holds then and what does not.
"""

import sys

import zmq


def main(front_address: str, *service_addresses: str) -> None:
    """Hand requests out and replies back until it is ended."""
    context = zmq.Context()
    front, back = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    # Only services that are connected get requests: without it, one that is down gets its share.
    back.immediate = 1
    for socket in (front, back):
        # By the kernel, as the service does it: at heartbeats libzmq 4.3.5 may abort.
        socket.tcp_keepalive, socket.tcp_keepalive_idle = 1, 10
        socket.tcp_keepalive_intvl, socket.tcp_keepalive_cnt = 5, 4
        socket.tcp_maxrt = 30_000
        socket.reconnect_ivl, socket.reconnect_ivl_max = 100, 1_000
    # An IPv6 address has colons of its own.
    front.ipv6 = front_address.count(":") > 2
    front.bind(front_address)
    for address in service_addresses:
        back.ipv6 = address.count(":") > 2
        back.connect(address)
    zmq.proxy(front, back)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(f"{__doc__}")
    main(*sys.argv[1:])
