"""Forwarding: octets pass unchanged in both directions, answers find their requests, every request gets exactly one."""
import random

import pytest

import wire
from harness import Raw, number_of
from wire import Pdu, message, tlv

SPARK = number_of('spark')

BODIES = {
    'plain': message('5001', SPARK, b'hello'),
    'empty text': message('5001', SPARK, b''),
    '254 octets': message('5001', SPARK, bytes(range(254))),
    '255 octets': message('5001', SPARK, b'\xff' * 255),
    'plus': message('5001', '+' + SPARK, b'hi'),
    'alphanumeric fields': message('5001', SPARK, b'\5\0\3\1\2\1x', service_type='CMT', schedule='260101000000000+',
                                   validity='000001000000000R', coding=8, registered=1, esm_class=0x40),
    'unknown and vendor TLVs, order, twice': message('5001', SPARK, b'x', tlvs=tlv(0x3FFF, b'z') + tlv(0x1401, b'') +
                                                     tlv(0x020C, b'\0\1') + tlv(0x1401, b'again') + tlv(0x0005, b'1')),
    '60 empty TLVs': message('5001', SPARK, b'x', tlvs=b''.join(tlv(0x1500 + i, b'') for i in range(60))),
    'payload of 60000': message('5001', SPARK, b'', tlvs=tlv(wire.MESSAGE_PAYLOAD, b'p' * 60000)),
    'ton npi odd': message('5001', SPARK, b'x', source_ton=0xFE, source_npi=0xFF, dest_ton=1, dest_npi=1),
}
ODD_BODIES = {
    'long service_type': message('5001', SPARK, b'x', service_type='longer than six'),
    'sm_length lies': message('5001', SPARK, b'abc')[:-4] + bytes([200]) + b'abc',
    'TLV length lies': message('5001', SPARK, b'abc', tlvs=b'\x14\x01\xff\xffzz'),
    'one octet after the end': message('5001', SPARK, b'abc', tlvs=b'\x14'),
    'ends after the addresses': b'\0\0\0005001\0\1\1' + SPARK.encode() + b'\0',
    'garbage after the addresses': b'\0\0\0005001\0\1\1' + SPARK.encode() + b'\0' + bytes(range(256)),
}


def check_mt(client, leg, body, command='submit_sm'):
    sent = client.request(command, body)
    got = leg.expect(command)
    assert got.body == body
    assert got.status == sent.status
    leg.send(got.answer(0, b'id-1\0'))
    answer = client.expect(command + '_resp', seq=sent.seq, status=0)
    assert answer.body == b'id-1\0'


@pytest.mark.sanitize
@pytest.mark.parametrize('kind', BODIES)
def test_submit_sm_unchanged(pair, kind):
    _, client, leg = pair
    check_mt(client, leg, BODIES[kind])


@pytest.mark.odd
@pytest.mark.sanitize
@pytest.mark.parametrize('kind', ODD_BODIES)
def test_odd_submit_sm_unchanged(pair, kind):
    _, client, leg = pair
    check_mt(client, leg, ODD_BODIES[kind])


def test_command_status_of_a_request_passes(pair):
    """Not zero in a request is wrong, but not ours to judge."""
    _, client, leg = pair
    client.request('submit_sm', BODIES['plain'], status=0x55)
    assert leg.expect('submit_sm').status == 0x55


ANSWERS = {
    'id': (0, b'0A1b\0'),
    'long id': (0, b'x' * 200 + b'\0'),
    'id and TLVs': (0, b'77\0' + tlv(0x001D, b'info\0') + tlv(0x1500, b'\1\2') + tlv(0x0420, b'\1')),
    'throttled, no body': (wire.RTHROTTLED, b''),
    'throttled, a NUL': (wire.RTHROTTLED, b'\0'),
    'error with id': (0x45, b'1234\0'),
    'vendor status': (0x4A1, b''),
    'vendor status with TLV': (0x400, b'\0' + tlv(0x1401, b'why')),
    'reserved status': (0x80000001, b''),
}
ODD_ANSWERS = {
    'no body at all': (0, b''),
    'id without NUL': (0, b'1234'),
    'octets after a NUL': (0x08, b'\0\1\2'),
}


