"""Which way a message goes, and what is answered where there is none."""
import pytest

import wire
from harness import Raw, number_of


@pytest.fixture
def four(world):
    """Four carriers on redx, spark on omni too; the client has 5001 and 5002."""
    for carrier in ('spark', 'onenz', '2degrees', 'skinny'):
        world.smsc(carrier, 'redx')
    world.smsc('spark', 'omni')
    world.client(bind_answer='all')
    world.routes()
    return world


def legs_of(world, *names):
    return {name: world.smscs[name].leg() for name in names}


def status_of(client, **fields):
    sent = client.submit(**fields)
    return client.expect('submit_sm_resp', seq=sent.seq).status


@pytest.mark.sanitize
def test_longest_prefix_with_and_without_plus(four):
    four.carrier('onenz', prefixes=['6421', '6426', '6428', '642'])
    four.start()
    client = four.bound()
    legs = legs_of(four, 'spark-redx', 'onenz-redx', '2degrees-redx', 'skinny-redx')
    cases = {'64251234567': 'spark', '64271234567': 'spark', '6421123456': 'onenz', '64221234567': '2degrees',
             '64204123456': 'skinny', '64203123456': 'onenz', '642': 'onenz'}
    for digits, carrier in cases.items():
        for number in (digits, '+' + digits):
            sent = client.submit(dest=number)
            leg = legs[carrier + '-redx']
            got = leg.expect('submit_sm')
            assert wire.message_fields(got).dest == number, 'the address must pass as it was sent'
            leg.send(got.answer(0, b'1\0'))
            client.expect('submit_sm_resp', seq=sent.seq, status=0)


@pytest.mark.parametrize('dest', ('61412345678', '64', '64990000', '', '+', 'abc', '++64251234567'))
def test_no_carrier(four, dest):
    four.start()
    assert status_of(four.bound(), dest=dest) == wire.RINVDSTADR


