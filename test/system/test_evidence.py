"""Evidence: what turnoutd has counted since a flip is what the peers have seen; guards trip once; wrong paths are seen."""
import json
import subprocess
import time

import pytest

from harness import OUTSIDE, TOOLS, Raw, number_of
from peers import PATIENCE, answer_all

HANDSET = number_of('spark')


@pytest.fixture
def two(world):
    """One carrier, both platforms, which accept what comes."""
    for platform in ('redx', 'omni'):
        world.smsc('spark', platform, answers=answer_all)
    world.client(bind_answer='all', hold_budget=Raw('20s'))
    world.routes()
    return world


def call(world, function, *args):
    """The elements of a reply after its first, which is the time, as objects."""
    answer = world.redis.call('FCALL', function, 1, world.prefix + ':version', *args)
    return [json.loads(line) for line in answer.splitlines()[1:] if line]


def await_true(look, what):
    end = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, 'never came: ' + what
        time.sleep(0.1)


def merged(world, shortcode='5001'):
    """The records of a cell of all instances, of the last move, summed as far as a test looks at them."""
    records = [r for r in call(world, 'turnout_evidence_read', shortcode) if r['carrier'] == 'spark']
    last = max((r['changed_ms'] for r in records), default=None)
    sums = {'now': {}, 'other': {}, 'before': {}, 'records': [r for r in records if r['changed_ms'] == last]}
    for record in sums['records']:
        for side in ('now', 'other', 'before'):
            for name, value in record[side].items():
                if isinstance(value, int):
                    sums[side][name] = sums[side].get(name, 0) + value
        sums['mo_twice'] = sums.get('mo_twice', 0) + record.get('mo_twice', 0)
    return sums


def evidence(world, what, look):
    """The evidence of 5001 spark, once it is as look says."""
    def see():
        found = merged(world)
        return found if found['records'] and look(found) else None
    try:
        return await_true(see, what)
    except AssertionError as fault:
        raise AssertionError('%s; there is: %s' % (fault, json.dumps(merged(world)['records'], indent=1))) from None


def told(world, *command):
    """What turnoutctl prints, on one line."""
    done = subprocess.run([str(TOOLS / 'turnoutctl'), *command, '--redis', '127.0.0.1:%d' % world.redis.port, '--prefix',
                           world.prefix], capture_output=True, text=True, timeout=PATIENCE * 3, check=True)
    return ' '.join(done.stdout.split())


def send(client, count, status=0, **fields):
    """Messages, answered with a status."""
    for _ in range(count):
        sent = client.submit(dest=HANDSET, **fields)
        client.expect('submit_sm_resp', seq=sent.seq, status=status)


def mo(leg, client, text, status=0):
    sent = leg.deliver(source=HANDSET, text=text)
    asked = client.expect('deliver_sm')
    client.send(asked.answer(status, b'\0'))
    leg.expect('deliver_sm_resp', seq=sent.seq, status=status)


def refuse_with(status):
    def answer(leg, pdu):
        return pdu.answer(status) if pdu.name == 'submit_sm' else None
    return answer


