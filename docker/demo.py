#!/usr/bin/python3
"""The demo behind demo.sh. It uses the rehearsal of the system tests.

    carriers' ledger ──tail──▶ counts per (shortcode, carrier, platform) ──▶ board
    turnoutctl flip 5001 --carrier spark --to omni ... and back ──▶ reconcile ──▶ verdict
"""
import collections
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'test/system'))
import harness  # noqa: E402
import rehearsal  # noqa: E402

OWNERS = {'5001': 'alpha', '5002': 'beta', '5003': 'gamma'}
HOW = {'5001': 'alpha, transceiver', '5002': 'beta, tx + rx pair', '5003': 'gamma, TLS'}
CARRIERS = tuple(harness.CARRIERS)
OLD, NEW = harness.PLATFORMS
MOVED = ('5001', 'spark')
EVENTS = {'MT': ('MT', 'source'), 'MO-SENT': ('MO', 'dest'), 'RECEIPT-SENT': ('receipts', 'dest')}
SECONDS = 6  # between flips
RATE = '200'


class Counts:
    """What the carriers' ledger says so far: {(shortcode, carrier, platform): Counter of MT, MO, receipts}."""

    def __init__(self, path):
        self.file = open(path, encoding='ascii', errors='replace')
        self.rest = ''
        self.cells = collections.defaultdict(collections.Counter)

    def update(self):
        self.rest += self.file.read()
        *lines, self.rest = self.rest.split('\n')
        for line in lines:
            _, event, *words = line.split(' ')
            if event in EVENTS:
                kind, who = EVENTS[event]
                values = dict(word.split('=', 1) for word in words)
                carrier, platform = values['link'].rsplit('-', 1)
                self.cells[values[who], carrier, platform][kind] += 1
        return {cell: dict(counter) for cell, counter in self.cells.items()}


class Board:
    """The table shortcode x carrier: MT, MO and receipts of the last second, by platform. Redrawn on a terminal; a line a
    second elsewhere."""

    def __init__(self, counts):
        self.counts = counts
        self.terminal = sys.stdout.isatty()
        self.before = counts.update()
        self.began = time.monotonic()
        self.drawn = 0
        self.said = collections.deque(maxlen=8)

    def say(self, text):
        for line in text.splitlines():
            self.said.append(line)
            if not self.terminal:
                print(line, flush=True)

    def delta(self, now, cell, kind):
        return now.get(cell, {}).get(kind, 0) - self.before.get(cell, {}).get(kind, 0)

    def draw(self):
        now = self.counts.update()
        if self.terminal:
            self.redraw(now)
        else:
            print(self.line(now), flush=True)
        self.before = now

    def line(self, now):
        def total(kind, platform, moved):
            return sum(self.delta(now, (s, c, platform), kind) for s in OWNERS for c in CARRIERS
                       if ((s, c) == MOVED) == moved)
        parts = ['%3d s' % (time.monotonic() - self.began)]
        for name, moved in (('%s on %s' % MOVED, True), ('all others', False)):
            parts.append('%s: ' % name + '  '.join('%s %s/%s' % (
                kind, total(kind, OLD, moved), total(kind, NEW, moved)) for kind in ('MT', 'MO', 'receipts')))
        return '   '.join(parts)

    def redraw(self, now):
        out = ['\x1b[%dA' % self.drawn if self.drawn else '']
        rows = ['in the last second, %s/%s' % (OLD, NEW),
                '%-36s' % '' + ''.join('%-22s' % c for c in CARRIERS)]
        for shortcode in OWNERS:
            for kind in ('MT', 'MO', 'receipts'):
                head = '%s %-20s' % (shortcode, '') if kind != 'MT' else '%s (%s)' % (shortcode, HOW[shortcode])
                cells = ''
                for carrier in CARRIERS:
                    text = '%s/%s' % tuple(self.delta(now, (shortcode, carrier, p), kind) for p in (OLD, NEW))
                    bold = (shortcode, carrier) == MOVED
                    cells += ('\x1b[1m%-22s\x1b[0m' if bold else '%-22s') % text
                rows.append('%-27.27s%-9s%s' % (head if kind == 'MT' else '', kind, cells))
        rows += [''] + list(self.said) + [''] * (8 - len(self.said))
        out += ['%s\x1b[K\n' % row for row in rows]
        self.drawn = len(rows)
        sys.stdout.write(''.join(out))
        sys.stdout.flush()


