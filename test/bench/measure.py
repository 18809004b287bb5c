"""One run: a load is put on a middle, and what happens between two moments of it is measured.

    turnout-load:   bind ── warm-up ──┬── seconds ──┬── quit, drain, report (latency, refused, unanswered)
                                    sample        sample       messages by the load's control socket, processor time
                                                               of the middle by the kernel's clock of that process

A run is discarded, with its reasons, where it did not do what all others did: refusals, missing answers, failed
sessions, a dead process, or another count of messages at the SMSC than at the client; or where it is no measurement, by
the rule of judging.py.
"""
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import judging
from middles import PASSWORD, SHORTCODE, SYSTEM_ID, destinations
from world import Child, Control, Failed

WARM_UP = 0.2
DRAIN = 10
FAULTS = ('refused', 'unanswered', 'in_flight', 'stray', 'binds_refused', 'reconnects', 'connection_errors', 'bad_pdus')
TICKS = os.sysconf('SC_CLK_TCK')


@dataclasses.dataclass(frozen=True)
class Cell:
    """What the load is."""
    sessions: int
    window: int
    rate: int = 0           # messages a second over all sessions; 0: as fast as they are answered
    carriers: int = 1       # that the destinations are spread over
    tls: bool = False

    def __str__(self):
        more = [text for text, has in (('%d/s' % self.rate, self.rate), ('%d carriers' % self.carriers, self.carriers > 1),
                                       ('TLS', self.tls)) if has]
        return ' '.join(['%dx%d' % (self.sessions, self.window)] + more)

    def arguments(self):
        return ['--sessions', self.sessions, '--window', self.window, '--to', destinations(self.carriers),
                *(['--rate', self.rate] if self.rate else []), *(['--tls', '--insecure'] if self.tls else [])]


