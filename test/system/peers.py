"""Peers of the proxy on raw sockets: an ESME (Client) and an SMSC (Smsc), exact to the octet.

    Smsc: listens; each accepted connection is a Peer
    Peer: a thread reads PDUs; what it does not answer by itself waits in order for expect()

Nothing here waits by the clock: every wait is for a PDU, a connection or its end, with a deadline that only a failure
meets.
"""
import os
import queue
import socket
import ssl
import struct
import threading

import wire
from wire import Pdu

PATIENCE = float(os.environ.get('TURNOUT_TEST_PATIENCE', '10'))


class Ended:
    """Stands in a peer's queue for the end of the connection."""

    def __init__(self, why):
        self.why = why

    def __repr__(self):
        return '<connection ended: %s>' % self.why


class TlsSocket:
    """TLS over a connected socket by memory BIOs, so that one thread may read while another writes."""

    def __init__(self, sock, context, server_side):
        self.sock = sock
        self.lock = threading.Lock()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server_side,
                                    server_hostname=None if server_side else 'localhost')
        self._until_done(self.tls.do_handshake)

    def _until_done(self, step):
        """Runs a step of TLS, with reads and writes of the socket as it asks for them."""
        while True:
            with self.lock:
                try:
                    result = step()
                    want = False
                except ssl.SSLWantReadError:
                    want = True
                except ssl.SSLZeroReturnError:
                    return b''
                finally:
                    if self.outgoing.pending:
                        self.sock.sendall(self.outgoing.read())
            if not want:
                return result
            octets = self.sock.recv(65536)
            if octets:
                self.incoming.write(octets)
            else:
                self.incoming.write_eof()

    def recv(self, size):
        try:
            return self._until_done(lambda: self.tls.read(size))
        except ssl.SSLEOFError:
            return b''

    def sendall(self, octets):
        with self.lock:
            self.tls.write(octets)
            self.sock.sendall(self.outgoing.read())

    def certificate(self):
        """The peer's certificate, DER."""
        return self.tls.getpeercert(binary_form=True)

    def version(self):
        return self.tls.version()

    def __getattr__(self, name):
        return getattr(self.sock, name)  # setsockopt, settimeout, shutdown, close, getsockname


class Trace:
    """What every peer of a test sent and was sent: for the report of a failure, and for the dissector."""

    def __init__(self):
        self.lock = threading.Lock()
        self.streams = []  # (label, list of (from_proxy, octets))
        self.lines = []

    def stream(self, label):
        with self.lock:
            self.streams.append((label, []))
            return self.streams[-1][1]

    def note(self, text):
        with self.lock:
            self.lines.append(text)


