"""What is kept back: for which reason, how much in all, and MO while a route is on hold. (How a hold releases and expires
is in test_flip.py and test_forward.py.)"""
import pytest

import wire
from harness import Raw, number_of
from peers import answer_all


def waited(daemon, reason, outcome):
    return daemon.metric('waited_total', reason=reason, outcome=outcome)


def hold(world, state='hold', carrier='spark'):
    world.change({('5001', carrier): ('redx', state)})
    world.daemon.wait_version(world.version)


@pytest.mark.sanitize
def test_all_sessions_together_are_limited_and_each_outcome_is_counted(world):
    world.smsc('spark', 'redx', answers=answer_all)
    world.smsc('onenz', 'redx', answers=answer_all)
    world.client(hold_budget=Raw('20s'))
    world.routes()
    daemon = world.start(max_waiting=3, workers=2)
    hold(world)
    first, second, third = world.bound(), world.bound(), world.bound()
    kept = [(first, first.submit()), (first, first.submit()), (second, second.submit())]
    daemon.wait_metric('waiting_messages', 3)
    beyond = third.submit()
    third.expect('submit_sm_resp', seq=beyond.seq, status=wire.RMSGQFUL)
    assert daemon.metric('refused_total', cause='wait_full_in_all') == 1
    assert waited(daemon, 'route', 'full_in_all') == 1
    # The other carrier flows meanwhile, in every session.
    for client in (first, second, third):
        sent = client.submit(dest=number_of('onenz'))
        client.expect('submit_sm_resp', seq=sent.seq, status=0)
    second.close()
    daemon.wait_metric('waiting_messages', 2)
    assert waited(daemon, 'route', 'session_gone') == 1
    hold(world, 'open')
    for client, sent in kept[:2]:
        client.expect('submit_sm_resp', seq=sent.seq, status=0)
    assert waited(daemon, 'route', 'released') == 2


@pytest.mark.sanitize
def test_mo_of_a_route_on_hold_are_refused_where_the_carrier_says_so(world):
    world.smsc('spark', 'redx')
    world.smsc('onenz', 'redx')
    world.carrier('spark', mo_on_hold='refuse', mo_refusal='ESME_RSYSERR')
    world.client()
    world.routes()
    daemon = world.start()
    client = world.bound()
    spark, onenz = world.smscs['spark-redx'].leg(), world.smscs['onenz-redx'].leg()
    for state in ('hold', 'closed'):
        for carrier in ('spark', 'onenz'):
            hold(world, state, carrier)
        spark.expect('deliver_sm_resp', seq=spark.deliver(text=b'an MO').seq, status=wire.RSYSERR)
        # A receipt belongs to its message, and the other carrier lets MO pass.
        for leg, text, esm_class in ((spark, wire.receipt_text('1'), 4), (onenz, b'an MO', 0)):
            sent = leg.deliver(text=text, esm_class=esm_class)
            client.send(client.expect('deliver_sm').answer(0, b'\0'))
            leg.expect('deliver_sm_resp', seq=sent.seq, status=0)
    assert daemon.metric('refused_total', cause='mo_on_hold') == 2
    hold(world, 'open', 'spark')
    sent = spark.deliver(text=b'an MO')
    client.send(client.expect('deliver_sm').answer(0, b'\0'))
    spark.expect('deliver_sm_resp', seq=sent.seq, status=0)
