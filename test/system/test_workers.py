"""Two workers carry sessions of their own; nothing but the table is shared."""
import pytest

import wire
from harness import Raw
from peers import answer_all


@pytest.mark.sanitize
def test_sessions_land_on_both_workers_and_all_work(world):
    smsc = world.smsc('spark', 'redx')
    world.options['workers'] = 2
    world.client(max_binds=100)
    world.routes()
    world.start()
    pairs = []
    for _ in range(24):
        client = world.bound()
        pairs.append((client, smsc.leg()))
    for n, (client, leg) in enumerate(pairs):
        sent = client.submit(text=b'%d' % n)
        got = leg.expect('submit_sm')
        assert wire.message_fields(got).text == b'%d' % n, 'a message of another session on this leg'
        leg.send(got.answer(0, b'%d\0' % n))
        assert client.expect('submit_sm_resp', seq=sent.seq, status=0).body == b'%d\0' % n
    bound = world.daemon.find('client_bound')
    workers = {e.get('worker') for e in bound}
    assert len(workers - {None}) == 2, 'of 24 sessions all were on one worker: %s' % workers


@pytest.mark.sanitize
def test_max_binds_counts_over_all_workers(world):
    smsc = world.smsc('spark', 'redx')
    world.options['workers'] = 2
    world.client(max_binds=5)
    world.routes()
    world.start()
    for _ in range(5):
        world.bound()
    for _ in range(6):
        assert world.connect().try_bind().status == wire.RBINDFAIL
    assert smsc.port


@pytest.mark.sanitize
def test_a_flip_is_applied_by_both_workers(world):
    for platform in ('redx', 'omni'):
        world.smsc('spark', platform, answers=answer_all)
    world.options['workers'] = 2
    world.client(max_binds=100, hold_budget=Raw('20s'))
    world.routes()
    world.start()
    clients = [world.bound() for _ in range(12)]
    for to in ('omni', 'redx', 'omni'):
        world.flip('5001', 'spark', to)
        for client in clients:
            sent = client.submit()
            answer = client.expect('submit_sm_resp', seq=sent.seq, status=0)
            assert wire.response_id(answer).startswith('spark-%s#' % to)


def test_mo_for_a_receiver_on_another_worker(world):
    """The receiver and the transmitter of a client on whichever workers: MO come to the receiver."""
    smsc = world.smsc('spark', 'redx')
    world.options['workers'] = 2
    world.client(max_binds=100)
    world.routes()
    world.start()
    for _ in range(6):
        world.bound('transmitter')
        smsc.leg()
        rx = world.bound('receiver')
        leg = smsc.leg()
        mo = leg.deliver()
        rx.send(rx.expect('deliver_sm').answer(0, b'\0'))
        leg.expect('deliver_sm_resp', seq=mo.seq, status=0)


@pytest.mark.sanitize
def test_mo_on_legs_of_another_client_and_worker_reach_the_owner(world):
    """Clients that share the link's credentials look alike to the SMSC: whichever bind it takes for an MO, the owner of the
    shortcode gets it, and its answer goes back by that bind."""
    smsc = world.smsc('spark', 'redx')
    world.options['workers'] = 2
    world.client()
    world.client('bcme', 'other', shortcodes=['6001'], max_binds=100)
    world.routes(shortcodes=('5001', '6001'))
    world.start()
    owner = world.bound()
    legs = [smsc.leg()]
    for _ in range(12):
        world.bound(system_id='bcme', password='other')
        legs.append(smsc.leg())
    for n, leg in enumerate(legs):
        mo = leg.deliver(dest='5001', text=b'%d' % n)
        got = owner.expect('deliver_sm')
        assert wire.message_fields(got).text == b'%d' % n
        status = 0x400 + n
        owner.send(got.answer(status, b''))
        leg.expect('deliver_sm_resp', seq=mo.seq, status=status)
    # Unanswered at the owner's end: refused for retry, each once, on the bind that it came by.
    sent = [(leg, leg.deliver(dest='5001')) for leg in legs]
    for _ in sent:
        owner.expect('deliver_sm')
    owner.reset()
    for leg, mo in sent[1:]:
        leg.expect('deliver_sm_resp', seq=mo.seq, status=wire.RMSGQFUL)
        leg.expect_nothing()
    assert len({e['worker'] for e in world.daemon.find('client_bound')}) == 2
