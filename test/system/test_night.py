"""A night of porting, rehearsed whole: 50 shortcodes, 4 carriers, 20 clients, 3 instances behind HAProxy, Redis behind
Sentinel; a window; carriers moved one by one; one rolled back, one confirmed too late and gone back by itself, a failover
of Redis in the middle of a flip, one instance killed and one stopped, a link dropped. The ledgers judge.
"""
import datetime
import json
import signal
import threading

import pytest

import conftest
from harness import CARRIERS, Raw, free_port
from haproxy import HaProxy
from rehearsal import Carriers, Load, Timeline, reconcile
from sentinels import Sentinels, until

CLIENTS, SHORTCODES, INSTANCES = 20, 50, 3
LEASE_S = 3
RATE = '15'  # a second, each client
WINDOW = 'CHG-4711'
CONFIRM_WITHIN = '2s'

# What the proxy may tell a client in such a night: ESME_RMSGQFUL where a hold ended, ESME_RSYSERR where a leg died with
# messages in flight. Nothing on which a client would stop for good.
REFUSALS = {'0x00000014', '0x00000008'}


@pytest.fixture
def redis(tmp_path):
    found = Sentinels(tmp_path)
    found.load_functions()
    yield found
    found.close()


@pytest.fixture
def world(request, tmp_path, redis):
    yield from conftest.make_world(request, tmp_path, redis)


def owner_of(index):
    return 'client-%02d' % (index % CLIENTS)


SHORTCODE_OWNERS = {'6%03d' % index: owner_of(index) for index in range(SHORTCODES)}


class Night:
    def __init__(self, world, redis):
        self.world, self.redis = world, redis
        self.carriers = Carriers(world, ['--delay', '2ms 3ms', '--receipt-delay', '50ms', '--mo-retry', '300ms 50'])
        for name in sorted(set(SHORTCODE_OWNERS.values())):
            world.client(name, shortcodes=[s for s, owner in SHORTCODE_OWNERS.items() if owner == name], max_binds=10,
                         window=100, bind_answer='all')
        world.options['workers'] = 1
        world.routes(shortcodes=list(SHORTCODE_OWNERS), carriers=list(CARRIERS))
        self.ports = [free_port() for _ in range(INSTANCES)]
        self.daemons = [self.start(number) for number in range(INSTANCES)]
        self.haproxy = HaProxy(world, self.ports)
        self.loads = [self.load(name) for name in world.clients]
        for load in self.loads:
            load.bound(30)
        self.steps = {carrier: [] for carrier in CARRIERS}
        self.count = 0

    def start(self, number):
        self.world.listeners['plain']['port'] = self.ports[number]
        redis = {**self.redis.config(self.world.prefix), 'lease': Raw('%ds' % LEASE_S)}
        state = self.world.directory / ('state-%d' % number)
        state.mkdir(exist_ok=True)
        return self.world.start(name='turnoutd-%d' % number, instance='proxy-%d' % number, redis=redis,
                                state_directory=str(state))

    def load(self, name):
        mine = ','.join(s for s, owner in SHORTCODE_OWNERS.items() if owner == name)
        return Load(self.world, name, ['--from', mine, '--bind', 'transceiver', '--rate', RATE, '--window', '50',
                                       '--registered-delivery', '1', '--reconnect=100ms', '--retry=300ms',
                                       '--timeout', '8s'], self.haproxy.port)

    def ctl(self, *args, code=0):
        got, answer = self.redis.ctl(self.world, *args)
        assert got == code, '%s: %s %s' % (args, got, json.dumps(answer, indent=1))
        return answer

    def version(self):
        return self.ctl('status')['version']

    def mark(self, what):
        self.count += 1
        label = '%s-%d' % (what, self.count)
        self.carriers.mark(label)
        return label

    def moving(self, carrier, to, action):
        """Does something that moves a carrier of all shortcodes, between two marks in the carriers' ledgers."""
        before = self.mark('before')
        answer = action()
        self.steps[carrier].append((to, self.mark('done'), before))
        return answer

    def step(self, carrier, *more, code=0):
        return self.moving(carrier, 'omni', lambda: self.ctl('window', 'step', WINDOW, '--carrier', carrier, '--why',
                                                             carrier + ' has moved', *more, code=code))

    def answered(self, more):
        """Until every client has had so many answers more: the night goes on under traffic."""
        want = {load: answers(load) + more for load in self.loads}
        for load, count in want.items():
            until(lambda l=load, c=count: answers(l) >= c, '%d answers of %s' % (count, load.name), 60)

    def routes(self):
        found = ['*:*:redx']
        for carrier, steps in self.steps.items():
            found.append('*:%s:redx' % carrier)
            found += ['*:%s:%s:after=%s:from=%s' % (carrier, *step) for step in steps]
        return [word for route in found for word in ('--route', route)]

    def mo(self, carrier, platform):
        for shortcode, name in list(SHORTCODE_OWNERS.items())[::5]:
            self.carriers.command('@%s-%s mo %s 6427xxxxxxx %s 1 10' % (carrier, platform, name, shortcode))

    def end(self):
        reports = [load.end() for load in self.loads]
        self.carriers.end()
        owners = [w for s, name in SHORTCODE_OWNERS.items() for w in ('--owner', '%s=%s' % (s, name))]
        return reports, reconcile([self.carriers.ledger] + [load.ledger for load in self.loads], self.routes() + owners)


def answers(load):
    stats = load.command('stats')
    return stats['accepted'] + stats['refused']


