#!/usr/bin/python3
"""What an established client notices of hostile peers: its latency while each case of test/system/hostile.py is under way,
against the same without, taken in turn.

    test/bench/hostile.py [--build DIR] [--rate 1000] [--pairs 3] [--seconds 2] [--aim 2] [CASE...]

    turnout-load (established, at a rate) ─▶ turnoutd ─▶ turnout-smsc        turnoutd has a processor of its own
    an attacker, from 127.0.0.9 ────────────────┘                            the others share one; there the attacker
                                                                             runs only when nobody else does

A pair is a quiet phase and one under attack, in turn first; each has a load of its own, bound before the attack begins. A row
a case: the median of the pairs' p50 and p99, and the median of the pairs' ratios of p99. Exit status 0 where all ratios are
at most the aim, 1 where not, 3 where something did not work.
"""
import argparse
import contextlib
import itertools
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'test/system'))

import hostile  # noqa: E402
from hostile import CASES, bind_of, connect, ended, pour, read_pdu  # noqa: E402
from measure import Cell, under_load  # noqa: E402
from middles import MAX_SESSIONS, PASSWORD, PASSWORD_HASH, Smsc, Turnoutd, free_port  # noqa: E402
from world import Failed, World  # noqa: E402

HERE, PATIENCE, CROWD = '127.0.0.9', 20, 200
SHORTCODE, NUMBER = '5002', '64271234567'


class Target(Turnoutd):
    """With a TLS listener, an account for the attacker, and the limits that an operator who set none has."""
    name = 'turnoutd-hostile'
    more_routes = '%s,spark,redx\n' % SHORTCODE

    def __init__(self, world, ports, window):
        super().__init__(world, ports, window)
        self.tls_port = free_port()

    def config(self):
        limits = 'max-sessions = %d max-unbound = %d max-sessions-per-address = %d' % ((MAX_SESSIONS,) * 3)
        text = super().config()
        assert limits in text
        return text.replace(limits, '') + '''
client "acme" { password-hash = "%s" shortcodes = { "%s" } max-binds = 100 }
listener "tls" { address = "127.0.0.1" port = %d tls = true certificate = "%s" key = "%s" }
''' % (PASSWORD_HASH, SHORTCODE, self.tls_port, self.certificate(), self.certificate())


# --- attacks: each a generator that does something hostile at each step -------------------------------------------------

class Attacker:
    def __init__(self, plain, tls):
        self.plain, self.tls = plain, tls
        self.names = itertools.count()

    def connect(self, tls=False):
        return connect(self.tls if tls else self.plain, PATIENCE, HERE)

    def bound(self):
        sock = self.connect()
        sock.sendall(bind_of('acme', PASSWORD))
        if read_pdu(sock).status != 0:
            raise Failed('the attacker could not bind')
        return sock

    def slow_bytes(self):
        octets = bind_of('acme', PASSWORD)
        while True:
            with contextlib.ExitStack() as stack:
                socks = [stack.enter_context(self.connect()) for _ in range(CROWD)]
                for octet in octets[:-1]:
                    for sock in socks:
                        sock.sendall(bytes([octet]))
                        yield

    def no_bind(self):
        yield from self.crowd(False)

    def many_connections(self):
        yield from self.crowd(True)

    def crowd(self, beyond):
        """Connections that say nothing: new ones all the time, or beyond what an address may have."""
        kept = []
        while True:
            kept.append(self.connect())
            if len(kept) > (2000 if beyond else CROWD):
                kept.pop(0).close()
            yield

    def bind_storm(self, name):
        while True:
            with self.connect() as sock:
                sock.sendall(bind_of(name(), 'guess%d' % next(self.names)))
                read_pdu(sock)
            yield

    def wrong_passwords(self):
        return self.bind_storm(lambda: 'acme')

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
            sock.setblocking(False)
            while True:
                pour(sock, octets)
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
        while True:
            with self.bound() as sock, contextlib.suppress(OSError):
                sock.setblocking(False)
                for _ in range(1000):
                    with contextlib.suppress(BlockingIOError):
                        sock.send(octets)
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

    def renegotiation(self):
        while True:
            told = subprocess.run(['openssl', 's_client', '-connect', '127.0.0.1:%d' % self.tls, '-tls1_2'], input='R\nR\n',
                                  capture_output=True, text=True, timeout=PATIENCE, check=False)
            if 'no renegotiation' not in told.stdout + told.stderr:
                raise Failed('renegotiated: ' + told.stderr)
            yield

    def plaintext(self):
        while True:
            with self.connect(tls=True) as sock:
                sock.sendall(bind_of('acme', PASSWORD))
                ended(sock)
            yield


