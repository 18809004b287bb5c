"""A world for a test: a private Redis, carriers (raw SMSCs or turnout-smsc), one or more turnoutd, and clients.

    World ── config from Python data ──▶ turnoutd ── its log lines, as events ──▶ wait_event()
       ├─ Smsc a link (peers.py), Client a session
       └─ routes: changes by Turnout's own Redis function

Waits are for events, never for time. close() ends everything by its process id and checks that each turnoutd exited
with 0 and wrote nothing but log lines (a sanitizer's report is not one).
"""
import functools
import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request
import warnings

import wire
from peers import PATIENCE, Client, Smsc, Trace

with warnings.catch_warnings():
    warnings.simplefilter('ignore', DeprecationWarning)
    import crypt

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('TURNOUT_BUILD', ROOT / 'build'))
# Where the programs of the world around turnoutd come from: not instrumented ones, so that they are not what is slow.
TOOLS = pathlib.Path(os.environ.get('TURNOUT_TOOLS', BUILD))
CAPTURE = os.environ.get('TURNOUT_CAPTURE')

ENVIRONMENT = dict(
    os.environ,
    ASAN_OPTIONS='detect_leaks=1:abort_on_error=0:exitcode=99:detect_stack_use_after_return=1',
    LSAN_OPTIONS='suppressions=%s:print_suppressions=0' % (ROOT / 'test/system/lsan.supp'),
    UBSAN_OPTIONS='print_stacktrace=1:halt_on_error=1:exitcode=99',
    TSAN_OPTIONS='exitcode=98:halt_on_error=0:second_deadlock_stack=1',
)

CARRIERS = {'spark': ['6425', '6427'], 'onenz': ['6421', '6426', '6428'], '2degrees': ['6422'], 'skinny': ['64204']}
NUMBERS = {'spark': '6425%07d', 'onenz': '6421%07d', '2degrees': '6422%07d', 'skinny': '64204%06d'}
PLATFORMS = ('redx', 'omni')

# A flip of what belongs to no open window.
OUTSIDE = ('flip', '--outside-window')


@functools.lru_cache(None)
def hash_password(password):
    return crypt.crypt(password, '$y$j9T$turnoutturnoutturnout1$')


def number_of(carrier, index=1234567):
    return NUMBERS[carrier] % (index % 10 ** (6 if carrier == 'skinny' else 7))


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


class Process:
    """A child process; its standard output and error are read line by line by threads."""

    def __init__(self, args, name, env=None, cwd=None):
        self.name = name
        self.args = [str(a) for a in args]
        self.lines = {'stdout': [], 'stderr': []}
        self.changed = threading.Condition()
        self.process = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=env or ENVIRONMENT, cwd=cwd,
                                        start_new_session=True)  # Ctrl-C is for us alone; we end it
        self.pid = self.process.pid
        self.threads = [threading.Thread(target=self._read, args=(stream, kind), daemon=True)
                        for stream, kind in ((self.process.stdout, 'stdout'), (self.process.stderr, 'stderr'))]
        for thread in self.threads:
            thread.start()

    def _read(self, stream, kind):
        with stream:
            for line in stream:
                text = line.decode('utf-8', 'replace').rstrip('\n')
                with self.changed:
                    self.lines[kind].append(text)
                    self.on_line(text, kind)
                    self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def on_line(self, text, kind):
        pass

    def wait_for(self, look, what, timeout=None):
        """Waits until look() gives something true, looking again after every line."""
        deadline = time.monotonic() + (timeout or PATIENCE)
        with self.changed:
            while True:
                found = look()
                if found:
                    return found
                left = deadline - time.monotonic()
                if left <= 0 or not any(t.is_alive() for t in self.threads):
                    found = look()
                    if found:
                        return found
                    raise AssertionError('%s: %s did not come%s' % (
                        self.name, what, '' if left <= 0 else ' before its end (%s)' % self.process.poll()))
                self.changed.wait(left)

    def wait_line(self, pattern, kind='stdout', timeout=None):
        def look():
            for line in self.lines[kind]:
                found = re.search(pattern, line)
                if found:
                    return found
            return None
        return self.wait_for(look, 'a line like %r' % pattern, timeout)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=None):
        code = self.process.wait(timeout or PATIENCE * 3)
        for thread in self.threads:
            thread.join(PATIENCE)
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        return self.wait()

    @property
    def running(self):
        return self.process.poll() is None

    def tail(self, count=80):
        return '\n'.join('%s %s' % (kind, line) for kind in ('stdout', 'stderr') for line in self.lines[kind][-count:])


