"""The table's life in Redis as traffic sees it: Redis away, back, back empty, back older; the snapshot on disk."""
import json
import subprocess

import pytest

import wire
from harness import PATIENCE, Raw
from peers import answer_all


def goes_to(client, platform):
    sent = client.submit()
    answer = client.expect('submit_sm_resp', seq=sent.seq, status=0)
    assert wire.response_id(answer).startswith('spark-%s#' % platform), answer


@pytest.fixture
def flippable(world_own):
    world = world_own
    for platform in ('redx', 'omni'):
        world.smsc('spark', platform, answers=answer_all)
    world.client(hold_budget=Raw('20s'))
    world.routes()
    return world


def wait_store(daemon, state, since=0):
    return daemon.wait_event('store_following' if state == 'following' else 'store_state', since=since, state=state)


@pytest.mark.sanitize
def test_redis_down_at_the_start_serves_the_snapshot(flippable):
    world = flippable
    daemon = world.start()
    world.flip('5001', 'spark', 'omni')
    assert daemon.stop() == 0
    world.redis.stop()
    daemon = world.start(wait=False)
    daemon.wait_version(world.version)
    goes_to(world.bound(), 'omni')
    assert daemon.get('/readyz')[0] == 200


@pytest.mark.sanitize
def test_kill_then_start_without_redis(flippable):
    """The snapshot on disk is whole even when nobody said good-bye."""
    world = flippable
    daemon = world.start()
    for to in ('omni', 'redx', 'omni'):
        world.flip('5001', 'spark', to)
    goes_to(world.bound(), 'omni')
    world.kill(daemon)
    world.redis.stop()
    daemon = world.start(wait=False)
    found = daemon.wait_event('table_applied')
    # It may be one change behind only if it was killed before the write; the bind above came after it.
    assert found['version'] == world.version
    goes_to(world.bound(), 'omni')


