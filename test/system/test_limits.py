"""Windows, backpressure, time-outs, lost legs, reconnects: what a peer can do to us, and what the others notice."""
import pathlib
import re
import resource

import pytest

import wire
from harness import Raw, number_of
from wire import Pdu

SPARK, ONENZ = number_of('spark'), number_of('onenz')


def test_upstream_window_is_kept_and_refilled(world):
    smsc = world.smsc('spark', 'redx', link={'window': 5})
    world.client(hold_budget=Raw('20s'))
    world.routes()
    world.start()
    client = world.bound()
    leg = smsc.leg()
    sent = [client.submit(text=b'%d' % i) for i in range(20)]
    got = [leg.expect('submit_sm') for _ in range(5)]
    assert not leg.fence(), 'more than the window was sent'
    for i in range(20):
        leg.send(got[i].answer(0, b'%d\0' % i))
        client.expect('submit_sm_resp', seq=sent[i].seq, status=0)
        if len(got) < 20:
            got.append(leg.expect('submit_sm'))
    assert [wire.message_fields(p).text for p in got] == [b'%d' % i for i in range(20)]
    assert world.daemon.metric('link_window_full_total', link='spark-redx') >= 1


@pytest.mark.sanitize
def test_a_slow_carrier_does_not_stop_the_others(world):
    slow = world.smsc('spark', 'redx', link={'window': 2})
    quick = world.smsc('onenz', 'redx')
    world.client(bind_answer='all', hold_budget=Raw('30s'), wait_count=25, window=1000)
    world.routes()
    world.start()
    client = world.bound()
    slow_leg, quick_leg = slow.leg(), quick.leg()
    for i in range(22):
        client.submit(dest=SPARK, text=b'slow%d' % i)
    stuck = [slow_leg.expect('submit_sm') for _ in range(2)]
    # Two in flight and 20 waiting are within the bound of 25: onenz still flows.
    for i in range(30):
        sent = client.submit(dest=ONENZ)
        quick_leg.send(quick_leg.expect('submit_sm').answer(0, b'q\0'))
        client.expect('submit_sm_resp', seq=sent.seq, status=0)
    slow_leg.answers = None
    for i in range(22):
        slow_leg.send(stuck[i].answer(0, b's\0'))
        client.expect('submit_sm_resp', status=0)
        if len(stuck) < 22:
            stuck.append(slow_leg.expect('submit_sm'))
    assert [wire.message_fields(p).text for p in stuck] == [b'slow%d' % i for i in range(22)]


def test_beyond_the_bound_reading_stops_or_is_refused(world):
    """More than may wait: nothing is lost, nothing unbounded is kept; every message gets exactly one answer."""
    slow = world.smsc('spark', 'redx', link={'window': 2})
    world.client(bind_answer='all', hold_budget=Raw('30s'), wait_count=5, window=1000)
    world.routes()
    world.start()
    client = world.bound()
    leg = slow.leg()
    sent = [client.submit(text=b'%d' % i) for i in range(100)]
    answered, stuck = {}, []
    stuck += [leg.expect('submit_sm') for _ in range(2)]
    assert not leg.fence()
    assert world.daemon.metric('waiting_messages') <= 6  # one beyond is read: that is what stops the reading
    assert world.daemon.metric('reads_paused_total') >= 1
    while len(answered) < 100:
        got = stuck.pop(0)
        leg.send(got.answer(0, b'1\0'))
        answer = client.expect('submit_sm_resp', status=0)
        assert answer.seq not in answered
        answered[answer.seq] = answer
        if len(answered) + len(stuck) < 100:
            stuck.append(leg.expect('submit_sm'))
    assert set(answered) == {p.seq for p in sent}


def test_client_window(world):
    """The client's window and one more, which stops the reading, are unanswered; the rest stays in its socket."""
    smsc = world.smsc('spark', 'redx')
    world.client(window=3)
    world.routes()
    world.start()
    client = world.bound()
    leg = smsc.leg()
    for i in range(10):
        client.submit(text=b'%d' % i)
    got = [leg.expect('submit_sm') for _ in range(4)]
    assert not leg.fence()
    for i in range(10):
        leg.send(got[i].answer(0, b'1\0'))
        client.expect('submit_sm_resp', status=0)
        if len(got) < 10:
            got.append(leg.expect('submit_sm'))
    assert [wire.message_fields(p).text for p in got] == [b'%d' % i for i in range(10)]


