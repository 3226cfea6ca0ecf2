#!/bin/sh
# Installs, upgrades or removes the service and its trainer on a machine with systemd.
# The rule: it may be run again at any time; it builds first and switches last, goes back where
# the new release does not come up, and never touches the journal, the models or the
# configuration that it finds.
set -eu
umask 022
# Nothing is imported from the folder in which it is called, which may be anybody's, as /tmp.
export PYTHONSAFEPATH=1
# find looks for what it is to run in no empty or relative part of it, and would do nothing. A home's
# Python (pyenv, uv, conda) would hide the system's, and the units see no homes. `su` leaves out
# where groupadd and runuser lie.
PATH=$(printf %s "$PATH:/usr/sbin:/sbin" | tr : '\n' | grep ^/ | grep -Ev '^/(root|home|run/user)(/|$)' | paste -sd : -)

usage() {
    cat <<'TEXT'
Usage: sh deploy/install.sh [OPTION]...     as root, in a checkout of the project

  --client-user NAME   let this user ask through the ipc socket (Elite Guard's); repeatable
  --truth-log PATH     a log of outcomes, also where only root may look; name all at once
  --timers             start the trainer by systemd timers instead of cron
  --cron               back to cron
  --wheels DIR         no network: take all packages from this folder. Make it with
                         pip download --require-hashes --only-binary :all: -d DIR \
                           -r requirements/training.txt -r requirements/build.txt
  --python PATH        the Python to use (3.11 or newer; found where none was given)
  --no-start           install, but start nothing
  --uninstall          remove everything but configuration, journal, models and users

Run it again from a newer checkout to upgrade; what was chosen before stays chosen.
TEXT
}

here=$(cd "$(dirname "$0")" && pwd)
project=$(dirname "$here")
prefix=/opt/signal-scorer
etc=/etc/signal-scorer
state=/var/lib/signal-scorer
units=/etc/systemd/system
tmpfiles=/etc/tmpfiles.d/signal-scorer.conf
cron=/etc/cron.d/signal-scorer
commands=/usr/local/bin
outdated=/run/signal-scorer-install.outdated
textfiles=/var/lib/prometheus/node-exporter-scorer
# Where they lay before, beside those of root's collectors; the units may not write there any more.
old_textfiles=${textfiles%-scorer}
jobs="signal-scorer-train signal-scorer-monitor"
clients=scorer-clients

main() {
    action=install trigger='' wheels='' python='' start=yes users='' logs='' timers=''
    while [ $# -gt 0 ]; do
        case $1 in
            --client-user) users="$users ${2:?--client-user wants a NAME}"; shift ;;
            --truth-log) logs="$logs ${2:?--truth-log wants a PATH}"; check_path "$2"; shift ;;
            --timers) trigger=timers ;;
            --cron) trigger=cron ;;
            --wheels) wheels=$(cd "${2:?--wheels wants a DIR}" && pwd); check_spaces --wheels "$wheels"; shift ;;
            --python) python=${2:?--python wants a PATH}; shift ;;
            --no-start) start=no ;;
            --uninstall) action=uninstall ;;
            -h | --help) usage; exit 0 ;;
            *) usage >&2; refuse "unknown option $1" ;;
        esac
        shift
    done
    [ "$(id -u)" -eq 0 ] || refuse "run it as root: sudo sh $0"
    [ -d /run/systemd/system ] || refuse "systemd does not run here; see docs/install.md for containers"
    # Not in /run/lock, where anybody could hold it.
    umask 077
    exec 9> /run/signal-scorer-install.lock
    umask 022
    flock -n 9 || refuse "it runs already; let it finish"
    if [ "$action" = uninstall ]; then
        uninstall
    else
        install_all
    fi
}

say() { printf '%s\n' "$*"; }

refuse() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

# Of the lists that we and pip make each word is one.
check_spaces() {
    case $2 in *[[:space:]]*) refuse "$1 $2: a path without spaces, please, such as a link to it: ln -s PATH /mnt/NAME" ;; esac
}

