"""What Turnout costs, against HAProxy in TCP mode, which copies bytes without reading them, and against itself.

    turnout-load ──▶ middle (turnoutd | HAProxy) ──▶ turnout-smsc      middle: one processor, the ends: another

    for each pair:  for each comparison:  a run of its one side, a run of the other    (so that what else the machine
    then for each side: one more run, with its system calls counted                     does hits neighbours alike; which
    then what is no load: look-ups, memory, idle sessions, a storm of binds              side is first changes)

comparisons.py is the table, world.py starts and ends the processes, middles.py knows the middles, measure.py does one
run, judging.py says whether it counts and what holds an aim, still.py measures what is no load, floor.py counts the
floor's instructions, report.py makes figures of runs, differences.py compares with another day's, provenance.py says
where they are from, drawing.py makes a picture. Run it by run.sh, which builds first.

Ends with 0 where all was measured, whatever the figures are; 1 where something was not; 2 where it could not begin.
"""
import argparse
import contextlib
import io
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time

import differences
import drawing
import floor
import judging
import measure
import provenance
import report
import still
from comparisons import (ALL, CELLS, FLOOR_WINDOW_MOST, PEERS, SESSIONS_MOST, SPECIAL, WINDOW_MOST, WITHOUT_KANNEL,
                         comparison, floors)
from middles import MIDDLES, Smsc
from world import Failed, World

DEFAULT = '1x10,1x100,10x10,10x100,100x10'
WINDOW_AT_LEAST = 100


PROGRAMS = {'haproxy': 'haproxy', 'strace': 'strace', 'openssl': 'openssl', 'redis-server': 'redis-server',
            'node': 'nodejs', 'npm': 'npm', 'valgrind': 'valgrind', 'chrt': 'util-linux'}  # and their packages


def comparisons_of(text):
    words = ALL if text == 'all' else text.split(',') if text else []
    try:
        return [comparison(word) for word in dict.fromkeys(words)]
    except ValueError as fault:
        raise argparse.ArgumentTypeError(
            '"%s": wanted is SESSIONSxWINDOW (to %dx%d), %s, comma-separated, or all, such as %s' % (
                fault, SESSIONS_MOST, WINDOW_MOST, ', '.join(SPECIAL), DEFAULT)) from None


