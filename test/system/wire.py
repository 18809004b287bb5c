"""SMPP on the wire, written from the specification (3.4) and from nothing of ours: what the programs under test are held
against.

    fields -> bodies (bind, message, ...) -> Pdu -> octets
    octets -> Pdu -> message(), bind_fields(), tlvs()
"""
import struct
from collections import namedtuple

RESPONSE = 0x80000000

COMMANDS = {
    'bind_receiver': 0x01, 'bind_transmitter': 0x02, 'query_sm': 0x03, 'submit_sm': 0x04, 'deliver_sm': 0x05,
    'unbind': 0x06, 'replace_sm': 0x07, 'cancel_sm': 0x08, 'bind_transceiver': 0x09, 'outbind': 0x0B,
    'enquire_link': 0x15, 'submit_multi': 0x21, 'alert_notification': 0x102, 'data_sm': 0x103,
}
for _name in [n for n in COMMANDS if n not in ('outbind', 'alert_notification')]:
    COMMANDS[_name + '_resp'] = COMMANDS[_name] | RESPONSE
COMMANDS['generic_nack'] = RESPONSE
NAMES = {value: name for name, value in COMMANDS.items()}

OK = 0x00
RINVCMDLEN = 0x02
RINVCMDID = 0x03
RINVBNDSTS = 0x04
RALYBND = 0x05
RSYSERR = 0x08
RINVSRCADR = 0x0A
RINVDSTADR = 0x0B
RBINDFAIL = 0x0D
RINVPASWD = 0x0E
RINVSYSID = 0x0F
RCANCELFAIL = 0x11
RREPLACEFAIL = 0x13
RMSGQFUL = 0x14
RSUBMITFAIL = 0x45
RTHROTTLED = 0x58
RQUERYFAIL = 0x67

# Answers to a bind that make a common client give up for good: never for a fault that is not its own.
FINAL_FOR_CLIENTS = (RALYBND, RINVPASWD, RINVSYSID, 0x53)

SC_INTERFACE_VERSION = 0x0210
RECEIPTED_MESSAGE_ID = 0x001E
MESSAGE_PAYLOAD = 0x0424


def number(command):
    """The id of a command given by name or as a number."""
    return COMMANDS[command] if isinstance(command, str) else command


class Pdu:
    """One PDU: command id, status, sequence number and the octets of its body."""

    def __init__(self, command, status=0, seq=0, body=b''):
        self.command = number(command)
        self.status = status
        self.seq = seq
        self.body = bytes(body)

    @classmethod
    def parse(cls, octets):
        length, command, status, seq = struct.unpack('>IIII', octets[:16])
        assert length == len(octets), 'command_length %d, but %d octets' % (length, len(octets))
        return cls(command, status, seq, octets[16:])

    def octets(self):
        return struct.pack('>IIII', 16 + len(self.body), self.command, self.status, self.seq) + self.body

    @property
    def name(self):
        return NAMES.get(self.command, 'command_%08x' % self.command)

    @property
    def is_response(self):
        return bool(self.command & RESPONSE)

    def answer(self, status=0, body=b''):
        """The response to this request; generic_nack is for commands that have none."""
        return Pdu(self.command | RESPONSE, status, self.seq, body)

    def __repr__(self):
        body = self.body if len(self.body) <= 64 else self.body[:64] + b'...'
        return '<%s status=%#x seq=%d body[%d]=%r>' % (self.name, self.status, self.seq, len(self.body), body)


def cstr(text):
    return (text.encode('latin-1') if isinstance(text, str) else bytes(text)) + b'\0'


def tlv(tag, value):
    return struct.pack('>HH', tag, len(value)) + value


def bind(system_id, password, version=0x34, system_type='', address_range='', ton=0, npi=0):
    return (cstr(system_id) + cstr(password) + cstr(system_type) + bytes([version, ton, npi]) + cstr(address_range))


def message(source, dest, text=b'', service_type='', source_ton=0, source_npi=0, dest_ton=1, dest_npi=1, esm_class=0,
            protocol_id=0, priority=0, schedule='', validity='', registered=0, replace=0, coding=0, default_id=0,
            tlvs=b''):
    """The body of submit_sm and deliver_sm (4.4.1, 4.6.1)."""
    text = text.encode('latin-1') if isinstance(text, str) else text
    return (cstr(service_type) + bytes([source_ton, source_npi]) + cstr(source) + bytes([dest_ton, dest_npi]) +
            cstr(dest) + bytes([esm_class, protocol_id, priority]) + cstr(schedule) + cstr(validity) +
            bytes([registered, replace, coding, default_id, len(text)]) + text + tlvs)