def test_mo_window(world):
    """MO beyond the window wait in the SMSC's socket or are refused for retry: never lost, never twice."""
    smsc = world.smsc('spark', 'redx')
    world.client(mo_window=3)
    world.routes()
    world.start()
    client = world.bound()
    leg = smsc.leg()
    sent = [leg.deliver(text=b'%d' % i) for i in range(12)]
    answers = {}
    taken = 0
    while len(answers) < 12:
        got = client.expect('deliver_sm') if taken < 12 and not leg.inbox.qsize() else None
        if got:
            taken += 1
            client.send(got.answer(0, b'\0'))
        answer = leg.expect('deliver_sm_resp')
        assert answer.seq not in answers and answer.status in (0, wire.RMSGQFUL)
        answers[answer.seq] = answer
    assert set(answers) == {p.seq for p in sent}
    assert sum(a.status == 0 for a in answers.values()) == taken >= 3


def test_a_client_that_does_not_read(world):
    """Its MO stop; its own connection may be ended; other clients do not notice; memory is bounded."""
    smsc = world.smsc('spark', 'redx', link={'credentials': 'pass'})
    world.client(mo_window=1000)
    world.client('bcme', 'other', shortcodes=['6001'])
    world.routes(shortcodes=('5001', '6001'))
    world.start(out_limit=Raw('256k'))
    deaf = world.bound()
    deaf_leg = smsc.leg()
    good = world.bound('transceiver', 'bcme', 'other')
    good_leg = smsc.leg()
    deaf.pause()
    body = wire.message(SPARK, '5001', b'', tlvs=wire.tlv(wire.MESSAGE_PAYLOAD, b'm' * 30000))
    deaf_leg.sock.settimeout(2)
    try:
        for i in range(1, 400):
            deaf_leg.request('deliver_sm', body)
    except OSError:
        pass  # it stopped reading us, which is as good
    for _ in range(20):
        sent = good.submit(source='6001')
        good_leg.send(good_leg.expect('submit_sm').answer(0, b'1\0'))
        good.expect('submit_sm_resp', seq=sent.seq, status=0)
    deaf_leg.close()