@pytest.mark.sanitize
def test_counts_what_the_peers_see(two):
    """Each number against what this test has sent and answered itself."""
    world = two
    world.start()
    client = world.bound()
    redx = world.smscs['spark-redx'].leg()
    send(client, 7)
    mo(redx, client, b'before')
    world.smscs['spark-redx'].answers = refuse_with(0x58)
    send(client, 2, status=0x58)
    version = world.flip('5001', 'spark', 'omni')
    omni = world.smscs['spark-omni'].leg()
    send(client, 3)
    send(client, 2, registered=1)
    world.smscs['spark-omni'].answers = refuse_with(0x14)
    send(client, 4, status=0x14)
    mo(omni, client, b'first')
    mo(omni, client, b'refused', status=0x14)
    mo(redx, client, b'still by the old way')
    found = evidence(world, 'all that was sent', lambda e: e['now'].get('mo_refused') and e['other'].get('mo') == 1)
    assert version == world.version
    record, = found['records']
    now, other, before = record['now'], record['other'], record['before']
    assert (now['platform'], other['platform']) == ('omni', 'redx')
    assert (now['mt_sent'], now['mt_accepted'], now['mt_refused']) == (9, 5, 4)
    assert now['statuses'] == [[0x14, 4]]
    assert now['receipts_awaited'] == 2 and 'receipts' not in now
    assert (now['mo'], now['mo_refused']) == (1, 1), 'what was refused has not come'
    assert other['wrong_mo'] == 1 and 'mt_sent' not in other
    assert (before['mt_accepted'], before['mt_refused'], before['mo']) == (7, 2, 1)
    assert record['minutes'][0] + (record['minutes'] + [0, 0])[1] == 18
    wall = time.time() * 1000
    assert other['mt_last_ms'] <= now['mt_first_ms'] <= now['mt_last_ms'] <= wall
    assert wall - 60000 < now['mo_first_ms'] <= other['wrong_first_ms'] <= wall
    # and back: the roles change, what was is kept for comparison
    world.flip('5001', 'spark', 'redx')
    found = evidence(world, 'the way back', lambda e: e['records'][0]['now']['platform'] == 'redx')
    record, = found['records']
    assert (record['before']['mt_accepted'], record['before']['mt_refused']) == (5, 4)
    assert 'mt_accepted' not in record['now'] and record['now']['mt_last_ms'] == other['mt_last_ms']


@pytest.mark.sanitize
def test_sees_traffic_on_the_wrong_path(two):
    """MO before the carrier was to move, a receipt by the platform that did not accept the message: both are said. The
    receipt of a message of before the flip by the old platform is as it should be."""
    world = two
    world.start()
    client = world.bound()
    redx = world.smscs['spark-redx'].leg()
    sent = client.submit(dest=HANDSET, registered=1)
    before = client.expect('submit_sm_resp', seq=sent.seq, status=0).body.rstrip(b'\0')
    planned = {'shortcode': '5001', 'carrier': 'spark', 'to': 'redx', 'next': 'omni'}
    world.redis.call('FCALL', 'turnout_change', 1, world.prefix + ':version',
                     json.dumps({'kind': 'set', 'who': 'test', 'moves': [planned]}))
    omni = world.smscs['spark-omni'].leg()
    mo(omni, client, b'too early')
    early = evidence(world, 'an early MO', lambda e: e['other'].get('wrong_mo'))
    assert early['records'][0]['other']['platform'] == 'omni'
    assert 'WRONG PATH by omni, early: 1 MO' in told(world, 'status')
    assert '1 MO, 0 receipts: the carrier has moved early' in told(world, 'status', '5001')
    world.flip('5001', 'spark', 'omni')
    sent = client.submit(dest=HANDSET, registered=1)
    after = client.expect('submit_sm_resp', seq=sent.seq, status=0).body.rstrip(b'\0')

    def receipt(leg, message_id):
        text = b'id:' + message_id + b' sub:001 dlvrd:001 submit date:2401010000 done date:2401010000 stat:DELIVRD err:000 text:'
        given = leg.deliver(source=HANDSET, text=text, esm_class=4)
        client.send(client.expect('deliver_sm').answer(0, b'\0'))
        leg.expect('deliver_sm_resp', seq=given.seq, status=0)
    receipt(redx, before)
    evidence(world, 'a receipt of before', lambda e: e['other'].get('receipts') == 1)
    receipt(redx, after)
    found = evidence(world, 'a receipt by the wrong way', lambda e: e['other'].get('receipts') == 2)
    assert found['other']['wrong_receipts'] == 1
    assert 'WRONG PATH by redx, not moved yet: 1 rcpt' in told(world, 'status')
    assert '0 MO, 1 receipts: the carrier has not moved yet' in told(world, 'status', '5001')
    receipt(omni, after)
    found = evidence(world, 'a receipt by the right way', lambda e: e['now'].get('receipts') == 1)
    assert 'wrong_receipts' not in found['now'] and found['now']['receipts_awaited'] == 1


