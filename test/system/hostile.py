"""What hostile peers do: the cases, and octets and sockets to try them with. test_hostile.py holds the program to each case;
test/bench/hostile.py measures what other clients notice. The cases, and what bounds, answers and counts each, are the
program's own table: turnoutd --print-limits.
"""
import collections
import contextlib
import ctypes
import hmac
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import tempfile

import wire
from wire import Pdu

IP_BIND_ADDRESS_NO_PORT = 24     # of <linux/in.h>

Case = collections.namedtuple('Case', 'options answer counters')    # counters: (name, labels)


def read_cases(build):
    """By name, from the program in that directory."""
    table = subprocess.run([str(pathlib.Path(build) / 'turnoutd'), '--print-limits'], capture_output=True, text=True, check=True,
                           timeout=60).stdout
    cases = {}
    for line in table.splitlines()[2:]:
        name, options, answer, counters = (cell.strip() for cell in line.strip('|').split(' | '))
        cases[name] = Case(options, answer, [(counter, dict(re.findall(r'(\w+)="([^"]*)"', labels)))
                                             for counter, labels in re.findall(r'`turnout_(\w+)(\{.*?\})?`', counters)])
    return cases


FLOODS = {'enquire_link flood': Pdu('enquire_link', 0, 7), 'unknown commands': Pdu(0x0BAD, 0, 7),
          'responses nobody asked for': Pdu('submit_sm_resp', 0, 7, b'x\0')}
IMPOSSIBLE = {'4 GiB length': 0xFFFFFFFF, 'zero length': 0}
NOT_OURS = '9999'       # a shortcode of nobody


def bind_of(system_id, password):
    return Pdu('bind_transceiver', 0, 1, wire.bind(system_id, password)).octets()


def impossible(length):
    return struct.pack('>IIII', length, wire.COMMANDS['submit_sm'], 0, 3) + bytes(100)


def many_tlvs(shortcode, number):
    return Pdu('submit_sm', 0, 11, wire.message(shortcode, number, b'x', tlvs=wire.tlv(0x1400, b'') * 10000)).octets()


def refused_message():
    return Pdu('submit_sm', 0, 12, wire.message(NOT_OURS, '64251234567', b'x'))


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


# --- TLS, as no library would send it -----------------------------------------------------------------------------------

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
EMPTY_HELLO = b'\1\0\0\x26' + b'\3\3' + bytes(32) + b'\0\0\0\0'      # a ClientHello that wants nothing
NO_HANDSHAKE = b'\x16\3\1\0\4\1\0\0\0'                             # a record with an empty one
CLOSE_NOTIFY = b'\1\0'
KEY_UPDATE_REQUESTED = b'\x18\0\0\1\1'


