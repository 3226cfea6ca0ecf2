"""The image: built from bases of debootstrap, healthy, read-only, small; service and trainer."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import document
import host
import rootfs
from container import Container, contained
from report import Report
from store import Store

TAGS = {"training": "localhost/signal-scorer:test", "service": "localhost/signal-scorer:light"}
SERVICE, TRAINER = 10001, 10002
MIB = 1 << 20
MAX_MIB = {"training": 400, "service": 200}
"""Above what docs/install.md says of either."""
HEALTHY_S = 30.0
MAX_DRAIN_S = 2.0
STATE = "/var/lib/signal-scorer"
RESTORE_HEADING = "A container's backup and restore"
HISTORY = '{"event": "rejected", "at": 1764000000.0, "version": "20251124T160000Z-000000"}\n'


def look(project: Path, cache: Path, scratch: Path, report: Report) -> None:
    """Build it, and run the service and the trainer in it."""
    store = Store(scratch / "containers")
    try:
        bases = _bases(store, cache, scratch)
        for lock, tag in TAGS.items():
            took_s = store.build(project, tag, LOCK=lock, **bases)
            size, ours = store.size(tag), store.size(tag) - store.size(bases["RUNTIME"])
            seen = f"{size / MIB:.0f} MiB, {ours / MIB:.0f} of them ours, built in {took_s:.0f} s"
            held = size <= MAX_MIB[lock] * MIB
            report.seen(f"image of requirements/{lock}.txt", seen, held=held)
        config = store.config(TAGS["training"])
        with store.mounted(TAGS["training"]) as root:
            folder = _volumes(scratch)
            _serve(root, folder, config, report)
            _train(root, folder, config, report)
            _restore(store, folder, report)
            _serves_again(root, folder, config, report)
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
    with contained(
        root, config, folder / "serve.log", *command, user="scorer", binds=binds
    ) as running:
        report.seen(f"HEALTHCHECK {' '.join(check)}", _healthy(running, check[1:]))
        report.seen("its process is", running.uids(), held=running.uids().count(str(SERVICE)) == 4)
        touched = running.run("touch", "/opt/signal-scorer/x")
        report.seen("root is read-only", touched.out, held="Read-only" in touched.out)
        asked = ("score", "--symbol", "EURUSD", "--base-score", "75", "--direction", "BUY")
        score = running.run("signal-scorer", *asked)
        _backup(running, folder, report)
        report.seen("score", score.out.splitlines()[0], held="base 75 -> final" in score.out)
        code, took_s = running.terminate()
    held = code == 0 and took_s < MAX_DRAIN_S
    report.seen("SIGTERM", f"exit code {code} after {took_s:.2f} s", held=held)


def _healthy(running: Container, check: list[str]) -> str:
    """When it was, once it is. Raises AssertionError where it does not become so."""
    started_s = time.monotonic()
    running.started()
    while True:
        done = running.run(*check)
        took_s = time.monotonic() - started_s
        if done.code == 0 or took_s > HEALTHY_S:
            break
        time.sleep(0.2)
    seen = f"exit code {done.code} {took_s:.1f} s after the start, itself {done.took_s:.2f} s"
    if done.code:
        raise AssertionError(f"{seen}; {done.out}; the service said: {running.said()}")
    return seen


def _backup(running: Container, folder: Path, report: Report) -> None:
    """Made by the service's container, and copied out of it."""
    history = folder / "models/history.jsonl"
    history.write_text(HISTORY)
    os.chown(history, TRAINER, SERVICE)
    made = running.run("signal-scorer", "backup", f"{STATE}/backups/today")
    report.seen("backup", made.out, held=made.code == 0)
    shutil.copytree(folder / "state/backups/today", folder / "backups/2026-11-25")


def _restore(store: Store, folder: Path, report: Report) -> None:
    """As docs/install.md says, by root over volumes of two users."""
    commands = document.commands(document.DOCS / "install.md", RESTORE_HEADING, 1)
    words = next(one for one in commands if one.startswith("docker run")).split()
    image = words.index("signal-scorer")
    places = {
        "signal-scorer-state": folder / "state",
        "signal-scorer-models": folder / "models",
        "/var/backups": folder / "backups",
    }
    volumes = [word.partition(":") for word in words[:image] if ":" in word]
    mounts = [f"--volume={places[name]}:{target}" for name, _, target in volumes]
    (folder / "state/journal.db").write_bytes(b"damaged")
    (folder / "models/history.jsonl").unlink()
    command = ("signal-scorer", *words[image + 1 :])
    said = store.run(TAGS["training"], "--user=0", *mounts, command=command)
    report.seen("docker run … restore", said.strip().splitlines()[-1])
    owners = {
        path.name: path.stat().st_uid
        for path in (folder / "state/journal.db", folder / "models/history.jsonl")
    }
    whole = (folder / "state/journal.db").read_bytes().startswith(b"SQLite format 3")
    held = whole and list(owners.values()) == [SERVICE, TRAINER]
    report.seen("what it put there belongs to", owners, held=held)


def _serves_again(root: Path, folder: Path, config: dict[str, Any], report: Report) -> None:
    """The service on what was restored."""
    binds = (f"--bind={folder}/state:{STATE}", f"--bind-ro={folder}/models:{STATE}/models")
    command = (*config["Entrypoint"], *config["Cmd"])
    log = folder / "again.log"
    with contained(root, config, log, *command, user="scorer", binds=binds) as running:
        seen = _healthy(running, config["Healthcheck"]["Test"][1:])
        kept = running.run("signal-scorer", "journal", "tail")
        report.seen("and serves", seen)
        report.seen("with the score in its journal", kept.out, held="EURUSD" in kept.out)
        running.terminate()


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
    if not shutil.which(host.COMPOSE):
        report.skip(what, f"apt could not install {host.COMPOSE}")
        return
    host.run(host.COMPOSE, "-f", project / "deploy/compose.yaml", "config", "--quiet")
    report.seen(what, "yes, by docker-compose")
