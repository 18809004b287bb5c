"""Three instances behind HAProxy on one Redis with replicas and Sentinels: joined, left, hung, killed, cut off, and failed
over in the middle of flips, under load; ledgers decide. And strict flips by the hundred: no message overtakes another."""
import collections
import os
import signal
import time

import pytest

import conftest
from fleet import Cut, Fleet
from harness import CARRIERS, OUTSIDE, PATIENCE, TOOLS, Raw
from rehearsal import Carriers, Load, Timeline, reconcile
from sentinels import Sentinels, until

pytestmark = pytest.mark.load

CELLS = [(s, c) for s in ('5001', '5002') for c in ('spark', 'onenz')]
TWO_CARRIERS = ('spark', 'onenz')
# How many strict flips, at most, and for how long; TURNOUT_STRICT_FLIPS=1000 makes all of them.
STRICT_FLIPS = int(os.environ.get('TURNOUT_STRICT_FLIPS', '0'))
STRICT_SECONDS = 25


@pytest.fixture
def redis(tmp_path):
    found = Sentinels(tmp_path)
    found.load_functions()
    yield found
    found.close()


@pytest.fixture
def world(request, tmp_path, redis):
    yield from conftest.make_world(request, tmp_path, redis)


class Night:
    """A fleet, its carriers, and two clients with a session or more at each instance."""

    def __init__(self, world, rate='200', to=None, **client):
        self.world = world
        self.carriers = Carriers(world, carriers=TWO_CARRIERS)
        options = {'max_binds': 20, 'bind_answer': 'all', 'hold_budget': Raw('5s'), **client}
        world.client('alpha', shortcodes=['5001'], **options)
        world.client('beta', shortcodes=['5002'], **options)
        world.routes(shortcodes=('5001', '5002'), carriers=TWO_CARRIERS)
        self.fleet = Fleet(world)
        self.timeline = Timeline(world, self.carriers)
        self.loads = [Load(world, name, ['--from', shortcode, '--sessions', '3', '--rate', rate, '--window', '20',
                                         '--registered-delivery', '1', '--reconnect=200ms', '--timeout', '8s'],
                           self.fleet.port, carriers=TWO_CARRIERS, to=to)
                      for name, shortcode in (('alpha', '5001'), ('beta', '5002'))]
        for load_ in self.loads:
            load_.bound()
        self.at = {cell: 'redx' for cell in CELLS}

    def ctl(self, *args):
        return self.world.redis.ctl(self.world, *args)

    def other(self, cell):
        return 'omni' if self.at[cell] == 'redx' else 'redx'

    def flip(self, cell, *more, to=None, expect=(0,)):
        """One flip by turnoutctl, bracketed by marks. Its answer."""
        to = to or self.other(cell)
        with self.timeline.flipping(*cell, to):
            code, answer = self.ctl(*OUTSIDE, cell[0], '--carrier', cell[1], '--to', to, '--why', 'night', *more)
            assert code in expect, (code, answer)
        self.at[cell] = to
        return answer

    def flip_while(self, cell, trouble, mend, *more):
        """A flip that cannot be complete before mend(). What was answered before it, and the time of the rest."""
        to = self.other(cell)
        words = [*OUTSIDE, cell[0], '--carrier', cell[1], '--to', to, '--why', 'night', '--force', *more]
        with self.timeline.flipping(*cell, to):
            trouble()
            try:
                code, answer = self.ctl(*words, '--timeout', '1s')
            finally:
                mend()
            assert code == 5, (code, answer)
            until(lambda: self.ctl(*words, '--timeout', '5s')[0] in (0, 6), 'a complete flip')
        self.at[cell] = to
        return answer

    def several(self, count):
        for i in range(count):
            self.flip(CELLS[i % len(CELLS)])

    def end(self):
        reports = [load.end() for load in self.loads]
        self.carriers.end()
        self.fleet.close()
        ledgers = [self.carriers.ledger] + [load.ledger for load in self.loads]
        code, text = reconcile(ledgers, [*self.timeline.arguments(), '--owner', '5001=alpha', '--owner', '5002=beta'])
        print('%s flips, %s accepted, %s refused, %s unanswered: %s' % (
            self.timeline.count, *[sum(r.get(k, 0) for r in reports) for k in ('accepted', 'refused', 'unanswered')],
            text.splitlines()[-1]))
        assert code == 0 and text.splitlines()[-1] == 'lost=0 duplicated=0 misrouted=0', text
        return reports


def missing(answer):
    return {m['id'] for m in answer['barrier']['missing']}