@pytest.mark.sanitize
def test_two_smscs_that_count_alike_are_no_wrong_path(two):
    """Both give the ids 1001, 1002 ...: a receipt by the old platform for one that both gave may be of the old message."""
    world = two
    given = {'redx': 1000, 'omni': 1000}

    def counting(platform):
        def answer(leg, pdu):
            if pdu.name != 'submit_sm':
                return answer_all(leg, pdu)
            given[platform] += 1
            return pdu.answer(0, b'%d\0' % given[platform])
        return answer
    for platform in given:
        world.smscs['spark-' + platform].answers = counting(platform)
    world.start()
    client = world.bound()
    redx = world.smscs['spark-redx'].leg()
    send(client, 2, registered=1)
    world.flip('5001', 'spark', 'omni')
    send(client, 3, registered=1)
    assert given == {'redx': 1002, 'omni': 1003}

    def receipt(message_id):
        text = b'id:%d sub:001 dlvrd:001 submit date:2401010000 done date:2401010000 stat:DELIVRD err:000 text:' % message_id
        sent = redx.deliver(source=HANDSET, text=text, esm_class=4)
        client.send(client.expect('deliver_sm').answer(0, b'\0'))
        redx.expect('deliver_sm_resp', seq=sent.seq, status=0)
    receipt(1001)
    receipt(1002)
    receipt(1003)  # which redx has not given
    found = evidence(world, 'three receipts', lambda e: e['other'].get('receipts') == 3)
    assert found['other']['wrong_receipts'] == 1


@pytest.mark.sanitize
def test_says_that_an_mo_came_twice(two):
    """By both platforms: passed on twice, counted, and told once."""
    world = two
    daemon = world.start()
    client = world.bound()
    redx = world.smscs['spark-redx'].leg()
    world.flip('5001', 'spark', 'omni')
    send(client, 1)
    omni = world.smscs['spark-omni'].leg()
    mark = daemon.mark()
    for text in (b'YES', b'NO'):
        mo(redx, client, text)
        mo(redx, client, text)
        mo(omni, client, text)
    mo(omni, client, b'another')
    found = evidence(world, 'both', lambda e: e['mo_twice'] == 2)
    assert found['records'][0]['mo_twice_first_ms'] <= found['records'][0]['mo_twice_last_ms']
    assert daemon.metric('mo_twice_total') == 2
    told, = daemon.find('mo_twice', mark)
    assert told['shortcode'] == '5001' and told['carrier'] == 'spark' and told['source'].endswith(HANDSET[-3:])
    assert HANDSET not in json.dumps(told)


def guarded_flip(world, **guard):
    return world.change({('5001', 'spark'): 'omni'}, kind='flip', outside_window=True,
                        guard={'min': 5, 'action': 'alert', 'for_ms': 60000, **guard})


def alarms(world):
    return call(world, 'turnout_alarms')


@pytest.mark.sanitize
def test_a_guard_raises_an_alarm(two):
    world = two
    daemon = world.start()
    client = world.bound()
    world.smscs['spark-redx'].leg()
    send(client, 20)
    world.smscs['spark-omni'].answers = refuse_with(0x45)
    version = guarded_flip(world, errors=10)
    daemon.wait_version(version)
    send(client, 4, status=0x45)
    evidence(world, 'too few to tell', lambda e: e['now'].get('mt_refused') == 4)
    assert alarms(world) == [] and call(world, 'turnout_guards')[0]['state'] == 'watching'
    send(client, 1, status=0x45)
    alarm, = await_true(lambda: alarms(world), 'an alarm')
    assert (alarm['id'], alarm['outcome'], alarm['instance']) == (str(version), 'alerted', 'test-1')
    assert '100.0 % of 5' in alarm['what'] and 'allowed: 10' in alarm['what']
    assert call(world, 'turnout_guards')[0]['state'] == 'bad'
    assert daemon.wait_event('guard_trips')['version'] == version
    send(client, 3, status=0x45)
    assert len(alarms(world)) == 1 and world.redis.call('GET', world.prefix + ':version').strip() == str(version)