class Peer:
    """One connection with the proxy, of either role. auto answers enquire_link, unbind and the end of
    the stream by itself."""

    def __init__(self, sock, label, trace, auto=True, on_pdu=None):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(None)
        self.sock = sock
        self.label = label
        self.trace = trace
        self.octets = trace.stream(label)
        self.auto = auto
        self.on_pdu = on_pdu
        self.bound_as = None    # the bind PDU, once it was answered positively
        self.seq = 0
        self.inbox = queue.Queue()
        self.lock = threading.Lock()
        self.reading = threading.Event()
        self.reading.set()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    # -- reading

    def _read(self):
        buffer = b''
        try:
            while True:
                self.reading.wait()
                chunk = self.sock.recv(65536)
                if not chunk:
                    if self.auto:
                        self.sock.shutdown(socket.SHUT_WR)
                    self.inbox.put(Ended('end of stream'))
                    return
                self.octets.append((True, chunk))
                buffer += chunk
                while True:
                    octets, buffer = wire.split(buffer)
                    if octets is None:
                        break
                    self._take(Pdu.parse(octets))
        except (OSError, ValueError) as fault:
            self.inbox.put(Ended(repr(fault)))
        except AssertionError as fault:
            self.trace.note('%s: the proxy sent no PDU: %s' % (self.label, fault))
            self.inbox.put(Ended('not SMPP: %s' % fault))

    def _take(self, pdu):
        self.trace.note('%s <- %r' % (self.label, pdu))
        if self.on_pdu and self.on_pdu(self, pdu):
            return
        if self.auto and pdu.name == 'enquire_link':
            self.send(pdu.answer())
        elif self.auto and pdu.name == 'unbind':
            self.send(pdu.answer())
            self.inbox.put(pdu)
        else:
            self.inbox.put(pdu)

    def pause(self):
        """Stops reading: the kernel's buffers fill."""
        self.reading.clear()

    def resume(self):
        self.reading.set()

    # -- writing

    def send_octets(self, octets):
        with self.lock:
            self.octets.append((False, bytes(octets)))
            self.sock.sendall(octets)

    def send(self, pdu):
        self.trace.note('%s -> %r' % (self.label, pdu))
        self.send_octets(pdu.octets())
        return pdu

    def request(self, command, body=b'', seq=None, status=0):
        """Sends a request with the next sequence number of this side."""
        with self.lock:
            if seq is None:
                self.seq += 1
                seq = self.seq
        return self.send(Pdu(command, status, seq, body))

    # -- waiting

    def next(self, timeout=None):
        """The next PDU, or Ended; fails at the deadline."""
        try:
            return self.inbox.get(timeout=timeout or PATIENCE)
        except queue.Empty:
            raise AssertionError('%s: nothing came within the deadline' % self.label) from None

    def expect(self, command, seq=None, status=None, timeout=None):
        """The next PDU, which must be of this command."""
        pdu = self.next(timeout)
        assert isinstance(pdu, Pdu), '%s: wanted %s, got %r' % (self.label, command, pdu)
        assert pdu.name == command, '%s: wanted %s, got %r' % (self.label, command, pdu)
        assert seq is None or pdu.seq == seq, '%s: wanted seq %d, got %r' % (self.label, seq, pdu)
        assert status is None or pdu.status == status, '%s: wanted status %#x, got %r' % (self.label, status, pdu)
        return pdu

    def expect_end(self, timeout=None):
        """The connection's end, with no PDU before it."""
        got = self.next(timeout)
        assert isinstance(got, Ended), '%s: wanted the end, got %r' % (self.label, got)
        return got

    def until_end(self, timeout=None):
        """All PDUs up to the connection's end."""
        seen = []
        while True:
            got = self.next(timeout)
            if isinstance(got, Ended):
                return seen
            seen.append(got)

    def fence(self):
        """All PDUs that the proxy sent before it answered an enquire_link of ours: afterwards nothing more that was
        caused earlier by this session alone is under way."""
        with self.lock:
            self.seq += 1
            seq = self.seq
        self.send(Pdu('enquire_link', 0, seq))
        seen = []
        while True:
            got = self.next()
            assert isinstance(got, Pdu), '%s: ended while waiting for enquire_link_resp: %r' % (self.label, got)
            if got.name == 'enquire_link_resp' and got.seq == seq:
                return seen
            seen.append(got)

    def expect_nothing(self):
        seen = self.fence()
        assert not seen, '%s: wanted nothing, got %r' % (self.label, seen)

    # -- SMPP

    def bind(self, kind='transceiver', system_id='acme', password='secret', **fields):
        """Sends a bind and waits for its positive answer, which it returns."""
        answer = self.try_bind(kind, system_id, password, **fields)
        assert answer.status == 0, '%s: bind refused: %r' % (self.label, answer)
        return answer

    def try_bind(self, kind='transceiver', system_id='acme', password='secret', **fields):
        sent = self.request('bind_' + kind, wire.bind(system_id, password, **fields))
        answer = self.expect('bind_%s_resp' % kind, seq=sent.seq)
        if answer.status == 0:
            self.bound_as = sent
        return answer

    def submit(self, source='5001', dest='64251234567', text=b'hello', seq=None, **fields):
        return self.request('submit_sm', wire.message(source, dest, text, **fields), seq=seq)

    def deliver(self, source='64251234567', dest='5001', text=b'hello', **fields):
        return self.request('deliver_sm', wire.message(source, dest, text, **fields))

    def ask(self, command, body=b'', timeout=None, **fields):
        """A request and its response, which must be the next PDU."""
        sent = self.request(command, body, **fields)
        return self.expect(command + '_resp', seq=sent.seq, timeout=timeout)

    def unbind(self):
        answer = self.ask('unbind')
        assert answer.status == 0
        self.expect_end()
        self.close()

    # -- ending

    def shut(self):
        """Says that nothing more comes (FIN)."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Breaks the connection (RST)."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self._close(socket.SHUT_RD)

    def close(self):
        self._close(socket.SHUT_RDWR)

    def _close(self, how):
        self.resume()
        try:
            self.sock.shutdown(how)  # wakes the reading thread, which close() would not
        except OSError:
            pass
        if self.thread is not threading.current_thread():
            self.thread.join(PATIENCE)
        self.sock.close()


class Client(Peer):
    """An ESME that connects to a listener of the proxy."""

    def __init__(self, port, trace, label='client', host='127.0.0.1', tls=None, source=None, auto=True):
        sock = socket.create_connection((host, port), PATIENCE, source_address=(source, 0) if source else None)
        if tls:
            sock = TlsSocket(sock, tls, server_side=False)
        super().__init__(sock, label, trace, auto=auto)


class Smsc:
    """An SMSC. By default it accepts every bind; submit_sm and the like wait for expect() of their leg, unless
    `answers` is a function that answers them: answers(leg, pdu) -> Pdu or None.

    bind_status: the status that binds get; None leaves binds unanswered (they wait in the leg's inbox).
    """

    def __init__(self, name, trace, tls=None, bind_status=0, version=0x34, answers=None, port=0, auto=True):
        self.name = name
        self.trace = trace
        self.tls = tls
        self.bind_status = bind_status
        self.version = version
        self.answers = answers
        self.auto = auto
        self.count = 0
        self.bound = queue.Queue()       # legs that have bound, in order
        self.connected = queue.Queue()   # connections, in order
        self.peers = []
        self.listener = None
        self.listen(port)

    def listen(self, port=None):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(('127.0.0.1', self.port if port is None else port))
        sock.listen(128)
        self.port = sock.getsockname()[1]
        self.listener = sock
        threading.Thread(target=self._accept, args=(sock,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            try:
                if self.tls:
                    sock = TlsSocket(sock, self.tls, server_side=True)
            except OSError as fault:
                self.trace.note('%s: TLS: %r' % (self.name, fault))
                sock.close()
                continue
            self.count += 1
            peer = Peer(sock, '%s#%d' % (self.name, self.count), self.trace, on_pdu=self._on_pdu, auto=self.auto)
            self.peers.append(peer)
            self.connected.put(peer)

    def _on_pdu(self, peer, pdu):
        if pdu.name in ('bind_receiver', 'bind_transmitter', 'bind_transceiver'):
            peer.bound_as = pdu
            if self.bind_status is None:
                return False
            self.answer_bind(peer, pdu, self.bind_status)
            return True
        if self.answers and not pdu.is_response:
            answer = self.answers(peer, pdu)
            if answer is not None:
                peer.send(answer)
                return True
        return False

    def answer_bind(self, peer, pdu, status=0):
        body = b''
        if status == 0:
            body = wire.cstr('smsc')
            if self.version >= 0x34:
                body += wire.tlv(wire.SC_INTERFACE_VERSION, bytes([self.version]))
        if status == 0:
            self.bound.put(peer)
        peer.send(pdu.answer(status, body))

    def leg(self, timeout=None):
        """The next leg that has bound."""
        return self._get(self.bound, 'leg', timeout)

    def connection(self, timeout=None):
        """The next connection, bound or not."""
        return self._get(self.connected, 'connection', timeout)

    def _get(self, source, what, timeout):
        try:
            return source.get(timeout=timeout or PATIENCE)
        except queue.Empty:
            raise AssertionError('%s: no %s came' % (self.name, what)) from None

    def legs_waiting(self):
        return self.bound.qsize()

    def refuse(self):
        """Stops listening: new connections are refused; live ones go on."""
        if self.listener:
            try:
                self.listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.listener.close()
            self.listener = None

    def drop(self):
        """Breaks every live connection."""
        for peer in self.peers:
            peer.close()
        self.peers = []

    def close(self):
        self.refuse()
        self.drop()


def answer_all(leg, pdu):
    """For Smsc(answers=...): every message gets an id that names the leg's SMSC and a number."""
    if pdu.name in ('submit_sm', 'data_sm', 'submit_multi'):
        with leg.lock:
            leg.given = getattr(leg, 'given', 0) + 1
            given = leg.given
        tail = b'\0' if pdu.name == 'submit_multi' else b''
        return pdu.answer(0, wire.cstr('%s-%d' % (leg.label, given)) + tail)
    return None