@pytest.mark.parametrize('damage', ('cut', 'flipped bit', 'empty', 'garbage'))
def test_a_damaged_snapshot_is_not_believed(flippable, damage):
    """It is reported and left; the table comes from Redis."""
    world = flippable
    daemon = world.start()
    assert daemon.stop() == 0
    files = [p for p in (world.directory / 'state').iterdir() if p.is_file() and p.name != 'lock']
    assert files
    for path in files:
        octets = bytearray(path.read_bytes())
        if damage == 'cut':
            octets = octets[:len(octets) // 2]
        elif damage == 'flipped bit':
            octets[min(len(octets) - 1, 40)] ^= 1
        elif damage == 'empty':
            octets = b''
        else:
            octets = bytes(range(256)) * (len(octets) // 256 + 1)
        path.write_bytes(bytes(octets))
    daemon = world.start()
    goes_to(world.bound(), 'redx')


@pytest.mark.sanitize
def test_redis_goes_and_comes_back_with_changes_made_meanwhile(flippable):
    """It keeps its data on disk here: what was changed by others while we were away is caught up with."""
    world = flippable
    world.redis.stop()
    world.redis.args = ('--appendonly', 'yes', '--appendfsync', 'always')
    world.redis.start()
    world.redis.load_functions()
    world.version = 0
    world.routes()
    daemon = world.start()
    client = world.bound()
    goes_to(client, 'redx')
    since = daemon.mark()
    world.redis.stop()
    wait_store(daemon, 'connecting', since)
    goes_to(client, 'redx')
    world.bound()
    assert daemon.get('/readyz')[0] == 200
    # Comes back on another port first, unseen by us, with changes of somebody else.
    port, world.redis.port = world.redis.port, 0
    from harness import free_port
    world.redis.port = free_port()
    world.redis.start()
    version = world.change({('5001', 'spark'): 'omni'})
    world.redis.stop()
    world.redis.port = port
    since = daemon.mark()
    world.redis.start()
    daemon.wait_version(version)
    wait_store(daemon, 'following', since)
    goes_to(client, 'omni')
    assert daemon.metric('store_reconnects_total') >= 1


@pytest.mark.sanitize
def test_redis_comes_back_empty(flippable):
    """Traffic goes on by the last table; it is refused and alarmed, until the operator restores."""
    world = flippable
    daemon = world.start()
    client = world.bound()
    world.flip('5001', 'spark', 'omni')
    goes_to(client, 'omni')
    since = daemon.mark()
    world.redis.stop()
    world.redis.start()
    world.redis.load_functions()
    refused = wait_store(daemon, 'refused', since)
    assert refused
    goes_to(client, 'omni')
    assert daemon.metric('route_version_applied') == world.version
    assert daemon.metric('store_tables_refused_total') >= 1
    assert daemon.metric('store_state', state='refused') == 1


@pytest.mark.sanitize
def test_redis_comes_back_older_and_is_restored(flippable, tmp_path):
    """As after a fail-over to a replica that lagged: not rolled back silently."""
    world = flippable
    daemon = world.start()
    client = world.bound()
    world.redis.call('SAVE')
    old = (tmp_path / 'redis/dump.rdb').read_bytes()
    world.flip('5001', 'spark', 'omni')
    goes_to(client, 'omni')
    since = daemon.mark()
    world.redis.stop()
    (tmp_path / 'redis/dump.rdb').write_bytes(old)
    world.redis.start()
    wait_store(daemon, 'refused', since)
    goes_to(client, 'omni')
    # Somebody who does not know changes the old one: its numbers overtake nothing, it is still another history.
    older = world.change({('5001', 'spark'): ('redx', 'closed')})
    assert older == world.version
    world.change({('5001', 'spark'): 'redx'})
    world.change({('5002', 'spark'): 'redx'})
    goes_to(client, 'omni')
    assert daemon.find('store_state', since, state='refused')
    since = daemon.mark()
    code, answer = world.ctl('route', 'restore', str(world.directory / 'state/table.json'), '--yes', '--why', 'the replica lagged')
    assert code == 0, answer
    wait_store(daemon, 'following', since)
    goes_to(client, 'omni')
    world.flip('5001', 'spark', 'redx')
    goes_to(client, 'redx')


def test_changes_by_many_at_once_are_all_followed(flippable):
    world = flippable
    daemon = world.start()
    for i in range(300):
        world_change_quick(world, i)
    world.flip('5001', 'spark', 'omni')
    goes_to(world.bound(), 'omni')
    assert daemon.metric('route_version_applied') == world.version


def world_change_quick(world, i):
    request = {'kind': 'set', 'who': 'crowd', 'why': '', 'ticket': '',
               'moves': [{'shortcode': '7%03d' % i, 'carrier': 'spark', 'to': 'redx', 'state': 'open'}]}
    world.redis.call('FCALL', 'turnout_change', 1, world.prefix + ':version', json.dumps(request))


def test_the_stream_no_longer_reaches_back(flippable):
    """Away for longer than the history is kept: the whole table is read again."""
    world = flippable
    daemon = world.start()
    client = world.bound()
    daemon.signal(19)  # SIGSTOP: it is away, and its connection lives
    for i in range(20):
        world_change_quick(world, i)
    version = world.change({('5001', 'spark'): 'omni'})
    world.redis.call('XTRIM', world.prefix + ':changes', 'MAXLEN', '2')
    world.redis.call('CLIENT', 'KILL', 'TYPE', 'normal')
    daemon.signal(18)
    daemon.wait_version(version)
    goes_to(client, 'omni')


def test_two_instances_follow_and_report(flippable):
    world = flippable
    first = world.start()
    world.options['instance'] = 'test-2'
    world.directory.joinpath('state').rename(world.directory / 'state-of-first')
    second = world.start()
    world.flip('5001', 'spark', 'omni')
    answer = world.redis.call('--json', 'FCALL_RO', 'turnout_instances', 1, world.prefix + ':version')
    assert 'test-1' in answer and 'test-2' in answer
    for daemon in (first, second):
        assert daemon.metric('route_version_applied') == world.version
        goes_to(world.bound(daemon=daemon), 'omni')
    first.stop()
    assert 'test-1' not in world.redis.call('--json', 'FCALL_RO', 'turnout_instances', 1, world.prefix + ':version')


def test_redis_that_hangs(flippable):
    """Stopped, not gone: the connection stands, but nothing answers."""
    world = flippable
    world.options = dict(world.options)
    daemon = world.start()
    client = world.bound()
    since = daemon.mark()
    subprocess.run(['kill', '-STOP', str(world.redis.process.pid)], check=True)
    try:
        for _ in range(20):
            goes_to(client, 'redx')
        world.bound()
        daemon.wait_event('store_state', since=since, timeout=PATIENCE * 2)
    finally:
        subprocess.run(['kill', '-CONT', str(world.redis.process.pid)], check=True)
    world.flip('5001', 'spark', 'omni')
    goes_to(client, 'omni')
