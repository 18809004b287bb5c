#!/usr/bin/python3
"""What an established client notices of hostile peers: its latency while each case of turnoutd --print-limits is under way,
against the same without, taken in turn.

    test/bench/hostile.py [--build DIR] [--middle turnoutd|haproxy|both] [--rate 1000] [--pairs 3] [--seconds 2] [--aim 2]
                          [CASE...]

    turnout-load (established, at a rate) ─▶ turnoutd ─▶ turnout-smsc        turnoutd has a processor of its own
    an attacker, from 127.0.0.9 ────────────────┘                            the others share one: load and SMSC go before
                                                                             all others there, the attacker behind
    the same ─▶ HAProxy in TCP mode ─▶ turnout-smsc                          the floor: what the same attack costs the client
    the attacker ───────┘        └───▶ a turnout-smsc for the attacker      of a middle that reads nothing

A case is one load on one middle, and on it pairs of a quiet interval and one under attack, in turn first. The attacker is
forked before its interval, and waits; what it does from its first connection on is inside. It is told to stop when the
interval has been read out, so that its own end, and the closing of what it holds, is in none. A row a case: the medians of
p50 and p99, quiet and attacked, and the median of attacked p99 over the median of the quiet ones, with their range. Exit
status 0 where turnoutd's are all at most the aim, 1 where not, 3 where something did not work.
"""
import argparse
import contextlib
import itertools
import mmap
import os
import pathlib
import signal
import socket
import statistics
import struct
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'test/system'))

import hostile  # noqa: E402
from hostile import Pour, bind_of, connect, ended, read_cases, read_pdu  # noqa: E402
from measure import Cell, under_load  # noqa: E402
from middles import HAPROXY_CONFIG, MAX_SESSIONS, PASSWORD, PASSWORD_HASH, Haproxy, Smsc, Turnoutd, free_port  # noqa: E402
from world import Failed, World  # noqa: E402

HERE, PATIENCE, CROWD = '127.0.0.9', 20, 200
SHORTCODE, NUMBER = '5002', '64271234567'
ATTACKERS_ACCOUNT, VICTIM = 'acme', 'victim'
SETTLE = 0.5            # seconds after an attack, for its connections to be gone
BURST = 2000            # records of a TLS session sent at once
BEYOND = 2000           # connections of the attacker, more than an address may have


class Target(Turnoutd):
    """With a TLS listener, an account for the attacker, one whose password it guesses, and the limits that an operator who
    set none has."""
    name = 'turnoutd-hostile'
    label = 'turnoutd'
    more_routes = '%s,spark,redx\n' % SHORTCODE

    def __init__(self, world, ports, window):
        super().__init__(world, ports, window)
        self.tls_port = free_port()

    def config(self):
        limits = 'max-sessions = %d max-unbound = %d max-sessions-per-address = %d max-unbound-per-address = %d' % (
            (MAX_SESSIONS,) * 4)
        text = super().config()
        assert limits in text
        accounts = ''.join('client "%s" { password-hash = "%s" shortcodes = { "%s" } max-binds = 100 }\n'
                           % (name, PASSWORD_HASH, SHORTCODE) for name in (ATTACKERS_ACCOUNT, VICTIM))
        return text.replace(limits, '') + accounts + '''
listener "tls" { address = "127.0.0.1" port = %d tls = true certificate = "%s" key = "%s" }
''' % (self.tls_port, self.certificate(), self.certificate())


class Floor(Haproxy):
    """Sends what comes from the attacker to an SMSC of its own, so that the client's is left alone."""
    name = 'haproxy-hostile'
    label = 'haproxy'

    def __init__(self, world, ports, window):
        super().__init__(world, ports, window)
        self.tls_port = free_port()
        self.sink = Smsc(world, 'sink')
        put_last(self.sink.child.pid)

    def command(self):
        smsc, sink = (next(iter(ports.values())) for ports in (self.ports, self.sink.ports))
        text = HAPROXY_CONFIG.format(port=self.port, max_sessions=3 * BEYOND, smsc_port=smsc, tls='')
        text += '''    bind 127.0.0.1:%d backlog 8192 ssl crt %s
    use_backend sink if { src %s }
backend sink
    server sink 127.0.0.1:%d
''' % (self.tls_port, self.certificate(), HERE, sink)
        return ['haproxy', '-db', '-f', self.write(self.name + '.cfg', text)]


# --- attacks: each a generator that does something hostile at each step -------------------------------------------------

