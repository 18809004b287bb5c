#!/bin/sh
# Shows the main job: eight simulated carrier links, one proxy, three clients that stay bound while one shortcode on one
# carrier moves to the other platform and back. Nothing to configure, nothing left behind but the build.
#
#   docker/demo.sh           until Ctrl-C
#   docker/demo.sh --once    once there and back; ends with the verdict of the ledgers
set -eu

cd "$(dirname "$0")/.."
root=$PWD
build=${TURNOUT_BUILD:-$root/build-release}
case ${1:-} in
'' | --once) ;;
*) sed -n '2,/^set -eu/p' "$0" | sed -n 's/^# \{0,1\}//p' >&2 && exit 2 ;;
esac

docker/install.sh demo
if ! log=$(cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo 2>&1 && ninja -C "$build" \
    turnoutd turnoutctl turnout-smsc turnout-load 2>&1); then
    printf '%s\n' "$log" | tail -n 60 >&2
    echo "demo.sh: the build failed" >&2
    exit 1
fi
TURNOUT_BUILD=$build TURNOUT_TOOLS=$build exec /usr/bin/python3 docker/demo.py "$@"
