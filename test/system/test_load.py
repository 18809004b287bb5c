"""Under load, with the tools that ship: 200 flips, kill -9, faults; judged by the ledgers."""
import random
import time

import pytest

import rehearsal
from harness import Raw
from rehearsal import Carriers, Timeline, reconcile, start_three, three_clients

pytestmark = pytest.mark.load

SHORTCODES = ('5001', '5002', '5003')
PLATES = ('redx', 'omni')


def begin(world, certificates, settings=(), rate='1000', workers=2, link=None, more=()):
    carriers = Carriers(world, settings, link=link)
    three_clients(world, certificates)
    world.options['workers'] = workers
    world.routes(shortcodes=SHORTCODES)
    world.start()
    return carriers, start_three(world, certificates, rate, more)


def finish(carriers, loads, arguments):
    reports = [load.end() for load in loads]
    carriers.end()
    ledgers = [carriers.ledger] + [load.ledger for load in loads]
    return reports, reconcile(ledgers, [*arguments, *rehearsal.OWNERS])


@pytest.mark.sanitize
def test_200_flips_back_and_forth(world, certificates):
    """3 clients, 4 carriers, two workers; MO and receipts flow as well. After each reported flip, not one message on the
    old route; in the end nothing lost, doubled or gone astray."""
    carriers, loads = begin(world, certificates)
    timeline = Timeline(world, carriers)
    rng = random.Random(200)
    at = {}
    for i in range(200):
        cell = (rng.choice(SHORTCODES), rng.choice(list(rehearsal.CARRIERS)))
        at[cell] = 'omni' if at.get(cell, 'redx') == 'redx' else 'redx'
        timeline.flip(*cell, at[cell])
        if i % 20 == 0:
            for link in ('spark-redx', 'onenz-omni'):
                shortcode = rng.choice(SHORTCODES)
                owner = dict(zip(SHORTCODES, ('alpha', 'beta', 'gamma')))[shortcode]
                carriers.command('@%s mo %s 6427xxxxxxx %s 5 50' % (link, owner, shortcode))
    reports, (code, text) = finish(carriers, loads, timeline.arguments())
    assert code == 0 and text.splitlines()[-1] == 'lost=0 duplicated=0 misrouted=0', text
    for report in reports:
        assert report['accepted'] >= 200 and report['receipts'] >= 0.9 * report['accepted'], report
    # It would see them: the same ledgers, judged as if one cell had been on the other platform all the time.
    shortcode, carrier = max(timeline.cells, key=lambda cell: len(timeline.cells[cell]))
    del timeline.cells[shortcode, carrier]
    ledgers = [carriers.ledger] + [load.ledger for load in loads]
    code, text = reconcile(ledgers, ['--route', '%s:%s:omni' % (shortcode, carrier), *timeline.arguments(),
                                     *rehearsal.OWNERS])
    assert code == 1 and 'misrouted=0' not in text, text


@pytest.mark.sanitize
def test_kill_9_under_load(world, certificates):
    """Three times. What a client was told is accepted is in an SMSC's ledger; nothing is there twice."""
    carriers, loads = begin(world, certificates, rate='300', more=['--reconnect=100ms', '--timeout', '5s'])
    ports = {name: world.daemon.port(name) for name in world.listeners}
    for name, port in ports.items():
        world.listeners[name]['port'] = port
    for round_ in range(3):
        until_sent(loads, 300 * (round_ + 1))
        world.kill(world.daemon)
        world.start()
    until_sent(loads, 1500)
    reports, (code, text) = finish(carriers, loads, ['--route', '*:*:redx'])
    assert code == 0 and text.splitlines()[-1] == 'lost=0 duplicated=0 misrouted=0', text
    assert sum(r['reconnects'] for r in reports) >= 9, 'each of the three lost its connections three times'


def until_sent(loads, count):
    """Until every load has had that many answers (asked over their control sockets)."""
    deadline = time.monotonic() + 60
    for load in loads:
        while True:
            stats = load.command('stats')
            if answered(stats) >= count:
                break
            assert time.monotonic() < deadline, stats
            time.sleep(0.02)  # the pace of the asking


def answered(stats):
    return stats['accepted'] + stats['refused']


def test_smscs_that_misbehave_under_load(world, certificates):
    """Slow, refusing, throttling, silent, reordering, doubling, dropping; receipts before answers; and flips."""
    carriers, loads = begin(world, certificates, link={'response_timeout': Raw('1s')}, more=['--timeout', '8s'])
    behaviours = ['@spark-redx delay 20ms 30ms', '@onenz-redx submit-status ESME_RTHROTTLED 20%', '@2degrees-redx silence 5%',
                  '@skinny-redx reorder 7', '@spark-omni duplicate 5ms', '@onenz-omni receipt-before', '@2degrees-omni error-body nul',
                  '@skinny-omni resp-tlv']
    for line in behaviours:
        carriers.command(line)
    timeline = Timeline(world, carriers)
    for i in range(20):
        for carrier in rehearsal.CARRIERS:
            timeline.flip(SHORTCODES[i % 3], carrier, PLATES[(i // 3 + 1) % 2])
        if i % 5 == 4:
            carriers.command('@2degrees-omni drop')
    carriers.command('@skinny-redx reorder off')
    reports, (code, text) = finish(carriers, loads, timeline.arguments())
    assert code == 0 and text.splitlines()[-1] == 'lost=0 duplicated=0 misrouted=0', text
    assert reports


def test_all_messages_to_one_slow_link_and_the_rest_flow(world, certificates):
    """spark answers nothing at all: the other three go on at their pace."""
    carriers, loads = begin(world, certificates, rate='100', link={'response_timeout': Raw('30s')})
    until_sent(loads, 50)
    carriers.command('@spark-redx delay 3s')
    before = {n: s['mt_accepted'] for n, s in links(carriers).items()}
    deadline = time.monotonic() + 20
    while True:
        now = {n: s['mt_accepted'] for n, s in links(carriers).items()}
        if all(now[c + '-redx'] - before[c + '-redx'] >= 30 for c in ('onenz', '2degrees', 'skinny')):
            break
        assert time.monotonic() < deadline, (before, now)
        time.sleep(0.05)  # the pace of the asking
    carriers.command('@spark-redx delay off')
    reports, (code, text) = finish(carriers, loads, ['--route', '*:*:redx'])
    assert code == 0, text
    assert reports


def links(carriers):
    """{link: its counters} of stats."""
    return carriers.stats()['links']