check_path() {
    case $1 in
        *[!A-Za-z0-9._/+@=-]*) refuse "--truth-log $1: a path of letters, digits and ._/+@=- only, please" ;;
        /*) ;;
        *) refuse "--truth-log $1: give the whole path, from /" ;;
    esac
}

install_all() {
    check_users
    check_truth_logs
    choose_trigger
    find_python
    make_users
    make_folders
    before=$(readlink "$prefix/current" || true)
    build_release
    keep_python
    install_files
    install_truth_logs
    install_trigger
    systemd-tmpfiles --create "$tmpfiles"
    systemctl daemon-reload
    switch_release
    next_steps
}

# Before anything is written: a run that is corrected and repeated finds all as it was.
check_truth_logs() {
    for log in $logs; do
        [ ! -d "$log" ] || refuse "--truth-log $log is a folder; name the log in it"
        [ -d "${log%/*}" ] || refuse "--truth-log $log: there is no folder ${log%/*}"
    done
}

check_users() {
    for user in $users; do
        id "$user" >/dev/null 2>&1 ||
            refuse "--client-user $user: there is no such user; create it first, or check the name"
    done
}

# What was chosen before stays; without a choice it is cron, where there is one.
choose_trigger() {
    if [ -z "$trigger" ]; then
        if [ -e "$units/signal-scorer-train.timer" ] || [ ! -d /etc/cron.d ] || ! has_cron; then
            trigger=timers
        else
            trigger=cron
        fi
    elif [ "$trigger" = cron ]; then
        has_cron || refuse "--cron: no cron is installed; apt-get install cron, or use --timers"
    fi
}

has_cron() { command -v cron >/dev/null || command -v crond >/dev/null; }

# What was chosen before stays, too, as long as it runs.
find_python() {
    case $python in */*) python=$(realpath -s "$python") ;; esac
    check_spaces --python "$python"
    chosen=${python:-$(cat "$prefix/python" 2>/dev/null || true)}
    for candidate in ${python:-$chosen python3 python3.14 python3.13 python3.12 python3.11}; do
        # Not by a name that the distribution's next version gives to another one.
        real=$("$candidate" 2>/dev/null -c 'import os, sys; print(os.path.realpath(sys.executable)); \
            sys.exit(sys.version_info < (3, 11))') || continue
        case $real in
            /root/* | /home/* | /run/user/*)
                [ -z "$python" ] || refuse "--python $python is $real, and the units see no homes (ProtectHome=): give one below /usr or /opt"
                continue ;;
        esac
        [ "$candidate" = "${chosen:-$candidate}" ] ||
            say "note: $chosen, chosen with --python before, is gone, too old or in a home; taking $candidate"
        python=$real
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            refuse "$python cannot make environments; apt-get install python3-venv"
        return
    done
    refuse "Python 3.11 or newer is needed, and not in a home; apt-get install python3-venv, or name one with --python"
}

keep_python() { [ -z "$chosen" ] || say "$chosen" | put 0644 /dev/stdin "$prefix/python"; }

make_users() {
    getent group scorer >/dev/null || groupadd --system scorer
    getent group "$clients" >/dev/null || groupadd --system "$clients"
    for user in scorer scorer-trainer; do
        id "$user" >/dev/null 2>&1 || useradd --system --gid scorer --no-create-home \
            --home-dir "$state" --shell /usr/sbin/nologin "$user"
    done
    for user in $users; do
        usermod --append --groups "$clients" "$user"
    done
}

# Also mends what a command that was run as root has left behind.
make_folders() {
    install -d -m 0755 "$prefix" "$prefix/releases" "$prefix/truth" "$prefix/alert" "$etc"
    install -d -m 0750 -o scorer -g scorer "$state"
    install -d -m 0750 -o scorer-trainer -g scorer /var/cache/signal-scorer
    # Below here the users themselves may swap a folder for a link while root looks: nothing
    # follows one, and a name is only used from within the folder in which it was found.
    [ -e "$state/models" ] || mkdir -m 0750 "$state/models"
    chown -h scorer-trainer:scorer "$state/models"
    find "$state/models" ! -user scorer-trainer -execdir chown -h scorer-trainer:scorer {} +
    find "$state" -path "$state/models" -prune -o -user root -execdir chown -h scorer:scorer {} +
}

# A release is named by what is in it, so that installing the same again builds nothing.
build_release() {
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$project/pyproject.toml")
    digest=$(cd "$project" && {
        find protocol service training pyproject.toml README.md requirements -type f \
            ! -path '*/__pycache__/*' -print | LC_ALL=C sort | xargs sha256sum
        echo "$python" && "$python" -V
    } | sha256sum | cut -c1-12)
    first=$prefix/releases/$version-$digest
    clear_up
    # What was built beside it stays installed while it runs, also where the one before runs again.
    for release in "$first"-again*; do
        [ ! "$release" -ef "$prefix/current" ] || ! is_sound || return 0
    done
    release=$first
    while [ -e "$release" ]; do
        ! is_sound || return 0
        # Beside it: the service may still run from there.
        release=$release-again
    done
    say "building $release with $("$python" -V)"
    trap clear_up EXIT
    trap 'exit 1' HUP INT TERM
    offline=''
    [ -z "$wheels" ] || offline="--no-index --find-links $wheels"
    "$python" -m venv "$prefix/.build"
    fetch "$prefix/.build" "$project/requirements/build.txt"
    # By another name: pip takes [1] at a path's end for that of an extra.
    ln -s "$project" "$prefix/.build/project"
    "$prefix/.build/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-index \
        --no-build-isolation --no-deps --wheel-dir "$prefix/.build/wheel" "$prefix/.build/project"
    "$python" -m venv "$release"
    fetch "$release" "$project/requirements/training.txt"
    "$release/bin/python" -m pip install --quiet --disable-pip-version-check --no-index \
        --no-deps "$prefix"/.build/wheel/*.whl
    rm -rf "$prefix/.build"
    runs || refuse "scorer or scorer-trainer cannot run $release (see above); name another Python with --python, or mount $prefix without noexec"
    # A power cut leaves it whole, or not called complete.
    sync -f "$release"
    : > "$release/complete"
    trap - EXIT HUP INT TERM
}

# After a build that failed, or one that was killed before: the service journals to the same disk.
clear_up() {
    rm -rf "$prefix/.build"
    for half in "$prefix"/releases/*; do
        [ -e "$half/complete" ] || in_use "$half" || rm -rf "$half"
    done
}

# Made by hand, or damaged, it may serve all the same.
in_use() { [ "$1" -ef "$prefix/current" ] || [ "$1" = "$(running_release)" ]; }

is_sound() {
    [ ! -e "$release/complete" ] || ! runs || return 0
    say "$release is not complete, or does not run any more (see above)"
    false
}

# As the units' users, from whom more is hidden than from root; and what is loaded later, too.
# Each in a session of its own: what is a user's cannot type into root's terminal.
runs() {
    setsid -w runuser -u scorer -- "$release/bin/signal-scorer" --version >/dev/null &&
        setsid -w runuser -u scorer-trainer -- "$release/bin/signal-scorer-train" --help >/dev/null &&
        setsid -w runuser -u scorer-trainer -- env MPLCONFIGDIR=/var/cache/signal-scorer \
            "$release/bin/python" -I -c 'import service.serve, training.report.page, matplotlib.figure'
}

fetch() {
    # shellcheck disable=SC2086  # $offline is options
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        --only-binary :all: --require-hashes $offline -r "$2" ||
        refuse "the packages of $2 could not be installed (see above); without network use --wheels, without space see df -h $prefix"
}

# By a rename: on a full disk what is there stays as it was.
put() {
    rm -f "$3.new"
    { install -m "$1" "$2" "$3.new" && mv -T "$3.new" "$3"; } || { rm -f "$3.new"; return 1; }
}

install_files() {
    [ -s "$etc/config.toml" ] || put 0644 "$here/config.toml" "$etc/config.toml"
    install_units
    put 0644 "$here/systemd/tmpfiles.conf" "$tmpfiles"
    for script in "$here"/alert/*.sh; do
        put 0755 "$script" "$prefix/alert/${script##*/}"
    done
    for command in signal-scorer signal-scorer-train; do
        put 0755 "$here/bin/$command" "$commands/$command"
    done
}

