"""Instances asked live: who they are, and what one that hangs, is killed or is of an older program says."""
import json
import os
import signal

import pytest

from harness import Raw


@pytest.fixture
def two(world):
    """Two instances of one table."""
    world.smsc('spark', 'redx')
    world.client()
    world.routes()
    for name in ('a', 'b'):
        (world.directory / name).mkdir()
        world.start(instance=name, state_directory=str(world.directory / name), workers=2,
                    redis={'host': '127.0.0.1', 'port': world.redis.port, 'prefix': world.prefix,
                           'beat': Raw('200ms'), 'lease': Raw('30s')})
    return world


def asked(world, code=0):
    got, answer = world.ctl('instances', '--ask', check=False)
    assert got == code, answer
    return {i['id']: i for i in answer['instances']}, answer


def wait_entry(world, name, field='answers'):
    """Until the instance's entry has this field: its first beat."""
    while not world.redis.call('HGET', '%s:instance:%s' % (world.prefix, name), field):
        pass


@pytest.mark.sanitize
def test_all_answer(two):
    world = two
    first, second = world.daemons
    for name in ('a', 'b'):
        wait_entry(world, name)
    found, answer = asked(world)
    assert sorted(found) == ['a', 'b']
    for name, daemon in (('a', first), ('b', second)):
        one = found[name]
        assert (one['answered'], one['pid'], one['config'], one['applied'], one['workers']) == (
            True, daemon.pid, str(daemon.config), world.version, 2)
        assert one['program'].startswith('turnoutd ') and one['uptime_s'] < 300 and 'error' not in one
        assert one['config_since_s'] >= one['started_s']
    assert answer['ms'] < 1000, 'nobody was waited for'


def test_one_that_hangs_is_named_and_not_waited_for(two):
    world = two
    wait_entry(world, 'a'), wait_entry(world, 'b')
    os.kill(world.daemons[0].pid, signal.SIGSTOP)
    try:
        found, answer = asked(world, code=5)
        assert not found['a']['answered'] and found['a']['error'] == 'does not answer'
        assert found['b']['answered']
        assert 900 < answer['ms'] < 4000, 'it had a second for a first word, not all of --timeout'
        assert '1 living instance' in answer['error']
    finally:
        os.kill(world.daemons[0].pid, signal.SIGCONT)
    found, _ = asked(world)
    assert found['a']['answered'], 'what was asked meanwhile does no harm'


def test_one_of_an_older_program_is_not_waited_for(two):
    world = two
    wait_entry(world, 'a'), wait_entry(world, 'b')
    world.redis.call('FCALL', 'turnout_beat', 1, world.prefix + ':version', 'old', 30000, 'applied', 1)
    found, answer = asked(world, code=5)
    assert found['old']['error'] == 'its program cannot be asked this'
    assert found['a']['answered'] and found['b']['answered'] and answer['ms'] < 1000


def test_a_question_that_nobody_knows(two):
    """Whatever is asked is answered: an unknown kind, and what is no question."""
    world = two
    wait_entry(world, 'a'), wait_entry(world, 'b')
    for request in ('{"kind": "sing"}', '{"kind": "", "kind": "about"}'):
        reply = world.redis.call('FCALL', 'turnout_ask', 1, world.prefix + ':version', request, 'test', 10000)
        key = '%s:answers:%s' % (world.prefix, reply.splitlines()[0])
        for _ in range(2):
            element = world.redis.call('--json', 'BLPOP', key, 10)
            name, _, text = json.loads(element)[1].partition('\n')
            assert name in ('a', 'b') and 'error' in json.loads(text)