def handshaker(version=None, keys=None):
    """(SSLObject, BIO in, BIO out) of a client that trusts everybody; keys: a file for its secrets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
        context.set_ciphers('ECDHE+AES128+AESGCM')      # of TLS 1.2; that of TLS 1.3 is AES-256 with SHA-384 by itself
    if keys:
        context.keylog_filename = keys
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    return context.wrap_bio(into, out), into, out


def ssl_hello():
    """The first octets of a TLS client."""
    tls, _, out = handshaker()
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


class AesGcm:
    """AES in GCM, by libcrypto."""
    lib = None

    def __init__(self, key):
        if AesGcm.lib is None:
            AesGcm.lib = ctypes.CDLL('libcrypto.so.3')
            for name in ('EVP_CIPHER_CTX_new', 'EVP_aes_128_gcm', 'EVP_aes_256_gcm'):
                getattr(AesGcm.lib, name).restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.lib.EVP_CIPHER_CTX_new())
        cipher = self.lib.EVP_aes_128_gcm if len(key) == 16 else self.lib.EVP_aes_256_gcm
        assert self.lib.EVP_EncryptInit_ex(self.context, ctypes.c_void_p(cipher()), None, key, None) == 1

    def __del__(self):
        self.lib.EVP_CIPHER_CTX_free(self.context)

    def seal(self, nonce, about, text):
        out, tag, size = ctypes.create_string_buffer(len(text) + 16), ctypes.create_string_buffer(16), ctypes.c_int()
        lib = self.lib
        assert lib.EVP_EncryptInit_ex(self.context, None, None, None, nonce) == 1
        assert lib.EVP_EncryptUpdate(self.context, None, ctypes.byref(size), about, len(about)) == 1
        assert lib.EVP_EncryptUpdate(self.context, out, ctypes.byref(size), text, len(text)) == 1
        assert lib.EVP_EncryptFinal_ex(self.context, tag, ctypes.byref(size)) == 1
        assert lib.EVP_CIPHER_CTX_ctrl(self.context, 0x10, 16, tag) == 1
        return out.raw[:len(text)] + tag.raw


def prf(secret, label, seed, count):
    """Of TLS 1.2, with SHA-256."""
    octets, a = b'', label + seed
    while len(octets) < count:
        a = hmac.digest(secret, a, 'sha256')
        octets += hmac.digest(secret, a + label + seed, 'sha256')
    return octets[:count]


def expand(secret, label, count):
    """HKDF-Expand-Label of TLS 1.3, with SHA-384, for at most 48 octets."""
    label = b'tls13 ' + label
    return hmac.digest(secret, struct.pack('>HB', count, len(label)) + label + b'\0\1', 'sha384')[:count]


class Tls:
    """A client whose handshake Python does, and whose records are then made here: of any type, size and number. What comes
    is not read."""

    def __init__(self, sock, version):
        self.sock, self.seq = sock, 0
        self.is_13 = version == ssl.TLSVersion.TLSv1_3
        with tempfile.NamedTemporaryFile('r') as keys:
            received = self._shake_hands(version, keys.name)
            secrets = {words[0]: bytes.fromhex(words[2]) for words in map(str.split, keys) if words[0][0] != '#'}
            random = bytes.fromhex(pathlib.Path(keys.name).read_text().splitlines()[-1].split()[1])
        if self.is_13:
            self._use(secrets['CLIENT_TRAFFIC_SECRET_0'])
        else:
            server_random = received[11:43]     # of the ServerHello, behind the heads of record and message, and a version
            block = prf(secrets['CLIENT_RANDOM'], b'key expansion', server_random + random, 40)
            self.aes, self.iv, self.seq = AesGcm(block[:16]), block[32:36], 1

    def _shake_hands(self, version, keys):
        tls, into, out = handshaker(version, keys)
        received = b''
        while True:
            try:
                tls.do_handshake()
                self.sock.sendall(out.read())
                return received
            except ssl.SSLWantReadError:
                self.sock.sendall(out.read())
                more = self.sock.recv(65536)
                if not more:
                    raise OSError('closed in the handshake') from None
                received += more
                into.write(more)

    def _use(self, secret):
        self.secret, self.aes, self.iv, self.seq = secret, AesGcm(expand(secret, b'key', 32)), expand(secret, b'iv', 12), 0

    def record(self, kind, text):
        """One record with that in it."""
        seq = struct.pack('>Q', self.seq)
        self.seq += 1
        if self.is_13:
            head = struct.pack('>BHH', DATA, 0x303, len(text) + 17)
            nonce = (int.from_bytes(self.iv, 'big') ^ int.from_bytes(seq, 'big')).to_bytes(12, 'big')
            return head + self.aes.seal(nonce, head, text + bytes([kind]))
        about = seq + struct.pack('>BHH', kind, 0x303, len(text))
        return struct.pack('>BHH', kind, 0x303, len(text) + 24) + seq + self.aes.seal(self.iv + seq, about, text)

    def key_update(self):
        """TLS 1.3: the record that asks for new keys; what follows is under the new ones."""
        octets = self.record(HANDSHAKE, KEY_UPDATE_REQUESTED)
        self._use(expand(self.secret, b'traffic upd', 48))
        return octets

    def renegotiation(self):
        """TLS 1.2: the record that asks for a new handshake."""
        return self.record(HANDSHAKE, EMPTY_HELLO)


def tls_12(sock):
    return Tls(sock, ssl.TLSVersion.TLSv1_2)


def tls_13(sock):
    return Tls(sock, ssl.TLSVersion.TLSv1_3)


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