class Attacker:
    def __init__(self, plain, tls):
        self.plain, self.tls = plain, tls
        self.names = itertools.count()

    def connect(self, tls=False):
        return connect(self.tls if tls else self.plain, PATIENCE, HERE)

    def bound(self, refused=Failed):
        sock = self.connect()
        sock.sendall(bind_of(ATTACKERS_ACCOUNT, PASSWORD))
        status = read_pdu(sock).status
        if status != 0:
            sock.close()
            raise refused('the attacker could not bind: 0x%08x' % status)
        return sock

    def slow_bytes(self):
        octets = bind_of(ATTACKERS_ACCOUNT, PASSWORD)
        while True:
            with contextlib.ExitStack() as stack:
                socks = [stack.enter_context(self.connect()) for _ in range(CROWD)]
                for octet in octets[:-1]:
                    for sock in socks:
                        sock.sendall(bytes([octet]))
                        yield

    def no_bind(self):
        yield from self.crowd(CROWD)

    def many_connections(self):
        yield from self.crowd(BEYOND)

    def crowd(self, most):
        """Connections that say nothing: new ones all the time, so many at once, some of them beyond what an address may have."""
        kept = []
        while True:
            kept.append(self.connect())
            if len(kept) > most:
                kept.pop(0).close()
            yield

    def crowd_that_talks(self):
        """As many as may be unbound, each with half a PDU, then the other half, all the time."""
        octets = hostile.FLOODS['enquire_link flood'].octets()
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(self.connect()) for _ in range(CROWD)]
            while True:
                for part in (octets[:5], octets[5:]):
                    for sock in socks:
                        sock.sendall(part)
                        yield

    def bind_storm(self, name):
        while True:
            with self.connect() as sock:
                sock.sendall(bind_of(name(), 'guess%d' % next(self.names)))
                read_pdu(sock)
            yield

    def wrong_passwords(self):
        return self.bind_storm(lambda: VICTIM)

    def wrong_system_ids(self):
        """Many at once, so that the queue of those to be verified is never empty."""
        while True:
            with contextlib.ExitStack() as stack:
                socks = [stack.enter_context(self.connect()) for _ in range(40)]
                for sock in socks:
                    sock.sendall(bind_of('nobody%d' % next(self.names), 'x'))
                for sock in socks:
                    read_pdu(sock)
                    yield

    def flood(self, octets):
        with self.bound() as sock:
            pour = Pour(sock, octets)
            while True:
                pour()
                yield

    def window_ignored(self):
        return self.flood(hostile.Pdu('submit_sm', 0, 9, hostile.wire.message(SHORTCODE, NUMBER, b'x')).octets() * 200)

    def impossible(self, length):
        while True:
            with self.connect() as sock:
                sock.sendall(hostile.impossible(length))
                ended(sock)
            yield

    def many_tlvs(self):
        octets = hostile.many_tlvs(SHORTCODE, NUMBER)
        with self.bound() as sock:
            while True:
                sock.sendall(octets)
                read_pdu(sock)
                yield

    def never_reads(self):
        octets = hostile.FLOODS['enquire_link flood'].octets() * 1000
        while True:     # its earlier sessions may not be known to have ended, and be as many as it may have
            with self.bound(ConnectionError) as sock, contextlib.suppress(ConnectionError):
                sock.setblocking(False)
                at = 0
                for _ in range(1000):
                    with contextlib.suppress(BlockingIOError):
                        at = (at + sock.send(octets[at:])) % len(octets)
                    yield

    def refused_messages(self):
        return self.flood(hostile.refused_message().octets() * 1000)

    def silent(self):
        """Sessions that are bound, and say nothing: at most as many as the account may have."""
        while True:
            with contextlib.ExitStack() as stack:
                for _ in range(20):
                    stack.enter_context(self.bound(ConnectionError))
                    yield

    def unsaid_ends(self, end):
        """Sessions that end with a message unanswered."""
        message = hostile.Pdu('submit_sm', 0, 9, hostile.wire.message(SHORTCODE, NUMBER, b'x')).octets()
        while True:     # its earlier sessions may not be known to have ended, and be as many as it may have
            with self.bound(ConnectionError) as sock:
                sock.sendall(message)
                end(sock)
            yield

    def wrong_begins(self, octets, tls):
        while True:
            with self.connect(tls) as sock:
                sock.sendall(octets)
                ended(sock)
            yield

    def half_handshakes(self):
        hello = hostile.ssl_hello()
        kept = []
        while True:
            kept.append(self.connect(tls=True))
            kept[-1].sendall(hello[:len(hello) // 2] if len(kept) % 2 else hello)
            if len(kept) > CROWD:
                kept.pop(0).close()
            yield

    def handshakes(self, end):
        hello = hostile.ssl_hello()
        while True:
            with self.connect(tls=True) as sock, contextlib.suppress(OSError):
                sock.sendall(hello)
                end(sock)
            yield

    def tls_flood(self, client, make):
        """A TLS session that has bound, and sends such records as long as it may; then another one."""
        while True:
            with self.connect(tls=True) as sock:
                tls = client(sock)
                sock.sendall(tls.record(hostile.DATA, bind_of(ATTACKERS_ACCOUNT, PASSWORD)))
                sock.recv(4096)
                while True:
                    sock.sendall(b''.join(make(tls) for _ in range(BURST)))
                    yield


    def records_of_one_octet(self):
        octets = itertools.cycle(hostile.refused_message().octets())
        return self.tls_flood(hostile.tls_13, lambda tls: tls.record(hostile.DATA, bytes([next(octets)])))


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))