def pairs_of(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError('"%s": wanted is a number of pairs, 1 or more' % text)
    return int(text)


def seconds_of(text):
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError('"%s": wanted are seconds, 0.1 to 3600' % text)
    return seconds


def others_of(text):
    try:
        percent = float(text)
    except ValueError:
        percent = -1
    if not 0 <= percent <= 100:
        raise argparse.ArgumentTypeError('"%s": wanted is per cent of a processor, 0 to 100' % text)
    return percent


def still_of(text):
    names = list(still.MEASURES) if text == 'all' else text.split(',') if text else []
    unknown = [name for name in names if name not in still.MEASURES]
    if unknown:
        raise argparse.ArgumentTypeError('"%s": one of %s, or all' % (unknown[0], ', '.join(still.MEASURES)))
    return names


def options():
    parser = argparse.ArgumentParser(prog='test/bench/run.sh',
                                     description='Measures turnoutd against HAProxy in TCP mode.')
    parser.add_argument('--pairs', type=pairs_of, default=5, help='runs of each side, in turn (%(default)s)')
    parser.add_argument('--seconds', type=seconds_of, default=5, help='measured in a run (%(default)s)')
    parser.add_argument('--cells', type=comparisons_of, default=DEFAULT,
                        help='SESSIONSxWINDOW,...; also %s; all: %s and these (%%(default)s)' % (
                            ', '.join(SPECIAL), ', '.join(CELLS)))
    parser.add_argument('--still', type=still_of, default='', metavar='NAMES',
                        help='what is no load: %s, or all (none)' % ', '.join(
                            '%s (%s)' % (name, still.TAKES[name]) for name in still.MEASURES))
    parser.add_argument('--floor', action='store_true',
                        help='for each SESSIONSxWINDOW also against a plain proxy of this shape, and that '
                             'against HAProxy: turnout-floor (floor.c) at level 0 copies octets, at 1 frames PDUs, at 2 '
                             'finds both addresses and gives sequence numbers; with its instructions a message, by '
                             'callgrind. Five times as long')
    parser.add_argument('--all', action='store_true', help='the whole table: --cells all --still all')
    parser.add_argument('--peers', action='store_true',
                        help='also against a small proxy on node-smpp (node, npm). ' + WITHOUT_KANNEL)
    parser.add_argument('--quick', action='store_true', help='one pair of two seconds: no figure to rely on, and none judged')
    parser.add_argument('--others', type=others_of, default=judging.OTHERS_MOST, metavar='PERCENT',
                        help='of a processor that others may take from a run that counts (%(default)s); one that does not '
                             'is run again')
    parser.add_argument('--json', type=pathlib.Path, metavar='FILE', help='write the figures and every run')
    parser.add_argument('--svg', type=pathlib.Path, metavar='FILE', help='draw the ratios')
    parser.add_argument('--compare', type=pathlib.Path, metavar='FILE',
                        help='print the differences to a run that --json has saved, and which of them are noise')
    parser.add_argument('--no-calls', action='store_true', help='do not count system calls')
    parser.add_argument('--build', type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument('--check', action='store_true', help=argparse.SUPPRESS)  # the arguments, and nothing more
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.pairs, chosen.seconds = 1, min(chosen.seconds, 2)
    if chosen.all:
        chosen.cells, chosen.still = comparisons_of('all'), still_of('all')
    if chosen.floor:
        chosen.cells = [*chosen.cells, *floors(chosen.cells)]
    if chosen.peers:
        chosen.cells = [*chosen.cells, *PEERS]
    return chosen


def progress(text):
    print(text, file=sys.stderr, flush=True)


def run_pair(number, attempt, compared, chosen, smsc, middles):
    """One run of each side, one after the other; in odd pairs the other way round. Both count, or neither."""
    sides = [compared.subject, compared.peer]
    runs = []
    for side in sides if number % 2 == 0 else reversed(sides):
        run = measure.timed(compared.name, side, middles[side.middle], smsc, chosen.seconds, chosen.others)
        run.pair, run.attempt = number, attempt
        progress('pair %d  %s' % (number + 1, report.line(run)))
        runs.append(run)
    if any(run.discarded for run in runs):
        for run in runs:
            run.discarded = run.discarded or [judging.PARTNER]
    return runs


def run_until_it_counts(run_once):
    """All runs of a pair that is run again where it was discarded. run_once(attempt): its two runs."""
    runs = []
    for attempt in range(1 + judging.REPEATS):
        runs.extend(run_once(attempt))
        if not runs[-1].discarded:
            break
    return runs


def run_all(chosen, smsc, middles):
    """(timed runs, counts of system calls)"""
    runs, calls = [], []
    for middle in middles.values():
        cell = measure.Cell(1, 10, tls=middle.tls)
        side = measure.Side(middle.name, middle.name, cell)
        progress('warm-up  ' + report.line(measure.timed('1x10', side, middle, smsc, 0.3, 100)))
    for number in range(chosen.pairs):
        for compared in chosen.cells:
            runs.extend(run_until_it_counts(
                lambda attempt: run_pair(number, attempt, compared, chosen, smsc, middles)))
    for compared in [] if chosen.no_calls else chosen.cells:
        for side in (compared.subject, compared.peer):
            calls.append(measure.counted(compared.name, side, middles[side.middle], smsc, min(1, chosen.seconds / 2)))
    return runs, calls


def make_middles(chosen, world, ports):
    """Those that somebody asks for, by name."""
    sides = [side for compared in chosen.cells for side in (compared.subject, compared.peer)]
    window = 2 * max([WINDOW_AT_LEAST] + [side.cell.window for side in sides])
    wanted = {side.middle for side in sides}
    return {kind.name: kind(world, ports, window) for kind in MIDDLES if kind.name in wanted}


def bench(chosen):
    """Everything between the first process and the last. The result is what --json writes."""
    load_before = os.getloadavg()
    runs, calls, found, unmeasured = [], [], [], {}
    with World(chosen.build) as world:
        smsc = Smsc(world)
        middles = make_middles(chosen, world, smsc.ports)
        if middles:
            runs, calls = run_all(chosen, smsc, middles)
        machine = provenance.machine(world, list(middles.values()))
        for middle in middles.values():
            middle.end()
        measures = [(name, still.MEASURES[name]) for name in chosen.still
                    if not (chosen.floor and name == 'instructions')]  # the floor's have them beside
        for name, measure_still in [('instructions of the floor', floor.instructions)] * chosen.floor + measures:
            try:
                found.extend(measure_still(world, smsc, progress))
            except Failed as fault:
                progress('%s: %s' % (name, fault))
                unmeasured[name] = str(fault)
    machine['load_average'] = {'before': load_before, 'after': os.getloadavg()}
    return report.result({'made': provenance.made(chosen.build), 'machine': machine}, chosen, runs, calls, found,
                         unmeasured)


# --- what can be said before anything is measured ---------------------------------------------------------------------

class Unready(Exception):
    """It cannot begin; the text says why, and what to do."""


def saved_run(path):
    """What --json wrote once, None where nothing is to be compared."""
    if path is None:
        return None
    try:
        run = json.loads(path.read_text())
    except (OSError, ValueError) as fault:
        raise Unready('%s cannot be compared with: %s' % (path, fault)) from None
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            differences.show(run, {'pairs': 1} | run)  # reads all that it will read at the end
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, ZeroDivisionError):
        raise Unready('%s cannot be compared with: it is no run that --json has written' % path) from None
    return run


def look_at_place(path):
    """Unready where that file could not be written after an hour of measuring. Writes nothing into it."""
    try:
        if path.exists():
            path.open('a').close()
        else:
            tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as fault:
        raise Unready('%s cannot be written: %s' % (path, fault.strerror)) from None


def look_at_choice(chosen):
    """Unready where nothing would be measured, or the floor could not carry it."""
    if not (chosen.cells or chosen.still or chosen.floor):
        raise Unready('nothing is to be measured: --cells and --still name nothing')
    wide = [c.name for c in chosen.cells if chosen.floor and c.subject.cell.window > FLOOR_WINDOW_MOST]
    if wide:
        raise Unready('%s: the floor has a window of %d at most' % (wide[0], FLOOR_WINDOW_MOST))


def programs_of(chosen):
    """Names of the programs that what was chosen starts, beside our own."""
    middles = {side.middle for compared in chosen.cells for side in (compared.subject, compared.peer)}
    wanted = {'redis-server'} if chosen.still or any(name.startswith('turnoutd') for name in middles) else set()
    wanted |= {'haproxy'} if any(name.startswith('haproxy') for name in middles) or 'storm' in chosen.still else set()
    wanted |= {'openssl'} if any(name.endswith('tls') for name in middles) or 'memory' in chosen.still else set()
    wanted |= {'node', 'npm'} if 'node-smpp' in middles else set()
    wanted |= {'strace'} if chosen.cells and not chosen.no_calls else set()
    wanted |= {'valgrind'} if 'instructions' in chosen.still or chosen.floor else set()
    return wanted | ({'chrt'} if 'storm' in chosen.still else set())


def look_at_machine(chosen):
    """Unready where something is missing that can be known beforehand."""
    missing = sorted(name for name in programs_of(chosen) if not shutil.which(name))
    if missing:
        raise Unready('not installed: %s. As root: apt-get install %s' % (
            ', '.join(missing), ' '.join(sorted(PROGRAMS[name] for name in missing))))
    if not (chosen.build / 'turnoutd').exists():
        raise Unready('%s has no turnoutd: test/bench/run.sh builds it' % chosen.build)
    count = len(os.sched_getaffinity(0))
    if count < 2:
        raise Unready('two processors are needed, one for the middle, one for both ends; this process may use %d '
                      '(nproc, taskset -p $$)' % count)


def end_by_signal(number, _frame):
    sys.exit(128 + number)


def begin(chosen):
    """The saved run to compare with, if any. Unready where it cannot begin."""
    look_at_choice(chosen)
    for path in filter(None, (chosen.json, chosen.svg)):
        look_at_place(path)
    before = saved_run(chosen.compare)
    if not chosen.check:
        look_at_machine(chosen)
    return before


def write(path, text):
    """Whether it is written; says where it is not."""
    try:
        path.write_text(text)
    except OSError as fault:
        print('bench: %s cannot be written: %s' % (path, fault.strerror), file=sys.stderr)
        return False
    return True


def whole(result):
    """Whether all that was asked for was measured: each comparison has a pair that counts."""
    return not result['unmeasured'] and all(by_middle['ratios']['cpu'] for by_middle in result['summary'].values())


def main():
    chosen = options()
    os.environ['PATH'] += os.pathsep + '/usr/sbin'  # HAProxy is there, where a user may not look
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_by_signal)
    try:
        before = begin(chosen)
    except Unready as fault:
        print('bench: %s' % fault, file=sys.stderr)
        return 2
    if chosen.check:
        return 0
    began = time.monotonic()
    try:
        result = bench(chosen)
    except Failed as fault:
        sys.exit('bench: %s' % fault)
    result['took_seconds'] = round(time.monotonic() - began, 1)
    written = not chosen.json or write(chosen.json, json.dumps(result, indent=1) + '\n')
    report.show(result)
    if chosen.peers:
        print(WITHOUT_KANNEL)
    if chosen.svg:
        written &= write(chosen.svg, drawing.draw(result))
    if before:
        differences.show(before, result)
    return 0 if written and whole(result) else 1


if __name__ == '__main__':
    sys.exit(main())