def test_a_guard_rolls_back_once_with_two_instances(two):
    """Both instances come to the verdict; one makes the change."""
    world = two
    first = world.start()
    (world.directory / 'state-2').mkdir()
    second = world.start(instance='test-2', state_directory=str(world.directory / 'state-2'))
    clients = [world.bound(daemon=first), world.bound(daemon=second)]
    for client in clients:
        send(client, 10)
    world.smscs['spark-omni'].answers = refuse_with(0x45)
    version = guarded_flip(world, errors=10, min=6, action='rollback')
    for daemon in (first, second):
        daemon.wait_version(version)
    for client in clients:
        send(client, 3, status=0x45)  # too few on each, enough on both
    alarm, = await_true(lambda: alarms(world), 'an alarm')
    assert alarm['outcome'] == 'rolled_back' and alarm['rollback_version'] == version + 1
    for daemon in (first, second):
        daemon.wait_version(version + 1)
    for client in clients:
        send(client, 5)
    entry = world.redis.call('XRANGE', world.prefix + ':changes', '%d-0' % (version + 1), '+').splitlines()
    assert entry.count('kind') == 1 and 'guard' in entry and 'undoes' in entry
    assert len(first.find('guard_ended') + second.find('guard_ended')) == 1
    assert world.redis.call('GET', world.prefix + ':version').strip() == str(version + 1)


def test_a_lost_leg_trips_its_guard(two):
    world = two
    daemon = world.start()
    client = world.bound()
    send(client, 1)
    version = guarded_flip(world, leg_lost=True)
    daemon.wait_version(version)
    send(client, 1)
    evidence(world, 'the new way', lambda e: e['now'].get('mt_accepted') == 1)
    assert alarms(world) == []
    world.smscs['spark-omni'].drop()
    alarm, = await_true(lambda: alarms(world), 'an alarm')
    assert 'legs to omni were lost' in alarm['what']


def test_a_guard_ends_inconclusive_without_traffic(two):
    """Never good, never bad."""
    world = two
    daemon = world.start()
    client = world.bound()
    send(client, 1)
    version = guarded_flip(world, errors=1, mo_within_ms=100, receipt_within_ms=100, leg_lost=True, for_ms=1500)
    daemon.wait_version(version)
    guard = await_true(lambda: [g for g in call(world, 'turnout_guards') if g['state'] != 'watching'], 'its end')[0]
    assert guard['state'] == 'inconclusive' and alarms(world) == []
    assert daemon.wait_event('guard_ended')['outcome'] == 'inconclusive'


