"""Published models cut short, with bits turned, or with other bytes: none is served, none crashes.

    make corrupt        (.venv/bin/python scripts/corrupt_bundles.py --flips 10000 --live 40)

A model of the usual size (150 trees) serves. Then each file of a second bundle, and the
pointer, is cut at every 4 KiB and has single bits turned at random; the ModelWatch looks each
time, and must say Rejected with a reason while the first model stays. A flip that changes no
meaning (in the pointer's text) may only install what was verified in full. `--live` repeats
some of it against the process. With `--consistent`, digests are made to agree with the
damage, so that the checks behind the digests have to find it.
Exit code 1 where something else happened. Needs the extra `training`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness import Service, eventually
from serving import Parts
from usual_model import grown, publish_grown

from protocol.manifest import FOREST_NAME, MANIFEST_NAME, POINTER_NAME
from service.model.model import Model
from service.model.watch import Loaded, ModelWatch, Rejected

STEP = 4096


@dataclass(frozen=True, slots=True)
class Damage:
    """`content` in place of a file, and what was done to it."""

    file: str
    kind: str
    content: bytes


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--flips", type=int, default=10_000)
    options.add_argument("--consistent", type=int, default=2_000)
    options.add_argument("--live", type=int, default=40)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="corrupt-") as place:
        folder = Path(place)
        good, bad = bundles(folder)
        files = originals(bad)
        for name, content in files.items():
            print(f"{len(content):>9} bytes  {name}")
        held = examine("cut at every 4 KiB", folder, good, cuts(files))
        held &= examine("bit flips", folder, good, flips(files, given.flips, rng))
        forest, manifest = ({name: files[name]} for name in (FOREST_NAME, MANIFEST_NAME))
        for title, damages in (
            ("bit flips with digests", flips(forest, given.consistent // 4, rng)),
            ("bit flips in the arrays, check sums and digests",
             array_flips(files[FOREST_NAME], given.consistent, rng)),
            ("manifest bit flips with digests", flips(manifest, given.consistent, rng)),
        ):  # fmt: skip
            held &= examine(f"{title} to match", folder, good, damages, consistent=True)
        held &= live(folder, files, given.live, rng)
    sys.exit(0 if held else 1)


def bundles(folder: Path) -> tuple[Path, Path]:
    """(models directory with a good model serving, one whose files are to be damaged)."""
    good, bad = folder / "models", folder / "bad"
    publish(good, 1)
    publish(bad, 2)
    return good, bad


def publish(models: Path, seed: int) -> None:
    publish_grown(models, grown(seed, seed), b"<p>soon damaged</p>" * 900)


def originals(models: Path) -> dict[str, bytes]:
    """Each file of the bundle and the pointer, by name."""
    pointer = (models / POINTER_NAME).read_bytes()
    directory = models / json.loads(pointer)["version"]
    files = {path.name: path.read_bytes() for path in sorted(directory.iterdir())}
    return files | {POINTER_NAME: pointer}


def cuts(files: dict[str, bytes]) -> Iterator[Damage]:
    """Each file as long as every multiple of 4 KiB below its length, none included."""
    for name, content in files.items():
        for size in range(0, len(content), STEP):
            yield Damage(name, f"cut at {size}", content[:size])


def flips(files: dict[str, bytes], count: int, rng: random.Random) -> Iterator[Damage]:
    """Single bits, the files in turn, so that small ones get as many as large ones."""
    names = list(files)
    for number in range(count):
        name = names[number % len(names)]
        content = bytearray(files[name])
        bit = rng.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        yield Damage(name, f"bit {bit}", bytes(content))


def array_flips(forest: bytes, count: int, rng: random.Random) -> Iterator[Damage]:
    """Single bits of the numbers themselves, in a file that is whole otherwise."""
    with np.load(io.BytesIO(forest)) as file:
        arrays = dict(file.items())
    names = list(arrays)
    for number in range(count):
        name = names[number % len(names)]
        content = bytearray(arrays[name].tobytes())
        bit = rng.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        out = io.BytesIO()
        turned = np.frombuffer(bytes(content), arrays[name].dtype)
        np.savez(out, allow_pickle=False, **(arrays | {name: turned}))
        yield Damage(FOREST_NAME, f"{name} bit {bit}", out.getvalue())


def examine(
    title: str, folder: Path, good: Path, damages: Iterator[Damage], *, consistent: bool = False
) -> bool:
    """Show each damaged bundle to a watch that serves the good model; print what it said."""
    place = folder / "candidate"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(good, place)
    bad = folder / "bad"
    files = originals(bad)
    version = json.loads(files[POINTER_NAME])["version"]
    shutil.copytree(bad / version, place / version)
    watch = ModelWatch(place)
    first = watch.poll_once()
    assert isinstance(first, Loaded)
    watch.take()
    parts = Parts(folder / "parts")
    parts.journal.open()
    parts.warm()
    said: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    begun_s, total = time.monotonic(), 0
    for total, damage in enumerate(damages, 1):
        pointer = put(place, version, files, damage, consistent=consistent)
        # The watch leaves what it knows alone: each candidate is another pointer to it.
        point(place, pointer + b" " * total if damage.file != POINTER_NAME else pointer)
        try:
            event = watch.poll_once() or watch.poll_once()
        except Exception as fault:
            wrong.append(f"{damage.file} {damage.kind}: raised {fault!r}")
            continue
        watch.take()
        if isinstance(event, Rejected):
            said[damage.file, f"refused: {event.reason}"] += 1
            if not event.detail:
                wrong.append(f"{damage.file} {damage.kind}: no detail")
            if event.reason == "internal":
                wrong.append(f"{damage.file} {damage.kind}: {event.detail}")
        elif isinstance(event, Loaded):
            said[damage.file, "verified and served"] += 1
            if damage.file != POINTER_NAME and not consistent:
                wrong.append(f"{damage.file} {damage.kind}: SERVED")
            unlike = answered(parts, event.model)
            if unlike:
                wrong.append(f"{damage.file} {damage.kind}: {unlike}")
        else:
            said[damage.file, f"{event}"] += 1
            wrong.append(f"{damage.file} {damage.kind}: {event}")
        if damage.file != POINTER_NAME:
            (place / version / damage.file).write_bytes(files[damage.file])
    print(f"\n{title}: {total} in {time.monotonic() - begun_s:.0f} s")
    for (name, word), count in sorted(said.items()):
        print(f"{count:>9}  {name}: {word}")
    for text in wrong[:10]:
        print("NOT  " + text)
    return not wrong


def answered(parts: Parts, model: Model) -> str | None:
    """Whether a model that passed can be served; None where it can, else what went wrong."""
    parts.engine.install(model)
    reply = parts.score(direction="BUY", explain=True)
    for op in ("health", "stats"):
        if parts.ask(op)["ok"] is not True:
            return f"{op} failed"
    if not (reply["ok"] and reply["journalled"] and 0 <= reply["final_score"] <= 100):
        return f"answered {reply}"
    return None if reply["status"] in ("success", "expired_model") else f"status {reply['status']}"


def put(
    place: Path, version: str, files: dict[str, bytes], damage: Damage, *, consistent: bool
) -> bytes:
    """Write the damage; the pointer's bytes, with digests that agree where that is asked."""
    if damage.file == POINTER_NAME:
        return damage.content
    (place / version / damage.file).write_bytes(damage.content)
    pointer = json.loads(files[POINTER_NAME])
    if not consistent:
        return files[POINTER_NAME]
    manifest = damage.content
    if damage.file != MANIFEST_NAME:
        said = json.loads(files[MANIFEST_NAME])
        digest = hashlib.sha256(damage.content).hexdigest()
        said["files"][damage.file] = {"sha256": digest, "size": len(damage.content)}
        manifest = json.dumps(said).encode()
        (place / version / MANIFEST_NAME).write_bytes(manifest)
    pointer["manifest_sha256"] = hashlib.sha256(manifest).hexdigest()
    pointer["manifest_size"] = len(manifest)
    return json.dumps(pointer).encode()


