"""The parts of one message over a flip: one platform puts them together, so one gets them all."""
import pytest

import wire
from peers import answer_all

TLVS = {'sar_msg_ref_num': 0x020C, 'sar_total_segments': 0x020E, 'sar_segment_seqnum': 0x020F}


def by_header_8(number):
    return {'text': bytes([5, 0, 3, 0x77, 3, number]) + b'part', 'esm_class': 0x40}


def by_header_16(number):
    return {'text': bytes([6, 8, 4, 0x12, 0x34, 3, number]) + b'part', 'esm_class': 0x40}


def by_tlvs(number):
    return {'text': b'part', 'tlvs': wire.tlv(TLVS['sar_msg_ref_num'], b'\x12\x34')
            + wire.tlv(TLVS['sar_total_segments'], b'\3') + wire.tlv(TLVS['sar_segment_seqnum'], bytes([number]))}


def platform_of(client, **fields):
    sent = client.submit(**fields)
    answer = client.expect('submit_sm_resp', seq=sent.seq, status=0)
    return wire.response_id(answer).partition('#')[0]


@pytest.mark.sanitize
@pytest.mark.parametrize('part', (by_header_8, by_header_16, by_tlvs))
def test_parts_follow_the_first_over_a_flip(world, part):
    for platform in ('redx', 'omni'):
        world.smsc('spark', platform, answers=answer_all)
    world.client()
    world.routes()
    daemon = world.start()
    client = world.bound()
    assert platform_of(client, **part(3)) == 'spark-redx'  # in any order
    world.flip('5001', 'spark', 'omni')
    assert platform_of(client) == 'spark-omni'
    assert platform_of(client, **part(1)) == 'spark-redx'
    assert platform_of(client, **part(2)) == 'spark-redx'
    assert daemon.metric('multipart_followed_total') == 2
    assert platform_of(client, **part(1)) == 'spark-omni'  # all were accepted: another message
    assert daemon.metric('multipart_messages') == 1


def refuse_once(number):
    """An SMSC that is too busy for the part the first two times."""
    left = [2]

    def answers(leg, pdu):
        text = wire.message_fields(pdu).text if pdu.name == 'submit_sm' else b''
        if left[0] > 0 and text == by_header_8(number)['text']:
            left[0] -= 1
            return pdu.answer(wire.RTHROTTLED, b'')
        return answer_all(leg, pdu)
    return answers


@pytest.mark.sanitize
def test_a_part_that_the_smsc_refused_is_tried_again_there(world):
    """Though all parts had been sent, and the route has been flipped since."""
    world.smsc('spark', 'redx', answers=refuse_once(2))
    world.smsc('spark', 'omni', answers=answer_all)
    world.client()
    world.routes()
    daemon = world.start()
    client = world.bound()

    def refused():
        sent = client.submit(**by_header_8(2))
        client.expect('submit_sm_resp', seq=sent.seq, status=wire.RTHROTTLED)

    assert platform_of(client, **by_header_8(1)) == 'spark-redx'
    refused()
    assert platform_of(client, **by_header_8(3)) == 'spark-redx'
    world.flip('5001', 'spark', 'omni')
    refused()  # as redx has told: the retry went there
    assert platform_of(client, **by_header_8(2)) == 'spark-redx'
    assert daemon.metric('multipart_followed_total') == 2
    assert platform_of(client, **by_header_8(2)) == 'spark-omni'  # all were accepted: another message
    assert daemon.metric('multipart_astray_total') == 0


def bound_at_each_worker(world, daemon, workers=2):
    """A session at each worker: the system spreads them."""
    at = {}
    for _ in range(64):
        mark = daemon.mark()
        client = world.bound()
        at.setdefault(daemon.wait_event('client_bound', since=mark)['worker'], client)
        if len(at) == workers:
            return list(at.values())
    raise AssertionError('64 sessions, and only workers %s' % sorted(at))


@pytest.mark.sanitize
def test_parts_over_sessions_at_several_workers(world):
    """A client with several binds spreads the parts of a message over them; also over one that binds after the flip."""
    for platform in ('redx', 'omni'):
        world.smsc('spark', platform, answers=answer_all)
    world.client(bind_answer='all', max_binds=128)
    world.routes()
    daemon = world.start(workers=2)
    first, second = bound_at_each_worker(world, daemon)
    assert platform_of(first, **by_header_8(3)) == 'spark-redx'
    world.flip('5001', 'spark', 'omni')
    late = bound_at_each_worker(world, daemon)
    assert [platform_of(client) for client in (first, second, *late)] == ['spark-omni'] * 4
    assert platform_of(second, **by_header_8(1)) == 'spark-redx'
    assert platform_of(late[0], **by_header_8(3)) == 'spark-redx'  # once more: its answer was lost
    assert platform_of(late[1], **by_header_8(2)) == 'spark-redx'
    assert daemon.metric('multipart_followed_total') == 3
    assert platform_of(second, **by_header_8(1)) == 'spark-omni'  # all were accepted: another message
    assert platform_of(first, **by_header_8(2)) == 'spark-omni'
    assert (daemon.metric('multipart_messages'), daemon.metric('multipart_astray_total')) == (1, 0)