@pytest.mark.sanitize
def test_response_timeout_is_an_unknown_outcome(world):
    smsc = world.smsc('spark', 'redx', link={'response_timeout': Raw('300ms')})
    world.client()
    world.routes()
    world.start()
    client = world.bound()
    leg = smsc.leg()
    sent = client.submit()
    got = leg.expect('submit_sm')
    client.expect('submit_sm_resp', seq=sent.seq, status=wire.RSYSERR)
    leg.send(got.answer(0, b'late\0'))
    client.expect_nothing()
    assert not leg.fence(), 'never sent again'
    daemon = world.daemon
    daemon.wait_metric('link_late_responses_total', 1, link='spark-redx')
    assert daemon.metric('link_unknown_outcomes_total', link='spark-redx') == 1
    sent = client.submit()
    leg.send(leg.expect('submit_sm').answer(0, b'2\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)


@pytest.mark.sanitize
@pytest.mark.parametrize('how', ('close', 'reset'))
def test_lost_leg_is_an_unknown_outcome_and_nothing_is_sent_again(world, how):
    smsc = world.smsc('spark', 'redx')
    world.client(unknown_outcome='ESME_RTHROTTLED')
    world.routes()
    world.start()
    client = world.bound()
    leg = smsc.leg()
    sent = [client.submit(text=b'%d' % i) for i in range(30)]
    got = [leg.expect('submit_sm') for _ in sent]
    for p in got[:10]:
        leg.send(p.answer(0, b'1\0'))
    getattr(leg, how)()
    statuses = {}
    for _ in sent:
        answer = client.expect('submit_sm_resp')
        assert answer.seq not in statuses
        statuses[answer.seq] = answer.status
    # A reset may destroy answers that were on the way.
    good = [s for s in statuses.values() if s == 0]
    assert set(statuses.values()) <= {0, wire.RTHROTTLED}
    assert len(good) == 10 or how == 'reset'
    again = smsc.leg()
    assert not again.fence(), 'a message of unknown outcome was sent again'
    after = client.submit(text=b'after')
    got = again.expect('submit_sm')
    assert wire.message_fields(got).text == b'after'
    again.send(got.answer(0, b'2\0'))
    client.expect('submit_sm_resp', seq=after.seq, status=0)
    assert world.daemon.metric('link_unknown_outcomes_total', link='spark-redx') == 30 - len(good)


@pytest.mark.sanitize
def test_an_smsc_that_unbinds_may_still_answer(world):
    """What is in flight is answered before the unbind is; new messages wait for the next leg; nothing is sent again."""
    smsc = world.smsc('spark', 'redx')
    world.client(hold_budget=Raw('20s'))
    world.routes()
    world.start()
    client = world.bound()
    leg = smsc.leg()
    sent = [client.submit(text=b'%d' % i) for i in range(10)]
    got = [leg.expect('submit_sm') for _ in sent]
    unbind = leg.request('unbind')
    leg.expect_nothing()
    after = client.submit(text=b'after')
    for p in got:
        leg.send(p.answer(0, b'1\0'))
    for s in sent:
        client.expect('submit_sm_resp', seq=s.seq, status=0)
    leg.expect('unbind_resp', seq=unbind.seq, status=0)
    leg.expect_end()
    again = smsc.leg()
    p = again.expect('submit_sm')
    assert wire.message_fields(p).text == b'after'
    again.send(p.answer(0, b'2\0'))
    client.expect('submit_sm_resp', seq=after.seq, status=0)


def test_the_client_stays_bound_while_its_leg_is_away(world):
    smsc = world.smsc('spark', 'redx')
    world.client(hold_budget=Raw('100ms'))
    world.routes()
    world.start()
    client = world.bound()
    leg = smsc.leg()
    smsc.refuse()
    leg.close()
    for _ in range(3):
        sent = client.submit()
        assert client.expect('submit_sm_resp', seq=sent.seq).status in (wire.RMSGQFUL, wire.RSYSERR)
    since = world.daemon.mark()
    smsc.listen()
    leg = smsc.leg()
    world.daemon.wait_event('leg_bound', since=0)
    assert since >= 0
    sent = client.submit()
    leg.send(leg.expect('submit_sm').answer(0, b'1\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)


def test_messages_wait_for_a_leg_that_comes_back_in_time(world):
    smsc = world.smsc('spark', 'redx')
    world.client(hold_budget=Raw('20s'))
    world.routes()
    world.start()
    client = world.bound()
    leg = smsc.leg()
    smsc.refuse()
    since = world.daemon.mark()
    leg.close()
    world.daemon.wait_event('leg_closed', since=since)
    sent = [client.submit(text=b'%d' % i) for i in range(5)]
    client.expect_nothing()
    smsc.listen()
    leg = smsc.leg()
    for i, s in enumerate(sent):
        got = leg.expect('submit_sm')
        assert wire.message_fields(got).text == b'%d' % i
        leg.send(got.answer(0, b'1\0'))
        client.expect('submit_sm_resp', seq=s.seq, status=0)


def test_reconnect_backs_off_with_jitter(world):
    """Against a port that refuses: the time between tries grows and is not the same twice."""
    smsc = world.smsc('spark', 'redx', link={'reconnect_min': Raw('20ms'), 'reconnect_max': Raw('400ms')})
    world.client(bind_answer='once')
    world.routes()
    smsc.bind_status = wire.RBINDFAIL
    world.start()
    world.bound()
    import time
    times = []
    for _ in range(9):
        smsc.connection()
        times.append(time.monotonic())
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert max(gaps[4:]) > 2 * gaps[0], gaps
    assert max(gaps) < 3, gaps
    assert len({round(g, 3) for g in gaps[-4:]}) > 1, 'no jitter: %s' % gaps


def test_client_gone_with_messages_in_flight(world):
    """Answers that come after their requester has gone are counted, and reach nobody else."""
    smsc = world.smsc('spark', 'redx')
    world.client()
    world.routes()
    world.start()
    client = world.bound()
    leg = smsc.leg()
    client.submit()
    got = leg.expect('submit_sm')
    client.reset()
    other = world.bound()
    try:
        leg.send(got.answer(0, b'1\0'))
    except OSError:
        pass
    other.expect_nothing()


def test_max_sessions(world):
    world.smsc('spark', 'redx')
    world.client()
    world.routes()
    world.start(max_sessions=3)
    kept = [world.bound() for _ in range(3)]
    extra = world.connect()
    try:
        extra.request('bind_transceiver', wire.bind('acme', 'secret'))
    except OSError:
        pass
    got = extra.until_end()
    assert all(p.status not in (0,) + wire.FINAL_FOR_CLIENTS for p in got), got
    for client in kept:
        client.expect_nothing()
    kept[0].unbind()
    world.daemon.wait_event('client_closed')
    world.bound()


def test_the_table_of_descriptors_is_made_beforehand(world):
    """Its growing stops a worker for 10 ms and more (an RCU grace period)."""
    world.smsc('spark', 'redx')
    world.client()
    world.routes()
    daemon = world.start(max_sessions=3000)
    size = int(re.search(r'^FDSize:\s+(\d+)', pathlib.Path('/proc/%d/status' % daemon.pid).read_text(), re.M).group(1))
    most = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)[1]
    assert size >= min(2 * 3000, most)


def test_unbound_connections_are_bounded(world):
    """A flood of connections that never bind does not keep out those that do."""
    world.smsc('spark', 'redx')
    world.client()
    world.routes()
    world.start(max_unbound=5, session_init=Raw('300ms'))
    idle = []
    for _ in range(20):
        try:
            idle.append(world.connect())
        except OSError:
            pass
    for peer in idle:
        peer.until_end()
    # The last one's place may be given back a moment after its end was seen.
    statuses = []
    while not statuses or (statuses[-1] is None and len(statuses) < 100):
        try:
            statuses.append(world.connect().try_bind().status)
        except (AssertionError, OSError):
            statuses.append(None)
    assert statuses[-1] == 0


def test_exactly_one_answer_each_under_chaos(world):
    """An SMSC that answers, refuses, stays silent, answers twice, answers wrongly: one answer a request."""
    import random
    rng = random.Random(11)

    def answers(leg, pdu):
        if pdu.name != 'submit_sm':
            return None
        luck = rng.random()
        if luck < 0.1:
            return Pdu('enquire_link', 0, 5)  # and no answer
        if luck < 0.2:
            leg.send(pdu.answer(0, b'1\0'))
        if luck < 0.3:
            leg.send(Pdu('submit_sm_resp', 0, pdu.seq ^ 0x40000000, b'x\0'))
        if luck < 0.4:
            return pdu.answer(wire.RTHROTTLED)
        return pdu.answer(0, b'1\0')

    world.smsc('spark', 'redx', answers=answers, link={'response_timeout': Raw('500ms'), 'window': 20})
    world.client(hold_budget=Raw('20s'), window=50)
    world.routes()
    world.start()
    client = world.bound()
    sent = {client.submit(text=b'%d' % i).seq for i in range(500)}
    answered = [client.expect('submit_sm_resp').seq for _ in sent]
    assert sorted(answered) == sorted(sent)
    client.expect_nothing()


@pytest.mark.sanitize
def test_a_client_that_keeps_to_its_window_is_always_read(world):
    """With its window full, its answer to an MO and its enquire_link are still read at once."""
    smsc = world.smsc('spark', 'redx')
    world.client(window=2, response_timeout=Raw('2s'))
    world.routes()
    world.start()
    client = world.bound()
    leg = smsc.leg()
    sent = [client.submit(), client.submit()]
    asked = [leg.expect('submit_sm'), leg.expect('submit_sm')]
    mo = leg.deliver()
    client.send(client.expect('deliver_sm').answer(0, b'\0'))
    leg.expect('deliver_sm_resp', seq=mo.seq, status=0)
    assert client.ask('enquire_link').status == 0
    for one, request in zip(sent, asked):
        leg.send(request.answer(0, b'1\0'))
        client.expect('submit_sm_resp', seq=one.seq, status=0)


def test_legs_that_still_end_are_limited(world):
    """A client that binds and goes, over and over, at an SMSC that does not answer unbind, must not pile up legs."""
    smsc = world.smsc('spark', 'redx', auto=False)
    smsc.answers = lambda leg, pdu: leg.send(pdu.answer(0, b'smsc\0')) if pdu.name.startswith('bind') else None
    world.client(max_binds=2)
    world.routes()
    world.start()
    statuses = []
    for _ in range(8):
        client = world.connect()
        statuses.append(client.try_bind().status)
        client.reset()
        client.until_end()
    assert statuses[0] == 0 and statuses[-1] == wire.RBINDFAIL, statuses
    assert sum(status == 0 for status in statuses) <= 2 * 2
