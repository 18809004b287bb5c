#!/bin/sh
# Installs what is missing of docker/packages, by purpose, on Debian 12: as root, or with sudo. Says nothing where all is
# there already.
#
#   docker/install.sh [runtime | build | demo | test | bench | all]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
purpose=${1:-build}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

case $purpose in
runtime) groups="runtime" ;;
build) groups="build" ;;
demo) groups="build demo" ;;
test) groups="build demo test" ;;
bench) groups="build demo bench" ;;
all) groups="runtime build demo test bench" ;;
*) fail "unknown purpose '$purpose'; it is one of runtime, build, demo, test, bench, all" ;;
esac

command -v dpkg-query >/dev/null || fail "this is no Debian; install the packages named in docker/packages by hand"

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing_of() {
    while read -r group package substitute; do
        case $group in '' | '#'*) continue ;; esac
        case " $groups " in *" $group "*) ;; *) continue ;; esac
        is_installed "$package" && continue
        [ -n "$substitute" ] && command -v "$substitute" >/dev/null && continue
        echo "$package"
    done <"$here/packages"
}

missing=$(missing_of | sort -u | tr '\n' ' ')
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "missing: $missing- run as root, or install sudo"
    as_root="sudo"
fi

# Some packages bring a service (Redis, Prometheus, Kannel, HAProxy, Exim). We want the programs only: nothing may be started now, nor
# at the next boot.
policy=/usr/sbin/policy-rc.d
made_policy=""
log=$(mktemp)
clean_up() {
    [ -z "$made_policy" ] || $as_root rm -f "$policy"
    rm -f "$log"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    made_policy=yes
    $as_root chmod +x "$policy"
fi

echo "installing: $missing" >&2
apt() {
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" \
        >"$log" 2>&1
}
if ! apt update; then
    cat "$log" >&2
    fail "apt-get update failed"
fi
# shellcheck disable=SC2086
if ! apt install --no-install-recommends $missing; then
    cat "$log" >&2
    fail "apt-get install failed"
fi

if [ -d /run/systemd/system ]; then
    for package in $missing; do
        case $package in
        redis-server | redis-sentinel | prometheus | kannel | haproxy)
            $as_root systemctl disable --quiet --now "$package" >/dev/null 2>&1 || true
            ;;
        exim4-daemon-light) $as_root systemctl disable --quiet --now exim4 >/dev/null 2>&1 || true ;;
        esac
    done
fi
