"""The instructions that the floor (floor.c) spends on a message, sent and answered, by callgrind: all that runs outside the
kernel, and of it what is not the C library's.

    turnout-load ──MESSAGES──▶ callgrind: turnout-floor ──▶ turnout-smsc ──▶ cost by object ÷ MESSAGES

Beside them stand turnoutd's own, as test/bench/budget counts them (counting.py), at as wide a window, and what they are
for; and of both the cache misses that callgrind simulates.
"""
import collections
import json
import re

import counting
import still
from middles import FLOORS, PASSWORD, SHORTCODE, SYSTEM_ID, destinations
from world import Child, Failed

SESSIONS, WINDOW, MESSAGES = 10, 100, 100000  # what starting costs is 2 or 3 of it
MESSAGE = ['%s, %d at a time' % (name, WINDOW) for name in counting.MESSAGE]
NOTE = ('Instructions of the floor are counted by callgrind with %d sessions and a window of %d, those of turnoutd with as '
        'wide a window and sockets in memory. The floor\'s misses are those of its code and its libraries, without the '
        'kernel.' % (SESSIONS, WINDOW))


def costs_by_object(text):
    """{path: {event: its own}}, of callgrind's file: "Ir" are instructions."""
    costs, names, current, is_call, events = {}, {}, None, False, ['Ir']
    for line in text.splitlines():
        named = re.match(r'ob=\((\d+)\)(?: (.*))?$', line)
        if named:
            number, name = named.groups()
            names[number] = name or names[number]
            current = names[number]
        elif re.match(r'cob=\((\d+)\) ', line):  # named here for the first time
            number, name = re.match(r'cob=\((\d+)\) (.*)$', line).groups()
            names[number] = name
        elif line.startswith('events: '):
            events = line.split()[1:]
        elif line.startswith('calls='):
            is_call = True
        elif re.match(r'[+*0-9-]', line):
            if not is_call:
                costs.setdefault(current, collections.Counter()).update(dict(zip(events, map(int, line.split()[1:]))))
            is_call = False
    return costs


def counted(world, middle):
    """({event: so many a message outside the kernel}, of them not the library's)"""
    result = world.directory / 'callgrind.out'
    child = Child(world, middle.name, ['valgrind', '--tool=callgrind', '--callgrind-out-file=%s' % result, *counting.CACHES,
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
    return [{event: sum(its[event] for path, its in costs.items() if path and path.endswith(end)) / MESSAGES
             for event in ('Ir', 'D1mr', 'D1mw', 'DLmr', 'DLmw')} for end in ('', 'turnout-floor')]


def row(what, value, unit='instructions'):
    return {'name': 'floor', 'what': what, 'value': value, 'unit': unit, 'aim': None, 'note': NOTE}


def instructions(world, smsc, progress):
    """Rows as those of still.py."""
    rows = []
    progress('instructions of turnoutd')
    ours = still.rows_of_instructions(world.build, counting.measure_all(world.build), progress)
    for kind in FLOORS:
        progress('instructions of %s' % kind.name)
        whole, own = counted(world, kind(world, smsc.ports, WINDOW))
        rows += [row('%s a message, all but the kernel' % kind.name, whole['Ir']),
                 row('%s a message, without the C library' % kind.name, own['Ir']),
                 row('%s a message, L1d misses, simulated' % kind.name, whole['D1mr'] + whole['D1mw'], 'misses'),
                 row('%s a message, LL data misses, simulated' % kind.name, whole['DLmr'] + whole['DLmw'], 'misses')]
    own = sum(its['value'] for its in ours if its['name'] == 'instructions' and its['what'] in MESSAGE)
    return rows + [row('turnoutd a message, without the C library', own)] + ours