class Redis:
    """A redis-server of our own: no other's port, nothing kept unless asked."""

    def __init__(self, directory, port=None, args=()):
        self.directory = directory
        self.port = port or free_port()
        self.args = args
        self.process = None
        self.start()

    def start(self, *more):
        self.process = Process(
            ['redis-server', '--port', self.port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir',
             self.directory, '--daemonize', 'no', '--enable-debug-command', 'local', *self.args, *more], 'redis')
        self.process.wait_line('Ready to accept connections')

    def stop(self):
        """Ends it; what it held is lost."""
        self.process.kill()

    def call(self, *args):
        """A command's answer as text, by redis-cli."""
        done = subprocess.run(['redis-cli', '-p', str(self.port), *[str(a) for a in args]], capture_output=True,
                              text=True, timeout=PATIENCE, check=True)
        return done.stdout.rstrip('\n')

    def load_functions(self):
        text = ''.join(path.read_text() for path in sorted((ROOT / 'routing/functions').glob('*.lua')))
        done = subprocess.run(['redis-cli', '-p', str(self.port), '-x', 'FUNCTION', 'LOAD', 'REPLACE'], input=text,
                              capture_output=True, text=True, timeout=PATIENCE, check=True)
        assert 'turnout' in done.stdout, done.stdout


class Turnoutd(Process):
    """The proxy. Its log lines are events: dicts with "event" and the fields of the event."""

    def __init__(self, config, name='turnoutd', build=None):
        self.config = config
        self.events = []
        self.junk = []
        super().__init__([pathlib.Path(build or BUILD) / 'turnoutd', '--config', config], name)

    def on_line(self, text, kind):
        try:
            event = json.loads(text)
            assert isinstance(event, dict) and 'event' in event
            self.events.append(event)
        except (ValueError, AssertionError):
            self.junk.append(text)

    def find(self, event, since=0, **fields):
        return [e for e in self.events[since:] if e['event'] == event and
                all(e.get(name) == value for name, value in fields.items())]

    def wait_event(self, event, since=0, timeout=None, **fields):
        """The first event of that name and with those fields, from number `since` on."""
        def look():
            found = self.find(event, since, **fields)
            return found[0] if found else None
        return self.wait_for(look, 'event %s %s' % (event, fields), timeout)

    def mark(self):
        """Now, as a number for `since`."""
        with self.changed:
            return len(self.events)

    def port(self, listener='plain'):
        return self.wait_event('listening', listener=listener)['port']

    @property
    def admin_port(self):
        return self.wait_event('admin_listening')['port']

    def wait_version(self, version, timeout=None):
        def look():
            return [e for e in self.events if e['event'] == 'table_applied' and e['version'] >= version]
        return self.wait_for(look, 'table version %d applied' % version, timeout)

    def get(self, path):
        """(status, text) of the admin listener."""
        try:
            with urllib.request.urlopen('http://127.0.0.1:%d%s' % (self.admin_port, path), timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as fault:
            return fault.code, fault.read().decode()

    def metrics(self):
        """{(name, frozenset of labels): value} of /metrics."""
        status, text = self.get('/metrics')
        assert status == 200
        found = {}
        for line in text.splitlines():
            if line and not line.startswith('#'):
                name, labels, value = re.fullmatch(r'([a-zA-Z_:]+)(?:\{(.*)\})? (\S+)', line).groups()
                pairs = frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ''))
                found[name, pairs] = float(value)
        return found

    def metric(self, name, **labels):
        """The sum over all series of that name (without turnout_) that have these labels."""
        want = set(labels.items())
        series = [v for (n, l), v in self.metrics().items() if n == 'turnout_' + name and want <= l]
        return sum(series)

    def wait_metric(self, name, value, **labels):
        """Until the metric has at least this value: asks again whenever it has an answer; bounded by count."""
        deadline = time.monotonic() + PATIENCE
        while True:
            got = self.metric(name, **labels)
            if got >= value:
                return got
            assert time.monotonic() < deadline, '%s%s is %s, wanted %s' % (name, labels, got, value)

    def reload(self):
        self.signal(signal.SIGHUP)

    def stop(self, timeout=None):
        if self.running:
            self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def check(self):
        """Ended well: exit code 0, and only log lines on its outputs."""
        assert not self.junk, '%s wrote what is no log line:\n%s' % (self.name, '\n'.join(self.junk[:200]))
        code = self.process.returncode
        assert code == 0, '%s exited with %s' % (self.name, code)


