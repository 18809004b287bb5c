#!/bin/sh
# Installs what is missing, builds, and runs the tests. Without arguments: all of them.
#
#   test/run.sh [PART...] [--sanitize none|address|thread] [--verbose]
#
#   unit      unit tests, in each build                      lint     formatting, clang-tidy, layers, scripts
#   system    turnoutd against scripted peers: all tests with the release build, those marked `sanitize` with the others
#   fuzz      each corpus, then each fuzz target for a few seconds (test/fuzz/run)
#   budget    the instructions that a message costs, against test/bench/budget.json (release build)
#   sim       2000 seeded worlds, each deliberate fault caught, the model of Redis against a real one (test/sim/run);
#             200 worlds once more with the address sanitizer
#   interop   Kannel, node-smpp, and a dissection of all that the proxy sent in the system tests
#
# --sanitize keeps to one build: none (release), address (with undefined), thread. Builds are in build-release,
# build-address and build-thread under $TURNOUT_BUILDS, by default the checkout. A line a part, then "N passed, N failed".
set -eu

cd "$(dirname "$0")/.."
root=$PWD
builds=${TURNOUT_BUILDS:-$root}
python=/usr/bin/python3
work=$(mktemp -d)
parts=""
kinds=""
verbose=""
passed=0
failed=0
skipped=0

clean_up() {
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

while [ $# -gt 0 ]; do
    case $1 in
    unit | system | interop | lint | fuzz | budget | sim) parts="$parts $1" ;;
    --sanitize)
        shift
        case ${1:-} in
        none) kinds="$kinds release" ;;
        address | thread) kinds="$kinds $1" ;;
        *) echo "run.sh: --sanitize takes none, address or thread" >&2 && exit 2 ;;
        esac
        ;;
    --verbose) verbose=yes ;;
    *) sed -n '2,/^set -eu/p' "$0" | sed -n 's/^# \{0,1\}//p' >&2 && exit 2 ;;
    esac
    shift
done
: "${parts:=lint unit budget fuzz sim system interop}"
: "${kinds:=release address thread}"

wanted() {
    case " $2 " in *" $1 "*) return 0 ;; esac
    return 1
}

# report PART BEGAN PASSED FAILED SKIPPED OUTPUT: the line of a part, and its output if something failed or was skipped.
report() {
    passed=$((passed + $3))
    failed=$((failed + $4))
    skipped=$((skipped + $5))
    if [ "$4" != 0 ] || [ -n "$verbose" ]; then
        cat "$6"
    fi
    printf '%-18s %5d passed %3d failed %3d skipped %6d s\n' "$1" "$3" "$4" "$5" $(($(date +%s) - $2))
}

# Thread sanitizer wants its shadow at fixed addresses; some kernels randomise too much for it.
plain_addresses=""
if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ] && setarch -R true 2>/dev/null; then
    plain_addresses="setarch -R"
fi

build() {
    kind=$1
    began=$(date +%s)
    sanitize=$kind
    [ "$kind" != release ] || sanitize=""
    if cmake -S "$root" -B "$builds/build-$kind" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DSANITIZE=$sanitize" \
        >"$work/build" 2>&1 && ninja -C "$builds/build-$kind" >>"$work/build" 2>&1; then
        report "build $kind" "$began" 1 0 0 "$work/build"
    else
        tail -n 60 "$work/build" >"$work/tail"
        report "build $kind" "$began" 0 1 0 "$work/tail"
        return 1
    fi
}

unit() {
    began=$(date +%s)
    # shellcheck disable=SC2086
    ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
        TSAN_OPTIONS=second_deadlock_stack=1 \
        $plain_addresses ctest --test-dir "$builds/build-$1" -V -j 2 --timeout 300 --no-tests=error >"$work/unit" 2>&1 ||
        true
    good=$(grep -c '\[       OK \]' "$work/unit" || true)
    # A program that failed counts once for each test that it reports, and at least once.
    bad=$(grep -cE '\[  FAILED  \] [a-zA-Z_0-9 ]+$' "$work/unit" || true)
    programs=$(sed -n 's/.* tests passed, \([0-9]*\) tests failed out of.*/\1/p' "$work/unit")
    [ "$bad" -ge "${programs:-1}" ] || bad=${programs:-1}
    report "unit $1" "$began" "$good" "$bad" 0 "$work/unit"
}