def check_answer(client, leg, status, body):
    sent = client.submit()
    leg.send(leg.expect('submit_sm').answer(status, body))
    answer = client.expect('submit_sm_resp', seq=sent.seq)
    assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize('kind', ANSWERS)
def test_submit_sm_resp_unchanged(pair, kind):
    check_answer(*pair[1:], *ANSWERS[kind])


@pytest.mark.odd
@pytest.mark.parametrize('kind', ODD_ANSWERS)
def test_odd_submit_sm_resp_unchanged(pair, kind):
    check_answer(*pair[1:], *ODD_ANSWERS[kind])


def test_generic_nack_of_the_smsc_is_the_answer(pair):
    _, client, leg = pair
    sent = client.submit()
    got = leg.expect('submit_sm')
    leg.send(Pdu('generic_nack', wire.RINVCMDID, got.seq))
    answer = client.next()
    assert answer.seq == sent.seq and answer.status == wire.RINVCMDID
    assert answer.name in ('generic_nack', 'submit_sm_resp')
    client.expect_nothing()


@pytest.mark.sanitize
@pytest.mark.parametrize('command', ('deliver_sm', 'data_sm'))
def test_mo_unchanged_and_its_answers(pair, command):
    _, client, leg = pair
    bodies = [message(SPARK, '5001', b'mo', source_ton=1, source_npi=1, dest_ton=0, dest_npi=0,
                      tlvs=tlv(0x1403, b'vendor') + tlv(0x0202, b'sub')),
              message('+' + SPARK, '5001', bytes(range(200)), esm_class=0x40)]
    if command == 'data_sm':
        bodies = [wire.data(SPARK, '5001', b'payload' * 100, tlvs=tlv(0x1403, b'v'))]
    for body in bodies:
        for status, resp in ((0, b'\0'), (0, b'not empty\0' + tlv(0x1401, b'x')), (0x14, b''), (0x4FF, b'\0'), (0x64, b'\0')):
            sent = leg.request(command, body)
            got = client.expect(command)
            assert got.body == body
            client.send(got.answer(status, resp))
            answer = leg.expect(command + '_resp', seq=sent.seq)
            assert (answer.status, answer.body) == (status, resp)


@pytest.mark.odd
def test_deliver_sm_resp_without_its_octet(pair):
    _, client, leg = pair
    sent = leg.deliver()
    client.send(client.expect('deliver_sm').answer(0, b''))
    assert leg.expect('deliver_sm_resp', seq=sent.seq, status=0).body == b''


def test_data_sm_from_the_client(pair):
    _, client, leg = pair
    check_mt(client, leg, wire.data('5001', SPARK, b'p' * 2000, registered=1, tlvs=tlv(0x1400, b'q')), 'data_sm')


def test_alert_notification(pair):
    _, client, leg = pair
    body = wire.alert(SPARK, '5001') + tlv(0x0422, b'\0')
    leg.request('alert_notification', body)
    assert client.expect('alert_notification').body == body
    leg.expect_nothing()