install_units() {
    # What runs was started by the unit before, also if this run ends without a restart.
    cmp -s "$here/systemd/signal-scorer.service" "$units/signal-scorer.service" ||
        invocation > "$outdated"
    for unit in signal-scorer.service signal-scorer-train.service signal-scorer-monitor.service \
        signal-scorer-alert@.service; do
        put 0644 "$here/systemd/$unit" "$units/$unit"
    done
}

# systemd's name of this run of the service: another one after each start, nothing before the first.
invocation() { systemctl show --property InvocationID --value signal-scorer; }

runs_by_an_older_unit() { [ -e "$outdated" ] && [ "$(invocation)" = "$(cat "$outdated")" ]; }

# The trainer's units see each log's folder, or the log alone where the folder itself is closed.
install_truth_logs() {
    [ -n "$logs" ] || return 0
    number=0 binds='' paths=''
    for log in $logs; do
        number=$((number + 1))
        source=${log%/*} target=$prefix/truth/$number
        paths="$paths${paths:+,}$target/${log##*/}"
        case $(stat -L -c %A "$source") in
            ???????r?x*) ;;
            *)
                say "note: $source is closed to others, so only the log itself is shown to the trainer, without rotated parts"
                source=$log target=$target/${log##*/} ;;
        esac
        binds="${binds}BindReadOnlyPaths=-$source:$target
"
    done
    for job in $jobs; do
        mkdir -p "$units/$job.service.d"
        put 0644 /dev/stdin "$units/$job.service.d/truth-log.conf" <<CONF
# Written by install.sh --truth-log.
[Service]
Environment=SIGNAL_SCORER_TRUTH_LOG_PATHS=$paths
TemporaryFileSystem=$prefix/truth:ro
$binds
CONF
    done
}

