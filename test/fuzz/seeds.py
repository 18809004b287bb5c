#!/usr/bin/python3
"""Writes seeds for the corpora: real PDUs of every kind and real texts, in the form that each target takes them.

    test/fuzz/seeds.py DIRECTORY [CAPTURE.pcap...]

    test/system/wire.py, node-smpp (where test/interop has it), captures of the system tests (TURNOUT_CAPTURE)
        --> PDUs --> DIRECTORY/frame, tlv, part, receipt, session, oracle, world
    docker/*.conf, routes, stream entries, snapshots, HTTP --> DIRECTORY/config, csv, change, snapshot, admin

`test/fuzz/run --merge DIRECTORY` takes into test/fuzz/corpus what of it reaches code that nothing there reaches yet.
"""
import glob
import hashlib
import json
import pathlib
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'test/system'))
import wire  # noqa: E402

FROM_NODE = """
const smpp = require('smpp');
const fields = {
    system_id: 'client', password: 'secret', system_type: 'VMA', interface_version: 0x34, addr_ton: 1, addr_npi: 1,
    address_range: '40*', source_addr_ton: 3, source_addr: '4040', dest_addr_ton: 1, dest_addr_npi: 1,
    destination_addr: '64211234567', short_message: 'hello', registered_delivery: 1, message_id: '0a1b2c',
    esme_addr: '4040', dest_address: [{dest_addr_ton: 1, dest_addr_npi: 1, destination_addr: '64211234567'},
    {dl_name: 'friends'}], sc_interface_version: 0x34, message_payload: 'a longer text', user_message_reference: 7,
};
for (const command of Object.keys(smpp.commands)) {
    const known = Object.assign({}, smpp.commands[command].params, smpp.tlvs);
    for (const status of [0, 0x14]) {
        const chosen = {command_status: status, sequence_number: 77};
        for (const name of Object.keys(fields))
            if (name in known)
                chosen[name] = fields[name];
        try { console.log(new smpp.PDU(command, chosen).toBuffer().toString('hex')); } catch (error) { /* not this way */ }
    }
}
"""


def pdus_of_wire():
    text = wire.receipt_text('0a1b2c')
    both = wire.tlv(wire.RECEIPTED_MESSAGE_ID, b'0a1b2c\0') + wire.tlv(0x0427, b'\2') + wire.tlv(0x1400, b'vendor')
    bodies = {
        'submit_sm': [wire.message('4040', '64211234567', 'hello', registered=1),
                      wire.message('4040', '64211234567', b'\5\0\3\1\2\1part', esm_class=0x40),
                      wire.message('4040', '64211234567', tlvs=wire.tlv(wire.MESSAGE_PAYLOAD, b'x' * 300))],
        'deliver_sm': [wire.message('64211234567', '4040', text, esm_class=4, tlvs=both),
                       wire.message('64211234567', '4040', text, esm_class=4),
                       wire.message('64211234567', '4040', 'yes please')],
        'data_sm': [wire.data('4040', '64211234567', b'hello', tlvs=both)],
        'submit_multi': [wire.multi('4040', ['64211234567', '64221234567'], b'hi', ['friends'])],
        'query_sm': [wire.query('0a1b2c', '4040')],
        'cancel_sm': [wire.cancel('0a1b2c', '4040', '64211234567'), wire.cancel('', '4040', '64211234567')],
        'replace_sm': [wire.replace('0a1b2c', '4040', b'other')],
        'alert_notification': [wire.alert('64211234567', '4040')],
        'outbind': [wire.cstr('smsc') + wire.cstr('secret')],
        'query_sm_resp': [wire.cstr('0a1b2c') + b'\0\2\0'],
        'submit_multi_resp': [wire.cstr('0a1b2c') + b'\0'],
    }
    for name in wire.COMMANDS:
        if wire.COMMANDS[name] in (1, 2, 9):
            bodies[name] = [wire.bind('client', 'secret'), wire.bind('client', 'secret', 0x33, 'VMA', '40*', 1, 1)]
            bodies[name + '_resp'] = [wire.cstr('smsc'), wire.cstr('smsc') + wire.tlv(0x0210, b'\x34'), b'']
        elif name.endswith('_sm_resp') and name not in bodies:
            bodies[name] = [wire.cstr('0a1b2c'), b'', wire.cstr('')]
    for name in wire.COMMANDS:
        for body in bodies.get(name, [b'']):
            yield wire.Pdu(name, 0, 77, body).octets()
    yield wire.Pdu('submit_sm_resp', wire.RTHROTTLED, 78).octets()
    yield wire.Pdu(0x12345678, 0, 79, b'?').octets()


