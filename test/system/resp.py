"""A Redis client of a few lines (protocol RESP2, standard library only), and a private server to talk to."""

import os
import shutil
import socket
import subprocess
import tempfile
import time


class RespError(Exception):
    """Redis answered with an error."""


class Resp:
    """One connection. call("GET", "key") answers bytes, int, None or a list of them."""

    def __init__(self, path=None, host="127.0.0.1", port=None, timeout=10):
        if path:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(path)
        else:
            self.socket = socket.create_connection((host, port), timeout)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def call(self, *words):
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            data = word if isinstance(word, bytes) else str(word).encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
        self.socket.sendall(b"".join(parts))
        return self._read()

    def _read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RespError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            length = int(rest)
            return None if length < 0 else self.file.read(length + 2)[:-2]
        if kind == b"*":
            count = int(rest)
            return None if count < 0 else self._read_all(count)
        raise ConnectionError("unknown answer %r" % line)

    def _read_all(self, count):
        """Elements that are errors are answered as such, so that what follows them is read."""
        items = []
        for _ in range(count):
            try:
                items.append(self._read())
            except RespError as error:
                items.append(error)
        return items


class RedisServer:
    """A redis-server of one's own: a socket and a free TCP port, nothing on disk, ended by its process id."""

    def __init__(self, *options):
        self.folder = tempfile.mkdtemp(prefix="turnout-redis-")
        self.path = os.path.join(self.folder, "redis.sock")
        self.options = options
        self.process = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.path,
             "--save", "", "--dir", self.folder, "--logfile", os.path.join(self.folder, "log"), *self.options],
            stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.connect().close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.005)  # a server cannot say when it listens

    def connect(self):
        return Resp(path=self.path)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Table:
    """Turnout's functions as an instance or an operator's tool calls them."""

    def __init__(self, resp, prefix="{turnout}"):
        self.resp = resp
        self.prefix = prefix

    def function(self, name, *args):
        return self.resp.call("FCALL", name, 1, self.prefix + ":version", *args)

    def beat(self, instance, lease_ms=60000, **fields):
        pairs = [text for pair in fields.items() for text in pair]
        return self.function("turnout_beat", instance, lease_ms, *pairs)