install_trigger() {
    if [ "$trigger" = cron ]; then
        remove_timers
        put 0644 "$here/cron/signal-scorer" "$cron"
    else
        rm -f "$cron"
        for job in $jobs; do
            put 0644 "$here/systemd/$job.timer" "$units/$job.timer"
            timers="$timers $job.timer"
        done
    fi
}

remove_timers() {
    for job in $jobs; do
        [ ! -e "$units/$job.timer" ] || systemctl --quiet disable --now "$job.timer"
        rm -f "$units/$job.timer"
    done
}

# A rename, so that `current` is the old release or the new one at any time.
point_to() {
    # -n: a run that was cut off here has left a link, into whose release this one would go.
    ln -sfn "$1" "$prefix/.current"
    mv -T "$prefix/.current" "$prefix/current"
}

switch_release() {
    # A terminal that goes now would leave a release that does not start, and no way back.
    trap '' HUP INT TERM
    [ "$release" = "$before" ] || point_to "$release"
    [ "$start" = yes ] || return 0
    [ "$trigger" = cron ] || for job in $jobs; do systemctl --quiet enable --now "$job.timer"; done
    if is_up; then
        runs=$(running_release)
        if [ "$runs" = "$release" ] && systemctl --quiet is-active signal-scorer && ! runs_by_an_older_unit; then
            say "the service is this release already and was left alone"
            return 0
        fi
        before=${runs:-$before}
    elif [ -z "$before" ] || systemctl --quiet is-failed signal-scorer; then
        systemctl --quiet enable signal-scorer
    else
        say "the service does not run, and stays so: systemctl enable --now signal-scorer"
        return 0
    fi
    systemctl reset-failed signal-scorer 2>/dev/null || true
    systemctl restart signal-scorer || go_back
    restart_replicas
    [ "$release" = "$before" ] || remove_old_releases
}

# Also between two of systemd's own starts, of which the next takes what `current` names.
is_up() {
    case $(systemctl show --property ActiveState --value signal-scorer) in
        active | activating | reloading | refreshing) ;;
        *) false ;;
    esac
}

# Copies of the unit (docs/scaling.md) run from the release that is about to be removed.
restart_replicas() {
    units_of "signal-scorer serve" | sed 's|@\.service$|@*.service|' | grep -vx signal-scorer.service |
        while read -r unit; do
            systemctl try-restart "$unit" || say "note: $unit does not start; journalctl -u $unit"
        done
}

# The units that start a program of the release.
units_of() {
    grep -ls "^ExecStart=$prefix/current/bin/$1" "$units"/*.service | sed 's|.*/||'
}

# What `current` names was perhaps never started, after --no-start or a run that was cut off: the
# way back is what runs. Nothing where that is no release, or has just ended.
running_release() {
    pid=$(systemctl show --property MainPID --value signal-scorer)
    { tr '\0' '\n' < "/proc/$pid/cmdline"; } 2>/dev/null |
        sed -n "1s|^\($prefix/releases/[^/]*\)/.*|\1|p"
}

