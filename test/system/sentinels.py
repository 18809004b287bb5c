"""Redis as it stands in production: a master, two replicas and three sentinels, each a real process on 127.0.0.1 with a
free port and a directory of its own, ended by its process id.

    Sentinels ── failover(), kill(master), lag(), hang() ── address: what turnoutctl is given as --redis
        └── call, load_functions: of the present master, so that it stands in for harness.Redis in a World
"""
import json
import pathlib
import signal
import socket
import subprocess
import threading
import time

from harness import ENVIRONMENT, PATIENCE, TOOLS, Process, Raw, Redis, free_port

NAME = 'turnout'
DOWN_AFTER_MS = 500


class Sentinel(Process):
    def __init__(self, directory, port, master, name):
        self.port = port
        config = pathlib.Path(directory) / 'sentinel.conf'
        config.write_text('\n'.join([
            'port %d' % port, 'bind 127.0.0.1', 'dir %s' % directory,
            'sentinel monitor %s 127.0.0.1 %d 2' % (NAME, master),
            'sentinel down-after-milliseconds %s %d' % (NAME, DOWN_AFTER_MS),
            'sentinel failover-timeout %s 3000' % NAME, 'sentinel parallel-syncs %s 2' % NAME]) + '\n')
        super().__init__(['redis-sentinel', config], name)
        self.wait_line('Sentinel ID is')


def ask(port, *args, check=True):
    """A command's answer as lines, by redis-cli."""
    done = subprocess.run(['redis-cli', '-p', str(port), *[str(a) for a in args]], capture_output=True, text=True,
                          timeout=PATIENCE, check=check)
    return done.stdout.splitlines()


def until(look, what, seconds=PATIENCE * 2):
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, '%s did not come' % what
        time.sleep(0.02)


class Sentinels:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.redises, self.sentinels, self.processes, self.hung, self.sockets = {}, [], [], [], []
        for index in range(3):
            more = ['--replicaof', '127.0.0.1 %d' % self.first] if index else []
            redis = Redis(str(self._directory('redis-%d' % index)), args=['--repl-diskless-sync-delay', '0', *more])
            self.redises[redis.port] = redis
            self.processes.append(redis.process)
            if not index:
                self.first = redis.port
        self.until_replicas(self.first, 2)
        for index in range(3):
            self.sentinels.append(Sentinel(self._directory('sentinel-%d' % index), free_port(), self.first,
                                           'sentinel-%d' % index))
            self.processes.append(self.sentinels[-1])
        for sentinel in self.sentinels:
            until(lambda s=sentinel: self._complete(s), 'a sentinel that knows all')

    def _directory(self, name):
        path = self.directory / name
        path.mkdir()
        return path

    def _complete(self, sentinel):
        words = ask(sentinel.port, 'SENTINEL', 'MASTER', NAME)
        known = dict(zip(words[::2], words[1::2]))
        return known.get('num-slaves') == '2' and known.get('num-other-sentinels') == '2'

    # -- what is

    @property
    def address(self):
        return 'sentinel://%s/%s' % (','.join('127.0.0.1:%d' % p for p in self.hung + self.ports), NAME)

    @property
    def ports(self):
        return [s.port for s in self.sentinels]

    def named(self, sentinel=None):
        """The port of the master as a sentinel that answers names it."""
        for each in [sentinel] if sentinel else self.sentinels:
            answer = ask(each.port, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME)
            if len(answer) == 2:
                return int(answer[1])
        return None

    @property
    def port(self):
        return self.named()

    @property
    def master(self):
        return self.redises[self.port]

    @property
    def process(self):
        return self.master.process

    @property
    def replicas(self):
        return [r for port, r in self.redises.items() if port != self.port and r.process.running]

    def call(self, *args):
        return self.master.call(*args)

    def load_functions(self):
        self.master.load_functions()

    def config(self, prefix):
        """The redis section of turnoutd's config."""
        return {'sentinels': ['127.0.0.1:%d' % p for p in self.hung + self.ports], 'master': NAME, 'prefix': prefix,
                'reconnect_min': Raw('50ms'), 'reconnect_max': Raw('2s'), 'beat': Raw('200ms')}

    def ctl(self, world, *args):
        """turnoutctl's exit code and --json object."""
        done = subprocess.run([str(TOOLS / 'turnoutctl'), *args, '--json', '--redis', self.address, '--prefix',
                               world.prefix, '--as', 'tester'], capture_output=True, text=True, env=ENVIRONMENT,
                              timeout=PATIENCE * 6)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    # -- what happens

    def until_replicas(self, port, count):
        until(lambda: sum('state=online' in line for line in ask(port, 'INFO', 'replication')) >= count,
              '%d replicas of %d' % (count, port))

    def until_switched(self, old):
        """Until every sentinel names another master; the time at which the first did."""
        at = until(lambda: any(self.named(s) not in (old, None) for s in self.sentinels) and time.monotonic(),
                   'another master')
        for sentinel in self.sentinels:
            until(lambda s=sentinel: self.named(s) not in (old, None), 'another master at each sentinel')
        return at

    def failover(self):
        """Both stay alive; the old master becomes a replica some seconds later. Starts it and returns the old port."""
        old = self.port
        until(lambda: ask(self.sentinels[0].port, 'SENTINEL', 'FAILOVER', NAME) == ['OK'], 'a failover')
        return old

    def kill_master(self):
        old = self.port
        self.redises[old].process.kill()
        return old

    def lag(self):
        """Both replicas lose their master and cannot come back to it: what is written from now on they never get."""
        master = self.master
        for replica in self.replicas:
            replica.call('CONFIG', 'SET', 'masterauth', 'wrong')
        master.call('CLIENT', 'KILL', 'TYPE', 'replica')
        until(lambda: 'connected_slaves:0' in ask(master.port, 'INFO', 'replication'), 'a master without replicas')

    def mend_lag(self):
        for redis in self.redises.values():
            if redis.process.running:
                redis.call('CONFIG', 'SET', 'masterauth', '')

    def hang(self):
        """A sentinel first in the list that takes connections and never answers."""
        sock = socket.socket()
        sock.bind(('127.0.0.1', 0))
        sock.listen(16)
        self.sockets.append(sock)
        self.hung.append(sock.getsockname()[1])

    def lie(self, port):
        """A sentinel first in the list that names this port for ever, as one that is cut off from the others does."""
        sock = socket.create_server(('127.0.0.1', 0))
        self.sockets.append(sock)
        self.hung.append(sock.getsockname()[1])
        answer = b'*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%d\r\n' % (len(str(port)), port)

        def serve(peer):
            with peer:
                for line in peer.makefile('rb'):
                    word = line.strip().upper()
                    if word in (b'PING', b'GET-MASTER-ADDR-BY-NAME'):
                        peer.sendall(b'+PONG\r\n' if word == b'PING' else answer)

        def accept():
            while True:
                try:
                    peer, _ = sock.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(peer,), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()

    def stop_first(self):
        """The first sentinel hangs from now on, and is no longer asked by us."""
        self.sentinels.pop(0).signal(signal.SIGSTOP)

    def close(self):
        for sock in self.sockets:
            sock.close()
        for process in self.processes:
            process.kill()
