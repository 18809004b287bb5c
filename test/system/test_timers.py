"""Timers: enquire_link on both sides, inactivity, session-init, partial PDUs. Short ones, so that a test takes moments."""
import time

import pytest

import wire
from harness import Raw, number_of


@pytest.fixture
def one(world):
    smsc = world.smsc('spark', 'redx', link={'enquire_link': Raw('200ms'), 'response_timeout': Raw('300ms')})
    world.client()
    world.routes()
    return world, smsc


def test_enquire_link_upstream(one):
    world, smsc = one
    smsc.auto = False
    world.start()
    world.bound()
    leg = smsc.leg()
    for _ in range(3):
        leg.send(leg.expect('enquire_link').answer())


def test_silent_smsc_loses_its_leg(one):
    """Half-open: it does not answer enquire_link; messages in flight get their status; we connect again."""
    world, smsc = one
    smsc.auto = False
    world.start()
    client = world.bound()
    leg = smsc.leg()
    sent = client.submit()
    leg.expect('submit_sm')
    leg.expect('enquire_link')
    client.expect('submit_sm_resp', seq=sent.seq, status=wire.RSYSERR)
    leg.until_end()
    assert world.daemon.wait_event('leg_closed')
    smsc.leg()


def test_any_pdu_is_a_sign_of_life(one):
    """A busy SMSC that answers messages but no enquire_link stays."""
    world, smsc = one

    def answers(leg, pdu):
        return pdu.answer(0, b'1\0') if pdu.name == 'submit_sm' else None

    smsc.answers = answers
    smsc.auto = False
    world.start()
    client = world.bound()
    leg = smsc.leg()
    begun = time.monotonic()
    while time.monotonic() - begun < 1.5:
        sent = client.submit()
        client.expect('submit_sm_resp', seq=sent.seq, status=0)
        time.sleep(0.02)  # the pace of a live peer
    assert smsc.count == 1 and leg.thread.is_alive()


def test_enquire_link_to_the_client(one):
    world, _ = one
    world.client(enquire_link=Raw('200ms'))
    world.start()
    client = world.connect(auto=False)
    client.bind()
    for _ in range(3):
        client.send(client.expect('enquire_link').answer())


def test_enquire_link_goes_on_at_its_pace(one):
    """Not at that of the response time-out, which is longer here: 20 s. The answer to the first starts the next silence."""
    world, _ = one
    world.client(enquire_link=Raw('200ms'), response_timeout=Raw('20s'))
    world.start()
    client = world.connect(auto=False)
    client.bind()
    begun = time.monotonic()
    for _ in range(5):
        client.send(client.expect('enquire_link').answer())
    assert time.monotonic() - begun < 4


def test_silent_client_is_closed_and_its_legs_unbound(one):
    world, smsc = one
    world.client(enquire_link=Raw('200ms'), response_timeout=Raw('200ms'))
    world.start()
    client = world.connect(auto=False)
    client.bind()
    leg = smsc.leg()
    client.expect('enquire_link')
    assert [p.name for p in client.until_end()] in ([], ['unbind'])
    leg.expect('unbind')
    assert 'enquire_link_timeout' in world.daemon.wait_event('client_closed').values()


def test_inactivity(one):
    """enquire_link is no activity; the session ends when nothing else comes."""
    world, smsc = one
    world.client(inactivity=Raw('500ms'), enquire_link=Raw('100ms'))
    world.start()
    client = world.bound()
    leg = smsc.leg()
    client.until_end()
    leg.expect('unbind')
    assert 'inactivity_timeout' in world.daemon.wait_event('client_closed').values()


def test_activity_puts_inactivity_off(one):
    world, smsc = one
    smsc.answers = lambda leg, pdu: pdu.answer(0, b'1\0') if pdu.name == 'submit_sm' else None
    world.client(inactivity=Raw('600ms'))
    world.start()
    client = world.bound()
    begun = time.monotonic()
    while time.monotonic() - begun < 1.8:
        sent = client.submit()
        client.expect('submit_sm_resp', seq=sent.seq, status=0)
        time.sleep(0.1)  # the pace of a live peer


@pytest.mark.sanitize
def test_session_init(one):
    """Connected but never bound: closed. enquire_link does not keep it open."""
    world, _ = one
    world.start(session_init=Raw('400ms'))
    idle = world.connect()
    asks = world.connect()
    asks.ask('enquire_link')
    idle.until_end()
    asks.until_end()
    world.daemon.wait_for(lambda: len(world.daemon.find('client_closed')) == 2, 'the end of both')
    world.bound()


def test_session_init_after_a_wrong_state(one):
    """PDUs that are refused do not keep an unbound session open either."""
    world, _ = one
    world.start(session_init=Raw('500ms'))
    client = world.connect()
    begun = time.monotonic()
    try:
        while time.monotonic() - begun < 5:
            client.request('submit_sm', wire.message('5001', number_of('spark')))
            client.next()
            time.sleep(0.05)  # the pace of a slow attacker
            if not client.thread.is_alive():
                break
    except OSError:
        pass
    assert time.monotonic() - begun < 4


def test_partial_pdu_deadline(one):
    world, smsc = one
    world.start(partial_timeout=Raw('400ms'))
    client = world.bound()
    leg = smsc.leg()
    client.send_octets(b'\0\0\0\x40\0\0')
    client.until_end()
    assert 'partial_pdu_timeout' in world.daemon.wait_event('client_closed').values()
    leg.expect('unbind')


def test_partial_pdu_drip(one):
    """An octet now and then does not put the deadline off."""
    world, _ = one
    world.start(partial_timeout=Raw('500ms'))
    client = world.bound()
    client.send_octets(b'\0\0\1\0\0\0\0\4')
    begun = time.monotonic()
    try:
        while client.thread.is_alive() and time.monotonic() - begun < 6:
            client.send_octets(b'\0')
            time.sleep(0.05)  # the drip itself
    except OSError:
        pass
    assert time.monotonic() - begun < 5


def test_partial_pdu_of_an_smsc(one):
    world, smsc = one
    world.start(partial_timeout=Raw('400ms'))
    client = world.bound()
    leg = smsc.leg()
    leg.auto = False
    leg.send_octets(b'\0\0\0\x40\0\0')
    leg.until_end()
    smsc.leg()
    client.expect_nothing()
