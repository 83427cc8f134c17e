#!/bin/sh
# Print a folder for the demo's and the benchmark's VX_HOME, made if need be.
#
# In the checkout where that fits, as `make clean` then removes it: a machine's sockets lie in there,
# and a socket's path may have 103 bytes (macOS; Linux has 4 more).
set -eu
checkout=$(cd "$(dirname "$0")/.." && pwd -P)
longest=/machines/01234567/console.sock
for home in "$checkout/.cache/vx" "${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/vx-demo"; do
    if [ "$(printf '%s%s' "$home" "$longest" | wc -c)" -le 103 ] && mkdir -p "$home" 2>/dev/null; then
        printf '%s\n' "$home"
        exit 0
    fi
done
echo "No folder with a path short enough for sockets: set XDG_CACHE_HOME to one." >&2
exit 1