def half_close(sock):
    sock.shutdown(socket.SHUT_WR)
    ended(sock)


ATTACKS = {
    'slow bytes': Attacker.slow_bytes,
    'no bind': Attacker.no_bind,
    'crowd that has not bound': Attacker.crowd_that_talks,
    'wrong passwords': Attacker.wrong_passwords,
    'wrong system_ids': Attacker.wrong_system_ids,
    'bind, then silence': Attacker.silent,
    'messages that are refused': Attacker.refused_messages,
    'window ignored': Attacker.window_ignored,
    'thousands of TLVs': Attacker.many_tlvs,
    'never reads': Attacker.never_reads,
    'many connections of one address': Attacker.many_connections,
    'unbound connections of one address': Attacker.many_connections,
    'half-closed': lambda a: a.unsaid_ends(half_close),
    'reset': lambda a: a.unsaid_ends(reset),
    'TLS on a plain port': lambda a: a.wrong_begins(hostile.ssl_hello(), tls=False),
    'plaintext on a TLS port': lambda a: a.wrong_begins(bind_of(ATTACKERS_ACCOUNT, PASSWORD), tls=True),
    'many TLS handshakes of one address': lambda a: a.handshakes(lambda sock: sock.recv(1)),
    'TLS handshake broken off': lambda a: a.handshakes(reset),
    'TLS handshake never finished': Attacker.half_handshakes,
    'TLS handshake that is wrong': lambda a: a.wrong_begins(hostile.NO_HANDSHAKE, tls=True),
    'TLS record that is wrong': lambda a: a.tls_flood(hostile.tls_13, lambda tls: tls.record(hostile.DATA, b'x')[:-1] + b'x'),
    'TLS records of one octet': Attacker.records_of_one_octet,
    'TLS renegotiation': lambda a: a.tls_flood(hostile.tls_12, hostile.Tls.renegotiation),
    'TLS key updates': lambda a: a.tls_flood(hostile.tls_13, hostile.Tls.key_update),
    **{case: lambda a, octets=pdu.octets() * 1000: a.flood(octets) for case, pdu in hostile.FLOODS.items()},
    **{case: lambda a, length=length: a.impossible(length) for case, length in hostile.IMPOSSIBLE.items()},
}


# --- whose turn it is on the ends' processor ----------------------------------------------------------------------------

def put_first(pid):
    """Before all others of its processor. Without the right to, the kernel's own order has to do, and that is said."""
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
    except OSError as fault:
        print('load and SMSC have no priority (%s): they wait for the attacker, too' % fault, file=sys.stderr)


def put_last(pid):
    os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))


class Attack:
    """The attacker, in a process of its own: forked, then begun, then stopped, then ended. It takes what the others leave of
    their processor."""
    FORKED, GO, STOP = range(3)
    LAYOUT = struct.Struct('qqq')       # the order, steps, the fault

    def __init__(self, case, middle):
        self.shared = mmap.mmap(-1, mmap.PAGESIZE)
        self.case = case
        self.wake, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()             # the kernel shares the processor by session first
                put_last(0)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                os.write(theirs, b'.')
                self._run(ATTACKS[case], Attacker(middle.port, middle.tls_port))
            finally:
                os._exit(0)
        os.close(theirs)
        os.read(self.wake, 1)
        os.close(self.wake)

    def _get(self, field):
        return self.LAYOUT.unpack_from(self.shared)[field]

    def _set(self, field, value):
        struct.pack_into('q', self.shared, 8 * field, value)

    def _run(self, steps_of, attacker):
        while self._get(0) == self.FORKED:
            time.sleep(0.001)
        steps = 0
        while True:
            try:
                for _ in steps_of(attacker):
                    steps += 1
                    self._set(1, steps)
                    while self._get(0) == self.STOP:
                        time.sleep(1)
            except Failed as fault:
                self._set(2, 1)
                print('hostile: %s: %s' % (self.case, fault), file=sys.stderr, flush=True)
                return
            except (OSError, AssertionError):   # it was shown out
                steps += 1
                self._set(1, steps)

    def begin(self):
        self._set(0, self.GO)

    def stop(self):
        """Returns the steps so far."""
        self._set(0, self.STOP)
        steps = self._get(1)
        if self._get(2) or steps == 0:
            raise Failed('%s: the attacker %s' % (self.case, 'failed' if self._get(2) else 'did nothing'))
        return steps

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.shared.close()


