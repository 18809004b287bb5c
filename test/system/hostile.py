"""What hostile peers do: the cases, and octets and sockets to try them with. test_hostile.py holds the program to each case;
test/bench/hostile.py measures what other clients notice.
"""
import contextlib
import socket
import ssl
import struct

import wire
from wire import Pdu

IP_BIND_ADDRESS_NO_PORT = 24     # of <linux/in.h>

# case: (options that bound it, the answer, the counter)
CASES = {
    'slow bytes': ('partial-timeout, unbound-turn', 'closed when the PDU is not whole in time; read after those who have bound',
                   'sessions_timed_out_total{reason="partial_pdu_timeout"}, connections_put_off_total'),
    'no bind': ('session-init, max-unbound, unbound-turn',
                'closed when no bind came in time; more connections are closed at once',
                'sessions_timed_out_total{reason="session_init_timeout"}, connections_refused_total'),
    'wrong passwords': ('password-tries, password-pause, password-pause-max, auth-queue',
                        'ESME_RINVPASWD; then ESME_RBINDFAIL unread, for that address and system_id alone',
                        'client_binds_credentials_total, client_binds_too_soon_total'),
    'wrong system_ids': ('auth-queue', 'ESME_RINVPASWD, as late as for a wrong password; ESME_RBINDFAIL unread for an '
                         'address that has half of the queue', 'client_binds_credentials_total, auth_queue_full_total'),
    'enquire_link flood': ('max-own-answers', 'answered; then not read for the rest of the second', 'session_floods_total'),
    'unknown commands': ('max-own-answers', 'generic_nack ESME_RINVCMDID; then as above', 'session_floods_total, '
                         'session_refused_total{reason="unknown_command"}'),
    'window ignored': ('window, wait-count, wait-bytes', 'read no further until there is room', 'reads_paused_total'),
    '4 GiB length': ('max-pdu-open, max-pdu-bound', 'generic_nack ESME_RINVCMDLEN, closed',
                     'session_refused_total{reason="bad_length"}'),
    'zero length': ('-', 'generic_nack ESME_RINVCMDLEN, closed', 'session_refused_total{reason="bad_length"}'),
    'responses nobody asked for': ('max-own-answers', 'dropped; then as for enquire_link',
                                   'session_refused_total{reason="stray_response"}, session_floods_total'),
    'thousands of TLVs': ('max-pdu-bound', 'forwarded as they are', 'pdus_total'),
    'never reads': ('out-limit', 'closed', 'slow_readers_closed_total'),
    'many connections of one address': ('max-sessions-per-address, unbound-turn', 'closed at once',
                                        'connections_of_address_refused_total, connections_put_off_total'),
    'handshake never finished': ('session-init, max-unbound, max-handshakes-per-address, unbound-turn',
                                 'closed when it is not done in time; beyond so many a second of an address at once',
                                 'connections_accepted_total, handshakes_of_address_refused_total'),
    'renegotiation': ('-', 'refused by TLS itself', 'connections_accepted_total'),
    'plaintext on the TLS port': ('-', 'closed', 'connections_accepted_total'),
}
FLOODS = {'enquire_link flood': Pdu('enquire_link', 0, 7), 'unknown commands': Pdu(0x0BAD, 0, 7),
          'responses nobody asked for': Pdu('submit_sm_resp', 0, 7, b'x\0')}
IMPOSSIBLE = {'4 GiB length': 0xFFFFFFFF, 'zero length': 0}


def bind_of(system_id, password):
    return Pdu('bind_transceiver', 0, 1, wire.bind(system_id, password)).octets()


def impossible(length):
    return struct.pack('>IIII', length, wire.COMMANDS['submit_sm'], 0, 3) + bytes(100)


def many_tlvs(shortcode, number):
    return Pdu('submit_sm', 0, 11, wire.message(shortcode, number, b'x', tlvs=wire.tlv(0x1400, b'') * 10000)).octets()


def read_exactly(sock, count):
    octets = b''
    while len(octets) < count:
        more = sock.recv(count - len(octets))
        if not more:
            raise OSError('closed')
        octets += more
    return octets


def read_pdu(sock):
    head = read_exactly(sock, 4)
    return Pdu.parse(head + read_exactly(sock, struct.unpack('>I', head)[0] - 4))


def ended(sock):
    """Waits for the end of the connection; what came before it."""
    octets = b''
    try:
        while True:
            more = sock.recv(65536)
            if not more:
                return octets
            octets += more
    except OSError:
        return octets


class Pour:
    """Sends the octets again and again: what the socket takes at once, from where it stopped the time before. Drops what has
    come."""

    def __init__(self, sock, octets):
        self.sock, self.octets, self.at = sock, memoryview(octets), 0
        sock.setblocking(False)

    def __call__(self):
        with contextlib.suppress(BlockingIOError):
            self.at += self.sock.send(self.octets[self.at:])
            self.at %= len(self.octets)
        with contextlib.suppress(BlockingIOError):
            self.sock.recv(1 << 20)


def ssl_hello():
    """The first octets of a TLS client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def connect(port, patience, source=None):
    sock = socket.socket()
    sock.settimeout(patience)
    try:
        if source:  # the port is chosen by the connect: a search at the bind would stop its processor for milliseconds
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        sock.connect(('127.0.0.1', port))
    except OSError:
        sock.close()
        raise
    return sock
