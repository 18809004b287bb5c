"""What Turnout costs, against HAProxy in TCP mode, which copies bytes without reading them.

    turnout-load ──▶ middle (turnoutd | HAProxy) ──▶ turnout-smsc      middle: one processor, the ends: another

    for each pair:  for each cell (sessions × window):  a run with A, a run with B     (so that what else the machine
    then for each cell and middle: one more run, with its system calls counted          does hits neighbours alike)

world.py starts and ends the processes, middles.py knows the middles, measure.py does one run, report.py makes figures
of runs. Run it by run.sh, which builds first.
"""
import argparse
import json
import os
import pathlib
import signal
import sys
import time

import measure
import report
from middles import MIDDLES, Smsc
from world import Failed, World

DEFAULT_CELLS = '1x10,1x100,10x10,10x100,100x10'
WINDOW_AT_LEAST = 100


def cells_of(text):
    try:
        return [measure.Cell(*map(int, word.split('x'))) for word in text.split(',')]
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError('"%s": SESSIONSxWINDOW,... is wanted, such as %s' % (text, DEFAULT_CELLS))


def options():
    parser = argparse.ArgumentParser(prog='test/bench/run.sh',
                                     description='Measures turnoutd against HAProxy in TCP mode.')
    parser.add_argument('--pairs', type=int, default=5, help='runs with each middle, in turn (%(default)s)')
    parser.add_argument('--seconds', type=float, default=5, help='measured in a run (%(default)s)')
    parser.add_argument('--cells', type=cells_of, default=DEFAULT_CELLS, help='SESSIONSxWINDOW,... (%(default)s)')
    parser.add_argument('--quick', action='store_true', help='one pair of two seconds: no figure to rely on')
    parser.add_argument('--json', type=pathlib.Path, metavar='FILE', help='write the figures and every run')
    parser.add_argument('--compare', type=pathlib.Path, metavar='FILE', help='print the differences to a saved run')
    parser.add_argument('--no-calls', action='store_true', help='do not count system calls')
    parser.add_argument('--build', type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.pairs, chosen.seconds = 1, min(chosen.seconds, 2)
    return chosen


def progress(text):
    print(text, file=sys.stderr, flush=True)


def run_pair(number, cell, chosen, smsc, middles):
    """One run with each middle, one after the other."""
    for middle in middles:
        run = measure.timed(cell, middle, smsc, chosen.seconds)
        run.pair = number
        progress('pair %d  %s' % (number + 1, report.line(run)))
        yield run


def run_all(chosen, smsc, middles):
    """(timed runs, counts of system calls)"""
    runs, calls = [], []
    for middle in middles:
        progress('warm-up  ' + report.line(measure.timed(measure.Cell(1, 10), middle, smsc, 0.3)))
    for number in range(chosen.pairs):
        for cell in chosen.cells:
            runs.extend(run_pair(number, cell, chosen, smsc, middles))
    if not chosen.no_calls:
        for cell in chosen.cells:
            calls.extend(measure.counted(cell, middle, smsc, min(1, chosen.seconds / 2)) for middle in middles)
    return runs, calls


def bench(chosen):
    """Everything between the first process and the last. The result is what --json writes."""
    window = 2 * max([WINDOW_AT_LEAST] + [cell.window for cell in chosen.cells])
    load_before = os.getloadavg()
    with World(chosen.build) as world:
        smsc = Smsc(world)
        middles = [kind(world, smsc.ports, window) for kind in MIDDLES]
        runs, calls = run_all(chosen, smsc, middles)
        machine = report.machine(world, middles)
    machine['load_average'] = {'before': load_before, 'after': os.getloadavg()}
    return report.result(machine, vars(chosen), runs, calls)


def end_by_signal(number, _frame):
    sys.exit(128 + number)


def main():
    chosen = options()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_by_signal)
    before = json.loads(chosen.compare.read_text()) if chosen.compare else None
    began = time.monotonic()
    try:
        result = bench(chosen)
    except Failed as fault:
        sys.exit('bench: %s' % fault)
    result['took_seconds'] = round(time.monotonic() - began, 1)
    report.show(result)
    if before:
        report.show_differences(before, result)
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1) + '\n')
    return 0 if any(not run['discarded'] for run in result['runs']) else 1


if __name__ == '__main__':
    sys.exit(main())
