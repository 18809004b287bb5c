"""Redis Sentinel: turnoutd and turnoutctl find the master, follow it over failovers, and never take an older table."""
import json
import subprocess
import time

import pytest

import conftest
from harness import OUTSIDE, TOOLS
from peers import answer_all
from sentinels import NAME, Sentinels, ask, until
from test_store import goes_to

# What "within about a second of the switch" is held to on a loaded machine; the times are printed.
FOLLOWED_S = 1.5


@pytest.fixture
def redis(tmp_path):
    found = Sentinels(tmp_path)
    found.load_functions()
    yield found
    found.close()


@pytest.fixture
def world(request, tmp_path, redis):
    for world in conftest.make_world(request, tmp_path, redis):
        for platform in ('redx', 'omni'):
            world.smsc('spark', platform, answers=answer_all)
        world.client()
        world.routes()
        yield world


def start(world):
    return world.start(redis=world.redis.config(world.prefix))


def flip(world, to, *more):
    return world.redis.ctl(world, *OUTSIDE, '5001', '--carrier', 'spark', '--to', to, *more)


def follows(daemon, since):
    return daemon.wait_event('store_following', since=since, timeout=30)


def settle(redis, old):
    """The old master, if alive, is a replica of the new one, so that the next failover has candidates."""
    new = redis.port
    redis.until_replicas(new, 2 if redis.redises[old].process.running else 1)
    return new


@pytest.mark.sanitize
def test_discovery_and_a_planned_failover(world, redis):
    """The old master stays reachable, and calls itself master for seconds more: it is left all the same."""
    daemon = start(world)
    client = world.bound()
    code, answer = flip(world, 'omni')
    assert code == 0 and answer['replicas']['wanted'] == 1 and answer['replicas']['acknowledged'] >= 1, answer
    goes_to(client, 'omni')
    since = daemon.mark()
    old = redis.failover()
    switched = redis.until_switched(old)
    left = daemon.wait_event('store_state', since=since, state='connecting')
    follows(daemon, since)
    took = time.monotonic() - switched
    print('planned failover: following %.0f ms after the switch; %s' % (took * 1000, left['why']))
    assert took < FOLLOWED_S
    assert '127.0.0.1:%d' % redis.port in left['why'] and '127.0.0.1:%d' % old in left['why']
    assert ask(old, 'PING') == ['PONG']
    code, answer = flip(world, 'redx', '--replicas', '0')
    assert code == 0 and 'replicas' not in answer, answer
    goes_to(client, 'redx')


@pytest.mark.sanitize
def test_the_master_is_killed(world, redis):
    daemon = start(world)
    client = world.bound()
    assert flip(world, 'omni')[0] == 0
    since = daemon.mark()
    killed = time.monotonic()
    old = redis.kill_master()
    switched = redis.until_switched(old)
    follows(daemon, since)
    took = time.monotonic() - switched
    print('master killed: switched after %.0f ms, following %.0f ms after the switch' %
          ((switched - killed) * 1000, took * 1000))
    assert took < FOLLOWED_S
    goes_to(client, 'omni')
    redis.until_replicas(redis.port, 1)
    code, answer = flip(world, 'redx')
    assert code == 0 and answer['replicas'] == {'wanted': 1, 'acknowledged': 1}, answer
    goes_to(client, 'redx')


@pytest.mark.sanitize
def test_a_hung_sentinel_first_in_the_list(world, redis):
    """It costs its time-out once, of the daemon and of each command; and another that hangs later is left, too."""
    redis.hang()
    began = time.monotonic()
    daemon = start(world)
    print('hung sentinel: table applied %.0f ms after the start' % ((time.monotonic() - began) * 1000))
    assert time.monotonic() - began < 4
    began = time.monotonic()
    code, answer = flip(world, 'omni')
    took = time.monotonic() - began
    print('hung sentinel: a flip took %.0f ms' % (took * 1000))
    assert code == 0 and 1 <= took < 3, answer
    # The one that answers hangs, too, and the master is killed: a whole failover by the two that are left.
    redis.stop_first()
    since = daemon.mark()
    old = redis.kill_master()
    switched = redis.until_switched(old)
    follows(daemon, since)
    took = time.monotonic() - switched
    print('two of four sentinels hung: following %.0f ms after the switch' % (took * 1000))
    assert took < FOLLOWED_S + 1
    goes_to(world.bound(), 'omni')


def test_the_master_is_killed_in_the_middle_of_a_flip(world, redis):
    """The flip says incomplete; the same command completes it on the new master."""
    daemon = start(world)
    client = world.bound()
    daemon.signal(19)
    version = world.version
    ctl = world.run([TOOLS / 'turnoutctl', *OUTSIDE, '5001', '--carrier', 'spark', '--to', 'omni', '--redis', redis.address,
                     '--prefix', world.prefix, '--as', 'tester', '--timeout', '20s'], 'turnoutctl')
    until(lambda: redis.call('GET', world.prefix + ':version') == str(version + 1), 'the change')
    for replica in redis.replicas:
        until(lambda r=replica: r.call('GET', world.prefix + ':version') == str(version + 1), 'its copies')
    old = redis.kill_master()
    assert ctl.wait() == 5, ctl.tail()
    daemon.signal(18)
    redis.until_switched(old)
    code, answer = flip(world, 'omni')
    assert code == 6 and answer['version'] == version + 1 and answer['barrier']['complete'], answer
    goes_to(client, 'omni')


