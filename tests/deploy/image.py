"""The image: built from bases of debootstrap, healthy, read-only, small; service and trainer."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import host
import rootfs
from container import contained
from report import Report
from store import Store

TAGS = {"training": "localhost/signal-scorer:test", "service": "localhost/signal-scorer:light"}
SERVICE, TRAINER = 10001, 10002
MIB = 1 << 20
HEALTHY_S = 30.0
MAX_DRAIN_S = 2.0
STATE = "/var/lib/signal-scorer"


def look(project: Path, cache: Path, scratch: Path, report: Report) -> None:
    """Build it, and run the service and the trainer in it."""
    store = Store(scratch / "containers")
    try:
        bases = _bases(store, cache, scratch)
        for lock, tag in TAGS.items():
            took_s = store.build(project, tag, LOCK=lock, **bases)
            size, ours = store.size(tag), store.size(tag) - store.size(bases["RUNTIME"])
            seen = f"{size / MIB:.0f} MiB, {ours / MIB:.0f} of them ours, built in {took_s:.0f} s"
            report.seen(f"image of requirements/{lock}.txt", seen)
        config = store.config(TAGS["training"])
        with store.mounted(TAGS["training"]) as root:
            folder = _volumes(scratch)
            _serve(root, folder, config, report)
            _train(root, folder, config, report)
    finally:
        store.clear()
    _compose(project, report)


def _bases(store: Store, cache: Path, scratch: Path) -> dict[str, str]:
    """A Debian to build in and a smaller one to run in, with nothing of this machine's in it."""
    tags = {}
    wanted = {"BASE": "python3-venv", "RUNTIME": "python3-minimal,libpython3-stdlib"}
    for name, packages in wanted.items():
        base = rootfs.base(cache, name.lower(), "--variant=minbase", f"--include={packages}")
        with rootfs.writable(base, scratch / name, mirrors=name == "BASE") as root:
            for path in ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/lib/apt/lists"):
                shutil.rmtree(root / path, ignore_errors=True)
            tags[name] = store.base(root, name.lower())
    return tags


def _volumes(scratch: Path) -> Path:
    """Folders as an engine makes them of the image's: owned as there."""
    folder = scratch / "volumes"
    for name, uid in (("state", SERVICE), ("models", TRAINER)):
        (folder / name).mkdir(parents=True, mode=0o750)
        os.chown(folder / name, uid, SERVICE)
    folder.joinpath("state", "models").mkdir()
    return folder


def _serve(root: Path, folder: Path, config: dict[str, Any], report: Report) -> None:
    binds = (f"--bind={folder}/state:{STATE}", f"--bind-ro={folder}/models:{STATE}/models")
    command = (*config["Entrypoint"], *config["Cmd"])
    check = config["Healthcheck"]["Test"]
    started_s = time.monotonic()
    with contained(
        root, config, folder / "serve.log", *command, user="scorer", binds=binds
    ) as running:
        running.started()
        while True:
            done = running.run(*check[1:])
            took_s = time.monotonic() - started_s
            if done.code == 0 or took_s > HEALTHY_S:
                break
            time.sleep(0.2)
        seen = f"exit code {done.code} {took_s:.1f} s after the start, itself {done.took_s:.2f} s"
        if done.code:
            raise AssertionError(f"{seen}; {done.out}; the service said: {running.said()}")
        report.seen(f"HEALTHCHECK {' '.join(check)}", seen)
        report.seen("its process is", running.uids(), held=running.uids().count(str(SERVICE)) == 4)
        touched = running.run("touch", "/opt/signal-scorer/x")
        report.seen("root is read-only", touched.out, held="Read-only" in touched.out)
        asked = ("score", "--symbol", "EURUSD", "--base-score", "75", "--direction", "BUY")
        score = running.run("signal-scorer", *asked)
        report.seen("score", score.out.splitlines()[0], held="base 75 -> final" in score.out)
        code, took_s = running.terminate()
    held = code == 0 and took_s < MAX_DRAIN_S
    report.seen("SIGTERM", f"exit code {code} after {took_s:.2f} s", held=held)


def _train(root: Path, folder: Path, config: dict[str, Any], report: Report) -> None:
    """The trainer in the same image: it may write models, and only read the journal."""
    binds = (f"--bind-ro={folder}/state:{STATE}", f"--bind={folder}/models:{STATE}/models")
    log = folder / "train.log"
    with contained(
        root, config, log, "signal-scorer-train", "train", user="scorer-trainer", binds=binds
    ) as running:
        code = running.wait(120)
    lines = log.read_text(encoding="utf-8").splitlines()
    said = next((line for line in lines if "not enough samples" in line), "nothing")
    report.seen("train in the same image", f"exit code {code}: {said}", held=code == 4)


def _compose(project: Path, report: Report) -> None:
    what = "deploy/compose.yaml is understood"
    if not shutil.which("docker-compose"):
        report.skip(what, "docker-compose is not installed")
        return
    host.run("docker-compose", "-f", project / "deploy/compose.yaml", "config", "--quiet")
    report.seen(what, "yes, by docker-compose")
