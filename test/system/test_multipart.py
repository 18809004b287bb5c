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
    assert platform_of(client, **part(1)) == 'spark-omni'  # all were sent: another message
    assert daemon.metric('multipart_messages') == 1
