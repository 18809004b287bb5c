"""The lease: an instance that was stopped, or that cannot reach Redis, and what it sends then."""
import contextlib
import pathlib
import signal
import time

import pytest

import wire
from harness import PATIENCE, Raw
from peers import answer_all

LEASE = Raw('2s')  # twice what a busy machine may keep a process waiting for
MODES = ('serve', 'fence')


def redis_options(world, on_loss):
    return {'host': '127.0.0.1', 'port': world.redis.port, 'prefix': world.prefix, 'reconnect_min': Raw('50ms'),
            'reconnect_max': Raw('200ms'), 'beat': Raw('200ms'), 'lease': LEASE, 'timeout': Raw('500ms'),
            'on_loss': on_loss}


def build(world, hold_budget):
    """One carrier on two platforms; the old one's SMSC says nothing by itself."""
    world.smsc('spark', 'redx')
    world.smsc('spark', 'omni', answers=answer_all)
    world.client(hold_budget=Raw(hold_budget))
    world.routes()
    return world


def through(client, leg):
    sent = client.submit()
    leg.send(leg.expect('submit_sm').answer(0, b'old\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)


def mo_passes(client, leg):
    sent = leg.deliver(text=b'an MO')
    client.send(client.expect('deliver_sm').answer(0, b'\0'))
    leg.expect('deliver_sm_resp', seq=sent.seq, status=0)


def entry(world):
    return '%s:instance:test-1' % world.prefix


def is_stopped(process):
    """Every thread: a signal takes a moment, in which one may still send."""
    tasks = pathlib.Path('/proc/%d/task' % process.pid).iterdir()
    return all((task / 'stat').read_text().rpartition(')')[2].split()[0] == 'T' for task in tasks)


@contextlib.contextmanager
def stopped(process):
    process.signal(signal.SIGSTOP)
    try:
        end = time.monotonic() + PATIENCE
        while not is_stopped(process):
            assert time.monotonic() < end, 'it does not stop'
        yield
    finally:
        process.signal(signal.SIGCONT)


@pytest.mark.sanitize
@pytest.mark.parametrize('on_loss', MODES)
def test_an_instance_that_was_stopped_asks_before_it_sends(world, on_loss):
    """Its entry expires, so a flip no longer waits for it; then it wakes up with messages in its socket."""
    build(world, '20s')
    other = world.directory / 'other'
    other.mkdir()
    world.start(redis=redis_options(world, on_loss), instance='test-2', state_directory=str(other))
    daemon = world.start(redis=redis_options(world, on_loss))
    client = world.bound(daemon=daemon)
    redx = world.smscs['spark-redx'].leg()
    through(client, redx)
    with stopped(daemon):
        sent = [client.submit() for _ in range(20)]
        answer = world.ctl('flip', '5001', '--carrier', 'spark', '--to', 'omni', '--why', 'a test',
                           '--outside-window')[1]
        assert world.redis.call('EXISTS', entry(world)).strip() == '0'
    assert answer['barrier']['complete'], answer
    for one in sent:
        answer = client.expect('submit_sm_resp', seq=one.seq, status=0)
        assert wire.response_id(answer).startswith('spark-omni#'), answer
    redx.expect_nothing()
    daemon.wait_event('stop_noticed')
    daemon.wait_event('fence_lifted')
    assert daemon.metric('stops_noticed_total') >= 1
    # for the fence, and then most likely for the new leg
    assert sum(daemon.metric('waited_total', reason=r, outcome='released') for r in ('fence', 'leg')) == len(sent)
    assert daemon.metric('fenced') == 0
    mo_passes(client, redx)


@pytest.mark.sanitize
def test_fence_keeps_mt_back_without_redis_and_goes_on_with_it(world_own):
    world = build(world_own, '300ms')
    daemon = world.start(redis=redis_options(world, 'fence'))
    client = world.bound()
    redx = world.smscs['spark-redx'].leg()
    through(client, redx)
    assert world.redis.call('HGET', entry(world), 'on_loss').strip() == 'fence'
    with stopped(world.redis.process):
        daemon.wait_event('fenced', why='lease_over')
        sent = client.submit()
        mo_passes(client, redx)
        client.expect('submit_sm_resp', seq=sent.seq, status=wire.RMSGQFUL)
        redx.expect_nothing()
        assert daemon.metric('refused_total', cause='fenced') == 1
        assert daemon.metric('fenced') == 1
        since = daemon.mark()
    daemon.wait_event('fence_lifted', since=since)
    through(client, redx)
    assert daemon.metric('fenced') == 0


@pytest.mark.sanitize
def test_serve_goes_on_without_redis(world_own):
    world = build(world_own, '300ms')
    daemon = world.start(redis=redis_options(world, 'serve'))
    client = world.bound()
    redx = world.smscs['spark-redx'].leg()
    with stopped(world.redis.process):
        end = time.monotonic() + 2.5  # beyond the lease
        while time.monotonic() < end:
            through(client, redx)
    assert not daemon.find('fenced')
    assert daemon.metric('stops_noticed_total') == 0


def test_serve_asks_in_vain_only_so_long(world_own):
    """Stopped while Redis is away as well: it asks for as long as redis.timeout, and goes on with what it has."""
    world = build(world_own, '20s')
    daemon = world.start(redis=redis_options(world, 'serve'))
    client = world.bound()
    redx = world.smscs['spark-redx'].leg()
    through(client, redx)
    world.redis.stop()
    with stopped(daemon):
        sent = client.submit()
        time.sleep(2.3)  # a stop is a matter of time alone
    daemon.wait_event('stop_noticed')
    redx.send(redx.expect('submit_sm').answer(0, b'old\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)
    daemon.wait_event('fence_lifted')


def test_fence_sends_nothing_by_a_table_from_disk_alone(world_own):
    world = build(world_own, '200ms')
    daemon = world.start(redis=redis_options(world, 'fence'))
    through(world.bound(), world.smscs['spark-redx'].leg())
    assert daemon.stop() == 0
    world.redis.stop()
    daemon = world.start(redis=redis_options(world, 'fence'), wait=False)
    daemon.wait_version(world.version)
    client = world.bound()
    sent = client.submit()
    client.expect('submit_sm_resp', seq=sent.seq, status=wire.RMSGQFUL)
    assert daemon.metric('refused_total', cause='fenced') == 1