# --- the measuring ------------------------------------------------------------------------------------------------------

def interval(load, case, middle, options):
    """(p50, p99, steps of the attacker, share of its processor that the middle used); case None: a quiet one."""
    attack = Attack(case, middle) if case else None
    try:
        time.sleep(SETTLE)
        cpu, begun = middle.child.cpu_seconds(), time.monotonic()
        load.control.ask('fresh')
        if attack:
            attack.begin()
        time.sleep(options.seconds)
        latency = load.control.ask('stats')['latency_us']
        used = (middle.child.cpu_seconds() - cpu) / (time.monotonic() - begun)
        return latency['p50'], latency['p99'], attack.stop() / options.seconds if attack else 0, used
    finally:
        if attack:
            attack.end()


class Row:
    """What a case came to."""

    def __init__(self, quiet, loud):
        def middle_of(column, rows):
            return statistics.median(row[column] for row in rows)
        self.p50, self.p99 = middle_of(0, quiet), middle_of(1, quiet)
        self.loud50, self.loud99, self.steps, self.used = (middle_of(column, loud) for column in range(4))
        self.ratios = sorted(row[1] / self.p99 for row in loud)
        self.ratio = statistics.median(self.ratios)


def measure(case, middle, smsc, options):
    quiet, loud = [], []

    def work(load):
        put_first(load.child.pid)
        for number in range(options.pairs):
            for which in ((None, case) if number % 2 == 0 else (case, None)):
                (loud if which else quiet).append(interval(load, which, middle, options))

    _report, discarded = under_load(Cell(1, 100, options.rate), middle, smsc, options.seconds, work)
    # What the attacker was sent on for is in the SMSC's count, too.
    discarded = [why for why in discarded if not why.startswith('SMSC accepted')]
    if discarded:
        raise Failed('; '.join(discarded))
    return Row(quiet, loud)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', type=pathlib.Path, default=ROOT / 'build-release')
    parser.add_argument('--middle', choices=('turnoutd', 'haproxy', 'both'), default='turnoutd')
    parser.add_argument('--rate', type=int, default=1000, help='messages a second of the established client')
    parser.add_argument('--pairs', type=int, default=3)
    parser.add_argument('--seconds', type=float, default=2, help='of an interval')
    parser.add_argument('--aim', type=float, default=2, help='p99 under attack, over the quiet one')
    parser.add_argument('cases', nargs='*', metavar='CASE')
    options = parser.parse_args()
    cases = read_cases(options.build)
    if set(ATTACKS) != set(cases):
        parser.error('%s: not in both, the attacks here and turnoutd --print-limits' % ', '.join(set(ATTACKS) ^ set(cases)))
    unknown = set(options.cases) - set(cases)
    if unknown:
        parser.error('no such case: %s; there are %s' % (', '.join(unknown), ', '.join(cases)))
    options.cases = options.cases or list(cases)
    return options


def print_row(case, middle, row, aim):
    print('%-32s %-9s %7d %8d %7d %8d  %5.2f [%.2f-%.2f] %s %9d %5.0f %%' % (
        case, middle.label, row.p50, row.loud50, row.p99, row.loud99, row.ratio, row.ratios[0], row.ratios[-1],
        '!' if row.ratio > aim else ' ', row.steps, 100 * row.used), flush=True)


def be_known(target):
    """The account's password is verified once, before there are any wrong ones."""
    with Attacker(target.port, target.tls_port).bound():
        pass


def run(options):
    missed = []
    with World(options.build) as world:
        smsc = Smsc(world)
        put_first(smsc.child.pid)
        middles = [kind(world, smsc.ports, 100) for kind in (Target, Floor) if options.middle in (kind.label, 'both')]
        for middle in middles:
            middle.child_now()
            be_known(middle)
        print('%-32s %-9s %7s %8s %7s %8s  %-20s %9s %s' % ('us', 'by', 'p50', 'attacked', 'p99', 'attacked', 'ratio of p99',
                                                          'steps/s', 'busy'))
        for case, middle in itertools.product(options.cases, middles):
            row = measure(case, middle, smsc, options)
            missed += [case] if row.ratio > options.aim and middle.label == 'turnoutd' else []
            print_row(case, middle, row, options.aim)
    print('load of the machine: %.1f, %d processors; %s' % (os.getloadavg()[0], os.cpu_count(),
          'more than %g times: %s' % (options.aim, ', '.join(missed)) if missed else 'all within %g times' % options.aim))
    return 1 if missed else 0


if __name__ == '__main__':
    try:
        sys.exit(run(arguments()))
    except (Failed, OSError) as fault:
        print('hostile: %s' % fault, file=sys.stderr)
        sys.exit(3)
