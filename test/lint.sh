#!/bin/sh
# The checks that need no running program: formatting, clang-tidy, layers, length of functions, scripts.
#
#   test/lint.sh BUILD-DIRECTORY      a configured and built one: clang-tidy needs its compile_commands.json
#
# What clang-tidy found good is remembered by content in BUILD-DIRECTORY/tidy, so that only changed files cost time.
set -eu

self=$(cd "$(dirname "$0")" && pwd)/lint.sh
cd "$(dirname "$0")/.."
build=${1:?the build directory}
jobs=$(nproc)
passed=0
failed=0

# check NAME COMMAND...: runs it; its output is shown only if it fails.
check() {
    name=$1
    shift
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'lint: %s\n%s\n' "$name" "$output"
    fi
}

sources() {
    find smpp routing proxy test -name '*.[ch]' -not -path '*/node_modules/*' | sort
}

formatting() {
    sources | xargs -r clang-format --dry-run --Werror
}

# A layer includes itself and those below it, by names that begin with the layer.
layer() {
    layer=$1
    allowed=$2
    ! grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' --include='*.[ch]' "$layer" |
        grep -vE "include[[:space:]]*\"($allowed)"
}

no_upward_paths() {
    ! sources | xargs grep -nE 'include[[:space:]]*[<"]([^>"]*/)?\.\./'
}

# libsmpp34 is fenced: one file of ours, and the tests that use it as an oracle.
fence() {
    ! grep -rnE 'include[[:space:]]*[<"]smpp34' --include='*.[ch]' smpp routing proxy test |
        grep -vE '^(smpp/control\.c|test/unit/[^:]*|test/fuzz/fuzz_oracle\.c):'
}

# SMPP without I/O: no sockets, clocks or allocators in smpp/.
no_io() {
    ! grep -nE '\b(malloc|calloc|realloc|free|socket|recv|send|read|write|time|clock_gettime|uv_[a-z_]+)[[:space:]]*\(' \
        smpp/*.c | grep -vE '^smpp/control\.c:' | grep -vE ':[[:space:]]*(/?\*|//)'
}

# A function is what stands between "{" and "}" in the first column. 100 lines do not pass.
function_lengths() {
    # shellcheck disable=SC2046
    awk 'FNR == 1 { start = 0 }
         /^[a-zA-Z_].*\(/ { name = $0 }
         /^\{/ { start = FNR }
         /^\}/ && start {
             if (FNR - start - 1 > 100) { printf "%s:%d: %d lines: %s\n", FILENAME, start, FNR - start - 1, name; bad = 1 }
             start = 0
         }
         END { exit bad }' $(sources)
}

shell_scripts() {
    # shellcheck disable=SC2046
    shellcheck $(git ls-files --cached --others --exclude-standard '*.sh' .ci/run test/fuzz/run)
}

python_scripts() {
    # shellcheck disable=SC2046
    /usr/bin/python3 - $(git ls-files --cached --others --exclude-standard '*.py') <<'PYTHON'
import ast, sys
for path in sys.argv[1:]:
    with open(path) as file:
        ast.parse(file.read(), path)
PYTHON
}

# Tests want predictable random numbers, and strcpy of their own constants.
test_checks=-cert-msc30-c,-cert-msc50-cpp,-cert-msc32-c,-cert-msc51-cpp,-bugprone-macro-parentheses
# The static analyzer takes a minute and more for some test programs, whose functions are long chains of asserts: it is for
# what ships. There it looks at so many states of a function; TURNOUT_TIDY_NODES=225000 is as far as it goes by itself.
test_checks="$test_checks,-clang-analyzer-*"
nodes=${TURNOUT_TIDY_NODES:-20000}

# One file through clang-tidy, unless the same text (with all headers and settings) was good before.
tidy_one() {
    source=$1
    key=$(printf '%s\n' "$tidy_base" | cat - "$source" | sha256sum | cut -d' ' -f1)
    [ ! -e "$build/tidy/$key" ] || return 0
    case $source in test/*) checks=$test_checks ;; *) checks="" ;; esac
    if output=$(clang-tidy -quiet -p "$build" "-checks=$checks" --extra-arg=-Xclang --extra-arg=-analyzer-config \
        --extra-arg=-Xclang "--extra-arg=max-nodes=$nodes" "$source" 2>/dev/null); then
        : >"$build/tidy/$key"
    else
        printf '%s\n' "$output"
        return 1
    fi
}

if [ "${2:-}" = --tidy-one ]; then
    tidy_one "$3"
    exit
fi

tidy() {
    mkdir -p "$build/tidy"
    tidy_base=$(sources | grep '\.h$' | xargs cat "$self" .clang-tidy "$build/compile_commands.json" | sha256sum)
    export tidy_base
    # Only what the build compiles; other files have no command line to check them by.
    sources | grep '\.c$' | while read -r source; do
        grep -q "$PWD/$source\"" "$build/compile_commands.json" && echo "$source"
    done | xargs -r -P "$jobs" -n 1 "$self" "$build" --tidy-one
}

check formatting formatting
check "layer smpp" layer smpp 'smpp/'
check "layer routing" layer routing 'smpp/|routing/|functions_lua\.h'
check "layer proxy" layer proxy 'smpp/|routing/|proxy/'
check "no ../ includes" no_upward_paths
check "libsmpp34 fenced" fence
check "smpp without I/O" no_io
check "functions of 100 lines at most" function_lengths
check shellcheck shell_scripts
check python python_scripts
check clang-tidy tidy
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