ATTACKS = {
    'slow bytes': Attacker.slow_bytes,
    'no bind': Attacker.no_bind,
    'wrong passwords': Attacker.wrong_passwords,
    'wrong system_ids': Attacker.wrong_system_ids,
    'window ignored': Attacker.window_ignored,
    'thousands of TLVs': Attacker.many_tlvs,
    'never reads': Attacker.never_reads,
    'many connections of one address': Attacker.many_connections,
    'handshake never finished': Attacker.half_handshakes,
    'renegotiation': Attacker.renegotiation,
    'plaintext on the TLS port': Attacker.plaintext,
    **{case: lambda a, octets=pdu.octets() * 1000: a.flood(octets) for case, pdu in hostile.FLOODS.items()},
    **{case: lambda a, length=length: a.impossible(length) for case, length in hostile.IMPOSSIBLE.items()},
}
assert set(ATTACKS) == set(CASES), 'each case has its attack'


def attack(case, ports, results):
    """In a process of its own, until it is ended; counts its steps. It takes what the others leave of their processor."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while True:
        try:
            for _ in ATTACKS[case](Attacker(*ports)):
                results.value += 1
        except (OSError, AssertionError, Failed):  # it was shown out, or refused its bind
            results.value += 1


@contextlib.contextmanager
def under_attack(case, target):
    """Gives the count of steps so far."""
    results = multiprocessing.Value('l', 0, lock=False)
    process = multiprocessing.Process(target=attack, args=(case, (target.port, target.tls_port), results), daemon=True)
    process.start()
    try:
        yield results
    finally:
        process.kill()
        process.join()


def put_first(child):
    """Before other sessions' work on this machine, where the kernel shares the processor by session and lets us. Within the
    session nothing changes."""
    with contextlib.suppress(OSError):
        pathlib.Path('/proc/%d/autogroup' % child.pid).write_text('-20')


# --- the measuring ------------------------------------------------------------------------------------------------------

def phase(case, target, smsc, options):
    """(p50, p99, steps of the attacker) of a load; case None: a quiet one."""
    steps = []

    def work(load):
        put_first(load.child)
        if case is None:
            time.sleep(options.seconds)
            return
        with under_attack(case, target) as count:
            time.sleep(options.seconds)
            steps.append(count.value)
        if steps[0] == 0:
            raise Failed('%s: the attacker did nothing' % case)

    report, discarded = under_load(Cell(1, 100, options.rate), target, smsc, options.seconds, work)
    # What the attacker was sent on for is in the SMSC's count, too.
    discarded = [why for why in discarded if not why.startswith('SMSC accepted')]
    if discarded:
        raise Failed('; '.join(discarded))
    return report['latency_us']['p50'], report['latency_us']['p99'], sum(steps)


def measure(case, target, smsc, options):
    pairs = []
    for number in range(options.pairs):
        order = (None, case) if number % 2 == 0 else (case, None)
        got = {which: phase(which, target, smsc, options) for which in order}
        pairs.append((got[None], got[case]))
    middle = [statistics.median(values) for values in zip(*[quiet[:2] + loud for quiet, loud in pairs])]
    ratios = sorted(loud[1] / quiet[1] for quiet, loud in pairs)
    return middle, ratios


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', type=pathlib.Path, default=ROOT / 'build-release')
    parser.add_argument('--rate', type=int, default=1000, help='messages a second of the established client')
    parser.add_argument('--pairs', type=int, default=3)
    parser.add_argument('--seconds', type=float, default=2)
    parser.add_argument('--aim', type=float, default=2, help='p99 under attack, over the quiet one')
    parser.add_argument('cases', nargs='*', metavar='CASE')
    options = parser.parse_args()
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error('no such case: %s; there are %s' % (', '.join(unknown), ', '.join(CASES)))
    return options


def run(options):
    missed = []
    with World(options.build) as world:
        smsc = Smsc(world)
        target = Target(world, smsc.ports, 100)
        put_first(smsc.child)
        put_first(target.child_now())
        phase(None, target, smsc, options)  # warms up
        print('%-32s %9s %9s %9s %9s  %-18s %s' % ('us', 'p50', 'attacked', 'p99', 'attacked', 'ratio of p99', 'steps/s'))
        for case in options.cases or CASES:
            (p50, p99, loud50, loud99, steps), ratios = measure(case, target, smsc, options)
            ratio = statistics.median(ratios)
            missed += [case] if ratio > options.aim else []
            print('%-32s %9d %9d %9d %9d  %5.2f [%.2f-%.2f] %s %8d' % (case, p50, loud50, p99, loud99, ratio, ratios[0], ratios[-1],
                                                              '!' if ratio > options.aim else ' ', steps / options.seconds),
                  flush=True)
    print('load of the machine: %.1f, %d processors; %s' % (os.getloadavg()[0], os.cpu_count(),
          'more than %g times: %s' % (options.aim, ', '.join(missed)) if missed else 'all within %g times' % options.aim))
    return 1 if missed else 0


if __name__ == '__main__':
    try:
        sys.exit(run(arguments()))
    except (Failed, OSError) as fault:
        print('hostile: %s' % fault, file=sys.stderr)
        sys.exit(3)
