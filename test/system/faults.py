"""turnoutd with fault.c preloaded: which calls there are, and one of them failing.

    Faults ── FAULT_CONTROL, a file in shared memory ──▶ fault.so in turnoutd ──▶ calls of each function, what fired where
       └─ arm(function, n): the nth call from now on fails once
"""
import mmap
import os
import struct
import subprocess

import harness

READY, COUNT, ARMED, COUNTDOWN, RUN, FIRED, WHERE, FUNCTIONS = 0, 4, 8, 12, 16, 20, 24, 2072
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
        self.disarm()
        self._put(RUN, run)
        self._put(FIRED, 0)
        self._put(COUNTDOWN, nth)
        self._put(ARMED, 1 + self.names.index(function))

    def disarm(self):
        self._put(ARMED, 0)

    @property
    def fired(self):
        return self._get(FIRED) > 0

    def where(self):
        """The call that failed: a frame a line, with names where addr2line knows them."""
        lines = self.memory[WHERE:FUNCTIONS].split(b'\0')[0].decode().splitlines()
        told = []
        for line in lines:
            module, _, rest = line.partition('+')
            if module == 'turnoutd':
                done = subprocess.run(['addr2line', '-fse', str(harness.BUILD / 'turnoutd'), rest.split()[0]],
                                      capture_output=True, text=True, check=False)
                told.append(' '.join(done.stdout.split()) or line)
            else:
                told.append(line)
        return '\n'.join(told)


class FaultyTurnoutd(harness.Turnoutd):
    """turnoutd with the library in front of it; armed ("malloc 17") lets a call fail from the start on."""

    def __init__(self, config, name, faults, armed=None):
        self.config = config
        self.events = []
        self.junk = []
        env = dict(harness.ENVIRONMENT, FAULT_CONTROL=faults.path, LD_PRELOAD=str(harness.BUILD / LIBRARY))
        env['ASAN_OPTIONS'] += ':verify_asan_link_order=0:allocator_may_return_null=1'
        if armed:
            env['FAULT_ARMED'] = armed
        harness.Process.__init__(self, [harness.BUILD / 'turnoutd', '--config', config], name, env=env)

    def note(self):
        return '%s: exit %s\n%s' % (self.name, self.process.poll(), self.tail(30))


def sanitizer():
    """'asan', 'tsan' or None: what turnoutd was built with."""
    linked = subprocess.run(['ldd', str(harness.BUILD / 'turnoutd')], capture_output=True, text=True, check=True).stdout
    return next((name for name in ('asan', 'tsan') if 'lib' + name in linked), None)


def chosen(count, some):
    """1 .. count: all of them with TURNOUT_FAULTS=all in the environment, else `some`, evenly spread."""
    if os.environ.get('TURNOUT_FAULTS') == 'all' or count <= some:
        return list(range(1, count + 1))
    return sorted({1 + i * (count - 1) // (some - 1) for i in range(some)})