@dataclasses.dataclass(frozen=True)
class Side:
    """A load on a middle, under a name that is the comparison's own."""
    label: str
    middle: str
    cell: Cell


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two sides, run one after the other; what their ratios should be: {measure: aim}, at most, or at least where the
    measure is messages_per_second."""
    name: str
    subject: Side
    peer: Side
    aims: tuple = ()


@dataclasses.dataclass
class Run:
    cell: str
    middle: str
    pair: int = 0
    attempt: int = 0
    seconds: float = 0
    messages: int = 0
    messages_per_second: float = 0
    cpu_user: float = 0              # seconds per million messages
    cpu_system: float = 0
    cpu: float = 0
    latency_p50: float = 0           # microseconds, of the whole run
    latency_p99: float = 0
    middle_busy: float = 0           # share of its processor that the middle used
    ends_busy: float = 0             # share of theirs that client and SMSC used
    others_on_middle: float = 0      # share of the middle's processor that went to others, or was stolen
    others_on_ends: float = 0        # and of the ends'
    behind: str = ''                 # how it was off its rate since its middle was full
    discarded: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Sample:
    at: float
    messages: int
    cpu: float
    ticks: tuple
    processor: int
    ends_cpu: float
    ends_processor: int


def busy_ticks(cpu):
    """Ticks in which that processor did anything, or was taken away by the host."""
    fields = re.search(r'^cpu%d (.*)$' % cpu, pathlib.Path('/proc/stat').read_text(), re.M).group(1).split()
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields[:8])
    return user + nice + system + irq + softirq + steal


class Load:
    """A turnout-load on its way."""

    def __init__(self, cell, middle, smsc, seconds):
        self.cell, self.middle, self.smsc, self.world = cell, middle, smsc, middle.world
        self.path = self.world.directory / 'load.sock'
        self.path.unlink(missing_ok=True)
        self.control = None
        self.child = Child(self.world, 'load', [
            self.world.build / 'turnout-load', '--connect', '127.0.0.1:%d' % middle.port, '--system-id', SYSTEM_ID,
            '--password', PASSWORD, '--from', SHORTCODE, '--control', self.path,
            '--enquire-link', '0', '--seed', 1, '--run', 'bench', '--drain', '%ds' % DRAIN,
            '--duration', '%dms' % (1000 * (seconds + 30)), *cell.arguments()], self.world.ends_cpu)

    def warm_up(self):
        self.control = Control(self.child, self.path)
        self.child.wait_for(lambda: self.control.ask('stats')['bound'] == self.cell.sessions, 'all binds')
        time.sleep(WARM_UP)

    def messages(self):
        return self.control.ask('stats')['accepted']

    def sample(self):
        messages = self.messages()
        child = self.middle.child
        return Sample(time.monotonic(), messages, child.cpu_seconds(), child.cpu_ticks(),
                      busy_ticks(self.world.middle_cpu), self.child.cpu_seconds() + self.smsc.child.cpu_seconds(),
                      busy_ticks(self.world.ends_cpu))

    def finish(self):
        self.control.ask('quit')
        if self.child.wait(DRAIN + 10) != 0:
            raise Failed(self.child.last_words())
        return json.loads(self.child.output.read_text())

    def close(self):
        if self.control:
            self.control.close()
        self.world.end(self.child)


def fill(run, first, last, report):
    run.seconds = last.at - first.at
    run.messages = last.messages - first.messages
    run.messages_per_second = run.messages / run.seconds
    cpu = last.cpu - first.cpu
    user, system = (after - before for before, after in zip(first.ticks, last.ticks))
    run.cpu = 1e6 * cpu / max(run.messages, 1)
    run.cpu_user = run.cpu * user / max(user + system, 1)
    run.cpu_system = run.cpu - run.cpu_user
    run.latency_p50, run.latency_p99 = report['latency_us']['p50'], report['latency_us']['p99']
    ends_cpu = last.ends_cpu - first.ends_cpu
    run.middle_busy, run.ends_busy = cpu / run.seconds, ends_cpu / run.seconds
    run.others_on_middle = max(0, (last.processor - first.processor) / TICKS - cpu) / run.seconds
    run.others_on_ends = max(0, (last.ends_processor - first.ends_processor) / TICKS - ends_cpu) / run.seconds


def faults(report, arrived):
    """Why a run is not like the others; nothing, if it is."""
    for name in FAULTS:
        if report[name]:
            yield '%s: %d' % (name, report[name])
    if arrived != report['accepted']:
        yield 'SMSC accepted %d, client was told so of %d' % (arrived, report['accepted'])


def under_load(cell, middle, smsc, seconds, work):
    """Calls work(load) while the load is on the middle. Returns (the load's report, reasons to discard all that)."""
    discarded, report = [], None
    try:
        middle.child_now()
        before = smsc.accepted()
        with contextlib.closing(Load(cell, middle, smsc, seconds)) as load:
            load.warm_up()
            work(load)
            report = load.finish()
        discarded.extend(faults(report, smsc.accepted() - before))
    except (Failed, OSError, ValueError, subprocess.TimeoutExpired) as fault:
        discarded.append(str(fault))
    if middle.child and not middle.child.running:
        discarded.append('died: ' + middle.child.last_words())
    return report, discarded


def timed(name, side, middle, smsc, seconds, others_most):
    """A Run: messages a second, processor time, latency. others_most: per cent, beyond which it does not count."""
    cell, run = side.cell, Run(name, side.label)
    samples = []

    def work(load):
        samples.append(load.sample())
        time.sleep(seconds)
        samples.append(load.sample())

    report, run.discarded = under_load(cell, middle, smsc, seconds, work)
    if not run.discarded:
        fill(run, *samples, report)
        figures = dataclasses.asdict(run)
        run.behind = judging.behind(figures, cell.rate)
        run.discarded.extend(judging.reasons(figures, cell.rate, others_most))
    return run


@dataclasses.dataclass
class Calls:
    """System calls per message. `total` is counted by the kernel's tracepoint, at full speed, where perf is to be had;
    `traced` and `by_name` by strace, which slows the middle, so that at large windows more is batched than otherwise."""
    cell: str
    middle: str
    total: float | None = None
    traced: float | None = None
    by_name: dict = dataclasses.field(default_factory=dict)
    discarded: list = dataclasses.field(default_factory=list)


class Perf:
    """Counts in one process, between on() and off(), which return when it is so."""

    def __init__(self, world, pid):
        self.world = world
        self.result = world.directory / 'perf.csv'
        commands, self.tell = os.pipe()
        self.heard, answers = os.pipe()
        self.child = Child(world, 'perf', [
            'perf', 'stat', '--no-big-num', '-x', ';', '-o', self.result, '-e', 'raw_syscalls:sys_enter', '-D', '-1',
            '--control', 'fd:%d,%d' % (commands, answers), '-p', pid], world.ends_cpu, (commands, answers))
        os.close(commands)
        os.close(answers)

    def order(self, word):
        os.write(self.tell, word + b'\n')
        return os.read(self.heard, 16).startswith(b'ack')

    def count(self):
        self.child.process.send_signal(signal.SIGINT)
        self.child.wait()
        found = re.search(r'^(\d+);', self.result.read_text(), re.M)
        return int(found.group(1)) if found else None

    def close(self):
        os.close(self.tell)
        os.close(self.heard)
        self.world.end(self.child)


def calls_at_full_speed(load, seconds):
    """None without perf, or where it may not count."""
    if not shutil.which('perf'):
        return None
    with contextlib.closing(Perf(load.world, load.middle.child.pid)) as perf:
        try:
            if not perf.order(b'enable'):
                return None
            before = load.messages()
            time.sleep(seconds)
            messages = load.messages() - before
            perf.order(b'disable')
            count = perf.count()
        except BrokenPipeError:
            return None
    return count / messages if count is not None and messages else None


def strace_table(text):
    """{name: calls} of the table that strace -c writes."""
    rows = [line.split() for line in text.splitlines()]
    return {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit() and row[-1] != 'total'}


def calls_traced(load, seconds):
    """{name: calls per message}"""
    world, result = load.world, load.world.directory / 'strace.txt'
    strace = Child(world, 'strace', ['strace', '-c', '-f', '-o', result, '-p', load.middle.child.pid], world.ends_cpu)
    try:
        strace.wait_for(lambda: 'attached' in strace.errors.read_text(), 'attachment')
        before = load.messages()
        time.sleep(seconds)
        messages = load.messages() - before
        strace.process.send_signal(signal.SIGINT)
        strace.wait()
    finally:
        world.end(strace)
    return {name: calls / max(messages, 1) for name, calls in strace_table(result.read_text()).items()}


def counted(name, side, middle, smsc, seconds):
    """A Calls. It is no timed run: counting costs time."""
    cell, calls = side.cell, Calls(name, side.label)

    def work(load):
        calls.total = calls_at_full_speed(load, seconds)
        calls.by_name = calls_traced(load, seconds)
        calls.traced = sum(calls.by_name.values())

    _report, calls.discarded = under_load(cell, middle, smsc, 4 * seconds, work)
    return calls