def value_text(value):
    """A Python value in the config's syntax; strings such as 500ms and 1k are times and sizes: Raw."""
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, (int, Raw)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return '{ %s }' % ', '.join(value_text(v) for v in value)
    return '"%s"' % str(value).replace('\\', '\\\\').replace('"', '\\"')


class Raw(str):
    """Written as it is: Raw('500ms')."""


def render(options, depth=0):
    """Config text from a dict: key -> value, or (section, title) -> dict, or section -> dict."""
    lines, pad = [], '    ' * depth
    for key, value in options.items():
        if isinstance(value, dict):
            title = key if isinstance(key, str) else '%s "%s"' % key
            lines += ['%s%s {' % (pad, title), render(value, depth + 1), '%s}' % pad]
        else:
            lines.append('%s%s = %s' % (pad, key.replace('_', '-'), value_text(value)))
    return '\n'.join(line for line in lines if line)


class World:
    """See the head of this file. By default: the carriers that routes name, both platforms, one client `acme` with
    password `secret` and shortcodes 5001, 5002, all four routes of 5001 to redx."""

    def __init__(self, directory, redis, prefix):
        self.directory = pathlib.Path(directory)
        self.redis = redis
        self.prefix = prefix
        self.trace = Trace()
        self.smscs = {}
        self.link_options = {}
        self.carrier_options = {}
        self.clients = {}
        self.options = {'workers': 1, 'instance': 'test-1', 'drain': Raw('300ms')}
        self.listeners = {'plain': {'address': '127.0.0.1', 'port': 0}}
        self.daemons = []
        self.processes = []
        self.peers = []
        self.version = 0
        self.expected_exits = {}
        self.counter = 0

    # -- building

    def carrier(self, name, **options):
        self.carrier_options.setdefault(name, {'prefixes': CARRIERS.get(name, [])}).update(options)

    def smsc(self, carrier, platform, link=None, **smsc_options):
        """A raw SMSC and the link to it. link: options of the link."""
        name = '%s-%s' % (carrier, platform)
        smsc = Smsc(name, self.trace, **smsc_options)
        self.smscs[name] = smsc
        self.link(carrier, platform, smsc.port, **(link or {}))
        return smsc

    def link(self, carrier, platform, port, **options):
        self.carrier(carrier)
        self.link_options['%s-%s' % (carrier, platform)] = {
            'carrier': carrier, 'platform': platform, 'host': '127.0.0.1', 'port': port, 'credentials': 'own',
            'system_id': 'turnout', 'password': 'upstream', 'reconnect_min': Raw('50ms'),
            'reconnect_max': Raw('200ms'), **options}

    def client(self, system_id='acme', password='secret', **options):
        self.clients[system_id] = {'password_hash': hash_password(password), 'shortcodes': ['5001', '5002'],
                                   'networks': [], 'max_binds': 10, **options}

    def config(self, **more):
        """The config as a dict, for render()."""
        found = dict(self.options)
        found['state_directory'] = str(self.directory / 'state')
        found.update(more)
        for name, options in self.listeners.items():
            found['listener', name] = options
        for platform in sorted({o['platform'] for o in self.link_options.values()} | set(PLATFORMS)):
            found['platform', platform] = {}
        for name, options in self.carrier_options.items():
            found['carrier', name] = options
        for name, options in self.link_options.items():
            found['link', name] = options
        for name, options in self.clients.items():
            options = dict(options)
            for link, upstream in options.pop('upstreams', {}).items():
                options['upstream', link] = upstream
            found['client', name] = {k: v for k, v in options.items() if v != []}
        found.setdefault('redis', {'host': '127.0.0.1', 'port': self.redis.port, 'prefix': self.prefix,
                                   'reconnect_min': Raw('50ms'), 'reconnect_max': Raw('200ms'), 'beat': Raw('200ms')})
        found.setdefault('admin', {'address': '127.0.0.1', 'port': 0})
        found.setdefault('log', {'format': 'json', 'level': 'debug'})
        return found

    def write_config(self, name='turnout.conf', **more):
        path = self.directory / name
        (self.directory / 'state').mkdir(exist_ok=True)
        path.write_text(render(self.config(**more)) + '\n')
        return path

    # -- routes

    def change(self, moves, kind='set', **fields):
        """One change of the table by turnout_change; moves: {(shortcode, carrier): platform or (platform, state)}.
        Returns the version."""
        rows = []
        for (shortcode, carrier), to in moves.items():
            platform, state = to if isinstance(to, tuple) else (to, 'open')
            rows.append({'shortcode': shortcode, 'carrier': carrier, 'to': platform, 'state': state})
        request = {'kind': kind, 'who': 'test', 'why': 'a test', 'ticket': '', 'moves': rows, 'outside_window': True,
                   **fields}
        answer = self.redis.call('FCALL', 'turnout_change', 1, self.prefix + ':version', json.dumps(request))
        words = answer.splitlines()
        assert words[0] in ('ok', 'unchanged'), answer
        self.version = int(words[1])
        return self.version

    def flip(self, shortcode, carrier, to, daemons=None):
        """A change, and every running turnoutd has applied it."""
        version = self.change({(shortcode, carrier): to}, kind='flip', outside_window=True)
        for daemon in daemons or [d for d in self.daemons if d.running]:
            daemon.wait_version(version)
        return version

    def routes(self, platform='redx', shortcodes=('5001',), carriers=None):
        """Every carrier of every shortcode to one platform."""
        return self.change({(s, c): platform for s in shortcodes for c in carriers or self.carrier_options})

    # -- running

    def start(self, config=None, wait=True, name=None, **more):
        """Starts a turnoutd; with wait, until it listens and has applied the table."""
        name = name or 'turnoutd-%d' % (len(self.daemons) + 1)
        config = config or self.write_config(name + '.conf', **more)
        daemon = Turnoutd(config, name)
        self.daemons.append(daemon)
        if wait:
            for listener in self.listeners:
                daemon.port(listener)
            if self.version:
                daemon.wait_version(self.version)
        return daemon

    @property
    def daemon(self):
        return self.daemons[-1]

    def connect(self, listener='plain', daemon=None, **options):
        """A client's connection, not bound yet."""
        self.counter += 1
        daemon = daemon or self.daemon
        peer = Client(daemon.port(listener), self.trace, options.pop('label', 'client%d' % self.counter), **options)
        self.peers.append(peer)
        return peer

    def bound(self, kind='transceiver', system_id='acme', password='secret', daemon=None, listener='plain', **fields):
        """A client's session, bound."""
        peer = self.connect(listener, daemon)
        peer.bind(kind, system_id, password, **fields)
        return peer

    def run(self, args, name, **options):
        process = Process(args, name, **options)
        self.processes.append(process)
        return process

    def ctl(self, *args, check=True, timeout=None):
        """turnoutctl's answer to a command with --json: (exit code, object)."""
        done = subprocess.run([str(TOOLS / 'turnoutctl'), *args, '--json', '--redis', '127.0.0.1:%d' % self.redis.port,
                               '--prefix', self.prefix, '--as', 'tester'], capture_output=True, text=True,
                              env=ENVIRONMENT, timeout=timeout or PATIENCE * 3)
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            answer = {'stdout': done.stdout, 'stderr': done.stderr}
        assert not check or done.returncode == 0, 'turnoutctl %s: %d %s%s' % (args, done.returncode, done.stdout,
                                                                              done.stderr)
        return done.returncode, answer

    # -- the end

    def close(self):
        """Ends all; returns the complaints."""
        faults = []
        for peer in self.peers:
            peer.close()
        for daemon in self.daemons:
            try:
                daemon.stop()
            except subprocess.TimeoutExpired:
                faults.append('%s did not end on SIGTERM' % daemon.name)
                daemon.kill()
                continue
            try:
                if daemon.process.returncode != self.expected_exits.get(daemon):
                    daemon.check()
                elif daemon.junk and self.expected_exits.get(daemon) == -signal.SIGKILL:
                    faults.append('%s wrote %r' % (daemon.name, daemon.junk[:5]))
            except AssertionError as fault:
                faults.append(str(fault))
        for smsc in self.smscs.values():
            smsc.close()
        for process in self.processes:
            process.kill()
        return faults

    def kill(self, daemon):
        """kill -9."""
        self.expected_exits[daemon] = -signal.SIGKILL
        daemon.kill()

    def report(self):
        parts = ['-- config %s --\n%s' % (d.config, pathlib.Path(d.config).read_text()) for d in self.daemons[:1]
                 if pathlib.Path(d.config).exists()]
        parts += ['-- %s (exit %s) --\n%s' % (d.name, d.process.returncode, d.tail()) for d in
                  self.daemons + self.processes]
        parts.append('-- what the peers sent and got --\n' + '\n'.join(self.trace.lines[-60:]))
        return '\n'.join(parts)