def test_default_carrier(four):
    four.options['default_carrier'] = '2degrees'
    four.start()
    client = four.bound()
    leg = four.smscs['2degrees-redx'].leg()
    sent = client.submit(dest='61412345678')
    leg.send(leg.expect('submit_sm').answer(0, b'1\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)


@pytest.mark.parametrize('source', ('5003', '500', '50011', '', '*', 'ACME', '+5001'))
def test_a_shortcode_that_is_not_the_clients(four, source):
    four.start()
    client = four.bound()
    leg = four.smscs['spark-redx'].leg()
    assert status_of(client, source=source) == wire.RINVSRCADR
    leg.expect_nothing()


def test_no_route(four):
    """5002 is the client's, but nothing says where it goes."""
    four.start()
    assert status_of(four.bound(), source='5002') == wire.RINVSRCADR


def test_wildcard_row(four):
    four.change({('*', 'spark'): 'omni', ('*', 'onenz'): 'redx'})
    four.start()
    client = four.bound()
    redx, omni = four.smscs['spark-redx'].leg(), four.smscs['spark-omni'].leg()
    client.submit(source='5002')
    omni.expect('submit_sm')
    client.submit(source='5001')  # has a row of its own
    redx.expect('submit_sm')
    assert status_of(client, source='5002', dest=number_of('skinny')) == wire.RINVSRCADR


def test_a_row_of_its_own_falls_back_to_the_wildcard_per_carrier(world):
    spark, onenz = world.smsc('spark', 'redx'), world.smsc('onenz', 'omni')
    world.client(bind_answer='all')
    world.change({('5001', 'spark'): 'redx', ('*', 'onenz'): 'omni'})
    world.start()
    client = world.bound()
    first, second = spark.leg(), onenz.leg()
    client.submit(dest=number_of('spark'))
    first.expect('submit_sm')
    client.submit(dest=number_of('onenz'))
    second.expect('submit_sm')


def test_client_with_any_shortcode(world):
    smsc = world.smsc('spark', 'redx')
    world.client(shortcodes=['*'])
    world.change({('*', 'spark'): 'redx'})
    world.start()
    client = world.bound()
    leg = smsc.leg()
    for source in ('5001', '99', '123456'):
        client.submit(source=source)
        assert wire.message_fields(leg.expect('submit_sm')).source == source


def test_a_route_to_a_platform_without_a_link(world):
    world.smsc('spark', 'redx')
    onenz = world.smsc('onenz', 'redx')
    world.client()
    world.change({('5001', 'spark'): 'omni', ('5001', 'onenz'): 'redx'})
    world.start()
    client = world.bound()
    onenz.leg()
    assert status_of(client, dest=number_of('spark')) in (wire.RMSGQFUL, wire.RSYSERR)


def test_closed_route(four):
    four.client(bind_answer='all', closed_refusal='ESME_RTHROTTLED')
    four.change({('5001', 'spark'): ('redx', 'closed')})
    four.start()
    client = four.bound()
    leg = four.smscs['onenz-redx'].leg()
    assert status_of(client) == wire.RTHROTTLED
    client.submit(dest=number_of('onenz'))
    leg.expect('submit_sm')


def test_hold_expires_with_the_configured_status(four):
    four.client(bind_answer='all', hold_budget=Raw('200ms'), hold_refusal='ESME_RTHROTTLED')
    four.change({('5001', 'spark'): ('redx', 'hold')})
    four.start()
    client = four.bound()
    leg = four.smscs['spark-redx'].leg()
    assert status_of(client) == wire.RTHROTTLED
    leg.expect_nothing()
    assert four.daemon.metric('refused_total', cause='hold_expired') >= 1


def test_hold_default_refusal_is_what_clients_retry(four):
    four.client(bind_answer='all', hold_budget=Raw('100ms'))
    four.change({('5001', 'spark'): ('redx', 'hold')})
    four.start()
    assert status_of(four.bound()) == wire.RMSGQFUL


@pytest.mark.sanitize
def test_held_messages_are_released_in_order_onto_the_new_leg(four):
    four.client(bind_answer='all', hold_budget=Raw('20s'))
    four.start()
    client = four.bound()
    redx = four.smscs['spark-redx'].leg()
    four.change({('5001', 'spark'): ('redx', 'hold')})
    four.daemon.wait_version(four.version)
    sent = [client.submit(text=b'%d' % i) for i in range(20)]
    other = client.submit(dest=number_of('onenz'))
    onenz = four.smscs['onenz-redx'].leg()
    onenz.send(onenz.expect('submit_sm').answer(0, b'o\0'))
    client.expect('submit_sm_resp', seq=other.seq, status=0)
    redx.expect_nothing()
    four.flip('5001', 'spark', 'omni')
    omni = four.smscs['spark-omni'].leg()
    for i, s in enumerate(sent):
        got = omni.expect('submit_sm')
        assert wire.message_fields(got).text == b'%d' % i
        omni.send(got.answer(0, b'%d\0' % i))
        assert client.expect('submit_sm_resp', seq=s.seq, status=0).body == b'%d\0' % i
    redx.expect_nothing()


@pytest.mark.odd
@pytest.mark.parametrize('body', (b'', b'\0', b'\0\0\0005001', b'\0\0\0005001\0\1\1' + b'64251234567', b'\xff' * 40))
def test_unreadable_addresses_are_refused(four, body):
    four.start()
    client = four.bound()
    answer = client.ask('submit_sm', body)
    assert answer.status != 0 and answer.status not in (wire.RINVPASWD, wire.RINVSYSID)
    client.expect_nothing()


# -- submit_multi

def test_multi_to_one_carrier(four):
    four.start()
    client = four.bound()
    leg = four.smscs['spark-redx'].leg()
    body = wire.multi('5001', ['64251111111', '+64272222222', '64253333333'], b'many')
    sent = client.request('submit_multi', body)
    got = leg.expect('submit_multi')
    assert got.body == body
    resp = b'7\0\1\1\1' + b'64251111111\0' + b'\0\0\0\x0b'
    leg.send(got.answer(0, resp))
    answer = client.expect('submit_multi_resp', seq=sent.seq, status=0)
    assert answer.body == resp


@pytest.mark.parametrize('dests, lists, status', [
    (['64251111111', '64211111111'], (), wire.RSUBMITFAIL),
    (['64251111111'], ('friends',), wire.RSUBMITFAIL),
    (['64251111111', '61400000000'], (), None),
    (['61400000000'], (), None),
])
def test_multi_that_cannot_go_one_way(four, dests, lists, status):
    four.start()
    client = four.bound()
    leg = four.smscs['spark-redx'].leg()
    answer = client.ask('submit_multi', wire.multi('5001', dests, b'x', lists))
    assert answer.status == status or (status is None and answer.status in (wire.RSUBMITFAIL, wire.RINVDSTADR))
    leg.expect_nothing()


def test_multi_of_a_foreign_shortcode(four):
    four.start()
    assert four.bound().ask('submit_multi', wire.multi('9999', ['64251111111'])).status == wire.RINVSRCADR


def test_multi_without_destinations(four):
    four.start()
    assert four.bound().ask('submit_multi', wire.multi('5001', [])).status != 0