def test_the_commands_tell_it(two):
    """flip with a guard, status, status of one shortcode, guards, alarms, and an alarm acknowledged."""
    world = two
    daemon = world.start()
    client = world.bound()
    send(client, 6)
    world.smscs['spark-omni'].answers = refuse_with(0x45)
    code, answer = world.ctl(*OUTSIDE, '5001', '--carrier', 'spark', '--to', 'omni', '--guard-errors', '10', '--guard-min', '5')
    daemon.wait_version(answer['version'])
    guard, = world.ctl('guards')[1]['guards']
    assert (guard['state'], guard['verdict'], guard['action']) == ('watching', 'inconclusive', 'alert')
    assert guard['cells'] == [{'shortcode': '5001', 'carrier': 'spark', 'from': 'redx', 'to': 'omni'}]
    assert guard['until_ms'] - guard['at_ms'] == 3600000
    send(client, 5, status=0x45)
    alarm, = await_true(lambda: world.ctl('alarms')[1]['alarms'], 'an alarm')
    assert alarm['outcome'] == 'alerted' and alarm['version'] == answer['version']
    status = world.ctl('status')[1]
    assert status['board']['5001']['spark']['alarms'] == 1
    record, = status['evidence']
    assert (record['shortcode'], record['now']['mt_refused'], record['before']['mt_accepted']) == ('5001', 5, 6)
    assert world.ctl('status', '5001')[1]['evidence'] == status['evidence']
    assert world.ctl('status', '9999', check=False)[0] == 8
    assert world.ctl('alarms', 'ack', alarm['id'], '--why', 'seen')[0] == 0
    assert world.ctl('alarms', 'ack', alarm['id'], check=False)[0] == 8
    alarm, = world.ctl('alarms')[1]['alarms']
    assert (alarm['acknowledged']['who'], alarm['acknowledged']['why']) == ('tester', 'seen')
    assert world.ctl('status')[1]['board']['5001']['spark']['alarms'] == 0
    assert world.ctl(*OUTSIDE, '5001', '--carrier', 'spark', '--to', 'redx', '--guard-errors', '10', '--guard-action', 'x',
                     check=False)[0] == 2
    assert world.ctl(*OUTSIDE, '5001', '--carrier', 'spark', '--to', 'redx', '--guard-errors', '101', check=False)[0] == 2


def test_a_strict_flip_is_guarded_at_its_end(two):
    """The hold is no move: its end is what is watched."""
    world = two
    world.start()
    client = world.bound()
    send(client, 1)
    answer = world.ctl(*OUTSIDE, '5001', '--carrier', 'spark', '--to', 'omni', '--strict', '--guard-leg-lost')[1]
    guard, = world.ctl('guards')[1]['guards']
    assert guard['version'] == answer['version'] and guard['version'] > answer['held_version']


def test_status_shows_what_is_held_and_puts_silence_last(two):
    """A route that never moved is held: what waits is to be seen. Routes that moved without traffic are one line."""
    world = two
    world.start()
    client = world.bound()
    world.routes(shortcodes=['7%03d' % n for n in range(60)])
    world.change({('7%03d' % n, 'spark'): 'omni' for n in range(60)}, kind='flip', outside_window=True)
    world.ctl('route', 'hold', '5001', '--carrier', 'spark')
    client.submit(dest=HANDSET)
    await_true(lambda: '1 held' in told(world, 'status'), 'the held message')
    text = told(world, 'status')
    assert text.count('nothing seen yet') == 1 and 'and 60 routes moved lately or are about to: nothing seen yet' in text


def test_a_clock_that_is_off_is_told(two):
    """An instance whose clock is two hours behind, beside one whose clock is right."""
    world = two
    world.start()
    world.bound()
    entry = world.prefix + ':instance:test-1'
    clock = await_true(lambda: int(world.redis.call('HGET', entry, 'clock_ms') or 0), 'a beat with its clock')
    assert abs(clock - time.time() * 1000) < PATIENCE * 1000
    assert 'its clock' not in told(world, 'instances')
    behind = str(int(time.time() * 1000) - 7200000)
    world.redis.call('FCALL', 'turnout_beat', 1, world.prefix + ':version', 'late-1', '60000', 'applied', '99', 'state',
                     'following', 'clock_ms', behind)
    for command in (('instances',), ('status',)):
        assert "late-1: its clock is 2 h behind Redis'" in told(world, *command)
    warnings = world.ctl('preflight', '5001', '--carrier', 'spark', '--to', 'omni', check=False)[1]['preflight'][0]['warnings']
    assert [one for one in warnings if "late-1: its clock is 2 h behind Redis'" in one]
    assert not [one for one in warnings if 'test-1: its clock' in one]