def pdus_of_node():
    interop = ROOT / 'test/interop'
    if not (interop / 'node_modules/smpp').exists():
        print('node-smpp is not installed: no PDUs of it', file=sys.stderr)
        return
    out = subprocess.run(['node', '-e', FROM_NODE], cwd=interop, check=True, capture_output=True, text=True).stdout
    for line in out.split():
        yield bytes.fromhex(line)


def pdus_of_capture(path):
    """The octets of each packet that begin with a PDU: IPv4 and TCP without options, as the harness writes them."""
    data = pathlib.Path(path).read_bytes()
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack_from('<I', data, at + 8)[0]
        octets = data[at + 16 + 40:at + 16 + length]
        at += 16 + length
        while len(octets) >= 16 and 16 <= struct.unpack_from('>I', octets)[0] <= len(octets):
            size = struct.unpack_from('>I', octets)[0]
            yield octets[:size]
            octets = octets[size:]


def session_script(role, pdus):
    """Steps of fuzz_session: octets in two pieces, time, and the owner's acts in between."""
    out = bytes([role])
    for index, pdu in enumerate(pdus):
        for piece in (pdu[:9], pdu[9:]):
            if piece:
                out += bytes([0]) + struct.pack('>H', len(piece) - 1) + piece
        out += bytes([2, index % 200]) + bytes([3 + 4 * (index % 8)])
    return out


# Steps of fuzz_world: what, of which peer, and after it whether all comes to rest (128: not).
BIND, TABLE, LINK, MESSAGE, ANSWER, OCTETS, ODD_ANSWER, PART, QUESTION, PIECES, TIME = 0, 1, 2, 3, 5, 7, 9, 10, 11, 12, 13
SMSC, UNSETTLED = 16, 128


def octets_in_pieces(side, pdu, cut):
    """The PDU to the first peer of that side, cut once."""
    pieces = [piece for piece in (pdu[:cut], pdu[cut:]) for piece in [piece[at:at + 500] for at in range(0, len(piece), 500)]]
    return b''.join(bytes([OCTETS + side]) + struct.pack('>H', len(piece) - 1) + piece for piece in pieces if piece)


def of_ours(pdu):
    """The same message between a shortcode and numbers that the world knows."""
    return pdu.replace(b'4040\0', b'5001\0')


def world_scripts(pdus):
    """A bound client and its legs, in which every PDU comes from both sides; then messages under flips, losses and time."""
    bound = bytes([0, BIND, 0, TIME, 1])
    for index, pdu in enumerate(pdus):
        for side in (0, SMSC):
            yield bound + octets_in_pieces(side, of_ours(pdu), 1 + index % (len(pdu) - 1)) + bytes([ANSWER + (side ^ SMSC), 0])
        if pdu[4] & 0x80:
            answer = pdu[4:12] + pdu[16:300]
            yield bound + bytes([MESSAGE, 0, ODD_ANSWER + SMSC, 0]) + struct.pack('>H', len(answer) - 8) + answer + bytes([
                MESSAGE + SMSC, 0, ODD_ANSWER, 0]) + struct.pack('>H', len(answer) - 8) + answer
    for kind in range(4):
        for last in ([PART, kind], [PART + SMSC, kind], [TIME, 255], [LINK, 4 * kind, PART + SMSC, 1, TIME, 100]):
            sent = bytes([MESSAGE, 0, MESSAGE, 2, MESSAGE, 1, MESSAGE + UNSETTLED, 12])
            yield bytes([kind, BIND, 4 * kind, BIND, kind, TIME, 1]) + sent + bytes([MESSAGE + SMSC, kind, TABLE, 4 + 8 * (kind % 3)]) + \
                sent + bytes([ANSWER + SMSC, 0, ANSWER + SMSC + 32, 2, ANSWER, 0, PIECES, 7, QUESTION, kind]) + bytes(last) + sent


def texts_of(*fields):
    return b'\0'.join(field.encode() for field in fields) + b'\0'


def changes():
    head = ('at', '1700000000999', 'who', 'ann', 'why', 'cut over', 'ticket', 'T-1', 'parent', '1' * 40, 'chain', '2' * 40)
    for kind in ('flip', 'set', 'import', 'rollback', 'confirm', 'revert'):
        yield texts_of('kind', kind, *head, 'moves', '1234 spark redx hold omni open redx\n* one.nz - - redx closed -\n'
                       'Brand-"1 spark omni open - - -')
    yield texts_of('kind', 'restore', *head)
    yield texts_of('redx open - 1700000000999 7', 'omni hold redx 1700000000000 12', 'omni closed redx 0 1')


