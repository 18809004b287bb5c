"""SIGTERM: no new connections, what is in flight is answered up to a limit, both sides are unbound, exit code 0."""
import signal
import socket

import pytest

import harness
import wire
from harness import PATIENCE, Raw


@pytest.fixture
def one(world):
    smsc = world.smsc('spark', 'redx')
    world.client()
    world.routes()
    return world, smsc


@pytest.mark.sanitize
@pytest.mark.parametrize('number', (signal.SIGTERM, signal.SIGINT))
def test_idle(one, number):
    world, smsc = one
    daemon = world.start(drain=Raw('10s'))
    client = world.bound()
    leg = smsc.leg()
    daemon.signal(number)
    assert [p.name for p in client.until_end()] == ['unbind']
    assert [p.name for p in leg.until_end()] == ['unbind']
    assert daemon.wait() == 0
    assert daemon.find('stopping') and daemon.find('stopped')


def test_with_nobody_there(one):
    world, _ = one
    daemon = world.start()
    assert daemon.stop() == 0


@pytest.mark.sanitize
def test_what_is_in_flight_is_answered_first(one):
    world, smsc = one
    daemon = world.start(drain=Raw('30s'))
    client = world.bound()
    leg = smsc.leg()
    sent = [client.submit(text=b'%d' % i) for i in range(10)]
    mt = [leg.expect('submit_sm') for _ in sent]
    mo = leg.deliver()
    got = client.expect('deliver_sm')
    daemon.signal(signal.SIGTERM)
    daemon.wait_event('stopping')
    with pytest.raises(OSError):
        socket.create_connection(('127.0.0.1', daemon.port()), 1).recv(1)
        raise OSError('closed at once is as good as refused')
    for p in mt:
        leg.send(p.answer(0, b'1\0'))
    client.send(got.answer(0, b'\0'))
    names = [p.name for p in client.until_end()]
    assert names.count('submit_sm_resp') == 10 and 'unbind' in names
    names = [(p.name, p.seq if p.name == 'deliver_sm_resp' else None) for p in leg.until_end()]
    assert ('deliver_sm_resp', mo.seq) in names
    assert daemon.wait() == 0


def is_late(pdu):
    return pdu.name == 'submit_sm' and wire.message_fields(pdu).text == b'late'


def test_new_messages_are_refused_while_draining(one):
    """For retry; a client that gets its refusal sends it again to the next instance."""
    world, smsc = one
    smsc.answers = lambda leg, pdu: pdu.answer(0, b'1\0') if is_late(pdu) else None
    smsc.auto = False
    daemon = world.start(drain=Raw('30s'))
    client = world.bound()
    client.auto = False
    leg = smsc.leg()
    kept = client.submit(text=b'kept')
    got = leg.expect('submit_sm')
    daemon.signal(signal.SIGTERM)
    daemon.wait_event('stopping')
    # The worker hears of it a moment later: until then messages are still accepted, and answered.
    for _ in range(10000):
        late = client.submit(text=b'late')
        answer = client.expect('submit_sm_resp', seq=late.seq)
        if answer.status:
            break
    assert answer.status not in (0,) + wire.FINAL_FOR_CLIENTS
    client.auto = leg.auto = True
    leg.send(got.answer(0, b'1\0'))
    rest = client.until_end()
    assert [p.seq for p in rest if p.name == 'submit_sm_resp'] == [kept.seq]
    assert 'unbind' in [p.name for p in rest]
    assert daemon.wait() == 0


def test_the_limit_of_the_drain(one):
    """An SMSC that never answers does not keep the process: its message gets the unknown outcome."""
    world, smsc = one
    daemon = world.start(drain=Raw('500ms'))
    client = world.bound()
    leg = smsc.leg()
    sent = client.submit()
    leg.expect('submit_sm')
    daemon.signal(signal.SIGTERM)
    got = [p for p in client.until_end() if p.name == 'submit_sm_resp']
    assert [(p.seq, p.status) for p in got] == [(sent.seq, wire.RSYSERR)]
    assert daemon.wait(PATIENCE) == 0


def test_peers_that_ignore_unbind(one):
    world, smsc = one
    smsc.auto = False
    daemon = world.start(drain=Raw('500ms'))
    client = world.connect(auto=False)
    client.bind()
    smsc.leg()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait(PATIENCE * 2) == 0


def test_a_client_that_unbinds_gets_its_answers_first(one):
    world, smsc = one
    world.start()
    client = world.bound()
    leg = smsc.leg()
    sent = client.submit()
    got = leg.expect('submit_sm')
    unbind = client.request('unbind')
    leg.send(got.answer(0, b'1\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)
    client.expect('unbind_resp', seq=unbind.seq, status=0)
    client.expect_end()


def test_a_client_that_closes_its_writing_side(one):
    """A half-closed connection ends without harm."""
    world, smsc = one
    world.start()
    client = world.bound()
    leg = smsc.leg()
    client.submit()
    got = leg.expect('submit_sm')
    client.shut()
    client.until_end()
    leg.send(got.answer(0, b'1\0'))
    assert 'unbind' in [p.name for p in leg.until_end()]


def test_a_second_turnoutd_is_refused_port_and_state(world):
    """Two on one port would share its clients in silence, two on one state directory overwrite each other's."""
    world.smsc('spark', 'redx')
    world.client()
    world.routes()
    daemon = world.start()
    port = daemon.port('plain')
    second = world.run([harness.BUILD / 'turnoutd', '--config', daemon.config], 'same-state')
    assert second.wait() == 1
    assert any('in use by another turnoutd' in line for line in second.lines['stderr'])
    world.listeners['plain'] = {'address': '127.0.0.1', 'port': port}
    other = world.directory / 'other-state'
    other.mkdir()
    config = world.write_config('third.conf', state_directory=str(other))
    third = world.run([harness.BUILD / 'turnoutd', '--config', config], 'same-port')
    assert third.wait() == 1
    assert any('address already in use' in line for line in third.lines['stderr'])
    world.bound()
