"""Half an hour of everything at once against the real service; flat or not is the question.

    make soak        (scripts/soak.py --minutes 30)

A feed of 20 symbols at 500 ticks/s with bursts of 5,000 and a connection that breaks, two
steady clients, bursts of more requests than may wait, batches, clients that come, go and
misbehave, and another model of 150 trees every 20 s. Every ten seconds the process's memory,
descriptors and threads and the steady clients' p50 and p99 are noted. It prints each minute,
then the verdict (exit code 1 where one does not hold), and draws docs/images/soak.png.
Needs the extra `training`.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import queue
import statistics
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import soak_load as load  # noqa: E402
from harness import Service, free_port  # noqa: E402
from processes import cpu_s  # noqa: E402
from usual_model import grown, publish_grown  # noqa: E402

EVERY_S = 10.0
SWAP_EVERY_S = 20.0
GROWTH_LIMIT_MIB = 10.0
LATENCY_LIMIT = 1.5
"""Of the median, times what the machine's load grew by: it may not be ours alone."""
WORK_LIMIT = 1.25
LOST = ("burst lost", "twice", "not journalled", "retry unlike", "outcome lost")
MIB = 1024.0


def main() -> None:
    """Run, print, draw; exit code 1 where something is not flat."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--minutes", type=float, default=30.0, help="2 at the least")
    options.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "soak.png")
    given = options.parse_args()
    samples, counts = run(given.minutes * 60.0)
    held = verdict(samples, counts)
    draw(samples, given.out)
    sys.exit(0 if held else 1)


def run(seconds: float) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """(a sample for each EVERY_S, what all of the load counted)."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        publish = Publishing(Path(folder) / "models")
        publish.next()  # the model it starts with
        port = free_port()
        service = Service(Path(folder), FEED_ENDPOINTS=f"tcp://127.0.0.1:{port}")
        told: mp.Queue[load.Told] = mp.Queue()
        stop = mp.Event()
        service.start()
        processes = started(service.address, port, stop, told)
        try:
            return sampled(service, publish, told, seconds, processes, stop)
        finally:
            stop.set()
            for process in processes:
                process.join(5.0)
                process.kill()
            service.close()


def started(address: str, port: int, stop: Any, told: Any) -> list[mp.Process]:
    """The load, each in its process."""
    kinds = [("steady-a", load.steady), ("steady-b", load.steady), ("bursts", load.bursts)]
    kinds += [("mixed", load.mixed), ("rude", load.rude)]
    found = [mp.Process(target=load.feed, args=(port, stop, told, 7), daemon=True)]
    found += [
        mp.Process(target=kind, args=(name, address, stop, told), daemon=True)
        for name, kind in kinds
    ]
    for process in found:
        process.start()
    return found


