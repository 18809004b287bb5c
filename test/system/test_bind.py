"""Binds: what a client is answered, what reaches the SMSCs, and that no fault of ours looks like the client's."""
import statistics
import time

import pytest

import wire
from harness import Raw, number_of
from wire import Pdu

KINDS = ('transmitter', 'receiver', 'transceiver')


@pytest.mark.sanitize
@pytest.mark.parametrize('kind', KINDS)
def test_same_bind_type_upstream_with_our_credentials(world, kind):
    smsc = world.smsc('spark', 'redx', link={'system_type': 'gw'})
    world.client()
    world.routes()
    world.start()
    world.bound(kind, address_range='^5001')
    seen = smsc.leg().bound_as
    assert seen.name == 'bind_' + kind
    fields = wire.bind_fields(seen)
    assert (fields.system_id, fields.password, fields.system_type) == ('turnout', 'upstream', 'gw')
    assert fields.version == 0x34
    assert fields.address_range == '^5001'


@pytest.mark.parametrize('version, answered', [(0x00, None), (0x33, None), (0x34, 0x34), (0x50, 0x34)])
def test_sc_interface_version(world, version, answered):
    world.smsc('spark', 'redx')
    world.client()
    world.routes()
    world.start()
    answer = world.connect().bind('transceiver', version=version)
    _, got = wire.bind_resp_fields(answer)
    assert got == answered


def test_long_system_id_and_password(world):
    smsc = world.smsc('spark', 'redx', link={'system_id': 'an-identity-of-24-octets', 'password': 'twelve-chars'})
    world.client('a-client-of-many-letters', 'a password of many words')
    world.routes()
    world.start()
    world.bound('transceiver', 'a-client-of-many-letters', 'a password of many words')
    fields = wire.bind_fields(smsc.leg().bound_as)
    assert (fields.system_id, fields.password) == ('an-identity-of-24-octets', 'twelve-chars')


def test_upstream_credentials_of_the_client(world):
    redx = world.smsc('spark', 'redx', link={'credentials': 'client'})
    onenz = world.smsc('onenz', 'redx', link={'credentials': 'pass'})
    world.client(upstreams={'spark-redx': {'system_id': 'acme-at-redx', 'password': 's3cret'}}, bind_answer='all')
    world.routes()
    world.start()
    world.bound()
    fields = wire.bind_fields(redx.leg().bound_as)
    assert (fields.system_id, fields.password) == ('acme-at-redx', 's3cret')
    fields = wire.bind_fields(onenz.leg().bound_as)
    assert (fields.system_id, fields.password) == ('acme', 'secret')


def test_every_carrier_of_the_routes_gets_a_leg(world):
    links = [world.smsc(c, 'redx') for c in ('spark', 'onenz', '2degrees', 'skinny')]
    other = world.smsc('skinny', 'omni')
    world.client(bind_answer='all')
    world.routes()
    world.start()
    world.bound()
    for smsc in links:
        assert smsc.leg().bound_as.name == 'bind_transceiver'
    assert other.port


def refusals(world, binds):
    """The answers to binds (system_id, password), each on a connection of its own, with their times."""
    answers, times = [], []
    for system_id, password in binds:
        peer = world.connect()
        begun = time.monotonic()
        answers.append(peer.try_bind('transceiver', system_id, password))
        times.append(time.monotonic() - begun)
        peer.expect_end()
        peer.close()
    return answers, times


def test_wrong_password_and_unknown_id_look_the_same(world):
    smsc = world.smsc('spark', 'redx')
    world.client()
    world.routes()
    world.start(password_pause=Raw('0s'))
    rounds = 9
    wrong, unknown, short, long_ = [], [], [], []
    seen = set()
    for i in range(rounds):
        for system_id, password, times in (('acme', 'wrong%d' % i, wrong), ('nobody', 'wrong%d' % i, unknown),
                                           ('acme', '', short), ('acme', 'x' * 60, long_)):
            answers, took = refusals(world, [(system_id, password)])
            times.append(took[0])
            seen.add(answers[0].octets())
    assert len(seen) == 1, 'answers differ: %r' % seen
    answer = Pdu.parse(seen.pop())
    assert answer.status == wire.RINVPASWD
    # A hash of this cost takes many times what the rest does: half of it would show a missing one.
    medians = [statistics.median(t) for t in (wrong, unknown)]
    assert min(medians) > 0.5 * max(medians), medians
    assert smsc.count == 0, 'a refused client must not reach an SMSC'


def test_networks(world):
    world.smsc('spark', 'redx')
    world.client(networks=['127.0.0.2/32', '127.0.1.0/24', '2001:db8::/32'])
    world.routes()
    world.start()
    for source, allowed in (('127.0.0.2', True), ('127.0.1.77', True), ('127.0.0.1', False), ('127.0.2.1', False)):
        peer = world.connect(source=source)
        answer = peer.try_bind()
        assert (answer.status == 0) == allowed, (source, answer)
        if not allowed:
            peer.expect_end()
    assert 'address_not_allowed' in str(world.daemon.find('client_refused'))


def test_bind_types(world):
    world.smsc('spark', 'redx')
    world.client(bind_types=['transmitter', 'receiver'])
    world.routes()
    world.start()
    assert world.connect().try_bind('transmitter').status == 0
    assert world.connect().try_bind('receiver').status == 0
    refused = world.connect()
    assert refused.try_bind('transceiver').status == wire.RBINDFAIL
    refused.expect_end()


