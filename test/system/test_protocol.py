"""Protocol errors: unknown commands, bad lengths, every command in every state, PDUs in pieces, and sizes."""
import struct

import pytest

import wire
from harness import Raw, number_of
from wire import Pdu

SPARK = number_of('spark')

BODY = {
    'bind_receiver': wire.bind('acme', 'secret'), 'bind_transmitter': wire.bind('acme', 'secret'),
    'bind_transceiver': wire.bind('acme', 'secret'), 'outbind': b'acme\0secret\0', 'unbind': b'', 'enquire_link': b'',
    'submit_sm': wire.message('5001', SPARK, b'x'), 'deliver_sm': wire.message(SPARK, '5001', b'x'),
    'data_sm': wire.data('5001', SPARK, b'x'), 'submit_multi': wire.multi('5001', [SPARK], b'x'),
    'query_sm': wire.query('nope', '5001'), 'cancel_sm': wire.cancel('nope', '5001', SPARK),
    'replace_sm': wire.replace('nope', '5001', b'x'), 'alert_notification': wire.alert(SPARK, '5001'),
}
DATA_FROM_SMSC = wire.data(SPARK, '5001', b'x')
UNKNOWN_IDS = (0x0000000A, 0x0000000C, 0x00000112, 0x00010200, 0x7FFFFFFF)
STATES = ('open', 'binding', 'bound_tx', 'bound_rx', 'bound_trx', 'unbinding')

# From SMPP 3.4 table 2-1: what an ESME may send while bound, and what comes back. "pass" reaches the SMSC.
CLIENT_PASSES = {'submit_sm', 'submit_multi', 'data_sm'}
CLIENT_ABOUT = {'query_sm': wire.RQUERYFAIL, 'cancel_sm': wire.RCANCELFAIL, 'replace_sm': wire.RREPLACEFAIL}
WITHOUT_RESPONSE = {'outbind', 'alert_notification'}


def wanted_from_client(state, command):
    """What an ESME's request is owed in a state: 'pass', 'wrong', 'nothing', 'ok', or a status."""
    if command == 'enquire_link':
        return 'ok'
    if command in WITHOUT_RESPONSE:
        return 'nothing'
    if state in ('bound_tx', 'bound_trx'):
        if command in CLIENT_PASSES:
            return 'pass'
        if command in CLIENT_ABOUT:
            return CLIENT_ABOUT[command]
    if command == 'unbind' and state.startswith('bound'):
        return 'ok'
    if command == 'unbind' and state == 'unbinding':
        return 'any'
    return 'wrong'


def client_in(world, smsc, state):
    """(client, leg or None) in a state."""
    if state == 'open':
        return world.connect(), None
    if state == 'binding':
        client = world.connect()
        client.request('bind_transceiver', BODY['bind_transceiver'], seq=1000)
        smsc.connection().expect('bind_transceiver')
        return client, None
    kind = {'bound_tx': 'transmitter', 'bound_rx': 'receiver'}.get(state, 'transceiver')
    client = world.bound(kind)
    leg = smsc.leg()
    if state == 'unbinding':
        # A message in flight keeps the proxy from ending the session at once.
        client.request('submit_sm', BODY['submit_sm'], seq=999)
        leg.expect('submit_sm')
        client.request('unbind', seq=1000)
    return client, leg


@pytest.fixture
def one(world):
    smsc = world.smsc('spark', 'redx')
    world.client()
    world.routes()
    return world, smsc


@pytest.mark.sanitize
@pytest.mark.parametrize('state, command', [
    (state, command) for state in STATES for command in sorted(BODY)
    if not (state == 'open' and command.startswith('bind_'))])  # there a bind belongs: test_bind.py
def test_client_command_in_state(one, state, command):
    world, smsc = one
    if state == 'binding':
        smsc.bind_status = None
    world.start()
    client, leg = client_in(world, smsc, state)
    want = wanted_from_client(state, command)
    client.auto = False
    sent = client.request(command, BODY[command], seq=77)
    if want == 'nothing':
        client.expect_nothing()
    elif want == 'pass':
        got = leg.expect(command)
        assert got.body == BODY[command]
    elif want == 'any':
        pass
    elif state == 'unbinding' and want == 'wrong' and not command.startswith('bind_'):
        # After its good-bye: wrong in that state, or refused as by a proxy that is going.
        assert client.expect(command + '_resp', seq=sent.seq).status in (wire.RINVBNDSTS, wire.RMSGQFUL)
    else:
        status = {'wrong': wire.RINVBNDSTS, 'ok': 0}.get(want, want)
        client.expect(command + '_resp', seq=sent.seq, status=status)
    if leg and want != 'pass':
        assert command not in [p.name for p in leg.fence()]


