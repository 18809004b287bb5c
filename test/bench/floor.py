"""The instructions that the floor (floor.c) spends on a message, sent and answered, by callgrind: all that runs outside the
kernel, and of it what is not the C library's.

    turnout-load ──MESSAGES──▶ callgrind: turnout-floor ──▶ turnout-smsc ──▶ cost by object ÷ MESSAGES

Beside them stand turnoutd's own, as test/bench/budget counts them (counting.py), at as wide a window.
"""
import collections
import json
import re

import counting
from middles import FLOORS, PASSWORD, SHORTCODE, SYSTEM_ID, destinations
from world import Child, Failed

SESSIONS, WINDOW, MESSAGES = 10, 100, 100000  # what starting costs is 2 or 3 of it
NOTE = ('Instructions of the floor are counted by callgrind with %d sessions and a window of %d, those of turnoutd with as '
        'wide a window and sockets in memory.' % (SESSIONS, WINDOW))


def costs_by_object(text):
    """{path: instructions of its own}, of callgrind's file."""
    costs, names, current, is_call = collections.Counter(), {}, None, False
    for line in text.splitlines():
        named = re.match(r'ob=\((\d+)\)(?: (.*))?$', line)
        if named:
            number, name = named.groups()
            names[number] = name or names[number]
            current = names[number]
        elif re.match(r'cob=\((\d+)\) ', line):  # named here for the first time
            number, name = re.match(r'cob=\((\d+)\) (.*)$', line).groups()
            names[number] = name
        elif line.startswith('calls='):
            is_call = True
        elif re.match(r'[+*0-9-]', line):
            if not is_call:
                costs[current] += int(line.split()[-1])
            is_call = False
    return costs


def counted(world, middle):
    """(instructions a message outside the kernel, of them not the library's)"""
    result = world.directory / 'callgrind.out'
    child = Child(world, middle.name, ['valgrind', '--tool=callgrind', '--callgrind-out-file=%s' % result,
                                       *middle.command()], world.middle_cpu)
    child.wait_for(middle.ready, 'readiness')
    load = Child(world, 'load', [
        world.build / 'turnout-load', '--connect', '127.0.0.1:%d' % middle.port, '--system-id', SYSTEM_ID, '--password',
        PASSWORD, '--from', SHORTCODE, '--to', destinations(1), '--sessions', SESSIONS, '--window', WINDOW, '--count',
        MESSAGES, '--enquire-link', '0'], world.ends_cpu)
    failed = load.wait(120) != 0
    world.end(load)
    world.end(child)
    accepted = 0 if failed else json.loads(load.output.read_text())['accepted']
    if accepted != MESSAGES:
        raise Failed('%s passed %d messages of %d: %s' % (middle.name, accepted, MESSAGES, load.last_words()))
    costs = costs_by_object(result.read_text())
    own = sum(cost for path, cost in costs.items() if path and path.endswith('turnout-floor'))
    return sum(costs.values()) / MESSAGES, own / MESSAGES


def row(what, value):
    return {'name': 'floor', 'what': what, 'value': value, 'unit': 'instructions', 'aim': None, 'note': NOTE}


def instructions(world, smsc, progress):
    """Rows as those of still.py."""
    rows = []
    for kind in FLOORS:
        progress('instructions of %s' % kind.name)
        whole, own = counted(world, kind(world, smsc.ports, WINDOW))
        rows += [row('%s a message, all but the kernel' % kind.name, whole),
                 row('%s a message, without the C library' % kind.name, own)]
    progress('instructions of turnoutd')
    cells = counting.measure_all(world.build)
    ours = sum(cells['%s, %d at a time' % (phase, WINDOW)]['instructions'] for phase in counting.PHASES)
    return rows + [row('turnoutd a message, without the C library', ours)]
