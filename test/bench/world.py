"""The processes of a benchmark: started on their processor, found ready, ended by their process id.

    World ── with ──▶ Child ... Child        whatever way the block is left, all children are ended, newest first; and
                                             should the benchmark itself be killed, the kernel ends them
"""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

PATIENCE = 20


class Failed(Exception):
    """Something of the benchmark did not work; the text says what."""


def wait_for(look, what, patience=PATIENCE):
    """Until look() gives something true, which is returned."""
    deadline = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failed('waited in vain for ' + what)
        time.sleep(0.01)


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


def listens(port):
    with socket.socket() as sock:
        return sock.connect_ex(('127.0.0.1', port)) == 0


class Child:
    """A process pinned to one processor. In a session of its own, so that Ctrl-C reaches the benchmark alone."""

    def __init__(self, world, name, args, cpu, descriptors=()):
        self.name = name
        self.output = world.directory / (name + '.out')
        self.errors = world.directory / (name + '.err')
        with self.output.open('wb') as output, self.errors.open('wb') as errors:
            self.process = subprocess.Popen(
                ['taskset', '-c', str(cpu), 'setpriv', '--pdeathsig', 'KILL', *map(str, args)], cwd=world.directory,
                stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True,
                pass_fds=descriptors)
        self.pid = self.process.pid
        world.children.append(self)

    @property
    def running(self):
        return self.process.poll() is None

    def last_words(self):
        text = self.errors.read_text(errors='replace') + self.output.read_text(errors='replace')
        return '%s, exit status %s: %s' % (self.name, self.process.poll(), text[-2000:].strip() or '(silent)')

    def wait_for(self, look, what):
        found = wait_for(lambda: not self.running or look(), '%s of %s' % (what, self.name))
        if not self.running:
            raise Failed(self.last_words())
        return found

    def wait(self, patience=PATIENCE):
        return self.process.wait(patience)

    def cpu_seconds(self):
        """Of all its threads, to the nanosecond: the kernel's clock of a process, as of clock_getcpuclockid(3)."""
        return time.clock_gettime((~self.pid << 3) | 2)

    def cpu_ticks(self):
        """(user, system) of all its threads, coarse: for the proportion of the two."""
        fields = pathlib.Path('/proc/%d/stat' % self.pid).read_text().rpartition(')')[2].split()
        return int(fields[11]), int(fields[12])

    def end(self):
        if self.running:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


class Control:
    """The control socket of turnout-load and turnout-smsc: a line each way."""

    def __init__(self, child, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        child.wait_for(lambda: self.socket.connect_ex(str(path)) == 0, 'the control socket')
        self.lines = self.socket.makefile('r')

    def ask(self, command):
        self.socket.sendall(command.encode() + b'\n')
        return json.loads(self.lines.readline())

    def close(self):
        self.lines.close()
        self.socket.close()


class World(contextlib.AbstractContextManager):
    """A directory for the private files, two processors, and the children."""

    def __init__(self, build):
        self.build = build.resolve()
        self.children = []
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < 2:
            raise Failed('two processors are needed: one for the middle, one for both ends')
        self.ends_cpu, self.middle_cpu = cpus[0], cpus[-1]
        os.sched_setaffinity(0, {self.ends_cpu})
        self.temporary = tempfile.TemporaryDirectory(prefix='turnout-bench-')
        self.directory = pathlib.Path(self.temporary.name)

    def end(self, child):
        child.end()
        self.children.remove(child)

    def __exit__(self, *fault):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for child in reversed(self.children):
            child.end()
        self.temporary.cleanup()