def test_instances_hang_leave_join_and_are_cut_off(world):
    """Each is named; the flip is complete when it is back, dead, or gone, and not before."""
    night = Night(world)
    fleet = night.fleet
    night.several(4)

    second = fleet.instances[2]
    answer = night.flip_while(CELLS[0], lambda: second.signal(signal.SIGSTOP), lambda: second.signal(signal.SIGCONT))
    assert missing(answer) == {'i2'} and answer['barrier']['live'] == 3, answer
    night.several(2)

    assert second.stop() == 0  # leaves: it is not waited for
    assert night.flip(CELLS[1])['barrier']['live'] == 2
    fleet.start(2)
    assert night.flip(CELLS[2])['barrier']['live'] == 3

    third = fleet.instances[3]
    world.kill(third)  # dead: named until its lease is over, then not waited for
    cell = CELLS[3]
    with night.timeline.flipping(*cell, night.other(cell)):
        words = [*OUTSIDE, cell[0], '--carrier', cell[1], '--to', night.other(cell), '--why', 'night', '--force']
        code, answer = night.ctl(*words, '--timeout', '10s')
    night.at[cell] = night.other(cell)
    assert code == 0 and [d['id'] for d in answer['barrier']['dead']] == ['i3'], answer
    print('an instance that was killed held a flip up for %.1f s' % (answer['barrier']['ms_from_start'] / 1000))

    cut = Cut(world.redis.port)
    try:
        fleet.start(3, redis=cut.port)
        night.several(2)
        answer = night.flip_while(CELLS[0], cut.stop, cut.mend)
        assert missing(answer) == {'i3'}, answer
        night.several(4)
    finally:
        cut.close()
    assert world.expected_exits[third] == -signal.SIGKILL
    night.end()


def test_a_failover_in_the_middle_of_a_flip(world, redis):
    """The master dies while the flip waits for a hung instance: it says incomplete, and the same command completes it on
    the new master, where nothing of it was lost."""
    night = Night(world)
    night.several(3)
    cell, third = CELLS[0], night.fleet.instances[3]
    to = night.other(cell)
    words = [*OUTSIDE, cell[0], '--carrier', cell[1], '--to', to, '--why', 'night', '--force']
    before = int(redis.call('GET', world.prefix + ':version'))
    with night.timeline.flipping(*cell, to):
        third.signal(signal.SIGSTOP)
        try:
            ctl = world.run([TOOLS / 'turnoutctl', *words, '--redis', redis.address, '--prefix', world.prefix, '--as',
                             'tester', '--timeout', '20s'], 'turnoutctl')
            until(lambda: redis.call('GET', world.prefix + ':version') == str(before + 1), 'the change')
            for replica in redis.replicas:
                until(lambda r=replica: r.call('GET', world.prefix + ':version') == str(before + 1), 'its copies')
            old = redis.kill_master()
            assert ctl.wait(PATIENCE * 3) == 5, ctl.tail()
        finally:
            third.signal(signal.SIGCONT)
        redis.until_switched(old)
        # An instance's entry has to be written to the new master before it is waited for again.
        until(lambda: night.ctl('instances')[1]['instances'] and
              sum(i['alive'] for i in night.ctl('instances')[1]['instances']) == 3, 'all three on the new master')
        code, answer = night.ctl(*words, '--timeout', '20s')
        assert code == 6 and answer['version'] == before + 1 and answer['barrier']['complete'], answer
    night.at[cell] = to
    redis.until_replicas(redis.port, 1)
    night.several(4)
    night.end()


def overtaken(ledger):
    """Per (session, shortcode, destination): messages that an SMSC accepted after a later one. And how many there were."""
    newest, bad, count = {}, [], 0
    for line in open(ledger):
        words = line.split()
        if words[1] != 'MT':
            continue
        fields = dict(w.split('=', 1) for w in words[2:])
        if fields['status'] != '0x00000000':
            continue
        run, session, number = fields['key'].rsplit('-', 2)
        place = (run, session, fields['source'], fields['dest'])
        count += 1
        if int(number) <= newest.get(place, -1):
            bad.append((fields['key'], newest[place]))
        newest[place] = max(newest.get(place, -1), int(number))
    return bad, count, len(newest)


def test_strict_flips_keep_the_order(world):
    """Few destinations, so that many messages go to each; answers come late and at different times, so that without the
    wait in the middle messages would overtake each other."""
    night = Night(world, rate='600', to='6427111111x,6421111111x', hold_budget=Raw('20s'), wait_count=1000)
    night.carriers.command('delay 3ms 3ms')
    for platform in ('redx', 'omni'):
        night.carriers.command('@spark-%s slow-read 15000' % platform)
    took, began = [], time.monotonic()
    while len(took) < (STRICT_FLIPS or 1000) and (STRICT_FLIPS or time.monotonic() - began < STRICT_SECONDS):
        cell = CELLS[len(took) % len(CELLS)]
        answer = night.flip(cell, '--strict', '--force')
        took.append(answer['barrier']['ms_from_start'])
    reports = night.end()
    bad, count, places = overtaken(night.carriers.ledger)
    took.sort()
    print('%d strict flips, median %.0f ms, 99th percentile %.0f ms; %d messages to %d (client, shortcode, destination): '
          '%d overtaken' % (len(took), took[len(took) // 2], took[len(took) * 99 // 100], count, places, len(bad)))
    assert not bad, bad[:10]
    assert sum(r['refused'] for r in reports) == 0 and count > 10 * places
