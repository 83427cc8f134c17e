#!/bin/sh
# The tour that `make demo` gives: examples/hello from nothing to a web server, and away again.
#
# However it ends, its machine is gone afterwards. With --remove it only makes sure of that.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$root/examples/hello"
PATH="$root/.venv/bin:$PATH"
VX_HOME=$("$root/scripts/home.sh")
export PATH VX_HOME

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1;36m') plain=$(printf '\033[0m')
else
    bold="" plain=""
fi

# Show a command as one would type it, then run it.
run() {
    shown=""
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_./:@=-]*) shown="$shown '$word'" ;;
        *) shown="$shown $word" ;;
        esac
    done
    printf '\n%s$%s%s\n' "$bold" "$shown" "$plain"
    "$@"
}

remove() {
    [ -x "$root/.venv/bin/vx" ] || return 0
    vx --quiet destroy --yes
}

if [ "${1:-}" = --remove ]; then
    remove
    exit 0
fi

finish() {
    status=$?
    set +e # nobody may be there any more to read the next line
    trap '' INT TERM HUP
    trap - EXIT
    [ "$status" -eq 0 ] || echo "Removing the demo's machine" >&2
    remove || echo "That failed: try (cd examples/hello && VX_HOME=$VX_HOME vx destroy)" >&2
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

remove # what a killed demo left
run cat Xhyvefile
run vx box build micro
run vx up
run vx status
run vx ssh -c 'cat /etc/motd; uname -sr; uptime'
page=http://127.0.0.1:$(vx port --guest 80)/
if command -v curl >/dev/null; then
    run curl --silent --show-error "$page"
else
    run python -c "import urllib.request as r; print(r.urlopen(\"$page\").read().decode())"
fi
run vx up
run vx halt
run vx status
run vx destroy --yes
