"""A client on another host: two network namespaces joined by a cable, with CURVE and without.

A part of `bench_scale`. The namespaces run this file: `near` has feed and service and asks `far` to
measure in turn with itself.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import zmq
from bench_load import Publisher, Service, one_client, request_body, wait_until_scored
from usual_model import publish_model

from protocol.curve import CurveKeys

TICKS_PER_S = 2_000
NEAR, FAR = "scorer-near", "scorer-far"
NEAR_IP, FAR_IP = "10.197.61.1", "10.197.61.2"
OPEN, ENCRYPTED = f"tcp://{NEAR_IP}:5571", f"tcp://{NEAR_IP}:5573"
LOCAL = "tcp://127.0.0.1:5572"

Rows = dict[str, list[float]]


def percentiles(times_us: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    p50, p99 = np.percentile(times_us, (50, 99)).tolist()
    return p50, p99


def run(*command: str) -> None:
    subprocess.run(command, check=True)


@contextmanager
def two_hosts() -> Iterator[None]:
    """Two network namespaces joined by a cable (veth)."""
    for name in (NEAR, FAR):
        subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)
        run("ip", "netns", "add", name)
    try:
        cable = ("type", "veth", "peer", "far0", "netns", FAR)
        run("ip", "link", "add", "near0", "netns", NEAR, *cable)
        for name, link, address in ((NEAR, "near0", NEAR_IP), (FAR, "far0", FAR_IP)):
            there = ("ip", "-n", name)
            run(*there, "link", "set", "lo", "up")
            run(*there, "address", "add", f"{address}/24", "dev", link)
            run(*there, "link", "set", link, "up")
        yield
    finally:
        for name in (NEAR, FAR):
            run("ip", "netns", "del", name)


def hosts(given: argparse.Namespace, folder: Path) -> None:
    """Feed and service on one host, the client on another, and on the same one beside it."""
    if os.geteuid():
        print("\nhosts: left out, network namespaces take root")
        return
    publish_model(folder / "models")
    keygen = [sys.executable, "-m", "service", "keygen", "--name", "far", str(folder / "keys")]
    subprocess.run(keygen, check=True, stdout=subprocess.DEVNULL)
    with two_hosts():
        inside("near", folder, given.requests, given.rounds)


def inside(side: str, folder: Path, requests: int, rounds: int = 1) -> str:
    """Run this file in a namespace; what it printed."""
    namespace = NEAR if side == "near" else FAR
    command = ["ip", "netns", "exec", namespace, sys.executable, __file__]
    arguments = [side, str(folder), str(requests), str(rounds)]
    output = subprocess.PIPE if side == "far" else None
    done = subprocess.run([*command, *arguments], check=True, stdout=output, text=True)
    return done.stdout or ""


def near(place: Path, requests: int, rounds: int) -> None:
    """Serve openly and encrypted; measure here and on the other host in turn."""
    keys = place / "keys"
    models = {"MODEL_DIRECTORY": str(place / "models")}
    with Publisher() as feed, ExitStack() as stack:
        stack.enter_context(
            Service(place / "open", feed.address, **models,
                    SCORE_BIND=OPEN, SCORE_ALLOW_INSECURE="true")
        )  # fmt: skip
        stack.enter_context(
            Service(place / "curve", feed.address, **models,
                    SCORE_BIND=f'["{LOCAL}", "{ENCRYPTED}"]',
                    CURVE_SERVER_SECRET_FILE=str(keys / "server.key"),
                    CURVE_CLIENTS_DIR=str(keys / "clients"))
        )  # fmt: skip
        time.sleep(1.0)
        feed.warm()
        for address in (OPEN, LOCAL):
            wait_until_scored(address)
        feed.rate(TICKS_PER_S)
        rows: Rows = {}
        for _ in range(rounds):
            rows.setdefault("same host, plain", []).extend(one_client(LOCAL, requests))
            for name, times in json.loads(inside("far", place, requests)).items():
                rows.setdefault(name, []).extend(times)
    print(f"\nhosts: {TICKS_PER_S:,} ticks/s; a cable without delay between two namespaces")
    base50, base99 = percentiles(rows["same host, plain"])
    for name, times in rows.items():
        p50, p99 = percentiles(times)
        print(
            f"{name:20}{p50:8,.0f} us p50 {p50 / base50:5.2f}x"
            f"{p99:9,.0f} us p99 {p99 / base99:5.2f}x"
        )


def far(folder: Path, requests: int) -> Rows:
    """Round trips over the cable, with keys and without. Ends where a stranger is answered."""
    found: Rows = {"other host, plain": one_client(OPEN, requests)}
    keys = CurveKeys.read(folder / "keys" / "server.pub", folder / "keys" / "far.key")
    found["other host, CURVE"] = one_client(ENCRYPTED, requests, keys)
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.connect(ENCRYPTED)
        socket.send(request_body(0))
        if socket.poll(300):
            raise SystemExit("a stranger without a key was answered")
    return found


if __name__ == "__main__":
    mp.set_start_method("spawn")
    side_, folder_, requests_, rounds_ = sys.argv[1:]
    if side_ == "near":
        near(Path(folder_), int(requests_), int(rounds_))
    else:
        print(json.dumps(far(Path(folder_), int(requests_))))
