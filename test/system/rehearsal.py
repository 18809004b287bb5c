"""A rehearsal of a cutover with the tools that ship: turnout-smsc plays the carriers, turnout-load the clients, and
test/tools/reconcile compares their ledgers.

    Carriers: one turnout-smsc, a link for each (carrier, platform) ── ledger, marks ──┐
    Load: one turnout-load a client ── ledger ──────────────────────────────────────────┴─▶ reconcile(): the verdict
    Timeline: the flips of each (shortcode, carrier), bracketed by marks
"""
import contextlib
import json
import socket
import subprocess
import sys
import threading

import harness
from harness import CARRIERS, OUTSIDE, PATIENCE, PLATFORMS, ROOT, Raw

NUMBERS = {'spark': '6427xxxxxxx', 'onenz': '6421xxxxxxx', '2degrees': '6422xxxxxxx', 'skinny': '64204xxxxxx'}


class Control:
    """Commands to a tool's control socket: a line out, a line of JSON back."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(path))
        self.file = self.sock.makefile('rw', encoding='utf-8', newline='\n')
        self.lock = threading.Lock()

    def __call__(self, line):
        with self.lock:
            self.file.write(line + '\n')
            self.file.flush()
            answer = json.loads(self.file.readline())
        assert answer.get('ok', True), '%s: %s' % (line, answer)
        return answer

    def close(self):
        self.file.close()
        self.sock.close()


class Carriers:
    """turnout-smsc with a link for every (carrier, platform); its ports become the world's links."""

    def __init__(self, world, settings=(), carriers=tuple(CARRIERS), platforms=PLATFORMS, link=None):
        self.world = world
        self.ledger = world.directory / 'carriers.ledger'
        path = world.directory / 'carriers.sock'
        args = [harness.TOOLS / 'turnout-smsc', '--control', path, '--ledger', self.ledger, *settings]
        names = [(c, p) for c in carriers for p in platforms]
        for carrier, platform in names:
            args += ['--name', '%s-%s' % (carrier, platform), '--listen', '127.0.0.1:0', '--id-prefix',
                     '%s-%s-' % (carrier, platform)]
        self.process = world.run(args, 'turnout-smsc')
        for carrier, platform in names:
            port = self.process.wait_line(r'^ready name=%s-%s port=(\d+)$' % (carrier, platform)).group(1)
            world.link(carrier, platform, int(port), credentials='pass', **(link or {}))
        self.command = Control(path)

    def stats(self):
        return self.command('stats')

    def mark(self, label):
        self.command('mark ' + label)

    def end(self):
        """Ends it gently, so that its ledger is whole."""
        self.command.close()
        self.process.signal(15)
        assert self.process.wait() == 0, self.process.tail()


class Load:
    """turnout-load for one client."""

    def __init__(self, world, name, args, port, password='secret', tls_ca=None, carriers=tuple(CARRIERS),
                 to=None):
        self.name = name
        self.ledger = world.directory / (name + '.ledger')
        self.control_path = world.directory / (name + '.sock')
        command = [harness.TOOLS / 'turnout-load', '--connect', '127.0.0.1:%d' % port,
                   '--system-id', name, '--password', password, '--run', name, '--ledger', self.ledger, '--control',
                   self.control_path, '--to', to or ','.join(NUMBERS[c] for c in carriers), *args]
        if tls_ca:
            command += ['--tls', '--ca', tls_ca]
        self.process = world.run(command, 'turnout-load ' + name)

    def bound(self, timeout=None):
        self.process.wait_line('bound', 'stderr', timeout)
        self.command = Control(self.control_path)
        return self

    def end(self, timeout=60):
        """Asks it to end, waits, and returns its report."""
        if self.process.running:
            self.process.signal(15)
        code = self.process.wait(timeout)
        assert code == 0, self.process.tail()
        self.command.close()
        return self.report()

    def report(self):
        return json.loads(self.process.lines['stdout'][-1])


class Timeline:
    """The flips of a rehearsal. Each is bracketed by marks in the carriers' ledger: below `before` nothing of it went to
    the new link yet; above `done`, which is written after the flip was reported, nothing goes to the old one."""

    def __init__(self, world, carriers, start='redx'):
        self.world = world
        self.carriers = carriers
        self.start = start
        self.cells = {}
        self.count = 0

    @contextlib.contextmanager
    def flipping(self, shortcode, carrier, to):
        """Around whatever makes the flip, and returns when it is reported."""
        self.count += 1
        before, done = 'before-%d' % self.count, 'done-%d' % self.count
        self.carriers.mark(before)
        yield
        self.carriers.mark(done)
        self.cells.setdefault((shortcode, carrier), []).append((to, done, before))

    def flip(self, shortcode, carrier, to):
        with self.flipping(shortcode, carrier, to):
            code, answer = self.world.ctl(*OUTSIDE, shortcode, '--carrier', carrier, '--to', to, '--why', 'rehearsal')
            assert code == 0, answer

    def arguments(self):
        """--route arguments of reconcile."""
        found = []
        for (shortcode, carrier), moves in self.cells.items():
            found.append('%s:%s:%s' % (shortcode, carrier, self.start))
            found += ['%s:%s:%s:after=%s:from=%s' % (shortcode, carrier, to, done, before) for to, done, before in moves]
        found += ['*:*:' + self.start]
        return [word for route in found for word in ('--route', route)]


def reconcile(ledgers, arguments=(), carriers=tuple(CARRIERS)):
    """(exit code, what it printed) of test/tools/reconcile."""
    args = [sys.executable, str(ROOT / 'test/tools/reconcile')]
    for carrier in carriers:
        args += ['--carrier', '%s=%s' % (carrier, ','.join(CARRIERS[carrier]))]
    done = subprocess.run([*args, *arguments, *[str(l) for l in ledgers]], capture_output=True, text=True,
                          timeout=PATIENCE * 12, check=False)
    return done.returncode, done.stdout + done.stderr


def three_clients(world, tls=None):
    """The accounts of a rehearsal: a transceiver, a transmitter and receiver pair, and one over TLS."""
    options = {'max_binds': 10, 'window': 100, 'hold_budget': Raw('1500ms'), 'bind_answer': 'all'}
    world.client('alpha', shortcodes=['5001'], **options)
    world.client('beta', shortcodes=['5002'], **options)
    world.client('gamma', shortcodes=['5003'], **options)
    if tls:
        world.listeners['tls'] = {'address': '127.0.0.1', 'port': 0, 'tls': True, 'certificate': tls['server'],
                                  'key': tls['server-key']}


def start_three(world, tls, rate, more=()):
    """The three loads, bound and sending."""
    common = ['--rate', rate, '--window', '50', '--registered-delivery', '1', *more]
    loads = [
        Load(world, 'alpha', ['--from', '5001', '--bind', 'transceiver', *common], world.daemon.port()),
        Load(world, 'beta', ['--from', '5002', '--bind', 'pair', *common], world.daemon.port()),
        Load(world, 'gamma', ['--from', '5003', '--bind', 'transceiver', *common], world.daemon.port('tls'),
             tls_ca=tls['ca']),
    ]
    for load in loads:
        load.bound()
    return loads


OWNERS = ['--owner', '5001=alpha', '--owner', '5002=beta', '--owner', '5003=gamma']
