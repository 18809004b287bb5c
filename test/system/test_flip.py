"""A flip moves one shortcode on one carrier: at once for the messages after the barrier, and strands nothing before it."""
import queue
import time

import pytest

import wire
from harness import OUTSIDE, Raw, number_of
from peers import PATIENCE, answer_all


@pytest.fixture
def four(world):
    """Two carriers, both platforms."""
    for carrier in ('spark', 'onenz'):
        for platform in ('redx', 'omni'):
            world.smsc(carrier, platform)
    world.client(bind_answer='all', hold_budget=Raw('20s'))
    world.routes(shortcodes=('5001', '5002'))
    return world


def through(client, leg, source='5001', carrier='spark', text=b'x'):
    sent = client.submit(source=source, dest=number_of(carrier), text=text)
    leg.send(leg.expect('submit_sm').answer(0, b'1\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)


@pytest.mark.sanitize
def test_moves_that_shortcode_on_that_carrier_alone(four):
    world = four
    world.start()
    client = world.bound()
    spark, onenz = world.smscs['spark-redx'].leg(), world.smscs['onenz-redx'].leg()
    through(client, spark)
    world.flip('5001', 'spark', 'omni')
    sent = client.submit()
    omni = world.smscs['spark-omni'].leg()
    omni.send(omni.expect('submit_sm').answer(0, b'1\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)
    through(client, spark, source='5002')
    through(client, onenz, carrier='onenz')
    through(client, omni)
    world.flip('5001', 'spark', 'redx')
    through(client, spark)
    omni.expect_nothing()


@pytest.mark.sanitize
def test_the_client_notices_nothing(four):
    """Its session stays; what was in flight on the old leg is answered from there, after the flip."""
    world = four
    world.start()
    client = world.bound()
    redx = world.smscs['spark-redx'].leg()
    before = client.submit(text=b'before')
    old = redx.expect('submit_sm')
    world.flip('5001', 'spark', 'omni')
    after = client.submit(text=b'after')
    omni = world.smscs['spark-omni'].leg()
    new = omni.expect('submit_sm')
    assert wire.message_fields(new).text == b'after'
    omni.send(new.answer(0, b'new\0'))
    assert client.expect('submit_sm_resp', seq=after.seq, status=0).body == b'new\0'
    redx.send(old.answer(0, b'old\0'))
    assert client.expect('submit_sm_resp', seq=before.seq, status=0).body == b'old\0'


@pytest.mark.sanitize
def test_receipts_and_mo_of_the_old_leg_still_come(four):
    world = four
    world.start()
    client = world.bound()
    redx = world.smscs['spark-redx'].leg()
    through(client, redx)
    world.flip('5001', 'spark', 'omni')
    through(client, world.smscs['spark-omni'].leg())
    for text, esm_class in ((wire.receipt_text('1'), 4), (b'an MO', 0)):
        sent = redx.deliver(text=text, esm_class=esm_class)
        got = client.expect('deliver_sm')
        client.send(got.answer(0, b'\0'))
        redx.expect('deliver_sm_resp', seq=sent.seq, status=0)


def test_the_old_leg_is_unbound_after_its_linger_time(four):
    world = four
    world.start(linger=Raw('1s'))
    client = world.bound()
    redx = world.smscs['spark-redx'].leg()
    through(client, redx)
    # Both shortcodes must leave, or the leg is still needed.
    world.change({('5001', 'spark'): 'omni', ('5002', 'spark'): 'omni'}, kind='flip', outside_window=True)
    world.daemon.wait_version(world.version)
    redx.expect('unbind', timeout=75)  # looked after once a minute
    redx.expect_end()
    through(client, world.smscs['spark-omni'].leg())


def test_a_leg_that_comes_back_while_it_lingers(four):
    """An old leg that is lost while it lingers is bound again: its receipts are still owed."""
    world = four
    world.start()
    client = world.bound()
    redx = world.smscs['spark-redx'].leg()
    through(client, redx)
    world.change({('5001', 'spark'): 'omni', ('5002', 'spark'): 'omni'}, kind='flip', outside_window=True)
    world.daemon.wait_version(world.version)
    world.smscs['spark-omni'].leg()
    redx.close()
    redx = world.smscs['spark-redx'].leg()
    sent = redx.deliver(text=wire.receipt_text('1'), esm_class=4)
    client.send(client.expect('deliver_sm').answer(0, b'\0'))
    redx.expect('deliver_sm_resp', seq=sent.seq, status=0)


def test_a_session_bound_after_the_flip_has_the_old_leg_too(four):
    """Receipts of what an earlier session sent come to the client's next one."""
    world = four
    world.start()
    world.bound().unbind()
    world.flip('5001', 'spark', 'omni')
    world.change({('5002', 'spark'): 'omni'})
    world.daemon.wait_version(world.version)
    for smsc in world.smscs.values():
        while smsc.legs_waiting():
            smsc.leg()
    client = world.bound()
    redx = world.smscs['spark-redx'].leg()
    sent = redx.deliver(text=wire.receipt_text('1'), esm_class=4)
    client.send(client.expect('deliver_sm').answer(0, b'\0'))
    redx.expect('deliver_sm_resp', seq=sent.seq, status=0)


def test_flip_to_a_platform_that_is_down(four):
    """Messages wait for the hold budget and are refused for retry; a flip back serves them again."""
    world = four
    world.client(bind_answer='all', hold_budget=Raw('300ms'))
    world.smscs['spark-omni'].refuse()
    world.start()
    client = world.bound()
    redx, onenz = world.smscs['spark-redx'].leg(), world.smscs['onenz-redx'].leg()
    world.flip('5001', 'spark', 'omni')
    sent = client.submit()
    through(client, onenz, carrier='onenz')
    client.expect('submit_sm_resp', seq=sent.seq, status=wire.RMSGQFUL)
    redx.expect_nothing()
    world.flip('5001', 'spark', 'redx')
    through(client, redx)


@pytest.mark.sanitize
def test_after_the_barrier_not_one_message_on_the_old_leg(four):
    """100 flips while the client sends without a pause: what is submitted after `applied` goes the new way."""
    world = four
    for smsc in world.smscs.values():
        smsc.answers = answer_all
    world.start()
    client = world.bound()
    platform = 'redx'
    for i in range(100):
        before = [client.submit(text=b'%d' % i) for _ in range(5)]
        platform = 'omni' if platform == 'redx' else 'redx'
        world.flip('5001', 'spark', platform)
        after = {client.submit(text=b'%d' % i).seq for _ in range(5)}
        for _ in range(len(before) + len(after)):
            answer = client.expect('submit_sm_resp', status=0)
            if answer.seq in after:
                assert wire.response_id(answer).startswith('spark-%s#' % platform), 'flip %d: %r' % (i, answer)


def test_turnoutctl_flip_returns_when_it_is_applied(four):
    world = four
    for smsc in world.smscs.values():
        smsc.answers = answer_all
    world.start()
    client = world.bound()
    for i, platform in enumerate(('omni', 'redx') * 5):
        code, answer = world.ctl(*OUTSIDE, '5001', '--carrier', 'spark', '--to', platform, '--why', 'test %d' % i)
        assert code == 0
        assert 'version' in answer
        sent = client.submit()
        got = client.expect('submit_sm_resp', seq=sent.seq, status=0)
        assert wire.response_id(got).startswith('spark-%s#' % platform)


def test_turnoutctl_flip_names_the_instance_that_does_not_answer(four):
    world = four
    world.start()
    daemon = world.daemon
    daemon.signal(19)
    try:
        code, answer = world.ctl(*OUTSIDE, '5001', '--carrier', 'spark', '--to', 'omni', '--timeout', '500ms', check=False)
    finally:
        daemon.signal(18)
    assert code == 5, answer
    assert 'test-1' in str(answer)
    daemon.wait_version(int(answer['version']))


def test_flip_of_several_shortcodes_is_one_change(four):
    world = four
    for smsc in world.smscs.values():
        smsc.answers = answer_all
    world.start()
    code, answer = world.ctl(*OUTSIDE, '5001', '5002', '--carrier', 'spark', '--to', 'omni')
    assert code == 0
    assert int(answer['version']) == world.version + 1
    client = world.bound()
    for source in ('5001', '5002'):
        sent = client.submit(source=source)
        got = client.expect('submit_sm_resp', seq=sent.seq, status=0)
        assert wire.response_id(got).startswith('spark-omni#')


@pytest.mark.sanitize
def test_settled_when_nothing_routed_before_is_unanswered(four):
    """What a strict flip waits for: applied says that nothing more goes the old way, settled that all which went is answered."""
    world = four
    world.start()
    client = world.bound()
    old = world.smscs['spark-redx'].leg()
    sent = client.submit()
    asked = old.expect('submit_sm')
    version = world.flip('5001', 'spark', 'omni')

    def settled():
        return int(world.redis.call('HGET', world.prefix + ':instance:test-1', 'settled') or 0)

    code, answer = world.ctl(*OUTSIDE, '5002', '--carrier', 'spark', '--to', 'omni')
    assert code == 0 and settled() < version
    old.send(asked.answer(0, b'old\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)
    deadline = time.monotonic() + PATIENCE
    while settled() != int(answer['version']):
        assert time.monotonic() < deadline, 'settled is %d' % settled()


@pytest.mark.sanitize
@pytest.mark.parametrize('workers', (1, 2))
def test_a_strict_flip_waits_for_the_links_that_it_leaves_alone(four, workers):
    """A carrier that never answers holds up nobody else's strict flip; what is in flight on the old route does."""
    world = four
    came = queue.Queue()  # (leg, message) at the new platform
    world.smscs['spark-omni'].answers = lambda leg, pdu: came.put((leg, pdu)) if pdu.name == 'submit_sm' else None
    world.start(workers=workers)
    for _ in range(4):
        client = world.bound()
        client.submit(dest=number_of('onenz'))
        world.smscs['onenz-redx'].leg().expect('submit_sm')
    strict = (*OUTSIDE, '5001', '--carrier', 'spark', '--strict', '--drain')
    code, answer = world.ctl(*strict, '9s', '--to', 'omni')
    assert code == 0, answer
    assert answer['steps'][-1]['ms'] < 5000

    client = world.bound()
    sent = client.submit()
    omni, asked = came.get(timeout=PATIENCE)
    code, answer = world.ctl(*strict, '300ms', '--to', 'redx', check=False)
    assert code == 13 and answer['barrier']['missing'][0]['unanswered_on'] == 'spark:omni', answer
    omni.send(asked.answer(0, b'1\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)
    code, answer = world.ctl(*strict, '9s', '--to', 'redx')
    assert code == 0, answer
    unsettled = world.redis.call('HGET', world.prefix + ':instance:test-1', 'unsettled')
    assert unsettled.split(' ')[1].startswith('onenz:redx=')


@pytest.mark.sanitize
def test_two_instances_of_one_name_are_two_to_the_barrier(four):
    """A config copied to a second host: a flip must not be reported when only the quicker one has applied it."""
    world = four
    world.options['instance'] = 'same'
    first = world.start()
    (world.directory / 'state-2').mkdir()
    second = world.start(name='second', state_directory=str(world.directory / 'state-2'), wait=False)
    second.wait_event('store_trouble')
    second.wait_version(world.version)
    second.signal(19)
    try:
        code, answer = world.ctl(*OUTSIDE, '5001', '--carrier', 'spark', '--to', 'omni', '--timeout', '300ms', check=False)
    finally:
        second.signal(18)
    assert code == 5 and [one['id'].split('~')[0] for one in answer['barrier']['missing']] == ['same'], answer
    second.wait_version(int(answer['version']))
    first.signal(9)
    first.wait()
    world.daemons.remove(first)
    third = world.start(name='third', wait=False)  # the first one's entry lives still, but its process does not
    third.wait_version(int(answer['version']))
    deadline = time.monotonic() + PATIENCE * 2  # a lease is 10 s
    names = set()
    while len(names) != 2:
        names = {one['id'] for one in world.ctl('instances')[1]['instances']}
        assert time.monotonic() < deadline, names
    assert 'same' in names  # the second or the third has it: both may follow the dead
