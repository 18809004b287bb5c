"""What may stand between client and SMSC, and the SMSC. A new peer is a class here: a name, a version, a command.

    Middle(world, ports, window): ports of the SMSC by carrier, a window that nothing may be narrower than
"""
import json
import pathlib
import subprocess
import urllib.error
import urllib.request

from world import Child, Control, Failed, free_port, listens

HERE = pathlib.Path(__file__).resolve().parent
NODE_MODULES = HERE.parent / 'interop' / 'node_modules'
PLATFORM = 'redx'
SHORTCODE = '5001'
SYSTEM_ID, PASSWORD = 'bench', 'secret'
PASSWORD_HASH = '$y$j9T$aunwD7RI7iDL2SLdh2k3J0$9X8yHYzfQt0Srm122CmE1p5NwavEfnIjhq72d9PvDE3'
PREFIXES = {'spark': '6427', 'onenz': '6421', '2degrees': '6422', 'skinny': '64204'}
MAX_SESSIONS = 12000     # 10,000 idle ones at most
PEER_SESSIONS = 2000     # of which each takes two descriptors, and HAProxy asks for them beforehand
CERTIFICATE = 'bench.pem'


def destinations(carriers):
    """Random numbers of so many carriers."""
    return ','.join(prefix + 'x' * (11 - len(prefix)) for prefix in list(PREFIXES.values())[:carriers])


def output_of(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Smsc:
    """One turnout-smsc with a link a carrier; the same one behind every middle."""

    def __init__(self, world, name='smsc'):
        self.world = world
        path = world.directory / (name + '.sock')
        path.unlink(missing_ok=True)
        links = [word for carrier in PREFIXES
                 for word in ('--name', '%s-%s' % (carrier, PLATFORM), '--listen', '127.0.0.1:0')]
        self.child = Child(world, name, [world.build / 'turnout-smsc', '--control', path, *links], world.ends_cpu)
        self.control = Control(self.child, path)
        links = self.control.ask('stats')['links']
        self.ports = {carrier: links['%s-%s' % (carrier, PLATFORM)]['port'] for carrier in PREFIXES}

    def accepted(self):
        return self.control.ask('stats')['mt_accepted']

    def close(self):
        self.control.close()
        self.world.end(self.child)


class Middle:
    """A middle that stays up for all runs, so that its own start costs none of them. It is started when first needed,
    and again if it died."""
    name = None
    tls = False

    def __init__(self, world, ports, window):
        self.world, self.ports, self.window = world, ports, window
        self.port = free_port()
        self.child = None

    def child_now(self):
        if self.child is None or not self.child.running:
            self.child = Child(self.world, self.name, self.command(), self.world.middle_cpu)
            self.child.wait_for(self.ready, 'readiness')
        return self.child

    def end(self):
        if self.child is not None and self.child.running:
            self.world.end(self.child)
        self.child = None

    def certificate(self):
        """A file with a key and a certificate of it, for both kinds of middle."""
        path = self.world.directory / CERTIFICATE
        if not path.exists():
            key, cert = (self.world.directory / name for name in ('bench.key', 'bench.crt'))
            output_of(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
                       '-days', '30', '-subj', '/CN=localhost', '-keyout', key, '-out', cert])
            path.write_text(cert.read_text() + key.read_text())
        return path

    def write(self, name, text):
        path = self.world.directory / name
        path.write_text(text)
        return path


TURNOUTD_CONFIG = '''
workers = {workers}
instance = "{name}"
max-sessions = {max_sessions} max-unbound = {max_sessions} max-sessions-per-address = {max_sessions} max-unbound-per-address = {max_sessions}
listener "plain" {{ address = "127.0.0.1" port = {port} backlog = 8192 {tls} }}
platform "{platform}" {{}}
{carriers}
client "{system_id}" {{
    password-hash = "{password_hash}" shortcodes = {{ "{shortcode}" }}
    max-binds = 1000 window = {window} wait-count = {window}
}}
redis {{ port = {redis_port} prefix = "{{{name}}}" }}
admin {{ port = {admin_port} }}
log {{ level = warning }}
'''
TURNOUTD_CARRIER = '''
carrier "{carrier}" {{ prefixes = {{ "{prefix}" }} }}
link "{carrier}-{platform}" {{
    carrier = "{carrier}" platform = "{platform}" host = "127.0.0.1" port = {port} window = {window}
    system-id = "turnout" password = "t"
}}
'''