go_back() {
    journalctl --quiet --no-pager -u signal-scorer -n 15 >&2 || true
    if [ -z "$before" ] || [ "$before" = "$release" ] || [ ! -x "$before/bin/signal-scorer" ]; then
        refuse "the service does not start; its last lines are above"
    fi
    point_to "$before"
    systemctl reset-failed signal-scorer
    systemctl restart signal-scorer || refuse "neither the new release nor $before starts"
    refuse "the new release did not start (its last lines are above); $before serves again"
}

# The one before stays, for a way back: ln -sfn RELEASE $prefix/current, restart.
remove_old_releases() {
    for old in "$prefix"/releases/*; do
        [ "$old" = "$release" ] || [ "$old" = "$before" ] || rm -rf "$old"
    done
}

next_steps() {
    say "installed $release; the trainer is started by $trigger"
    then=", then systemctl restart signal-scorer"
    if [ "$start" = no ] && is_up; then
        # A restart by hand would start it without a way back.
        say "start it:        the same command without --no-start; if it fails, what runs now serves again"
        then=
    elif [ "$start" = no ]; then
        say "start it:        systemctl enable --now signal-scorer$timers"
    fi
    say "configuration:   $etc/config.toml$then"
    say "is it well?      signal-scorer health; journalctl -u signal-scorer"
    say "a first score:   signal-scorer score --symbol EURUSD --base-score 75 --direction BUY"
    say "the trainer:     signal-scorer-train status"
    ! grep -qs "^[^#]*$old_textfiles/" "$etc/config.toml" ||
        say "note: $etc/config.toml names a textfile in $old_textfiles, where the units may not write any more: docs/monitoring.md, Prometheus"
    for user in $users; do
        say "$user may use ipc:///run/signal-scorer/score.sock from its next login or restart on"
    done
    for log in $logs; do
        case $(stat -L -c %A "$log" 2>/dev/null) in
            ???????r*) ;;
            '') say "note: $log is not there yet; it is read as soon as it is" ;;
            *) say "note: $log is closed to the trainer: chmod o+r $log (its folder may keep others out)" ;;
        esac
    done
}

uninstall() {
    systemctl --quiet disable --now signal-scorer 2>/dev/null || true
    for job in $jobs; do
        systemctl --quiet stop "$job.service" 2>/dev/null || true
        rm -f "$units/$job.service.d/truth-log.conf"
        rmdir "$units/$job.service.d" 2>/dev/null || true
    done
    remove_timers
    systemctl --quiet stop 'signal-scorer-alert@*' || true
    rm -f "$cron" "$tmpfiles" "$outdated" "$commands/signal-scorer" "$commands/signal-scorer-train"
    for unit in signal-scorer signal-scorer-train signal-scorer-monitor signal-scorer-alert@; do
        rm -f "$units/$unit.service"
    done
    stop_copies
    rm -rf "$prefix" /var/cache/signal-scorer /run/signal-scorer
    rm -f /var/lib/systemd/timers/stamp-signal-scorer-*
    # node exporter would go on serving their last runs.
    for folder in "$textfiles" "$old_textfiles"; do
        rm -f "$folder/signal_scorer_train.prom" "$folder/signal_scorer_monitor.prom"
    done
    systemctl daemon-reload
    systemctl --quiet reset-failed 'signal-scorer*' 2>/dev/null || true
    say "removed. Left are $state (journal, models), $etc (configuration), what systemctl edit"
    say "made, and the users scorer and scorer-trainer. Give --truth-log, --timers and --python"
    say "again if you install it again. To remove these too:"
    say "  rm -rf $state $etc $textfiles $units/signal-scorer*.service.d; userdel scorer-trainer; userdel scorer; groupdel $clients"
}

# What is left of units like ours is the operator's: of replicas, or of their proxy.
stop_copies() {
    units_of '' | while read -r unit; do
        systemctl --quiet disable "$unit" || true
        systemctl stop "$(say "$unit" | sed 's|@\.service$|@*.service|')" || true
        say "stopped and disabled $unit too; its file is left"
    done
}

main "$@"
