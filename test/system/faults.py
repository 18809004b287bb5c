"""turnoutd with fault.c preloaded: which calls there are, and one of them failing.

    Faults ── FAULT_CONTROL, a file in shared memory ──▶ fault.so in turnoutd ──▶ calls of each function, what fired where
       └─ arm(function, n): the nth call from now on fails once
"""
import mmap
import os
import random
import struct
import subprocess
import time

import harness

READY, COUNT, ARMED, COUNTDOWN, RUN, FIRED, PASSED, WHERE, FUNCTIONS = 0, 4, 8, 12, 16, 20, 24, 28, 2076
NAME_SIZE, ENTRY_SIZE, SIZE = 32, 36, 8192
LIBRARY = 'fault.so'


class Faults:
    def __init__(self, path):
        self.path = str(path)
        with open(self.path, 'wb') as out:
            out.write(bytes(SIZE))
        self.file = open(self.path, 'r+b')
        self.memory = mmap.mmap(self.file.fileno(), SIZE)

    def close(self):
        self.memory.close()
        self.file.close()

    def _get(self, at):
        return struct.unpack_from('<i', self.memory, at)[0]

    def _put(self, at, value):
        struct.pack_into('<i', self.memory, at, value)

    @property
    def names(self):
        found = []
        for i in range(self._get(COUNT)):
            at = FUNCTIONS + i * ENTRY_SIZE
            found.append(self.memory[at:at + NAME_SIZE].split(b'\0')[0].decode())
        return found

    def calls(self):
        """{function: calls since the start}."""
        return {name: self._get(FUNCTIONS + i * ENTRY_SIZE + NAME_SIZE) for i, name in enumerate(self.names)}

    def arm(self, function, nth, run=1):
        """Calls nth to nth + run - 1 will fail."""
        self.forget()
        self._put(RUN, run)
        self._put(COUNTDOWN, nth)
        self._put(ARMED, 1 + self.names.index(function))

    def forget(self):
        """What was armed, and what came of it."""
        self.disarm()
        self._put(FIRED, 0)
        self._put(PASSED, 0)
        self.memory[WHERE:WHERE + 1] = b'\0'

    def disarm(self):
        self._put(ARMED, 0)

    @property
    def fired(self):
        return self._get(FIRED) > 0

    @property
    def passed(self):
        """It was to fail, and was spared: see beyond_us."""
        return self._get(PASSED) > 0

    def place(self):
        """The call that failed or was spared, as text that is the same for the same path."""
        return self.memory[WHERE:FUNCTIONS].split(b'\0')[0].decode()

    def where(self):
        """The same to be read: a frame a line, with names where addr2line knows them."""
        told = []
        for line in self.place().splitlines():
            module, _, rest = line.partition('+')
            if module == 'turnoutd':
                done = subprocess.run(['addr2line', '-fse', str(harness.BUILD / 'turnoutd'), rest.split()[0]],
                                      capture_output=True, text=True, check=False)
                told.append(' '.join(done.stdout.split()) or line)
            else:
                told.append(line)
        return '\n'.join(told)


class FaultyTurnoutd(harness.Turnoutd):
    """turnoutd with the library in front of it; armed ("malloc 17 1") lets one call, or some in a row, fail from the
    start on."""

    def __init__(self, config, name, faults, armed=None):
        self.config = config
        self.events = []
        self.junk = []
        env = dict(harness.ENVIRONMENT, FAULT_CONTROL=faults.path, LD_PRELOAD=str(harness.BUILD / LIBRARY))
        env['ASAN_OPTIONS'] += ':verify_asan_link_order=0:allocator_may_return_null=1'
        if armed:
            faults.forget()
            env['FAULT_ARMED'] = armed
        harness.Process.__init__(self, [harness.BUILD / 'turnoutd', '--config', config], name, env=env)

    def note(self):
        return '%s: exit %s\n%s' % (self.name, self.process.poll(), self.tail(30))


def sanitizer():
    """'asan', 'tsan' or None: what turnoutd was built with."""
    linked = subprocess.run(['ldd', str(harness.BUILD / 'turnoutd')], capture_output=True, text=True, check=True).stdout
    return next((name for name in ('asan', 'tsan') if 'lib' + name in linked), None)


MEMORY = ('malloc', 'calloc', 'realloc')
IN_A_ROW = 5


def points(calls):
    """(function, N, how many in a row) for every call of each function; memory may also stay away for a while."""
    once = [(name, nth, 1) for name, count in sorted(calls.items()) for nth in range(1, count + 1)]
    return once + [(name, nth, IN_A_ROW) for name in MEMORY for nth in range(1, calls.get(name, 0) + 1, IN_A_ROW)]


def in_turn(everything, day):
    """Another order each day: a point of each function, then the next of each, so that those with few calls are all tried."""
    dice = random.Random(day)
    of = {}
    for point in everything:
        of.setdefault(point[0], []).append(point)
    for some in of.values():
        dice.shuffle(some)
    return [point for _, point in sorted((at, point) for some in of.values() for at, point in enumerate(some))]


class Sweep:
    """Which points are tried, and what came of them. TURNOUT_FAULTS in the environment: `all` of them, `K/N`, that is, the Kth
    of N equal shares, or one, `malloc:17` or `malloc:17:5` (five in a row). Without it as many as fit into some seconds, in
    an order that is another one each day: in time, all."""

    def __init__(self, phase, calls, seconds):
        self.phase = phase
        self.all = points(calls)
        self.seconds = seconds
        self.tried, self.failed, self.spared, self.places = 0, 0, 0, set()
        self.wanted = os.environ.get('TURNOUT_FAULTS', '')

    def __iter__(self):
        if self.wanted == 'all':
            yield from self.all
        elif '/' in self.wanted:
            share, shares = map(int, self.wanted.split('/'))
            yield from self.all[share - 1::shares]
        elif self.wanted:
            name, nth, *run = self.wanted.split(':')
            yield name, int(nth), int(run[0]) if run else 1
        else:
            end = time.monotonic() + self.seconds
            for point in in_turn(self.all, int(time.time()) // 86400):
                if time.monotonic() > end:
                    return
                yield point

    def note(self, faults):
        """A point has been tried."""
        self.tried += 1
        self.failed += faults.fired
        self.spared += faults.passed and not faults.fired
        if faults.fired:
            self.places.add(faults.place())

    def tell(self, more=''):
        print('%s: tried %d of %d: %d calls failed, at %d places, %d were spared%s' % (
            self.phase, self.tried, len(self.all), self.failed, len(self.places), self.spared, more))
        assert self.wanted or self.tried, 'not one was tried'