class Turnoutd(Middle):
    """With a Redis of its own, and one row in the table for each carrier."""
    name = 'turnoutd'
    workers = 1
    tls = False
    more_routes = more_config = ''

    def __init__(self, world, ports, window):
        super().__init__(world, ports, window)
        self.redis_port, self.admin_port = free_port(), free_port()
        redis = Child(world, self.name + '-redis', ['redis-server', '--port', self.redis_port, '--bind', '127.0.0.1', '--save', '',
                                       '--appendonly', 'no', '--dir', world.directory], world.ends_cpu)
        redis.wait_for(lambda: listens(self.redis_port), 'port')
        self.import_routes()

    def import_routes(self):
        rows = ''.join('%s,%s,%s\n' % (SHORTCODE, carrier, PLATFORM) for carrier in self.ports) + self.more_routes
        done = subprocess.run([self.world.build / 'turnoutctl', '--redis', '127.0.0.1:%d' % self.redis_port, '--prefix',
                               '{%s}' % self.name, 'route', 'import', '-', '--no-wait'], input=rows, text=True,
                              capture_output=True, timeout=20)
        if done.returncode != 0:
            raise Failed('turnoutctl: ' + done.stdout + done.stderr)

    def version(self):
        return output_of([self.world.build / 'turnoutd', '--version']).strip()

    def config(self):
        carriers = ''.join(TURNOUTD_CARRIER.format(carrier=carrier, prefix=PREFIXES[carrier], platform=PLATFORM,
                                                   port=port, window=self.window)
                           for carrier, port in self.ports.items())
        tls = 'tls = true certificate = "%s" key = "%s"' % ((self.certificate(),) * 2) if self.tls else ''
        return TURNOUTD_CONFIG.format(name=self.name, workers=self.workers, tls=tls, port=self.port, platform=PLATFORM,
                                      carriers=carriers, system_id=SYSTEM_ID,
                                      password_hash=PASSWORD_HASH, shortcode=SHORTCODE, max_sessions=MAX_SESSIONS,
                                      window=self.window, redis_port=self.redis_port,
                                      admin_port=self.admin_port) + self.more_config

    def command(self):
        return [self.world.build / 'turnoutd', '--config', self.write(self.name + '.conf', self.config())]

    def ready(self):
        try:
            with urllib.request.urlopen('http://127.0.0.1:%d/readyz' % self.admin_port, timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


class Turnoutd2(Turnoutd):
    """Two workers on the one processor: what sharing the work costs, not what it gains."""
    name = 'turnoutd-2-workers'
    workers = 2


class TurnoutdTls(Turnoutd):
    name = 'turnoutd-tls'
    tls = True


HAPROXY_CONFIG = '''
global
    nbthread 1
    maxconn {max_sessions}
defaults
    mode tcp
    maxconn {max_sessions}
    timeout connect 10s
    timeout client 1h
    timeout server 1h
'''
HAPROXY_LISTEN = '''
listen {name}
    bind 127.0.0.1:{port} backlog 8192 {tls}
    server smsc 127.0.0.1:{smsc_port}
'''


class Haproxy(Middle):
    """One thread, no logs, no health checks, its defaults otherwise. It reads no SMPP, so it has one SMSC: the first."""
    name = 'haproxy'
    sessions = PEER_SESSIONS
    tls = False

    def version(self):
        return output_of(['haproxy', '-v']).split(' 20')[0]

    def config(self):
        return HAPROXY_CONFIG.format(max_sessions=self.sessions) + HAPROXY_LISTEN.format(
            name='smpp', port=self.port, smsc_port=next(iter(self.ports.values())),
            tls='ssl crt %s' % self.certificate() if self.tls else '')

    def command(self):
        return ['haproxy', '-db', '-f', self.write(self.name + '.cfg', self.config())]

    def ready(self):
        return listens(self.port)


class HaproxyTls(Haproxy):
    name = 'haproxy-tls'
    tls = True


class NodeProxy(Middle):
    """A small proxy on the npm package smpp, at the version that the interop tests install; with one SMSC, the first."""
    name = 'node-smpp'

    def version(self):
        package = json.loads((NODE_MODULES / 'smpp' / 'package.json').read_text())
        return 'smpp %s, node %s' % (package['version'], output_of(['node', '--version']).strip())

    def command(self):
        if not (NODE_MODULES / 'smpp').is_dir():
            done = subprocess.run(['npm', 'ci', '--no-audit', '--no-fund'], cwd=NODE_MODULES.parent, capture_output=True,
                                  text=True, timeout=300)
            if done.returncode != 0:
                raise Failed('npm ci: ' + done.stdout + done.stderr)
        return ['env', 'NODE_PATH=%s' % NODE_MODULES, 'node', HERE / 'node_proxy.js', self.port,
                next(iter(self.ports.values()))]

    def ready(self):
        return listens(self.port)


class Floor(Middle):
    """A plain proxy of turnoutd's shape (floor.c): level 0 copies octets, 1 frames PDUs, 2 finds addresses
    and gives sequence numbers; with one SMSC, the first."""
    level = None

    def version(self):
        return 'turnout-floor'

    def command(self):
        return [self.world.build / 'turnout-floor', self.level, self.port, next(iter(self.ports.values()))]

    def ready(self):
        return listens(self.port)


class FloorCarriers(Floor):
    """The same with an SMSC for each carrier, chosen by the destination's prefix."""
    name = 'floor-2-carriers'
    level = 2

    def command(self):
        smscs = ['%d:%s' % (port, PREFIXES[carrier]) for carrier, port in self.ports.items()]
        return [self.world.build / 'turnout-floor', self.level, self.port, *smscs]


FLOORS = tuple(type('Floor%d' % level, (Floor,), {'name': 'floor-%d' % level, 'level': level}) for level in range(3))
MIDDLES = (Turnoutd, Haproxy, Turnoutd2, TurnoutdTls, HaproxyTls, NodeProxy, *FLOORS, FloorCarriers)