def moves_file(directory):
    path = directory / 'moves.csv'
    lines = ['shortcode,carrier,to'] + ['%s,%s,omni' % (s, c) for c in CARRIERS for s in SHORTCODE_OWNERS]
    path.write_text('\n'.join(lines) + '\n')
    return path


@pytest.mark.load
def test_a_night(world, redis, tmp_path):
    night = Night(world, redis)
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    night.ctl('window', 'create', WINDOW, str(moves_file(tmp_path)), '--start', now.isoformat(), '--end',
              (now + datetime.timedelta(hours=1)).isoformat(), '--zone', 'Pacific/Auckland', '--why', 'rehearsal')
    night.ctl('window', 'check', WINDOW)
    night.ctl('window', 'start', WINDOW)
    night.answered(20)

    # 1. spark, with a failover of Redis in the middle of it. Both replicas must have the change before it counts.
    night.mo('spark', 'redx')
    failover = threading.Thread(target=redis.failover)
    failover.start()
    night.moving('spark', 'omni', lambda: stubborn(night, 'spark'))
    failover.join()
    night.answered(20)
    redis.until_replicas(redis.port, 2)

    # 2. onenz: moved, wrong, back at one command.
    night.step('onenz')
    night.answered(10)
    back = night.moving('onenz', 'redx', lambda: night.ctl('rollback', '--why', 'onenz was not ready'))
    assert back['barrier']['complete']
    night.answered(10)

    # 3. 2degrees: confirmed too late, and back by itself.
    night.step('2degrees', '--confirm-within', CONFIRM_WITHIN)
    before = night.mark('before')
    went = night.version() + 1
    until(lambda: night.version() >= went, 'the way back', 30)
    for daemon in night.daemons:
        daemon.wait_version(went, 30)
    night.steps['2degrees'].append(('redx', night.mark('done'), before))
    redis.ctl(world, 'confirm')  # too late
    night.answered(10)

    # 4. One instance is killed; its clients come back by the others. One hangs: it is named, and waited for until its
    #    entry is dead.
    world.kill(night.daemons[0])
    night.answered(10)
    night.daemons[1].signal(signal.SIGSTOP)
    skinny = night.step('skinny', '--timeout', '%ds' % (LEASE_S * 4))
    assert skinny['barrier']['complete'], skinny
    night.daemons[1].signal(signal.SIGCONT)
    night.daemons[0] = night.start(0)
    night.answered(20)

    # 5. The links of a moved carrier drop.
    night.carriers.command('@skinny-omni drop')
    night.answered(10)

    # 6. onenz and 2degrees once more, and the end of the window.
    night.step('onenz', '--strict')
    night.step('2degrees', '--confirm-within', '1m')
    night.ctl('confirm')
    night.mo('onenz', 'omni')
    night.answered(20)
    night.ctl('window', 'finish', WINDOW)
    reports, (code, text) = night.end()
    print(text.splitlines()[-1])
    check_clients(reports)
    assert code == 0 and text.splitlines()[-1] == 'lost=0 duplicated=0 misrouted=0', text
    check_report(night)


def stubborn(night, carrier):
    """Moves a carrier while Redis fails over: asked again until it is done, as an engineer would."""
    def attempt():
        code, answer = night.redis.ctl(night.world, 'window', 'step', WINDOW, '--carrier', carrier, '--why', 'in spite of it',
                                       '--replicas', '2')
        print('step during the failover: %d %s' % (code, answer.get('error', '')))
        return answer if code in (0, 6) else None
    return until(attempt, 'the step', 60)


def check_clients(reports):
    told = set()
    for report in reports:
        assert report['accepted'] > 0, report
        told |= set(report['refused_by_status'])
    print('refusals: %s' % sorted(told))
    assert told <= REFUSALS, told


def check_report(night):
    """What it says of the course is what was done; what it says of the carriers that moved last, when all instances stayed
    up, is what the carriers' ledger says, to the message."""
    report = until(lambda: complete(night), 'a report that knows of all messages')
    summary = report['summary']
    assert (summary['moved'], summary['rollbacks'], summary['alarms']) == (SHORTCODES * len(CARRIERS), 2, 0), summary
    course = [(event['kind'], event['who']) for event in report['events']]
    assert course[0] == ('window_opened', 'tester') and course[-1] == ('window_finished', 'tester'), course
    assert course.count(('rolled_back', 'tester')) == 1 and [k for k, _ in course].count('gone_back') == 1, course
    changes = {change['version']: change for change in report['changes']}
    outcomes = [change['outcome']['outcome'] for change in changes.values() if change['outcome']]
    assert sorted(outcomes) == ['confirmed', 'gone_back'], changes
    assert all(len(c['applied']) >= INSTANCES - 1 for c in changes.values()), changes
    assert report['holds'] and all(0 < hold['ms'] < 8000 for hold in report['holds']), report['holds']


def complete(night):
    """The report, once the instances have written the last of what they saw."""
    report = night.ctl('window', 'report', WINDOW)['report']
    said = {c['carrier']: c['messages']['mt_accepted'] for c in report['carriers']}
    took = {carrier: accepted_since(night, carrier) for carrier in ('onenz', '2degrees')}
    return report if all(said[carrier] == took[carrier] for carrier in took) else None


def accepted_since(night, carrier):
    """Messages that the new link of a carrier took since its last move, by the ledger."""
    link, label = 'link=%s-omni' % carrier, 'label=' + night.steps[carrier][-1][2]
    count, counting = 0, False
    for line in night.carriers.ledger.read_text().splitlines():
        _, event, *words = line.split()
        if link in words:
            counting |= event == 'MARK' and label in words
            count += counting and event == 'MT' and 'status=0x00000000' in words
    assert counting
    return count
