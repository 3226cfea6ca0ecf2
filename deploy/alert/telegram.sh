#!/bin/sh
# Sends an alert of `signal-scorer-train monitor` to a Telegram chat.
#
#   [alerts]
#   command = ["/opt/signal-scorer/alert/telegram.sh"]
#
# TELEGRAM_TOKEN and TELEGRAM_CHAT come from the environment, or from a file of such lines that
# only root and the group scorer may read: $TELEGRAM_ENV, by default /etc/signal-scorer/telegram.env.
# The rule: the token is in no argument list, where every user of the machine could read it.
# Needs curl and a python3 (TELEGRAM_PYTHON names another). Exit code 0 only when Telegram has it.
set -eu

env_file=${TELEGRAM_ENV:-/etc/signal-scorer/telegram.env}
if [ -r "$env_file" ]; then
    . "$env_file"
fi
if [ -z "${TELEGRAM_TOKEN:-}" ] || [ -z "${TELEGRAM_CHAT:-}" ]; then
    echo "TELEGRAM_TOKEN and TELEGRAM_CHAT are needed, in the environment or in $env_file" >&2
    exit 78
fi

# -I: nothing is imported from the current folder.
text=$("${TELEGRAM_PYTHON:-python3}" -I -c 'import json, sys; print(json.load(sys.stdin)["text"])')

# curl reads the address with the token from descriptor 3 and the text from stdin.
printf '%s\n' "$text" | curl --silent --show-error --fail --max-time 20 --output /dev/null \
    --config /dev/fd/3 --data-urlencode text@- 3<<CONFIG
url = "${TELEGRAM_API:-https://api.telegram.org}/bot$TELEGRAM_TOKEN/sendMessage"
data-urlencode = "chat_id=$TELEGRAM_CHAT"
CONFIG
