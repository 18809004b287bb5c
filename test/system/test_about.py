"""query_sm, cancel_sm, replace_sm go to the link that accepted the message: also after a flip, a reconnect, a restart."""
import pytest

import wire
from harness import number_of

UNKNOWN = {'query_sm': wire.RQUERYFAIL, 'cancel_sm': wire.RCANCELFAIL, 'replace_sm': wire.RREPLACEFAIL}


def body_of(command, message_id):
    if command == 'query_sm':
        return wire.query(message_id, '5001')
    if command == 'cancel_sm':
        return wire.cancel(message_id, '5001', number_of('spark'))
    return wire.replace(message_id, '5001', b'new text')


def answer_of(command, message_id):
    return wire.cstr(message_id) + b'\0\2\0' if command == 'query_sm' else b''


def submit(client, leg, message_id, carrier='spark'):
    sent = client.submit(dest=number_of(carrier))
    leg.send(leg.expect('submit_sm').answer(0, wire.cstr(message_id)))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)


def check(client, leg, command, message_id):
    body = body_of(command, message_id)
    sent = client.request(command, body)
    got = leg.expect(command)
    assert got.body == body
    leg.send(got.answer(0, answer_of(command, message_id)))
    answer = client.expect(command + '_resp', seq=sent.seq, status=0)
    assert answer.body == answer_of(command, message_id)


@pytest.fixture
def flippable(world):
    world.smsc('spark', 'redx')
    world.smsc('spark', 'omni')
    world.smsc('onenz', 'redx')
    world.client(bind_answer='all')
    world.routes(carriers=('spark', 'onenz'))
    return world


@pytest.mark.sanitize
@pytest.mark.parametrize('command', UNKNOWN)
def test_to_the_leg_that_accepted_it(flippable, command):
    world = flippable
    world.start()
    client = world.bound()
    spark, onenz = world.smscs['spark-redx'].leg(), world.smscs['onenz-redx'].leg()
    submit(client, spark, 'A1')
    submit(client, onenz, 'B2', 'onenz')
    check(client, onenz, command, 'B2')
    check(client, spark, command, 'A1')


@pytest.mark.sanitize
@pytest.mark.parametrize('command', UNKNOWN)
def test_after_a_flip_still_to_the_old_one(flippable, command):
    world = flippable
    world.start()
    client = world.bound()
    redx = world.smscs['spark-redx'].leg()
    submit(client, redx, 'old-1')
    world.flip('5001', 'spark', 'omni')
    omni = world.smscs['spark-omni'].leg()
    submit(client, omni, 'new-1')
    check(client, redx, command, 'old-1')
    check(client, omni, command, 'new-1')


@pytest.mark.parametrize('command', UNKNOWN)
def test_unknown_id(flippable, command):
    world = flippable
    world.start()
    client = world.bound()
    leg = world.smscs['spark-redx'].leg()
    assert client.ask(command, body_of(command, 'never-seen')).status == UNKNOWN[command]
    assert client.ask(command, body_of(command, '')).status == UNKNOWN[command]
    leg.expect_nothing()


@pytest.mark.parametrize('command', UNKNOWN)
def test_another_clients_id_is_unknown(flippable, command):
    world = flippable
    world.client('bcme', 'other', shortcodes=['6001'], bind_answer='all')
    world.change({('6001', 'spark'): 'redx', ('6001', 'onenz'): 'redx'})
    world.start()
    client = world.bound()
    submit(client, world.smscs['spark-redx'].leg(), 'mine')
    other = world.bound('transceiver', 'bcme', 'other')
    assert other.ask(command, body_of(command, 'mine')).status == UNKNOWN[command]


def test_a_refused_message_is_unknown(flippable):
    world = flippable
    world.start()
    client = world.bound()
    leg = world.smscs['spark-redx'].leg()
    sent = client.submit()
    leg.send(leg.expect('submit_sm').answer(wire.RTHROTTLED, b'X9\0'))
    client.expect('submit_sm_resp', seq=sent.seq)
    assert client.ask('query_sm', body_of('query_sm', 'X9')).status == wire.RQUERYFAIL


@pytest.mark.parametrize('workers', (1, 2))
def test_by_another_session_of_the_client(flippable, workers):
    world = flippable
    world.options['workers'] = workers
    world.start()
    first = world.bound()
    redx = world.smscs['spark-redx'].leg()
    submit(first, redx, 'shared')
    for _ in range(4):
        second = world.bound()
        check(second, world.smscs['spark-redx'].leg(), 'query_sm', 'shared')


@pytest.mark.parametrize('how', ('SIGTERM', 'kill'))
def test_after_a_restart(flippable, how):
    world = flippable
    daemon = world.start()
    client = world.bound()
    submit(client, world.smscs['spark-redx'].leg(), 'kept')
    if how == 'kill':
        world.kill(daemon)
    else:
        client.unbind()
        daemon.stop()
    world.flip('5001', 'spark', 'omni', daemons=[])
    world.start()
    client = world.bound()
    # The route leads to omni now; the message is redx's.
    body = body_of('query_sm', 'kept')
    sent = client.request('query_sm', body)
    leg = world.smscs['spark-redx'].leg()
    got = leg.expect('query_sm')
    assert got.body == body
    leg.send(got.answer(0, answer_of('query_sm', 'kept')))
    client.expect('query_sm_resp', seq=sent.seq, status=0)


def test_ids_are_not_normalised(flippable):
    """Hex and decimal, padded, either case: four different messages."""
    world = flippable
    world.start()
    client = world.bound()
    spark, onenz = world.smscs['spark-redx'].leg(), world.smscs['onenz-redx'].leg()
    submit(client, spark, '00ff')
    submit(client, onenz, '00FF', 'onenz')
    submit(client, onenz, 'ff', 'onenz')
    check(client, spark, 'query_sm', '00ff')
    check(client, onenz, 'query_sm', '00FF')
    check(client, onenz, 'query_sm', 'ff')
    assert client.ask('query_sm', body_of('query_sm', '255')).status == wire.RQUERYFAIL