@pytest.mark.parametrize('esm_class', (0x04, 0x08, 0x20, 0x24))
def test_receipt(pair, esm_class):
    _, client, leg = pair
    sent = client.submit(registered=1)
    leg.send(leg.expect('submit_sm').answer(0, b'4F\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)
    body = message(SPARK, '5001', wire.receipt_text('4F'), esm_class=esm_class,
                   tlvs=tlv(wire.RECEIPTED_MESSAGE_ID, b'4F\0') + tlv(0x0427, b'\2'))
    receipt = leg.request('deliver_sm', body)
    got = client.expect('deliver_sm')
    assert got.body == body
    client.send(got.answer(0, b'\0'))
    leg.expect('deliver_sm_resp', seq=receipt.seq, status=0)


def test_receipt_before_its_answer(pair):
    _, client, leg = pair
    sent = client.submit(registered=1)
    submit = leg.expect('submit_sm')
    receipt = leg.deliver(text=wire.receipt_text('77'), esm_class=4)
    got = client.expect('deliver_sm')
    client.send(got.answer(0, b'\0'))
    leg.expect('deliver_sm_resp', seq=receipt.seq, status=0)
    leg.send(submit.answer(0, b'77\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)


@pytest.mark.sanitize
def test_order_and_answers_in_any_order(pair):
    _, client, leg = pair
    count = 90  # less than a window
    sent = [client.submit(text=b'%d' % i) for i in range(count)]
    got = [leg.expect('submit_sm') for _ in sent]
    assert [wire.message_fields(p).text for p in got] == [b'%d' % i for i in range(count)]
    assert len({p.seq for p in got}) == count and all(1 <= p.seq <= 0x7FFFFFFF for p in got)
    pairs = list(zip(sent, got))
    random.Random(7).shuffle(pairs)
    for s, g in pairs:
        leg.send(g.answer(0, b'for-%d\0' % s.seq))
    for s, _ in pairs:
        answer = client.expect('submit_sm_resp', status=0)
        assert answer.seq == s.seq and answer.body == b'for-%d\0' % s.seq


@pytest.mark.parametrize('seq', (1, 2, 0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0))
def test_sequence_numbers_of_the_client(pair, seq):
    """Those outside the allowed range are answered with what was sent, too."""
    _, client, leg = pair
    client.request('submit_sm', BODIES['plain'], seq=seq)
    got = leg.expect('submit_sm')
    assert 1 <= got.seq <= 0x7FFFFFFF
    leg.send(got.answer(0, b'1\0'))
    client.expect('submit_sm_resp', seq=seq, status=0)


def test_same_sequence_number_twice(pair):
    _, client, leg = pair
    for _ in range(2):
        client.request('submit_sm', BODIES['plain'], seq=5)
    first, second = leg.expect('submit_sm'), leg.expect('submit_sm')
    leg.send(second.answer(0, b'b\0'))
    leg.send(first.answer(0, b'a\0'))
    assert [client.expect('submit_sm_resp', seq=5, status=0).body for _ in range(2)] == [b'b\0', b'a\0']


def test_an_answer_twice_reaches_the_client_once(pair):
    world, client, leg = pair
    sent = client.submit()
    got = leg.expect('submit_sm')
    for _ in range(3):
        leg.send(got.answer(0, b'1\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)
    # The next message may sit in the same slot: the late duplicate of the first must not answer it.
    sent = client.submit()
    second = leg.expect('submit_sm')
    leg.send(got.answer(0, b'late\0'))
    leg.send(second.answer(0, b'2\0'))
    assert client.expect('submit_sm_resp', seq=sent.seq, status=0).body == b'2\0'
    client.expect_nothing()
    assert world.daemon.metric('stray_responses_total') + world.daemon.metric('link_late_responses_total') == 3


@pytest.mark.parametrize('seq', (0, 1, 12345, 0x7FFFFFFF, 0xFFFFFFFF))
def test_answers_to_nothing_are_dropped(pair, seq):
    _, client, leg = pair
    for name in ('submit_sm_resp', 'data_sm_resp', 'query_sm_resp', 'generic_nack'):
        leg.send(Pdu(name, 0, seq, b'1\0' if name != 'generic_nack' else b''))
    check_mt(client, leg, BODIES['plain'])
    client.expect_nothing()


def test_answer_of_the_wrong_command(pair):
    """A data_sm_resp for a submit_sm: it must not leave the client with two answers, or none for ever."""
    _, client, leg = pair
    sent = client.submit()
    got = leg.expect('submit_sm')
    leg.send(Pdu('data_sm_resp', 0, got.seq, b'1\0'))
    leg.send(got.answer(0, b'2\0'))
    answers = [p for p in [client.next()] + client.fence()]
    assert len(answers) == 1 and answers[0].seq == sent.seq


def test_transmitter_and_receiver_pair(world):
    smsc = world.smsc('spark', 'redx')
    world.client()
    world.routes()
    world.start()
    tx, rx = world.bound('transmitter'), world.bound('receiver')
    legs = {leg.bound_as.name: leg for leg in (smsc.leg(), smsc.leg())}
    sent = tx.submit()
    leg = legs['bind_transmitter']
    leg.send(leg.expect('submit_sm').answer(0, b'1\0'))
    tx.expect('submit_sm_resp', seq=sent.seq, status=0)
    leg = legs['bind_receiver']
    mo = leg.deliver()
    rx.send(rx.expect('deliver_sm').answer(0, b'\0'))
    leg.expect('deliver_sm_resp', seq=mo.seq, status=0)
    tx.expect_nothing()


def test_mo_that_no_receiver_can_take_is_refused_for_retry(world):
    """A carrier's MO, for which its client has only a transmitter."""
    smsc = world.smsc('spark', 'redx')
    other = world.smsc('2degrees', 'redx')
    world.carrier('2degrees', mo_refusal='ESME_RSYSERR')
    world.client(bind_answer='all')
    world.client('bcme', 'other', shortcodes=['6001'])
    world.routes(shortcodes=('5001', '6001'))
    world.start()
    world.bound('transceiver')
    leg, second = smsc.leg(), other.leg()
    # 6001 is bcme's, who has nobody here.
    sent = leg.deliver(dest='6001')
    assert leg.expect('deliver_sm_resp', seq=sent.seq).status == wire.RMSGQFUL
    sent = second.deliver(dest='6001')
    assert second.expect('deliver_sm_resp', seq=sent.seq).status == wire.RSYSERR


def test_mo_refused_while_the_client_is_silent(world):
    """An MO that the client does not answer in time is refused for retry: exactly one answer."""
    smsc = world.smsc('spark', 'redx')
    world.client(response_timeout=Raw('300ms'))
    world.routes()
    world.start()
    client = world.bound()
    leg = smsc.leg()
    sent = leg.deliver()
    got = client.expect('deliver_sm')
    assert leg.expect('deliver_sm_resp', seq=sent.seq).status == wire.RMSGQFUL
    client.send(got.answer(0, b'\0'))
    client.expect_nothing()
    leg.expect_nothing()


def test_mo_whose_client_goes_is_refused_for_retry(pair):
    _, client, leg = pair
    sent = leg.deliver()
    client.expect('deliver_sm')
    client.reset()
    answers = [p for p in leg.until_end() if p.name == 'deliver_sm_resp']
    assert [(p.seq, p.status) for p in answers] == [(sent.seq, wire.RMSGQFUL)]


def test_two_clients_do_not_meet(world):
    smsc = world.smsc('spark', 'redx', link={'credentials': 'pass'})
    world.client()
    world.client('bcme', 'other', shortcodes=['6001'])
    world.routes(shortcodes=('5001', '6001'))
    world.start()
    first = world.bound()
    second = world.bound('transceiver', 'bcme', 'other')
    legs = {wire.bind_fields(leg.bound_as).system_id: leg for leg in (smsc.leg(), smsc.leg())}
    a, b = first.submit(seq=9), second.submit(source='6001', seq=9)
    legs['bcme'].send(legs['bcme'].expect('submit_sm').answer(0, b'B\0'))
    legs['acme'].send(legs['acme'].expect('submit_sm').answer(0, b'A\0'))
    assert first.expect('submit_sm_resp', seq=a.seq).body == b'A\0'
    assert second.expect('submit_sm_resp', seq=b.seq).body == b'B\0'


@pytest.mark.sanitize
@pytest.mark.odd
def test_random_tails_pass_unchanged(pair):
    """Whatever follows readable addresses passes: 300 random bodies each way."""
    _, client, leg = pair
    rng = random.Random(34)
    for _ in range(300):
        tail = rng.randbytes(rng.choice((0, 1, 3, 7, 20, 300)))
        body = b'\0\0\0005001\0\1\1' + SPARK.encode() + b'\0' + tail
        sent = client.request('submit_sm', body)
        got = leg.expect('submit_sm')
        assert got.body == body
        status, resp = rng.randrange(1, 1 << 32), rng.randbytes(rng.choice((0, 1, 5, 40)))
        leg.send(got.answer(status, resp))
        answer = client.expect('submit_sm_resp', seq=sent.seq)
        assert (answer.status, answer.body) == (status, resp)
        body = b'\0\1\1' + SPARK.encode() + b'\0\0\0005001\0' + tail
        sent = leg.request('deliver_sm', body)
        got = client.expect('deliver_sm')
        assert got.body == body
        client.send(got.answer(status, resp))
        answer = leg.expect('deliver_sm_resp', seq=sent.seq)
        assert (answer.status, answer.body) == (status, resp)