def sampled(
    service: Service,
    publish: Publishing,
    told: Any,
    seconds: float,
    processes: list[mp.Process],
    stop: Any,
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Note every EVERY_S how the process is, and swap its model every SWAP_EVERY_S."""
    samples: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    assert service.process
    begun_s = time.monotonic()
    swap_s = begun_s
    while time.monotonic() - begun_s < seconds:
        if time.monotonic() >= swap_s:
            swap_s += SWAP_EVERY_S
            publish.next()
            counts["published"] += 1
        due_s = begun_s + EVERY_S * (len(samples) + 1)
        time.sleep(max(0.0, min(due_s, swap_s) - time.monotonic()))
        if time.monotonic() < due_s:
            continue
        dead = [process.name for process in processes if not process.is_alive()]
        if dead or service.process.poll() is not None:
            raise SystemExit(f"ended early: {dead or service.log[-5:]}")
        taken = collected(told, counts)
        samples.append(vital(service, time.monotonic() - begun_s, taken))
        if len(samples) % 6 == 0:
            print(line(samples[-1]), flush=True)
    stop.set()
    time.sleep(6.0)
    collected(told, counts)
    with service.client() as client:
        found = client.stats()
    counts |= {"swaps": found["swaps"], "journal unwritten": found["journal"]["unwritten"]}
    counts |= {"longest turn ms": round(found["longest_turn_ms"])}
    counts |= {"logged errors": sum(one.get("level") == "error" for one in service.log)}
    code, _ = service.terminate()
    counts["exit code"] = code
    return samples, dict(counts)


def collected(told: Any, counts: Counter[str]) -> list[float]:
    """Take what was told; the latencies (us) of the steady clients."""
    taken: list[float] = []
    while True:
        try:
            _name, latencies, seen = told.get_nowait()
        except queue.Empty:
            return taken
        taken += latencies
        counts.update(seen)


def vital(service: Service, at_s: float, taken_us: list[float]) -> dict[str, Any]:
    """One sample: memory in MiB, descriptors, threads, latencies in ms."""
    assert service.process
    process = Path(f"/proc/{service.process.pid}")
    fields = dict(row.split(":", 1) for row in (process / "status").read_text().splitlines())
    cut = np.percentile(taken_us, (50, 99)) / 1000.0 if taken_us else (None, None)
    return {
        "at_s": at_s,
        "rss_mib": int(fields["VmRSS"].split()[0]) / MIB,
        "anonymous_mib": int(fields["RssAnon"].split()[0]) / MIB,
        "threads": int(fields["Threads"]),
        "descriptors": len(list((process / "fd").iterdir())),
        "p50_ms": cut[0] if cut[0] is None else float(cut[0]),
        "p99_ms": cut[1] if cut[1] is None else float(cut[1]),
        "load": os.getloadavg()[0],
        "busy_s": cpu_s(service.process.pid),
        "journal_mib": service.journal_path.stat().st_size / MIB / MIB,
    }


def line(sample: dict[str, Any]) -> str:
    return (
        f"{sample['at_s'] / 60:5.1f} min  rss {sample['rss_mib']:6.1f} MiB "
        f"(anonymous {sample['anonymous_mib']:6.1f})  descriptors {sample['descriptors']:3d}  "
        f"threads {sample['threads']:2d}  p50 {sample['p50_ms'] or 0:6.2f} ms  "
        f"p99 {sample['p99_ms'] or 0:7.2f} ms  load {sample['load']:4.1f}"
    )


def verdict(samples: list[dict[str, Any]], counts: dict[str, int]) -> bool:
    """Print what was counted and what is flat; False where something is not."""
    for name, count in sorted(counts.items()):
        print(f"{count:>9}  {name}")
    after = samples[len(samples) // 6 :]
    third = max(1, len(after) // 3)
    first, last = after[:third], after[-third:]

    def middle(part: list[dict[str, Any]], key: str) -> float:
        return statistics.median(one[key] for one in part if one[key] is not None)

    hours = [one["at_s"] / 3600.0 for one in after]
    growth = middle(last, "rss_mib") - middle(first, "rss_mib")
    slope = float(np.polyfit(hours, [one["rss_mib"] for one in after], 1)[0])
    load = middle(last, "load") / middle(first, "load")
    work = worked(last) / worked(first)
    ratios = {key: middle(last, key) / middle(first, key) for key in ("p50_ms", "p99_ms")}
    lost = {name: counts.get(name, 0) for name in LOST}
    wrong = (" unreachable", " error", " internal", " malformed")
    lost["without a score"] = sum(n for name, n in counts.items() if name.endswith(wrong))
    checks = [
        (f"memory: last third {growth:+.2f} MiB over the first (at most {GROWTH_LIMIT_MIB:g}), "
         f"slope {slope:+.2f} MiB/h, most {max(o['rss_mib'] for o in samples):.1f} MiB",
         growth <= GROWTH_LIMIT_MIB),
        (f"descriptors: {middle(first, 'descriptors'):g} then {middle(last, 'descriptors'):g}, "
         f"most {max(one['descriptors'] for one in samples)}",
         middle(last, "descriptors") <= middle(first, "descriptors") + 2),
        (f"threads: {middle(first, 'threads'):g} then {middle(last, 'threads'):g}",
         middle(last, "threads") == middle(first, "threads")),
        (f"latency, last third over first: p50 {ratios['p50_ms']:.2f}, p99 "
         f"{ratios['p99_ms']:.2f} (p50 at most {LATENCY_LIMIT}), while the machine's load went "
         f"from {middle(first, 'load'):.1f} to {middle(last, 'load'):.1f}",
         ratios["p50_ms"] <= LATENCY_LIMIT * max(1.0, load)),
        (f"processor time a second: {worked(first):.3f} s then {worked(last):.3f} s "
         f"(at most {WORK_LIMIT} times)", work <= WORK_LIMIT),
        (f"nothing lost: {lost}", not any(lost.values())),
        (f"exit code {counts['exit code']} at SIGTERM, {counts['swaps']} swaps of "
         f"{counts['published'] + 1} published",
         counts["exit code"] == 0 and counts["swaps"] == counts["published"] + 1),
        ("nothing unwritten, no error logged",
         not counts.get("journal unwritten") and not counts.get("logged errors")),
    ]  # fmt: skip
    for text, held in checks:
        print(f"{'ok  ' if held else 'NOT '} {text}")
    return all(held for _, held in checks)


def worked(part: list[dict[str, Any]]) -> float:
    """Processor seconds a second over these samples."""
    return (part[-1]["busy_s"] - part[0]["busy_s"]) / (part[-1]["at_s"] - part[0]["at_s"])


def draw(samples: list[dict[str, Any]], path: Path) -> None:
    """Memory, descriptors and threads, latency over the minutes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    minutes = [one["at_s"] / 60.0 for one in samples]
    figure, axes = plt.subplots(4, 1, figsize=(10, 9), sharex=True, layout="constrained")
    for key, label in (("rss_mib", "resident"), ("anonymous_mib", "of it anonymous")):
        axes[0].plot(minutes, [one[key] for one in samples], label=label)
    axes[0].set(ylabel="MiB", ylim=(0, None), title="signal-scorer under the soak's load")
    for key in ("descriptors", "threads"):
        axes[1].plot(minutes, [one[key] for one in samples], label=key)
    axes[1].set(ylabel="number", ylim=(0, None))
    for key, label in (("p50_ms", "p50"), ("p99_ms", "p99")):
        axes[2].plot(minutes, [one[key] for one in samples], label=label)
    axes[2].set(ylabel="ms, client's side", yscale="log")
    axes[3].plot(
        minutes,
        [one["load"] for one in samples],
        label=f"load of the machine ({os.cpu_count()} processors)",
    )
    rates = [worked(list(two)) for two in pairwise(samples)]
    axes[3].plot(minutes[1:], rates, label="processors that the service uses")
    axes[3].set(ylabel="number", ylim=(0, None), xlabel="minutes")
    for axis in axes:
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        axis.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


class Publishing:
    """Two forests of the usual size, published in turn under ever new versions."""

    def __init__(self, models: Path) -> None:
        self._models = models
        self._ready = [grown(seed, seed) for seed in (1, 2)]

    def next(self) -> None:
        """Publish the other one."""
        publish_grown(self._models, self._ready[0])
        self._ready.reverse()


if __name__ == "__main__":
    main()