def point(models: Path, content: bytes) -> None:
    """Replace the pointer as a trainer does."""
    (models / "next").write_bytes(content)
    (models / "next").replace(models / POINTER_NAME)


def live(folder: Path, files: dict[str, bytes], count: int, rng: random.Random) -> bool:
    """The same before the process: it goes on with the first model and counts the refusals."""
    place = folder / "live"
    publish(place / "models", 1)
    version = json.loads(files[POINTER_NAME])["version"]
    shutil.copytree(folder / "bad" / version, place / "models" / version)
    names = [name for name in files if name != POINTER_NAME]
    kinds = [*cuts({name: files[name] for name in names})]
    damages = rng.sample(kinds, min(len(kinds), count // 2))
    damages += flips({name: files[name] for name in names}, count - len(damages), rng)
    with closing(Service(place, MODEL_POLL_S="0.05").start()) as service:
        with service.client() as client:
            serving = client.health()["model"]["version"]
            damaged = ""
            for number, damage in enumerate(damages, 1):
                (place / "models" / version / damage.file).write_bytes(damage.content)
                # Only now, as one whose files are whole again would be taken up.
                if damaged not in ("", damage.file):
                    (place / "models" / version / damaged).write_bytes(files[damaged])
                damaged = damage.file
                point(place / "models", files[POINTER_NAME] + b" " * number)
                eventually(lambda n=number: refused(client.stats()) >= n, f"refusal {number}")
                assert client.health()["model"]["version"] == serving
            rejections = client.stats()["rejections"]
            note = client.health()["notes"]
            (place / "models" / version / damaged).write_bytes(files[damaged])
            eventually(lambda: client.health()["model"]["version"] == version, "the mended model")
        code, _ = service.terminate()
    print(f"\nthe process: {len(damages)} refused, {rejections}; it serves {serving} and says")
    print(f"  {note[-1]}")
    print(f"the mended bundle was taken up; exit code {code}")
    return code == 0


def refused(stats: dict[str, dict[str, int]]) -> int:
    return sum(stats["rejections"].values())


if __name__ == "__main__":
    main()