def data(source, dest, payload=b'', service_type='', source_ton=0, source_npi=0, dest_ton=1, dest_npi=1, esm_class=0,
         registered=0, coding=0, tlvs=b''):
    """The body of data_sm (4.7.1)."""
    return (cstr(service_type) + bytes([source_ton, source_npi]) + cstr(source) + bytes([dest_ton, dest_npi]) +
            cstr(dest) + bytes([esm_class, registered, coding]) + tlv(MESSAGE_PAYLOAD, payload) + tlvs)


def query(message_id, source, ton=0, npi=0):
    return cstr(message_id) + bytes([ton, npi]) + cstr(source)


def cancel(message_id, source, dest='', service_type=''):
    return (cstr(service_type) + cstr(message_id) + bytes([0, 0]) + cstr(source) + bytes([1, 1]) + cstr(dest))


def replace(message_id, source, text=b''):
    return (cstr(message_id) + bytes([0, 0]) + cstr(source) + cstr('') + cstr('') + bytes([0, 0, len(text)]) + text)


def multi(source, dests, text=b'', lists=()):
    """The body of submit_multi (4.5.1): addresses, then names of distribution lists."""
    body = cstr('') + bytes([0, 0]) + cstr(source) + bytes([len(dests) + len(lists)])
    for dest in dests:
        body += bytes([1, 1, 1]) + cstr(dest)
    for name in lists:
        body += bytes([2]) + cstr(name)
    return (body + bytes([0, 0, 0]) + cstr('') + cstr('') + bytes([0, 0, 0, 0, len(text)]) + text)


def alert(source, esme):
    """The body of alert_notification (4.12.1)."""
    return bytes([1, 1]) + cstr(source) + bytes([0, 0]) + cstr(esme)


def receipt_text(message_id, state='DELIVRD'):
    return ('id:%s sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:%s err:000 text:' %
            (message_id, state)).encode()


class Reader:
    """Takes fields off the front of a body; fails where one does not end inside it."""

    def __init__(self, octets):
        self.octets = octets
        self.at = 0

    def byte(self):
        assert self.at < len(self.octets), 'body ends before a one-octet field'
        self.at += 1
        return self.octets[self.at - 1]

    def string(self):
        end = self.octets.index(0, self.at)
        value = self.octets[self.at:end]
        self.at = end + 1
        return value.decode('latin-1')

    def take(self, count):
        assert self.at + count <= len(self.octets), 'body ends inside a field'
        self.at += count
        return self.octets[self.at - count:self.at]

    def rest(self):
        return self.octets[self.at:]


def tlvs(octets):
    """The optional parameters as a list of (tag, value), in their order."""
    found, reader = [], Reader(octets)
    while reader.rest():
        tag, length = struct.unpack('>HH', reader.take(4))
        found.append((tag, reader.take(length)))
    return found


Message = namedtuple('Message', 'service_type source dest esm_class registered coding text tlvs')


def message_fields(pdu):
    """submit_sm, deliver_sm or data_sm taken apart."""
    r = Reader(pdu.body)
    service_type = r.string()
    r.take(2)
    source = r.string()
    r.take(2)
    dest = r.string()
    esm_class = r.byte()
    text = b''
    if pdu.command == COMMANDS['data_sm']:
        registered, coding = r.byte(), r.byte()
    else:
        r.take(2)
        r.string()
        r.string()
        registered, _, coding, _ = r.byte(), r.byte(), r.byte(), r.byte()
        text = r.take(r.byte())
    return Message(service_type, source, dest, esm_class, registered, coding, text, tlvs(r.rest()))


Bind = namedtuple('Bind', 'system_id password system_type version ton npi address_range')


def bind_fields(pdu):
    r = Reader(pdu.body)
    fields = Bind(r.string(), r.string(), r.string(), r.byte(), r.byte(), r.byte(), r.string())
    assert not r.rest(), 'octets after the end of a bind: %r' % r.rest()
    return fields


def bind_resp_fields(pdu):
    """(system_id, sc_interface_version or None) of a positive bind answer."""
    r = Reader(pdu.body)
    system_id = r.string()
    version = dict(tlvs(r.rest())).get(SC_INTERFACE_VERSION)
    return system_id, version[0] if version else None


def response_id(pdu):
    return Reader(pdu.body).string() if pdu.body else ''


def split(buffer):
    """The first PDU's octets and the rest; (None, buffer) while it is incomplete."""
    if len(buffer) < 4:
        return None, buffer
    length = struct.unpack('>I', buffer[:4])[0]
    assert 16 <= length <= 1 << 20, 'command_length %d cannot be' % length
    if len(buffer) < length:
        return None, buffer
    return buffer[:length], buffer[length:]