def snapshots():
    rows = {'5001': {'spark': 'redx open - 1700000000000 7', 'onenz': 'omni hold redx 1700000000000 7'},
            '*': {'spark': 'redx closed - 0 7'}}
    yield json.dumps({'format': 'turnout-table-1', 'version': 7, 'chain': 'a' * 40, 'rows': rows}).encode()
    yield json.dumps({'format': 'turnout-table-1', 'version': 0, 'chain': '', 'rows': {}}).encode()


def csvs():
    yield b'shortcode,carrier,platform,state\r\n61000,spark,redx,closed\r\n*,onenz,omni\r\n'
    yield b'\xef\xbb\xbf# routes\n"61000" , spark ,"redx",hold\n\n6"1,spark,redx\n61000,spark,omni\n'


def requests():
    for path in ('/metrics', '/sessions', '/healthz', '/readyz', '/', '/none?x=1'):
        yield b'\0\x40GET ' + path.encode() + b' HTTP/1.1\r\nHost: a\r\n\r\n'
    yield b'\0\1POST /flip HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nAuthorization: Bearer x\r\n\r\n{}'
    yield b'\1\0POST /flip HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n'
    yield b'\0\7HEAD /metrics HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\n\r\n'


def configs():
    for path in glob.glob(str(ROOT / 'docker/*.conf*')):
        text = pathlib.Path(path).read_bytes()
        yield text
        for section in text.split(b'\n\n'):
            yield section
    yield b'workers = 1\nlistener "p" { port = 2775 }\nplatform "redx" {}\ncarrier "spark" { prefixes = { "6425" } }\n' \
          b'link s { carrier = spark platform = redx host = h port = 1 system-id = a }\nredis {}\n'


def parts():
    """Parts of messages: by header, 8- and 16-bit, by TLVs, in message_payload, behind another element."""
    sar = wire.tlv(0x020C, b'\x12\x34') + wire.tlv(0x020E, b'\3') + wire.tlv(0x020F, b'\2')
    headers = (b'\5\0\3\x77\3\2part', b'\6\x08\4\x12\x34\3\1part', b'\x0e\5\4\1\2\3\4\x24\1\x09\0\3\x77\2\1part')
    for header in headers:
        yield wire.Pdu('submit_sm', 0, 1, wire.message('5001', '64251234567', header, esm_class=0x40)).octets()
        yield wire.Pdu('submit_sm', 0, 1, wire.message('5001', '64251234567', b'', esm_class=0x40, validity='000001000000000R',
                                                       tlvs=wire.tlv(wire.MESSAGE_PAYLOAD, header))).octets()
    yield wire.Pdu('submit_sm', 0, 1, wire.message('5001', '64251234567', b'part', tlvs=sar)).octets()
    yield wire.Pdu('data_sm', 0, 1, wire.data('5001', '64251234567', b'part', tlvs=sar)).octets()


def seeds(captures):
    pdus = list(pdus_of_wire()) + list(pdus_of_node())
    for path in captures:
        pdus += list(pdus_of_capture(path))
    pdus = [pdu for pdu in dict.fromkeys(pdus) if len(pdu) <= 1000]
    everything = {'change': changes(), 'snapshot': snapshots(), 'csv': csvs(), 'admin': requests(), 'config': configs()}
    everything['frame'] = [b'\3' + pdu for pdu in pdus]
    everything['tlv'] = [pdu[at:] for pdu in pdus for at in range(16, len(pdu) - 3)
                         if 4 + struct.unpack_from('>H', pdu, at + 2)[0] <= len(pdu) - at][:400]
    everything['part'] = pdus + list(parts())
    everything['receipt'] = [pdu[pdu.index(b'id:'):] for pdu in pdus if b'id:' in pdu] + [pdu[16:] for pdu in pdus]
    binds = [pdu for pdu in pdus if pdu[4:8] in (b'\0\0\0\1', b'\0\0\0\2', b'\0\0\0\x09')]
    answers = [pdu for pdu in pdus if pdu[4:8] in (b'\x80\0\0\1', b'\x80\0\0\2', b'\x80\0\0\x09')]
    everything['session'] = [session_script(role, [first, pdu, pdu]) for pdu in pdus
                             for role, first in ((0, binds[0]), (1, answers[0]))]
    everything['world'] = world_scripts(pdus + list(parts()))
    everything['oracle'] = [bytes([kind]) + pdu[12:] for kind in range(5) for pdu in pdus]
    return everything


def main():
    directory = pathlib.Path(sys.argv[1])
    for target, inputs in seeds(sys.argv[2:]).items():
        (directory / target).mkdir(parents=True, exist_ok=True)
        for octets in inputs:
            (directory / target / hashlib.sha1(octets).hexdigest()[:16]).write_bytes(octets)


if __name__ == '__main__':
    main()
