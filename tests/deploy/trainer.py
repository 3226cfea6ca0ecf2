"""The trainer: started by cron and by timers, as a user of its own, with a closed truth log."""

from __future__ import annotations

from product import CLIENT, PYTHON, SOURCE, STATE, Product
from report import Report

TRAINER = "scorer-trainer"
SIGNALS = 400
EACH_MINUTE = r"s/^(0 2|17 \*) \* \* (0|\*)/* * * * */"
LOG = "/root/elite_guard/truth_log.jsonl"


def look(product: Product, report: Report) -> None:
    """All of it; leaves a model served and cron as it was installed."""
    _rights(product, report)
    _nothing_yet(product, report)
    _cron(product, report)
    _reading(product, report)
    _truth_log(product, report)
    _failure(product, report)
    _timers(product, report)


def _rights(product: Product, report: Report) -> None:
    attempts = {
        "trainer writes the journal": (TRAINER, f"touch {STATE}/journal.db"),
        "service writes a model": ("scorer", f"touch {STATE}/models/x"),
        "client reads the journal": (CLIENT, f"cat {STATE}/journal.db"),
        "client reads a model": (CLIENT, f"ls {STATE}/models"),
    }
    for what, (user, script) in attempts.items():
        done = product.machine.run(script, user=user, check=False)
        report.seen(f"{what}: refused", done.out, held="ermission denied" in done.out)


def _nothing_yet(product: Product, report: Report) -> None:
    product.machine.run("systemctl start signal-scorer-train")
    unit = product.unit("Result", "ExecMainStatus", unit="signal-scorer-train")
    held = unit == {"Result": "success", "ExecMainStatus": "4"}
    report.seen("train without samples, exit code 4 is routine", unit, held=held)


def _cron(product: Product, report: Report) -> None:
    """Signals with outcomes are put into the journal; cron does the rest."""
    machine = product.machine
    machine.run("systemctl stop signal-scorer")
    machine.run(
        f"{PYTHON} {SOURCE}/tests/deploy/inside/fill.py {STATE}/journal.db {SIGNALS}", user="scorer"
    )
    machine.run("systemctl start signal-scorer")
    product.ready()
    pid = product.pid()
    machine.run(f"sed -i -E '{EACH_MINUTE}' /etc/cron.d/signal-scorer; systemctl restart cron")
    try:
        machine.until(lambda: (product.health() or {}).get("model"), "a model by cron", 150.0)
    finally:
        said = machine.out("journalctl -u signal-scorer-train -u cron -n 15 --no-pager -o cat")
        machine.run(
            f"install -m 0644 {SOURCE}/deploy/cron/signal-scorer /etc/cron.d/;"
            "systemctl restart cron"
        )
    published = [line for line in said.splitlines() if "published" in line]
    report.seen("cron trained", published, held=bool(published))
    state = product.ready()
    held = state["model"] is not None and product.pid() == pid
    report.seen("service swapped, same process", f"{pid}, model {state['model']}", held=held)
    status = product.unit("StatusText")["StatusText"]
    report.seen("systemctl status says", status, held=str(state["model"]["version"]) in status)
    with product.feed():
        reply = machine.until(
            lambda: (r := product.answered())["status"] == "success" and r, "warm features", 30.0
        )
    report.seen("score with the model", f"win probability {reply['win_probability']:.2f}")
    owners = machine.out(f"find {STATE}/models -printf '%u:%g %m\\n' | sort | uniq -c")
    report.seen("models belong to", owners, held="root" not in owners)


def _reading(product: Product, report: Report) -> None:
    machine = product.machine
    for state in ("up", "stopped", "killed"):
        if state == "stopped":
            machine.run("systemctl stop signal-scorer")
        elif state == "killed":
            machine.run("systemctl start signal-scorer")
            product.answered()
            # Killed with its WAL left behind, and not started again.
            machine.run(
                "systemctl mask --runtime --quiet signal-scorer; systemctl daemon-reload;"
                "systemctl kill --signal=KILL signal-scorer; sleep 1"
            )
        files = machine.out(f"cd {STATE} && ls journal.db*")
        done = machine.run("signal-scorer-train status", check=False)
        first = done.out.splitlines()[0] if done.out else ""
        seen = f"exit code {done.code}, {first} ({files})"
        report.seen(f"trainer's user reads the journal, service {state}", seen, held=done.code == 0)
    machine.run("systemctl unmask --runtime --quiet signal-scorer; systemctl restart signal-scorer")
    product.ready()


