"""Many instances: turnoutd several times behind HAProxy (TCP), on one Redis with two replicas and three Sentinels.

    turnout-load ──▶ HAProxy ──▶ turnoutd i1, i2, i3 ... ──▶ turnout-smsc, a link for each (carrier, platform)
                                     └── Redis by Sentinels; or through a Cut, which can be cut
"""
import pathlib
import select
import socket
import threading

from harness import PATIENCE, Process, Raw, free_port
from sentinels import until

HAPROXY = '''global
    maxconn 4000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen smpp
    bind 127.0.0.1:%(port)d
    balance leastconn
    default-server check inter 200ms fall 2 rise 1
%(servers)s
'''


class Haproxy:
    """Connections to the instance that has the fewest; one that accepts none gets none."""

    def __init__(self, directory, ports):
        self.port = free_port()
        config = pathlib.Path(directory) / 'haproxy.cfg'
        config.write_text(HAPROXY % {'port': self.port, 'servers': '\n'.join(
            '    server i%d 127.0.0.1:%d' % (number + 1, port) for number, port in enumerate(ports))})
        self.process = Process(['haproxy', '-db', '-f', config], 'haproxy')
        until(self._listens, 'HAProxy')

    def _listens(self):
        assert self.process.running, self.process.tail()
        with socket.socket() as sock:
            return sock.connect_ex(('127.0.0.1', self.port)) == 0

    def close(self):
        self.process.kill()


class Cut:
    """A way to Redis that can be cut: what is sent stays unanswered, and new connections do, until mend()."""

    def __init__(self, target):
        self.target = target
        self.cut = threading.Event()
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(peer,), daemon=True).start()

    def _pass(self, peer):
        with peer, socket.create_connection(('127.0.0.1', self.target)) as redis:
            other = {peer: redis, redis: peer}
            while self.open:
                if self.cut.wait(0.05 if self.cut.is_set() else 0):
                    continue
                for sock in select.select(list(other), [], [], 0.05)[0]:
                    if self.cut.is_set():
                        break
                    try:
                        data = sock.recv(65536)
                        other[sock].sendall(data)
                    except OSError:
                        return
                    if not data:
                        return

    def stop(self):
        self.cut.set()

    def mend(self):
        self.cut.clear()

    def close(self):
        self.open = False
        self.cut.clear()
        self.listener.close()


class Fleet:
    """Instances of a world whose Redis is Sentinels. The ports are fixed, so that one that was killed comes back where
    HAProxy looks for it."""

    def __init__(self, world, count=3, **options):
        self.world = world
        self.options = options
        self.ports = [free_port() for _ in range(count)]
        self.instances = {}
        for number in range(1, count + 1):
            self.start(number)
        self.haproxy = Haproxy(world.directory, self.ports)

    def start(self, number, redis=None):
        world = self.world
        name = 'i%d' % number
        world.listeners['plain']['port'] = self.ports[number - 1]
        state = world.directory / ('state-' + name)
        state.mkdir(exist_ok=True)
        section = {**world.redis.config(world.prefix), 'lease': Raw('3s')}
        if redis:
            section = {'host': '127.0.0.1', 'port': redis, **{k: v for k, v in section.items()
                                                              if k not in ('sentinels', 'master')}}
        self.instances[number] = world.start(name=name, instance=name, state_directory=str(state), redis=section,
                                             **self.options)
        return self.instances[number]

    @property
    def port(self):
        return self.haproxy.port

    def wait_clients(self, count):
        """Until the instances together have so many bound clients."""
        def bound():
            return sum(d.metric('sessions', side='client', state='BOUND_TRX') for d in self.instances.values()
                       if d.running) >= count
        until(bound, '%d bound clients' % count, PATIENCE * 3)

    def close(self):
        self.haproxy.close()