@pytest.mark.parametrize('command', sorted(set(BODY)))
@pytest.mark.parametrize('state', ('binding', 'bound_tx', 'bound_rx', 'bound_trx'))
def test_smsc_command_in_state(one, state, command):
    world, smsc = one
    if state == 'binding':
        smsc.bind_status = None
    smsc.auto = False
    world.start()
    kind = {'bound_tx': 'transmitter', 'bound_rx': 'receiver'}.get(state, 'transceiver')
    if state == 'binding':
        client = world.connect()
        client.request('bind_transceiver', BODY['bind_transceiver'])
        leg = smsc.connection()
        leg.expect('bind_transceiver')
    else:
        client = world.bound(kind)
        leg = smsc.leg()
    leg.auto = False
    body = DATA_FROM_SMSC if command == 'data_sm' else BODY[command]
    sent = leg.request(command, body, seq=78)
    receives = state in ('bound_rx', 'bound_trx')
    if command in ('deliver_sm', 'data_sm', 'alert_notification') and receives:
        assert client.expect(command).body == body
        return
    if command == 'unbind' and state != 'binding':
        leg.expect('unbind_resp', seq=sent.seq, status=0)
        leg.expect_end()
        return
    if command in WITHOUT_RESPONSE:
        leg.expect_nothing()
    else:
        leg.expect(command + '_resp', seq=sent.seq, status=0 if command == 'enquire_link' else wire.RINVBNDSTS)
    client.expect_nothing()


@pytest.mark.parametrize('state', STATES)
@pytest.mark.parametrize('command', [n for n in sorted(wire.COMMANDS) if n.endswith('_resp') or n == 'generic_nack'])
def test_stray_responses_of_a_client(one, state, command):
    """Answers to nothing: dropped, and the session goes on."""
    world, smsc = one
    if state == 'binding':
        smsc.bind_status = None
    world.start()
    client, leg = client_in(world, smsc, state)
    client.send(Pdu(command, 0, 4242, b'1\0' if command.endswith('sm_resp') else b''))
    if state != 'unbinding':
        client.expect_nothing()
    if leg:
        assert not leg.fence()


@pytest.mark.odd
@pytest.mark.sanitize
@pytest.mark.parametrize('state', ('open', 'bound_trx'))
@pytest.mark.parametrize('command', UNKNOWN_IDS)
def test_unknown_command(one, state, command):
    world, smsc = one
    world.start()
    client, leg = client_in(world, smsc, state)
    client.request(command, b'whatever', seq=55)
    client.expect('generic_nack', seq=55, status=wire.RINVCMDID)
    client.expect_nothing()
    if leg:
        leg.request(command, b'', seq=56)
        leg.expect('generic_nack', seq=56, status=wire.RINVCMDID)
        leg.expect_nothing()
        assert not client.fence()
    assert world.daemon.metric('session_refused_total', reason='unknown_command') == (2 if leg else 1)


@pytest.mark.odd
@pytest.mark.sanitize
@pytest.mark.parametrize('state', ('open', 'binding', 'bound_trx'))
@pytest.mark.parametrize('length', (0, 1, 15, 200000, 0x7FFFFFFF, 0xFFFFFFFF))
def test_bad_length_ends_the_session(one, state, length):
    world, smsc = one
    if state == 'binding':
        smsc.bind_status = None
    world.start()
    client, leg = client_in(world, smsc, state)
    client.send_octets(struct.pack('>IIII', length, 0x15, 0, 66))
    got = client.expect('generic_nack', status=wire.RINVCMDLEN)
    assert got.seq in (0, 66)
    client.expect_end()
    if leg:
        leg.expect('unbind')


@pytest.mark.odd
def test_bad_length_from_an_smsc_ends_the_leg_alone(one):
    world, smsc = one
    onenz = world.smsc('onenz', 'redx')
    world.client(bind_answer='all')
    world.routes()
    world.start()
    client = world.bound()
    leg, other = smsc.leg(), onenz.leg()
    sent = client.submit()
    leg.expect('submit_sm')
    leg.send_octets(struct.pack('>IIII', 3, 0x15, 0, 66))
    leg.expect('generic_nack', status=wire.RINVCMDLEN)
    leg.expect_end()
    client.expect('submit_sm_resp', seq=sent.seq, status=wire.RSYSERR)
    client.submit(dest=number_of('onenz'))
    other.expect('submit_sm')
    smsc.leg()


