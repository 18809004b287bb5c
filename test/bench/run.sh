#!/bin/sh
# Measures turnoutd against Debian's HAProxy in TCP mode: installs what is missing, builds, and measures. Wants Debian 12,
# root or sudo for what is missing, and two processors. `test/bench/run.sh --help` has the options; --quick takes a minute.
#
# The build is build-release under $TURNOUT_BUILDS, by default the checkout, as in test/run.sh.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
build=${TURNOUT_BUILDS:-$root}/build-release
python=/usr/bin/python3
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM

quietly() {
    "$@" >"$log" 2>&1 || {
        tail -n 60 "$log" >&2
        echo "run.sh: failed: $*" >&2
        exit 1
    }
}

for argument in "$@"; do
    case $argument in -h | --help) exec "$python" -B "$root/test/bench/bench.py" --help ;; esac
done

# What is wrong with the arguments is said before minutes of building.
[ ! -x "$python" ] || "$python" -B "$root/test/bench/bench.py" --build "$build" --check "$@"
"$root/docker/install.sh" bench
quietly cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSANITIZE=
quietly ninja -C "$build" turnoutd turnoutctl turnout-smsc turnout-load turnout-floor lookups budget
rm -f "$log"

exec "$python" -B "$root/test/bench/bench.py" --build "$build" "$@"