class Demo:
    def __init__(self, directory):
        redis_directory = pathlib.Path(directory) / 'redis'
        redis_directory.mkdir()
        self.redis = harness.Redis(str(redis_directory))
        self.world = harness.World(directory, self.redis, '{turnout}')
        self.carriers = self.board = None
        self.loads = []

    def start(self):
        certificates = harness.make_certificates(self.world.directory)
        self.carriers = rehearsal.Carriers(self.world, ['--delay', '2ms 3ms', '--receipt-delay', '50ms'])
        rehearsal.three_clients(self.world, certificates)
        self.world.options.update(workers=2, instance='demo')
        self.redis.load_functions()
        self.world.routes(shortcodes=tuple(OWNERS))
        self.world.start(log={'format': 'json', 'level': 'info'})
        self.loads = rehearsal.start_three(self.world, certificates, RATE)
        self.timeline = rehearsal.Timeline(self.world, self.carriers, OLD)
        self.board = Board(Counts(self.carriers.ledger))

    def mo(self, at):
        """Some MO on every route, by the platform that serves it."""
        for shortcode, owner in OWNERS.items():
            for carrier in CARRIERS:
                platform = at if (shortcode, carrier) == MOVED else OLD
                self.carriers.command('@%s-%s mo %s %s %s 2 20' % (
                    carrier, platform, owner, rehearsal.NUMBERS[carrier], shortcode))

    def watch(self, seconds, at):
        begun = time.monotonic()
        for second in range(1, seconds + 1):
            self.mo(at)
            time.sleep(max(0, begun + second - time.monotonic()))
            self.board.draw()

    def flip(self, to):
        """By hand, as an operator would, between two marks in the carriers' ledger."""
        command = ['turnoutctl', 'flip', '--outside-window', MOVED[0], '--carrier', MOVED[1], '--to', to, '--why', 'demo']
        self.board.say('$ ' + ' '.join(command))
        with self.timeline.flipping(*MOVED, to):
            result = subprocess.run([str(harness.TOOLS / command[0]), *command[1:], '--redis',
                                     '127.0.0.1:%d' % self.redis.port], capture_output=True, text=True, check=False)
            self.board.say((result.stdout + result.stderr).strip())
            if result.returncode:
                raise SystemExit('turnoutctl failed with %d' % result.returncode)

    def run(self, once):
        print('three clients are bound: %s' % '; '.join('%s (%s)' % item for item in HOW.items()))
        if not self.board.terminal:
            print('a line a second; messages of that second on %s/%s' % (OLD, NEW), flush=True)
        self.watch(SECONDS, OLD)
        while True:
            self.flip(NEW)
            self.watch(SECONDS, NEW)
            self.flip(OLD)
            self.watch(SECONDS, OLD)
            if once:
                return

    def verdict(self):
        """The clients end, then the carriers; their ledgers are compared."""
        for load in self.loads:
            load.end()
        self.carriers.end()
        owners = [word for s, owner in OWNERS.items() for word in ('--owner', '%s=%s' % (s, owner))]
        code, text = rehearsal.reconcile([self.carriers.ledger] + [load.ledger for load in self.loads],
                                         self.timeline.arguments() + owners)
        print(text.strip())
        return code

    def close(self):
        faults = self.world.close()
        self.redis.stop()
        for fault in faults:
            print(fault, file=sys.stderr)
        return not faults


def interrupt(_number, _frame):
    raise KeyboardInterrupt


def main():
    once = '--once' in sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    code = 1
    with tempfile.TemporaryDirectory(prefix='turnout-demo-') as directory:
        demo = Demo(directory)
        try:
            demo.start()
            try:
                demo.run(once)
            except KeyboardInterrupt:
                print('\nending')
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            code = demo.verdict()
        except KeyboardInterrupt:
            code = 130
        finally:
            if not demo.close():
                code = code or 1
    return code


if __name__ == '__main__':
    sys.exit(main())