# pytest_part PART PYTEST-ARGUMENTS...: runs pytest, reads its last line.
pytest_part() {
    part=$1
    shift
    began=$(date +%s)
    # shellcheck disable=SC2086
    $plain_addresses "$python" -m pytest -q -rs --tb=short -p no:cacheprovider "$@" >"$work/pytest" 2>&1 || code=$?
    last=$(tail -n 1 "$work/pytest")
    good=$(echo "$last" | sed -n 's/.*\b\([0-9]\+\) passed.*/\1/p')
    bad=$(echo "$last" | sed -n 's/.*\b\([0-9]\+\) failed.*/\1/p')
    errors=$(echo "$last" | sed -n 's/.*\b\([0-9]\+\) error.*/\1/p')
    left=$(echo "$last" | sed -n 's/.*\b\([0-9]\+\) skipped.*/\1/p')
    bad=$((${bad:-0} + ${errors:-0}))
    if [ "${code:-0}" != 0 ] && [ "$bad" = 0 ]; then
        bad=1
    fi
    code=0
    grep '^SKIPPED' "$work/pytest" || true
    report "$part" "$began" "${good:-0}" "$bad" "${left:-0}" "$work/pytest"
}

# Two at a time: most of them wait for something most of the time.
system_part() {
    kind=$1
    shift
    TURNOUT_BUILD="$builds/build-$kind" TURNOUT_TOOLS="$builds/build-release" pytest_part "system $kind" -n "$jobs" "$@"
}

began=$(date +%s)
if docker/install.sh test 2>"$work/install"; then
    report install "$began" 1 0 0 "$work/install"
else
    report install "$began" 0 1 0 "$work/install"
fi
jobs=$(nproc)
[ "$jobs" -ge 2 ] || jobs=2

# The tools that the system tests use come from the release build, so it is always made.
built=""
for kind in release address thread; do
    if [ "$kind" = release ] || { wanted "$kind" "$kinds" && { wanted unit "$parts" || wanted system "$parts" ||
        { wanted sim "$parts" && [ "$kind" = address ]; }; }; }; then
        if build "$kind"; then
            built="$built $kind"
        fi
    fi
done

if wanted lint "$parts" && wanted release "$built"; then
    began=$(date +%s)
    test/lint.sh "$builds/build-release" >"$work/lint" 2>&1 || true
    counts=$(tail -n 1 "$work/lint")
    good=$(echo "$counts" | sed -n 's/^\([0-9]*\) passed.*/\1/p')
    bad=$(echo "$counts" | sed -n 's/.* \([0-9]*\) failed.*/\1/p')
    report lint "$began" "${good:-0}" "${bad:-1}" 0 "$work/lint"
fi

for kind in $kinds; do
    if wanted unit "$parts" && wanted "$kind" "$built"; then
        unit "$kind"
    fi
done

if wanted fuzz "$parts"; then
    began=$(date +%s)
    bad=0
    TURNOUT_BUILDS=$builds test/fuzz/run --seconds 6 >"$work/fuzz" 2>&1 || bad=1
    good=$(grep -c '  ok$' "$work/fuzz" || true)
    found=$(grep -c '  FOUND$' "$work/fuzz" || true)
    [ "$found" -le "$bad" ] || bad=$found
    report fuzz "$began" "$good" "$bad" 0 "$work/fuzz"
    [ "$bad" != 0 ] || cat "$work/fuzz"
fi

# sim_part KIND ARGUMENTS...: worlds, with that build.
sim_part() {
    kind=$1
    shift
    began=$(date +%s)
    TURNOUT_BUILD="$builds/build-$kind" test/sim/run "$@" >"$work/sim" 2>&1 || true
    counts=$(tail -n 1 "$work/sim")
    good=$(echo "$counts" | sed -n 's/^\([0-9]*\) passed.*/\1/p')
    bad=$(echo "$counts" | sed -n 's/.* \([0-9]*\) failed.*/\1/p')
    report "sim $kind" "$began" "${good:-0}" "${bad:-1}" 0 "$work/sim"
    [ "${bad:-1}" != 0 ] || grep -E '^(seeds|twice):' "$work/sim"
}

if wanted sim "$parts" && wanted release "$built"; then
    sim_part release --ci
fi
if wanted sim "$parts" && wanted address "$built"; then
    sim_part address --seeds 200
fi

if wanted budget "$parts" && wanted release "$built"; then
    began=$(date +%s)
    bad=0
    "$python" -B test/bench/budget "$builds/build-release" >"$work/budget" 2>&1 || bad=1
    report budget "$began" "$((1 - bad))" "$bad" 0 "$work/budget"
    [ "$bad" != 0 ] || cat "$work/budget"
fi

mkdir "$work/capture"
export TURNOUT_CAPTURE="$work/capture"
for kind in $kinds; do
    if wanted system "$parts" && wanted "$kind" "$built"; then
        if [ "$kind" = release ]; then
            system_part release test/system
        else
            TURNOUT_CAPTURE="" TURNOUT_TEST_PATIENCE=30 system_part "$kind" test/system -m sanitize
        fi
    fi
done

if wanted interop "$parts" && wanted release "$built"; then
    TURNOUT_BUILD="$builds/build-release" TURNOUT_TOOLS="$builds/build-release" pytest_part interop test/interop
fi

summary="$passed passed, $failed failed"
[ "$skipped" = 0 ] || summary="$summary, $skipped skipped"
echo "$summary"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