@pytest.mark.sanitize
def test_octet_by_octet(one):
    """Every PDU of a short session, both ways, one octet a write."""
    world, smsc = one
    world.start()
    client = world.connect()
    for octet in Pdu('bind_transceiver', 0, 1, BODY['bind_transceiver']).octets():
        client.send_octets(bytes([octet]))
    client.expect('bind_transceiver_resp', seq=1, status=0)
    leg = smsc.leg()
    for octet in Pdu('submit_sm', 0, 2, BODY['submit_sm']).octets():
        client.send_octets(bytes([octet]))
    got = leg.expect('submit_sm')
    assert got.body == BODY['submit_sm']
    for octet in got.answer(0, b'77\0').octets():
        leg.send_octets(bytes([octet]))
    client.expect('submit_sm_resp', seq=2, status=0)
    for octet in Pdu('deliver_sm', 0, 9, BODY['deliver_sm']).octets():
        leg.send_octets(bytes([octet]))
    client.send(client.expect('deliver_sm').answer(0, b'\0'))
    leg.expect('deliver_sm_resp', seq=9, status=0)


def test_many_pdus_in_one_write(one):
    world, smsc = one
    world.start()
    client = world.bound()
    leg = smsc.leg()
    client.send_octets(b''.join(Pdu('submit_sm', 0, i, wire.message('5001', SPARK, b'%d' % i)).octets()
                                for i in range(1, 91)))
    got = [leg.expect('submit_sm') for _ in range(90)]
    leg.send_octets(b''.join(p.answer(0, b'x\0').octets() for p in got))
    assert [client.expect('submit_sm_resp', status=0).seq for _ in got] == list(range(1, 91))


def test_pieces_at_every_boundary(one):
    """A run of PDUs cut in two at every octet: with an answer between the pieces, so that they are two reads."""
    world, smsc = one
    smsc.answers = lambda leg, pdu: pdu.answer(0, b'1\0') if pdu.name == 'submit_sm' else None
    world.start()
    client = world.bound()
    first = Pdu('submit_sm', 0, 1, BODY['submit_sm']).octets()
    second = Pdu('enquire_link', 0, 2).octets()
    run = first + second + first
    for cut in range(1, len(run)):
        client.send_octets(run[:cut])
        names = [client.next().name] if cut >= len(first) else []
        client.send_octets(run[cut:])
        while len(names) < 3:
            names.append(client.next().name)
        assert sorted(names) == ['enquire_link_resp', 'submit_sm_resp', 'submit_sm_resp']


# -- sizes: 4 KiB before the bind, 70 KiB after

def padded(command, size, body):
    """A PDU of exactly that command_length."""
    fill = size - 16 - len(body) - 8
    return Pdu(command, 0, 3, body + wire.tlv(0x1500, b'f' * (fill // 2)) +
               wire.tlv(0x1501, b'f' * (fill - fill // 2))).octets()


@pytest.mark.odd
def test_size_limit_before_the_bind(one):
    world, _ = one
    world.start()
    client = world.connect()
    client.send_octets(padded('bind_transceiver', 4096, BODY['bind_transceiver']))
    client.expect('bind_transceiver_resp', status=0)
    client = world.connect()
    client.send_octets(padded('bind_transceiver', 4097, BODY['bind_transceiver'])[:100])
    client.expect('generic_nack', status=wire.RINVCMDLEN)
    client.expect_end()


@pytest.mark.odd
def test_size_limit_after_the_bind(one):
    world, smsc = one
    world.start()
    client = world.bound()
    leg = smsc.leg()
    client.send_octets(padded('submit_sm', 70 * 1024, wire.message('5001', SPARK, b''))[:-1])
    client.send_octets(b'f')
    assert len(leg.expect('submit_sm').octets()) == 70 * 1024
    client.send_octets(struct.pack('>IIII', 70 * 1024 + 1, 4, 0, 9))
    client.expect('generic_nack', status=wire.RINVCMDLEN)
    client.expect_end()


def test_size_limits_are_options(one):
    world, _ = one
    world.start(max_pdu_open=Raw('1k'), max_pdu_bound=Raw('8k'))
    client = world.connect()
    client.send_octets(struct.pack('>IIII', 1025, 9, 0, 1))
    client.expect('generic_nack', status=wire.RINVCMDLEN)
    client = world.bound()
    client.send_octets(struct.pack('>IIII', 8193, 4, 0, 1))
    client.expect('generic_nack', status=wire.RINVCMDLEN)
    client.expect_end()


def test_not_smpp_at_all(one):
    world, _ = one
    world.start()
    client = world.connect()
    client.send_octets(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    client.expect('generic_nack', status=wire.RINVCMDLEN)
    client.expect_end()
    world.bound()


@pytest.mark.odd
@pytest.mark.parametrize('body', (b'', b'acme', b'acme\0secret', b'acme\0secret\0', b'\0' * 6, b'\xff' * 50))
def test_broken_bind(one, body):
    world, _ = one
    world.start()
    client = world.connect()
    answer = client.ask('bind_transceiver', body)
    assert answer.status != 0
    world.bound()
