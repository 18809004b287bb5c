"""HAProxy in TCP mode before several turnoutd, as it stands in production: one address for the clients, each connection to
the next instance that takes connections."""
import socket

from harness import free_port
from sentinels import until

CONFIG = '''global
    maxconn 4000
defaults
    mode tcp
    option redispatch 1
    retries 20
    timeout connect 1s
    timeout client 1h
    timeout server 1h
listen smpp
    bind 127.0.0.1:%(port)d
    balance roundrobin
    default-server check inter 100ms fall 2 rise 1 on-marked-down shutdown-sessions
%(servers)s
'''


class HaProxy:
    """Started once the instances listen; ended with the world."""

    def __init__(self, world, ports):
        self.port = free_port()
        servers = '\n'.join('    server turnoutd-%d 127.0.0.1:%d' % pair for pair in enumerate(ports, 1))
        path = world.directory / 'haproxy.cfg'
        path.write_text(CONFIG % {'port': self.port, 'servers': servers})
        self.process = world.run(['haproxy', '-db', '-f', path], 'haproxy')
        until(self._listens, 'haproxy')

    def _listens(self):
        assert self.process.running, self.process.tail()
        with socket.socket() as sock:
            return sock.connect_ex(('127.0.0.1', self.port)) == 0