def make_certificates(directory, name='localhost', prefix=''):
    """A CA of its own, a server's and a client's certificate signed by it; PEM files. Returns their paths by name."""
    directory = pathlib.Path(directory)
    paths = {k: str(directory / (prefix + k + '.pem')) for k in ('ca', 'ca-key', 'server', 'server-key', 'client',
                                                                  'client-key')}

    def openssl(*args):
        subprocess.run(['openssl', *args], check=True, capture_output=True, timeout=60)

    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30',
            '-subj', '/CN=%stest-ca' % prefix, '-keyout', paths['ca-key'], '-out', paths['ca'])
    for who in ('server', 'client'):
        request = str(directory / (prefix + who + '.csr'))
        extensions = directory / (prefix + who + '.ext')
        extensions.write_text('subjectAltName=DNS:%s,IP:127.0.0.1\n' % name)
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=' + name,
                '-keyout', paths[who + '-key'], '-out', request)
        openssl('x509', '-req', '-in', request, '-CA', paths['ca'], '-CAkey', paths['ca-key'], '-CAcreateserial',
                '-days', '30', '-extfile', str(extensions), '-out', paths[who])
    return paths


def write_capture(trace, name, directory):
    """What the peers of a test got from the proxy, as a pcap file for a dissector: one TCP connection a peer, with the
    proxy on port 2775. Only what the proxy sent is in it."""
    packets = []
    # Addresses of its own for each test, so that the files of many can be joined.
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:3], 'big')
    address = bytes([10]) + place.to_bytes(3, 'big')
    for index, (_, pieces) in enumerate(trace.streams):
        seq = 1
        port = 10000 + index
        for from_proxy, octets in pieces:
            if not from_proxy:
                continue
            for start in range(0, len(octets), 1400):
                part = octets[start:start + 1400]
                tcp = struct.pack('>HHIIBBHHH', 2775, port, seq, 1, 0x50, 0x18, 65535, 0, 0)
                total = 20 + len(tcp) + len(part)
                ip = struct.pack('>BBHHHBBH4s4s', 0x45, 0, total, len(packets) & 0xFFFF, 0, 64, 6, 0,
                                 bytes([127, 0, 0, 1]), address)
                packets.append(ip + tcp + part)
                seq = (seq + len(part)) & 0xFFFFFFFF
    if not packets:
        return
    path = pathlib.Path(directory) / (re.sub(r'[^A-Za-z0-9_.-]', '_', name)[:120] + '.pcap')
    with open(path, 'wb') as out:
        out.write(struct.pack('<IHHiIII', 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101))
        for index, packet in enumerate(packets):
            out.write(struct.pack('<IIII', index // 1000, index % 1000 * 1000, len(packet), len(packet)) + packet)
