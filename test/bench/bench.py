"""What Turnout costs, against HAProxy in TCP mode, which copies bytes without reading them, and against itself.

    turnout-load ──▶ middle (turnoutd | HAProxy) ──▶ turnout-smsc      middle: one processor, the ends: another

    for each pair:  for each comparison:  a run of its one side, a run of the other    (so that what else the machine
    then for each side: one more run, with its system calls counted                     does hits neighbours alike; which
    then what is no load: look-ups, memory, idle sessions, a storm of binds              side is first changes)

comparisons.py is the table, world.py starts and ends the processes, middles.py knows the middles, measure.py does one
run, still.py what is no load, floor.py counts the floor's instructions, report.py makes figures of runs, drawing.py a
picture. Run it by run.sh, which builds first.
"""
import argparse
import json
import os
import pathlib
import signal
import sys
import time

import drawing
import floor
import measure
import report
import still
from comparisons import ALL, CELLS, PEERS, SPECIAL, WITHOUT_KANNEL, comparison, floors
from middles import MIDDLES, Smsc
from world import Failed, World

DEFAULT = '1x10,1x100,10x10,10x100,100x10'
WINDOW_AT_LEAST = 100


def comparisons_of(text):
    try:
        return [comparison(word) for word in (ALL if text == 'all' else text.split(',') if text else [])]
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError('"%s": SESSIONSxWINDOW, %s, comma-separated, or all is wanted, such as %s' % (
            text, ', '.join(SPECIAL), DEFAULT))


def still_of(text):
    names = list(still.MEASURES) if text == 'all' else text.split(',') if text else []
    unknown = [name for name in names if name not in still.MEASURES]
    if unknown:
        raise argparse.ArgumentTypeError('"%s": one of %s, or all' % (unknown[0], ', '.join(still.MEASURES)))
    return names


def options():
    parser = argparse.ArgumentParser(prog='test/bench/run.sh',
                                     description='Measures turnoutd against HAProxy in TCP mode.')
    parser.add_argument('--pairs', type=int, default=5, help='runs of each side, in turn (%(default)s)')
    parser.add_argument('--seconds', type=float, default=5, help='measured in a run (%(default)s)')
    parser.add_argument('--cells', type=comparisons_of, default=DEFAULT,
                        help='SESSIONSxWINDOW,...; also %s; all: %s and these (%%(default)s)' % (
                            ', '.join(SPECIAL), ', '.join(CELLS)))
    parser.add_argument('--still', type=still_of, default='', metavar='NAMES',
                        help='what is no load: %s, or all (none)' % ', '.join(
                            '%s (%s)' % (name, still.TAKES[name]) for name in still.MEASURES))
    parser.add_argument('--floor', action='store_true',
                        help='for each SESSIONSxWINDOW also against the least that a proxy of this shape costs, and that '
                             'against HAProxy: turnout-floor (floor.c) at level 0 copies octets, at 1 frames PDUs, at 2 '
                             'finds both addresses and gives sequence numbers; with its instructions a message, by '
                             'callgrind. Five times as long')
    parser.add_argument('--all', action='store_true', help='the whole table: --cells all --still all')
    parser.add_argument('--peers', action='store_true',
                        help='also against a small proxy on node-smpp (node, npm). ' + WITHOUT_KANNEL)
    parser.add_argument('--quick', action='store_true', help='one pair of two seconds: no figure to rely on')
    parser.add_argument('--json', type=pathlib.Path, metavar='FILE', help='write the figures and every run')
    parser.add_argument('--svg', type=pathlib.Path, metavar='FILE', help='draw the ratios')
    parser.add_argument('--compare', type=pathlib.Path, metavar='FILE', help='print the differences to a saved run')
    parser.add_argument('--no-calls', action='store_true', help='do not count system calls')
    parser.add_argument('--build', type=pathlib.Path, required=True, help=argparse.SUPPRESS)
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


def run_pair(number, compared, chosen, smsc, middles):
    """One run of each side, one after the other; in odd pairs the other way round."""
    sides = [compared.subject, compared.peer]
    for side in sides if number % 2 == 0 else reversed(sides):
        run = measure.timed(compared.name, side, middles[side.middle], smsc, chosen.seconds)
        run.pair = number
        progress('pair %d  %s' % (number + 1, report.line(run)))
        yield run


def run_all(chosen, smsc, middles):
    """(timed runs, counts of system calls)"""
    runs, calls = [], []
    for middle in middles.values():
        cell = measure.Cell(1, 10, tls=middle.tls)
        side = measure.Side(middle.name, middle.name, cell)
        progress('warm-up  ' + report.line(measure.timed('1x10', side, middle, smsc, 0.3)))
    for number in range(chosen.pairs):
        for compared in chosen.cells:
            runs.extend(run_pair(number, compared, chosen, smsc, middles))
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
    runs, calls, found = [], [], []
    with World(chosen.build) as world:
        smsc = Smsc(world)
        middles = make_middles(chosen, world, smsc.ports)
        if middles:
            runs, calls = run_all(chosen, smsc, middles)
        machine = report.machine(world, list(middles.values()))
        for middle in middles.values():
            middle.end()
        if chosen.floor:
            found.extend(floor.instructions(world, smsc, progress))
        for name in chosen.still:
            found.extend(still.MEASURES[name](world, smsc, progress))
    machine['load_average'] = {'before': load_before, 'after': os.getloadavg()}
    return report.result(machine, chosen, runs, calls, found)


def saved_run(path):
    """What --json wrote once, None where nothing is to be compared."""
    if path is None:
        return None
    try:
        run = json.loads(path.read_text())
        if not all(part in run for part in ('machine', 'runs', 'still')):
            sys.exit('bench: %s is no run that --json has written' % path)
        return run
    except (OSError, ValueError) as fault:
        sys.exit('bench: %s cannot be compared with: %s' % (path, fault))


def end_by_signal(number, _frame):
    sys.exit(128 + number)


def main():
    chosen = options()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_by_signal)
    before = saved_run(chosen.compare)
    if chosen.json:
        chosen.json.touch() # that it cannot be written shows before an hour of measuring, not after it
    began = time.monotonic()
    try:
        result = bench(chosen)
    except Failed as fault:
        sys.exit('bench: %s' % fault)
    result['took_seconds'] = round(time.monotonic() - began, 1)
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1) + '\n')
    report.show(result)
    if chosen.peers:
        print(WITHOUT_KANNEL)
    if chosen.svg:
        chosen.svg.write_text(drawing.draw(result))
    if before:
        report.show_differences(before, result)
    return 0 if result['still'] or any(not run['discarded'] for run in result['runs']) else 1


if __name__ == '__main__':
    sys.exit(main())