def test_too_many_binds(world):
    world.smsc('spark', 'redx')
    world.client(max_binds=2)
    world.routes()
    world.start()
    first = world.bound()
    world.bound()
    third = world.connect()
    answer = third.try_bind()
    assert answer.status == wire.RBINDFAIL and answer.status not in wire.FINAL_FOR_CLIENTS
    third.expect_end()
    first.unbind()
    world.daemon.wait_event('client_closed')
    world.bound()


def no_credential_error(answer):
    assert answer.status in (wire.RBINDFAIL, wire.RSYSERR), answer
    assert answer.status not in wire.FINAL_FOR_CLIENTS


def test_all_links_down_is_no_credential_error(world):
    for carrier in ('spark', 'onenz'):
        world.smsc(carrier, 'redx', link={'reconnect_min': Raw('10ms')}).refuse()
    world.client()
    world.routes()
    world.start()
    peer = world.connect()
    no_credential_error(peer.try_bind())


@pytest.mark.parametrize('status', wire.FINAL_FOR_CLIENTS + (wire.RBINDFAIL, wire.RTHROTTLED, 0x401))
def test_refusal_of_our_bind_upstream_is_no_credential_error(world, status):
    world.smsc('spark', 'redx', bind_status=status)
    world.client()
    world.routes()
    world.start()
    no_credential_error(world.connect().try_bind())
    refused = world.daemon.wait_event('leg_refused')
    assert 'spark-redx' in refused.values()


def test_silent_smsc_is_no_credential_error(world):
    world.smsc('spark', 'redx', bind_status=None, link={'bind_timeout': Raw('300ms')})
    world.client()
    world.routes()
    world.start()
    no_credential_error(world.connect().try_bind())


def test_no_redis_and_no_snapshot_is_no_credential_error(world_own):
    world = world_own
    world.smsc('spark', 'redx')
    world.client()
    world.redis.stop()
    world.start(wait=False)
    peer = world.connect()
    no_credential_error(peer.try_bind())


@pytest.mark.sanitize
def test_some_carriers_down_the_bind_still_succeeds(world):
    up = world.smsc('spark', 'redx')
    down = world.smsc('onenz', 'redx')
    world.client(hold_budget=Raw('100ms'))
    world.routes()
    down.refuse()
    world.start()
    client = world.bound()
    leg = up.leg()
    sent = client.submit(dest=number_of('onenz'))
    assert client.expect('submit_sm_resp', seq=sent.seq).status in (wire.RMSGQFUL, wire.RSYSERR)
    sent = client.submit(dest=number_of('spark'))
    leg.send(leg.expect('submit_sm').answer(0, b'1\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)
    down.listen()
    down.leg()


def test_bind_answer_first(world):
    """The answer comes with the first leg, though the other SMSC has not answered yet."""
    ready = world.smsc('spark', 'redx')
    silent = world.smsc('onenz', 'redx', bind_status=None)
    world.client(bind_answer='first')
    world.routes()
    world.start()
    client = world.connect()
    client.bind()
    ready.leg()
    late = silent.connection()
    silent.answer_bind(late, late.expect('bind_transceiver'))
    sent = client.submit(dest=number_of('onenz'))
    late.send(late.expect('submit_sm').answer(0, b'late\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)


def test_bind_answer_once(world):
    silent = world.smsc('spark', 'redx', bind_status=None)
    world.client(bind_answer='once')
    world.routes()
    world.start()
    world.bound()
    silent.connection().expect('bind_transceiver')


def test_bind_answer_all(world):
    ready = world.smsc('spark', 'redx')
    silent = world.smsc('onenz', 'redx', bind_status=None)
    world.client(bind_answer='all')
    world.routes()
    world.start()
    client = world.connect()
    sent = client.request('bind_transceiver', wire.bind('acme', 'secret'))
    ready.leg()
    late = silent.connection()
    bind = late.expect('bind_transceiver')
    client.expect_nothing()
    silent.answer_bind(late, bind)
    client.expect('bind_transceiver_resp', seq=sent.seq, status=0)


def test_client_gone_while_its_bind_is_under_way(world):
    silent = world.smsc('spark', 'redx', bind_status=None)
    world.client()
    world.routes()
    world.start()
    client = world.connect()
    client.request('bind_transceiver', wire.bind('acme', 'secret'))
    leg = silent.connection()
    leg.expect('bind_transceiver')
    client.reset()
    assert [p.name for p in leg.until_end() if p.name not in ('unbind',)] == []


def test_unbind_of_the_client_unbinds_its_legs(world):
    smsc = world.smsc('spark', 'redx')
    world.client()
    world.routes()
    world.start()
    client = world.bound()
    leg = smsc.leg()
    client.unbind()
    leg.expect('unbind')
    leg.expect_end()


def test_many_binds_at_once(world):
    """A storm of binds: each is answered, none as a fault of the client."""
    world.smsc('spark', 'redx')
    world.client(max_binds=100)
    world.routes()
    world.start()
    clients = [world.connect() for _ in range(40)]
    for client in clients:
        client.request('bind_transceiver', wire.bind('acme', 'secret'))
    for client in clients:
        assert client.expect('bind_transceiver_resp').status == 0