@pytest.mark.load
def test_flips_all_through_planned_failovers(world, redis):
    """The old master goes on taking changes after its successor was chosen, and these are lost. So what is waited for
    is every replica: a flip that says it is done is then never lost, and one that was lost had said so. The instance
    refuses the new table where it had applied more, and follows again once it is restored."""
    daemon = start(world)
    exits, restored, number = {}, 0, 0
    for _ in range(2):
        old = redis.failover()
        deadline = time.monotonic() + 4
        done = None
        while time.monotonic() < deadline:
            number += 1
            why = 'flip %d' % number
            code, answer = flip(world, ('omni', 'redx')[number % 2], '--timeout', '300ms', '--replicas', '2', '--why', why)
            exits[answer['result']] = exits.get(answer['result'], 0) + 1
            assert code in (0, 1, 3, 5, 6, 7, 11, 12), answer
            if code == 0:
                done = why, answer['version']
        new = redis.until_switched(old) and redis.master
        if done:
            entry = new.call('XRANGE', world.prefix + ':changes', '%d-0' % done[1], '%d-0' % done[1])
            assert done[0] in entry.splitlines(), (done, entry)
        if daemon.metric('store_state', state='refused') == 1:
            restored += 1
            code, answer = redis.ctl(world, 'route', 'restore', str(world.directory / 'state/table.json'), '--yes',
                                     '--why', 'lost by the failover', '--replicas', '0')
            assert code == 0, answer
        settle(redis, old)
        code, answer = flip(world, 'omni', '--replicas', '2')
        assert code in (0, 6), answer
        goes_to(world.bound(), 'omni')
    print('flips through two failovers: %s; restored %d times' % (exits, restored))


@pytest.mark.sanitize
def test_a_replica_that_lags_is_promoted(world, redis):
    """It lacks a change that was applied: refused, with an alarm, until the table is restored."""
    daemon = start(world)
    client = world.bound()
    assert flip(world, 'omni')[0] == 0
    redis.lag()
    since = daemon.mark()
    code, answer = flip(world, 'redx', '--timeout', '1s', '--replicas', '1')
    assert code == 12 and answer['result'] == 'not_replicated', answer
    assert answer['replicas'] == {'wanted': 1, 'acknowledged': 0} and answer['barrier']['complete'], answer
    lost = answer['version']
    daemon.wait_version(lost)
    goes_to(client, 'redx')
    old = redis.kill_master()
    redis.until_switched(old)
    redis.mend_lag()
    refused = daemon.wait_event('store_state', since=since, state='refused', timeout=30)
    print('lagging replica: %s' % refused['why'])
    assert 'version %d' % lost in refused['why']
    goes_to(client, 'redx')
    assert daemon.metric('store_tables_refused_total') >= 1
    # A change on the new master has the same number, but another history: not taken either, and the barrier says so.
    redis.until_replicas(redis.port, 1)
    code, answer = redis.ctl(world, 'route', 'set', '5002', '--carrier', 'spark', '--to', 'omni', '--outside-window',
                             '--timeout', '1s')
    assert code == 5 and answer['version'] == lost and answer['barrier']['missing'], answer
    goes_to(client, 'redx')
    since = daemon.mark()
    code, answer = redis.ctl(world, 'route', 'restore', str(world.directory / 'state/table.json'), '--yes', '--why',
                             'the failover lost a change')
    assert code == 0, answer
    follows(daemon, since)
    goes_to(client, 'redx')
    assert flip(world, 'omni')[0] == 0
    goes_to(client, 'omni')


@pytest.mark.sanitize
def test_no_sentinel_answers(world, redis):
    """Where the master is known, all goes on; after a start it is not: then the table on disk serves."""
    daemon = start(world)
    client = world.bound()
    since = daemon.mark()
    config = world.write_config('again.conf', redis=redis.config(world.prefix))
    for sentinel in redis.sentinels:
        sentinel.signal(19)
    trouble = daemon.wait_event('store_trouble', since=since)['why']
    assert 'None of the 3 sentinels' in trouble
    assert daemon.metric('store_state', state='following') == 1
    goes_to(client, 'redx')
    assert daemon.stop() == 0
    daemon = world.start(config)
    goes_to(world.bound(), 'redx')
    assert 'None of the 3 sentinels' in daemon.wait_event('store_trouble')['why']
    for sentinel in redis.sentinels:
        sentinel.signal(18)
    follows(daemon, 0)


@pytest.mark.sanitize
def test_a_sentinel_that_names_a_replica(world, redis):
    """One that is cut off from the others goes on naming the old master: ROLE tells, and another sentinel is asked."""
    redis.lie(redis.replicas[0].port)
    daemon = start(world)
    code, answer = flip(world, 'omni')
    assert code == 0, answer
    goes_to(world.bound(), 'omni')
    assert 'it is no master' in daemon.find('store_trouble')[0]['why']


def test_an_unknown_master_and_a_wrong_address(world, redis):
    code, answer = ctl_at('ping', 'sentinel://127.0.0.1:%d/nobody' % redis.ports[0])
    assert code == 3 and 'nobody' in answer['error'], answer
    code, answer = ctl_at('ping', 'sentinel://127.0.0.1:1,127.0.0.1:%d/%s' % (redis.ports[0], NAME))
    assert code == 0, answer
    code, answer = ctl_at('ping', 'sentinel://127.0.0.1/')
    assert code == 2, answer


def ctl_at(command, address):
    done = subprocess.run([str(TOOLS / 'turnoutctl'), command, '--json', '--redis', address], capture_output=True,
                          text=True, timeout=30, check=False)
    return done.returncode, json.loads(done.stdout)