def _truth_log(product: Product, report: Report) -> None:
    """A log below /root, which only root may enter."""
    machine = product.machine
    line = '{"signal_id": "SIG_1", "symbol": "EURUSD", "outcome": "WIN"}'
    machine.run(
        f"mkdir -p {LOG.rsplit('/', 1)[0]}; chmod 700 /root; echo '{line}' | tee {LOG} > {LOG}.1"
    )
    closed = machine.run(f"cat {LOG}", user=TRAINER, check=False)
    machine.run(f"sh {SOURCE}/deploy/install.sh --truth-log {LOG}")
    machine.run("systemctl start signal-scorer-train", check=False)
    unit = machine.out(
        "journalctl -u signal-scorer-train -n 20 --no-pager -o cat | grep 'truth log' | tail -2"
    )
    held = closed.code != 0 and "2 truth log file(s)" in unit and "in 2 lines" in unit
    report.seen(
        "truth log in /root (0700), read by the unit with its rotated part", unit, held=held
    )
    hand = machine.run("signal-scorer-train train", check=False).out
    report.seen("and by hand", hand.splitlines()[1:2], held="in 2 lines" in hand)
    told = machine.out(f"signal-scorer doctor --listen-s 0 | grep -A1 {LOG} || true")
    report.seen("doctor looks at it", told, held=told.startswith("ok"))
    told = machine.out(f"signal-scorer config | grep {LOG} || true")
    report.seen("config names it", told, held=told.startswith("# the trainer's units read"))
    visible = machine.run("ls /opt/signal-scorer/truth", user=CLIENT, check=False).out
    report.seen("and by nobody else", visible or "an empty folder", held=visible == "")


def _failure(product: Product, report: Report) -> None:
    """A job that fails is told once, and once more when it is over."""
    machine, heard = product.machine, f"{STATE}/models/heard"
    machine.run(
        "cp /etc/signal-scorer/config.toml /root/config.toml;"
        f"printf '#!/bin/sh\\ncat >> {heard}\\n' > /opt/tell.sh; chmod +x /opt/tell.sh;"
        "sed -i 's|^command = .*|command = [\"/opt/tell.sh\"]|' /etc/signal-scorer/config.toml"
    )
    for works in (False, False, True):
        word = "UTC" if works else "Nowhere"
        machine.run(
            f"sed -i '/truth_log/,$d' /etc/signal-scorer/config.toml;"
            f"printf '[truth_log]\\ntimezone = \"{word}\"\\n' >> /etc/signal-scorer/config.toml;"
            "systemctl start signal-scorer-monitor; sleep 2",
            check=False,
        )
    text = machine.out(f'grep -o \'"event":"[a-z]*"\' {heard}').split()
    held = text == ['"event":"degraded"', '"event":"recovered"']
    report.seen("monitor failed twice, then ran: told", text, held=held)
    machine.run(f"rm {heard} /opt/tell.sh; cp /root/config.toml /etc/signal-scorer/config.toml")


def _timers(product: Product, report: Report) -> None:
    machine, pid = product.machine, product.pid()
    machine.run(f"sh {SOURCE}/deploy/install.sh --timers")
    timers = machine.out("systemctl list-timers --no-pager --no-legend 'signal-scorer*'")
    gone = machine.run("ls /etc/cron.d/signal-scorer", check=False).code != 0
    held = (
        gone and "signal-scorer-train.timer" in timers and "signal-scorer-monitor.timer" in timers
    )
    report.seen("--timers", timers, held=held and product.pid() == pid)
    machine.run(f"sh {SOURCE}/deploy/install.sh --cron")
    timers = machine.out("systemctl list-timers --no-pager --no-legend 'signal-scorer*'")
    back = machine.run("ls /etc/cron.d/signal-scorer", check=False)
    report.seen(
        "--cron", f"{back.out}, timers left: {timers or 'none'}", held=back.code == 0 and not timers
    )
