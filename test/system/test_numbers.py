"""The portability table, from a CSV file to the carrier of a message: built, in use at several instances, swapped whole by
SIGHUP and by command, refused whole where it is broken; overrides; numbers in other forms; what the instances say about a
number."""
import json
import re
import signal
import subprocess
import threading

import pytest

import wire
from harness import TOOLS, Raw, number_of

PORTED = number_of('spark', 7654321)  # by its prefix Spark's, by the table not
OVERRIDDEN = number_of('spark', 7654322)


@pytest.fixture
def two(world):
    """Two instances with one table, in which a number of each carrier's prefix is the other's."""
    for carrier in ('spark', 'onenz'):
        world.smsc(carrier, 'redx')
    world.client()
    world.routes()
    world.table = world.directory / 'numbers'
    build(world, ['%s,onenz' % PORTED, '%s,onenz' % OVERRIDDEN, '6499*,spark'], 'one')
    for name in ('a', 'b'):
        (world.directory / name).mkdir()
        world.start(instance=name, state_directory=str(world.directory / name), portability_table=str(world.table),
                    number_overrides=['%s=spark' % OVERRIDDEN], redis={
                        'host': '127.0.0.1', 'port': world.redis.port, 'prefix': world.prefix, 'beat': Raw('200ms')})
        while not world.redis.call('HGET', '%s:instance:%s' % (world.prefix, name), 'answers'):
            pass  # its first beat has not come
    return world


def build(world, rows, version, check=True, out=None):
    source = world.directory / 'numbers.csv'
    source.write_text('number,carrier\n' + ''.join(row + '\n' for row in rows))
    return world.ctl('numbers', 'build', str(source), str(out or world.table), version, check=check)


NAMES = ('a', 'b', 'c')


def start_one(world, name, timing={'beat': Raw('200ms')}, **more):
    """An instance with a file of its own, as if on a host of its own."""
    (world.directory / name).mkdir(exist_ok=True)
    daemon = world.start(instance=name, name=name, state_directory=str(world.directory / name),
                         portability_table=str(world.tables[name]), redis={
                             'host': '127.0.0.1', 'port': world.redis.port, 'prefix': world.prefix, **timing},
                         **more)
    while not world.redis.call('HGET', '%s:instance:%s' % (world.prefix, name), 'answers'):
        pass  # its first beat has not come
    return daemon


def build_for(world, rows, version, names=NAMES):
    """One table, copied to their hosts."""
    build(world, rows, version, out=world.tables[names[0]])
    for name in names[1:]:
        world.tables[name].write_bytes(world.tables[names[0]].read_bytes())


@pytest.fixture
def three(world):
    for carrier in ('spark', 'onenz'):
        world.smsc(carrier, 'redx')
    world.client()
    world.routes()
    world.tables = {name: world.directory / ('numbers-' + name) for name in NAMES}
    build_for(world, ['%s,onenz' % PORTED], 'one')
    for name in NAMES:
        start_one(world, name)
    return world


def reload_all(world):
    """The event by which each instance's reload ended."""
    ends = []
    for daemon in world.daemons:
        since = daemon.mark()
        daemon.reload()
        ends.append(daemon.wait_for(lambda d=daemon, s=since: (d.find('config_loaded', s) + d.find('config_refused', s) or
                                                               [None])[0], 'the end of the reload'))
    return ends


def carrier_of(world, number):
    """What the two instances say: (carrier, step)."""
    _, answer = world.ctl('carrier', number)
    first, second = answer['instances']
    assert (first['carrier'], first['step']) == (second['carrier'], second['step'])
    return first['carrier'], first['step']


def versions(world, code=0):
    got, answer = world.ctl('numbers', 'version', check=False)
    assert got == code, answer
    return [i['table']['version'] if i['table'] else None for i in answer['instances']]


def goes_to(client, leg, number):
    sent = client.submit(dest=number)
    leg.send(leg.expect('submit_sm').answer(0, b'1\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)


@pytest.mark.sanitize
def test_a_message_goes_by_the_table(two):
    world = two
    client = world.bound()
    spark, onenz = (world.smscs[link].leg() for link in ('spark-redx', 'onenz-redx'))
    goes_to(client, onenz, PORTED)
    goes_to(client, spark, OVERRIDDEN)
    goes_to(client, spark, number_of('spark'))
    goes_to(client, spark, '649912345678')
    assert carrier_of(world, PORTED) == ('onenz', 'table')
    assert carrier_of(world, '+' + OVERRIDDEN) == ('spark', 'override')
    assert carrier_of(world, number_of('spark')) == ('spark', 'prefix')
    assert carrier_of(world, '4477') == (None, 'none')
    for step, count in (('table', 2), ('override', 1), ('prefix', 1), ('default', 0), ('tlv', 0), ('none', 0)):
        world.daemon.wait_metric('carrier_choices_total', count, step=step)
        assert world.daemon.metric('carrier_choices_total', step=step) == count, step
    assert versions(world) == ['one', 'one']


@pytest.mark.sanitize
def test_a_table_is_swapped_whole(two):
    world = two
    client = world.bound()
    spark, onenz = (world.smscs[link].leg() for link in ('spark-redx', 'onenz-redx'))
    build(world, ['%s,onenz' % number_of('spark')], 'two')
    goes_to(client, onenz, PORTED)  # nothing of it, until it is read
    assert versions(world) == ['one', 'one']
    assert [e['event'] for e in reload_all(world)[:1]] == ['config_loaded']
    assert versions(world) == ['two', 'two']
    goes_to(client, spark, PORTED)
    goes_to(client, onenz, number_of('spark'))
    assert world.daemon.metric('portability_table_info', version='two') == 1


def test_instances_that_differ_are_shown(two):
    world = two
    build(world, ['%s,spark' % PORTED], 'two')
    world.daemon.reload()
    world.daemon.wait_metric('portability_table_info', 1, version='two')
    assert sorted(versions(world, code=1)) == ['one', 'two']
    code, answer = world.ctl('carrier', PORTED, check=False)
    assert code == 1 and 'different carriers' in answer['error']


BROKEN = {
    'an octet': lambda octets: octets[:5000] + bytes([octets[5000] ^ 1]) + octets[5001:],
    'its end': lambda octets: octets[:-8],
    'everything': lambda octets: b'',
    'its kind': lambda octets: b'number,carrier\n' * 1000,
}


@pytest.mark.parametrize('kind', BROKEN)
def test_a_broken_table_changes_nothing(two, kind):
    world = two
    build(world, ['%s,spark' % (6427000000 + i) for i in range(200)], 'two')
    octets = world.table.read_bytes()
    world.table.write_bytes(BROKEN[kind](octets))
    for event in reload_all(world):
        assert event['event'] == 'config_refused'
        assert str(world.table) in str(event), 'the file is named'
    assert versions(world) == ['one', 'one']
    assert carrier_of(world, PORTED) == ('onenz', 'table')
    assert world.ctl('numbers', 'check', str(world.table), check=False)[0] == 9


def test_a_table_of_a_carrier_that_the_config_lacks(two):
    world = two
    build(world, ['64250000000,vodka'], 'two')
    for event in reload_all(world):
        assert event['event'] == 'config_refused' and 'names carrier "vodka"' in str(event)
    assert versions(world) == ['one', 'one']


def test_a_bad_csv_leaves_the_file_as_it_is(two):
    world = two
    before = world.table.read_bytes()
    code, answer = build(world, ['6425,spark', 'x,spark', '6425,onenz'], 'two', check=False)
    assert (code, [e['line'] for e in answer['errors']]) == (9, [3])
    code, answer = build(world, ['6425,spark', '6425,onenz', '10-19,spark', '15-25,onenz'], 'two', check=False)
    assert (code, [e['line'] for e in answer['errors']]) == (9, [3, 5])
    assert world.table.read_bytes() == before


def test_a_client_names_the_carrier(world):
    for carrier in ('spark', 'onenz'):
        world.smsc(carrier, 'redx')
    world.carrier('onenz', tlv_value='53001')
    world.client(carrier_tlv=Raw('0x1400'))
    world.routes()
    world.start()
    client = world.bound()
    spark, onenz = (world.smscs[link].leg() for link in ('spark-redx', 'onenz-redx'))
    for value, leg in ((b'53001', onenz), (b'spark\0', spark), (b'onenz', spark)):
        sent = client.submit(dest=number_of('spark'), tlvs=wire.tlv(0x1400, value))
        leg.send(leg.expect('submit_sm').answer(0, b'1\0'))
        client.expect('submit_sm_resp', seq=sent.seq, status=0)
    world.daemon.wait_metric('carrier_choices_total', 2, step='tlv')
    world.daemon.wait_metric('carrier_tlv_unknown_total', 1)


# --- numbers set in the table -----------------------------------------------------------------------------------------

SET = number_of('spark', 7654323)  # known by its prefix alone


@pytest.mark.sanitize
def test_a_number_is_set_for_all_instances(two):
    world = two
    client = world.bound()
    spark, onenz = (world.smscs[link].leg() for link in ('spark-redx', 'onenz-redx'))
    goes_to(client, spark, SET)
    code, answer = world.ctl('numbers', 'set', SET, 'onenz', '--why', 'complaint 7')
    assert (code, answer['barrier']['complete'], answer['barrier']['applied']) == (0, True, 2)
    goes_to(client, onenz, SET)
    goes_to(client, onenz, '+' + SET)
    assert carrier_of(world, SET) == ('onenz', 'set')
    for table, by in ((PORTED, 'table'), (OVERRIDDEN, 'override')):
        assert carrier_of(world, table)[1] == by
        world.ctl('numbers', 'set', '+' + table, 'onenz' if by == 'override' else 'spark')
        assert carrier_of(world, table)[1] == 'set'  # before the config's, and before the table
    _, answer = world.ctl('numbers', 'list')
    assert [(n['number'], n['carrier']) for n in answer['numbers']] == sorted(
        [('+' + SET, 'onenz'), ('+' + PORTED, 'spark'), ('+' + OVERRIDDEN, 'onenz')])
    _, answer = world.ctl('numbers', 'version')
    assert [i['set'] for i in answer['instances']] == [3, 3]
    world.daemon.wait_metric('carrier_choices_total', 2, step='set')
    assert world.daemon.metric('carrier_choices_total', step='set') == 2
    _, answer = world.ctl('route', 'list')
    assert not [r for r in answer['routes'] if r['carrier'] == '.number']

    assert world.ctl('numbers', 'unset', SET)[0] == 0
    goes_to(client, spark, SET)
    assert carrier_of(world, SET) == ('spark', 'prefix')
    assert world.ctl('numbers', 'unset', SET, check=False)[0] == 6  # it is so already
    world.ctl('rollback')
    assert carrier_of(world, SET) == ('onenz', 'set')
    _, answer = world.ctl('log')
    assert any(c['why'] == 'complaint 7' and c['moves'][0]['shortcode'] == '+' + SET for c in answer['changes'])


def test_what_cannot_be_set_is_refused(two):
    world = two
    for number in ('', '+', '64a', '1234567890123456'):
        assert world.ctl('numbers', 'set', number, 'spark', check=False)[0] == 2
    assert world.ctl('numbers', 'set', SET, 'sp ark', check=False)[0] == 2
    code, answer = world.ctl('numbers', 'set', SET, 'sparc', check=False)
    assert code == 9 and 'no link for sparc' in answer['error'], answer
    for move in ({'shortcode': '5001', 'carrier': '.number', 'to': 'spark'},
                 {'shortcode': '+64', 'carrier': '.number', 'to': 'spark', 'state': 'hold'},
                 {'shortcode': '+1234567890123456', 'carrier': '.number', 'to': 'spark'}):
        assert change(world, [move])[0] == 'invalid', move
    assert world.ctl('numbers', 'list')[1]['numbers'] == []


def change(world, moves):
    """Redis' own answer; the names are split into lines."""
    request = {'kind': 'import', 'who': 'test', 'why': '', 'ticket': '', 'moves': moves}
    done = subprocess.run(['redis-cli', '-p', str(world.redis.port), '-x', 'FCALL', 'turnout_change', '1',
                           world.prefix + ':version'], input=json.dumps(request), capture_output=True, text=True, timeout=30,
                          check=True)
    return done.stdout.splitlines()


def test_numbers_that_are_set_are_bounded(two):
    world = two
    for first, result in ((0, 'ok'), (5000, 'ok'), (10000, 'invalid')):
        moves = [{'shortcode': '+6427%07d' % i, 'carrier': '.number', 'to': 'spark'} for i in
                 range(first, first + (5000 if first < 10000 else 1))]
        reply = change(world, moves)
        assert reply[0] == result, reply
    assert 'at most 10000 numbers' in reply[2]
    assert change(world, [{'shortcode': '+64270000000', 'carrier': '.number', 'to': 'onenz'}])[0] == 'ok'
    assert world.ctl('numbers', 'unset', '64270000001')[0] == 0
    assert change(world, moves)[0] == 'ok'  # there is room for one again
    assert len(world.ctl('numbers', 'list')[1]['numbers']) == 10000


@pytest.mark.sanitize
def test_numbers_that_are_set_outlive_redis(two):
    """On the disk of each instance, from where they are restored into a Redis that lost them."""
    world = two
    world.ctl('numbers', 'set', SET, 'onenz')
    config, snapshot = world.daemon.config, world.directory / 'b'
    world.kill(world.daemon)
    world.redis.stop()
    daemon = world.start(config=config, wait=False)
    daemon.wait_event('table_applied')
    goes_to(world.bound(), world.smscs['onenz-redx'].leg(), SET)

    both = [(living, living.mark()) for living in (world.daemons[0], daemon)]
    world.redis.start()
    world.redis.load_functions()
    for living, since in both:  # they are back, and refuse a Redis that lost the table
        living.wait_event('store_state', since=since, state='refused')
    assert world.ctl('route', 'restore', str(snapshot / 'table.json'), '--yes')[0] == 0
    assert [n['number'] for n in world.ctl('numbers', 'list')[1]['numbers']] == ['+' + SET]
    assert carrier_of(world, SET) == ('onenz', 'set')
    world.ctl('numbers', 'unset', SET)
    assert carrier_of(world, SET) == ('spark', 'prefix')


TURNS = 10


def test_a_number_is_set_under_load(two):
    """From the moment that the command returns, no message to it goes the old way, at no instance."""
    world = two
    clients = [world.bound(daemon=daemon) for daemon in world.daemons]
    legs = {carrier: world.smscs[carrier + '-redx'] for carrier in ('spark', 'onenz')}
    done = threading.Event()
    texts = [b'message %02d %02d' % (turn, i) for turn in range(TURNS) for i in range(len(clients))]
    seen = {carrier: [] for carrier in legs}

    def answer(carrier, leg):
        while not done.is_set():
            try:
                pdu = leg.expect('submit_sm', timeout=0.2)
            except AssertionError:
                continue
            seen[carrier].append(next(text for text in texts if text in pdu.body))
            leg.send(pdu.answer(0, b'1\0'))

    threads = [threading.Thread(target=answer, args=(carrier, smsc.leg())) for carrier, smsc in legs.items()
               for _ in clients]
    for thread in threads:
        thread.start()
    marks = []
    for turn in range(TURNS):
        carrier = ('onenz', 'spark')[turn % 2]
        assert world.ctl('numbers', 'set', SET, carrier)[0] == 0
        for i, client in enumerate(clients):
            text = b'message %02d %02d' % (turn, i)
            sent = client.submit(dest=SET, text=text)
            client.expect('submit_sm_resp', seq=sent.seq, status=0)
            marks.append((carrier, text))
    done.set()
    for thread in threads:
        thread.join()
    for carrier, got in seen.items():
        assert sorted(got) == sorted(text for to, text in marks if to == carrier)


# --- swapped by command -----------------------------------------------------------------------------------------------

NEXT = ['%s,onenz' % number_of('spark')]  # what is ported in the next table


def has(world, version, names=NAMES):
    """Which of the instances say that they have this table."""
    _, answer = world.ctl('numbers', 'version', check=False)
    return [i['id'] for i in answer['instances'] if i['id'] in names and i['table']['version'] == version]


@pytest.mark.sanitize
def test_a_table_is_swapped_by_command(three):
    world = three
    clients = [world.bound(daemon=daemon) for daemon in world.daemons]
    legs = {carrier: [world.smscs[carrier + '-redx'].leg() for _ in clients] for carrier in ('spark', 'onenz')}
    build_for(world, NEXT, 'two')
    assert has(world, 'one') == ['a', 'b', 'c'], 'nothing of it, until it is asked for'
    code, answer = world.ctl('numbers', 'swap', '--dry-run')
    assert (code, answer['changed'], answer['table']['version']) == (0, False, 'two')
    assert has(world, 'one') == ['a', 'b', 'c']

    code, answer = world.ctl('numbers', 'swap', '--why', 'the monthly table', '--ticket', 'CHG-9')
    assert (code, answer['changed'], answer['table']['numbers']) == (0, True, 1)
    for step in ('instances', 'swapped'):
        assert [(i['id'], i['version'], i['ms'] >= 0) for i in answer[step]] == [(n, 'two', True) for n in NAMES]
    assert has(world, 'two') == ['a', 'b', 'c']
    for client in clients:
        client.submit(dest=number_of('spark'))
        client.submit(dest=PORTED)
    for leg in legs['onenz']:
        assert number_of('spark').encode() in leg.expect('submit_sm').body
    for leg in legs['spark']:
        assert PORTED.encode() in leg.expect('submit_sm').body
    for daemon in world.daemons:
        assert daemon.metric('portability_table_info', version='two') == 1
        assert daemon.wait_event('portability_table_swapped', version='two')['numbers'] == 1
        assert len(daemon.find('config_loaded')) == 1, 'the config was not read for it'

    code, answer = world.ctl('numbers', 'swap', check=False)
    assert (code, answer['changed']) == (6, False), 'all have it already'
    _, answer = world.ctl('log')
    note, = answer['number_swaps']
    assert (note['who'], note['why'], note['ticket'], note['table'], note['without']) == (
        'tester', 'the monthly table', 'CHG-9', 'two', [])


@pytest.mark.sanitize
@pytest.mark.parametrize('kind', BROKEN)
def test_one_broken_file_changes_nothing_anywhere(three, kind):
    world = three
    build_for(world, NEXT + ['%s,spark' % (6427000000 + i) for i in range(200)], 'two')
    world.tables['b'].write_bytes(BROKEN[kind](world.tables['b'].read_bytes()))
    code, answer = world.ctl('numbers', 'swap', check=False)
    assert code == 15 and 'b: %s' % world.tables['b'] in answer['error'], answer
    assert has(world, 'one') == ['a', 'b', 'c']
    assert world.ctl('log')[1]['number_swaps'] == []
    world.daemons[1].wait_event('portability_table_refused')
    world.tables['b'].unlink()
    code, answer = world.ctl('numbers', 'swap', check=False)
    assert code == 15 and 'No such file' in answer['error']
    build_for(world, NEXT, 'two')
    assert world.ctl('numbers', 'swap')[0] == 0
    assert has(world, 'two') == ['a', 'b', 'c']


def test_files_that_differ_change_nothing(three):
    world = three
    build_for(world, NEXT, 'two', names=('a', 'b'))
    build_for(world, NEXT, 'three', names=('c',))
    code, answer = world.ctl('numbers', 'swap', check=False)
    assert code == 15 and 'not the same table' in answer['error']
    assert [i['version'] for i in answer['instances']] == ['two', 'two', 'three']
    build_for(world, ['%s,vodka' % PORTED], 'two')
    code, answer = world.ctl('numbers', 'swap', check=False)
    assert code == 15 and 'names carrier "vodka"' in answer['error']
    assert has(world, 'one') == ['a', 'b', 'c']


def instances_text(world):
    done = subprocess.run([str(TOOLS / 'turnoutctl'), 'instances', '--redis', '127.0.0.1:%d' % world.redis.port, '--prefix',
                           world.prefix], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def beat_says(world, name, version):
    while world.redis.call('HGET', '%s:instance:%s' % (world.prefix, name), 'numbers').strip() != version:
        pass


@pytest.mark.sanitize
def test_an_instance_that_hangs_stops_it_unless_left_out(three):
    """What differs then is shown, and ends with the next swap."""
    world = three
    build_for(world, NEXT, 'two')
    world.daemons[2].signal(signal.SIGSTOP)
    code, answer = world.ctl('numbers', 'swap', check=False)
    assert code == 15 and 'c: does not answer' in answer['error']
    assert world.ctl('log')[1]['number_swaps'] == []
    code, answer = world.ctl('numbers', 'swap', '--without', 'nobody', check=False)
    assert code == 8
    code, answer = world.ctl('numbers', 'swap', '--without', 'c', '--why', 'c is being mended')
    assert (code, [i['id'] for i in answer['swapped']]) == (0, ['a', 'b'])
    assert world.ctl('log')[1]['number_swaps'][0]['without'] == ['c']
    world.daemons[2].signal(signal.SIGCONT)
    for name, version in (('a', 'two'), ('b', 'two'), ('c', 'one')):
        beat_says(world, name, version)
    assert 'do not have the same portability table' in instances_text(world)
    assert re.search(r'^c .* one *$', instances_text(world), re.M)
    assert world.ctl('numbers', 'version', check=False)[0] == 1
    code, answer = world.ctl('carrier', '6499', check=False)
    assert code == 1 and 'NOT AGREE: their portability tables differ (a: two, b: two, c: one)' in answer['error']
    assert world.ctl('numbers', 'swap')[0] == 0
    for name in NAMES:
        beat_says(world, name, 'two')
    assert 'do not have the same' not in instances_text(world)


def log_text(world):
    done = subprocess.run([str(TOOLS / 'turnoutctl'), 'log', '--redis', '127.0.0.1:%d' % world.redis.port, '--prefix',
                           world.prefix], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


TAKEN = {'file': '/numbers', 'version': 'v2', 'checksum': '00000000000000aa', 'numbers': 7, 'in_use': None, 'ms': 1}


def swap_with(world, swapped):
    """turnoutctl numbers swap, with instances that take the table and answer the order to swap it in as said: what a
    program that is asked at the wrong moment says. None: turnoutctl is killed before it has an answer."""
    for name in swapped or NAMES:
        world.redis.call('FCALL', 'turnout_beat', 1, world.prefix + ':version', name, 60000, 'answers',
                         'numbers_check numbers_swap')
    last = world.redis.call('FCALL', 'turnout_info', 1, world.prefix + ':version').splitlines()[-1]
    done = subprocess.Popen([str(TOOLS / 'turnoutctl'), 'numbers', 'swap', '--redis', '127.0.0.1:%d' % world.redis.port,
                             '--prefix', world.prefix, '--as', 'tester'], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)
    for kind in ('numbers_check', 'numbers_swap'):
        read = world.redis.call('--json', 'XREAD', 'BLOCK', 10000, 'STREAMS', world.prefix + ':questions', last)
        found = json.loads(read)
        (_, ((last, fields),)), = found.items() if isinstance(found, dict) else found
        assert json.loads(fields[fields.index('request') + 1])['kind'] == kind
        if kind == 'numbers_swap' and swapped is None:
            done.kill()
            break
        for name in swapped or NAMES:
            answer = TAKEN if kind == 'numbers_check' else swapped[name]
            world.redis.call('FCALL', 'turnout_answer', 1, world.prefix + ':version', last, name, json.dumps(answer))
    done.communicate(timeout=30)
    return done.returncode


def test_the_log_says_how_a_swap_ended(world):
    refused = {'error': 'its configuration is being read again'}
    assert swap_with(world, {name: refused for name in NAMES}) == 5
    assert 'portability table v2 ordered by tester, incomplete: a, b, c\n' in log_text(world)
    assert '\n    not in use at b: its configuration is being read again\n' in log_text(world)
    assert swap_with(world, {'a': TAKEN, 'b': refused, 'c': TAKEN}) == 5
    assert 'by tester, incomplete: b\n' in log_text(world)
    assert 'swapped in' not in log_text(world)
    assert swap_with(world, None) < 0
    assert 'portability table v2 ordered by tester, outcome unknown' in log_text(world)
    assert swap_with(world, {name: TAKEN for name in NAMES}) == 0
    assert 'portability table v2 swapped in by tester\n' in log_text(world)
    notes = world.ctl('log')[1]['number_swaps']
    assert [(n['outcome'], n['in_use'], [r['id'] for r in n['refused']]) for n in notes] == [
        ('incomplete', [], ['a', 'b', 'c']), ('incomplete', ['a', 'c'], ['b']), ('unknown', [], []),
        ('in_use', ['a', 'b', 'c'], [])]
    assert notes[1]['refused'][0]['why'] == refused['error']


def test_what_is_said_where_instances_are_left_out(three):
    world = three
    build_for(world, NEXT, 'two', names=('a', 'b'))
    left_out = [word for name in NAMES for word in ('--without', name)]
    code, answer = world.ctl('numbers', 'swap', *left_out, check=False)
    assert code == 7 and answer['error'] == 'no instance that --without does not name is alive: nothing was changed'
    assert world.ctl('numbers', 'swap', '--without', 'c')[0] == 0
    code, answer = world.ctl('numbers', 'swap', '--without', 'c', check=False)
    assert code == 6 and answer['error'] == 'every instance that was asked has this table already'


def test_an_entry_names_the_table_once_the_swap_is_answered(world):
    """Though no beat is due for a minute."""
    for carrier in ('spark', 'onenz'):
        world.smsc(carrier, 'redx')
    world.client()
    world.tables = {name: world.directory / ('numbers-' + name) for name in NAMES}
    build_for(world, ['%s,onenz' % PORTED], 'one')
    for name in NAMES:
        start_one(world, name, timing={'beat': Raw('60s'), 'lease': Raw('200s')})
    for turn in range(3):
        build_for(world, NEXT, 'turn%d' % turn)
        assert world.ctl('numbers', 'swap')[0] == 0
        shown = instances_text(world)
        assert shown.count('turn%d' % turn) == 3 and 'do not have the same' not in shown, shown


def test_an_instance_that_was_down_takes_its_file(three):
    world = three
    world.daemons[2].stop()
    build_for(world, NEXT, 'two')
    code, answer = world.ctl('numbers', 'swap')
    assert (code, len(answer['swapped'])) == (0, 2)
    start_one(world, 'c')
    assert has(world, 'two') == ['a', 'b', 'c']


@pytest.mark.sanitize
def test_reloads_and_swaps_come_in_any_order(three):
    """What was checked by an older configuration is not swapped in; a reload takes the file's table."""
    world = three
    build_for(world, NEXT, 'two')
    reload_all(world)
    assert has(world, 'two') == ['a', 'b', 'c']
    assert world.ctl('numbers', 'swap', check=False)[0] == 6
    build_for(world, ['%s,onenz' % PORTED], 'three')
    assert world.ctl('numbers', 'swap')[0] == 0
    for event in reload_all(world):
        assert (event['event'], event['portability_table']) == ('config_loaded', 'three')
    for turn in range(6):
        build_for(world, NEXT if turn % 2 else ['%s,onenz' % PORTED], 'turn%d' % turn)
        for daemon in world.daemons:
            daemon.reload()
        code, answer = world.ctl('numbers', 'swap', check=False)
        assert code in (0, 5, 6, 15), answer
    for daemon in world.daemons:
        daemon.wait_metric('portability_table_info', 1, version='turn5')
    assert has(world, 'turn5') == ['a', 'b', 'c']


def test_tables_are_swapped_under_load(three):
    """From the moment that the command returns, no message goes by the table before, at no instance."""
    world = three
    for carrier in ('spark', 'onenz'):
        world.smscs[carrier + '-redx'].answers = lambda leg, pdu, name=carrier: pdu.answer(0, name.encode() + b'\0')
    clients = [world.bound(daemon=daemon) for daemon in world.daemons]
    done = threading.Event()
    gone_by = []

    def load(client):
        """Messages without a pause, while tables come and go."""
        while not done.is_set():
            sent = client.submit(dest=SET)
            gone_by.append(client.expect('submit_sm_resp', seq=sent.seq, status=0).body)

    threads = [threading.Thread(target=load, args=(world.bound(daemon=daemon),)) for daemon in world.daemons]
    for thread in threads:
        thread.start()
    for turn in range(6):
        carrier = ('onenz', 'spark')[turn % 2]
        build_for(world, ['%s,%s' % (SET, carrier)], 'turn%d' % turn)
        assert world.ctl('numbers', 'swap')[0] == 0
        for client in clients:
            sent = client.submit(dest=SET)
            assert client.expect('submit_sm_resp', seq=sent.seq, status=0).body == carrier.encode() + b'\0'
    done.set()
    for thread in threads:
        thread.join()
    assert set(gone_by) == {b'spark\0', b'onenz\0'}


# --- what is told of a number -----------------------------------------------------------------------------------------

def test_the_row_that_answers_is_told(three):
    world = three
    _, answer = world.ctl('carrier', number_of('spark'))
    assert {(i['step'], i['row'], i['table']['version']) for i in answer['instances']} == {
        ('prefix', number_of('spark')[:4], 'one')}
    assert answer['set'] is None
    _, answer = world.ctl('carrier', PORTED)
    assert {(i['step'], i['row'], i['rows']['prefix']) for i in answer['instances']} == {('table', PORTED, PORTED[:4])}
    world.ctl('numbers', 'set', PORTED, 'spark', '--why', 'complaint 8')
    _, answer = world.ctl('carrier', '+' + PORTED)
    assert {(i['step'], i['row'], i['by']['table']) for i in answer['instances']} == {('set', PORTED, 'onenz')}
    assert (answer['set']['carrier'], answer['set']['who'], answer['set']['why']) == ('spark', 'tester', 'complaint 8')
    assert answer['set']['changed_ms'] > 0


# --- numbers in other forms -------------------------------------------------------------------------------------------

@pytest.mark.sanitize
def test_national_numbers_go_where_international_ones_go(world):
    for carrier in ('spark', 'onenz'):
        world.smsc(carrier, 'redx')
    world.client()
    world.client('teller', carrier_tlv=Raw('0x1400'))
    world.routes()
    world.tables = {'a': world.directory / 'numbers-a'}
    build_for(world, ['%s,onenz' % PORTED], 'one', names=('a',))
    start_one(world, 'a', country_code='64', default_carrier='spark')
    client = world.bound()
    spark, onenz = (world.smscs[link].leg() for link in ('spark-redx', 'onenz-redx'))
    national = '0' + PORTED[2:]
    for ton, number in ((0, PORTED), (1, '+' + PORTED), (0, '00' + PORTED), (0, national), (1, national), (2, national),
                        (2, national[1:]), (2, PORTED)):
        sent = client.submit(dest=number, dest_ton=ton)
        came = onenz.expect('submit_sm')
        assert came.body == sent.body, 'octet for octet as it came'
        onenz.send(came.answer(0, b'1\0'))
        client.expect('submit_sm_resp', seq=sent.seq, status=0)
        _, answer = world.ctl('carrier', number, '--ton', str(ton))
        assert [(i['carrier'], i['read'], i['step']) for i in answer['instances']] == [('onenz', PORTED, 'table')]
    assert answer['instances'][0]['tlv_clients'] == ['teller']
    goes_to(client, spark, '0999')  # known by nothing
    world.daemon.wait_metric('carrier_choices_total', 1, step='default')
    world.daemon.wait_metric('numbers_not_international_total', 6)

    _, answer = world.ctl('numbers', 'set', national, 'spark')
    assert [n['number'] for n in world.ctl('numbers', 'list')[1]['numbers']] == ['+' + PORTED]
    goes_to(client, spark, national)
    goes_to(client, spark, PORTED)
    assert world.ctl('numbers', 'set', '0', 'spark', check=False)[0] == 0  # a number, if a short one
    assert world.ctl('numbers', 'set', '0' + '2' * 14, 'spark', check=False)[0] == 9, 'one digit too many behind 64'
    assert world.ctl('numbers', 'unset', national)[0] == 0
    goes_to(client, onenz, national)
    for number in ('00', '+00', '+' + national, '+00' + PORTED):
        code, answer = world.ctl('numbers', 'set', number, 'spark', check=False)
        assert code == 9 and 'could never match' in answer['error'], number
    assert [n['number'] for n in world.ctl('numbers', 'list')[1]['numbers']] == ['+0']


NATIONAL = '0' + PORTED[2:]


@pytest.mark.parametrize('rows, first, rule', [
    ([NATIONAL], NATIONAL, 'national-prefix "0" and so is the number ' + PORTED),
    ([NATIONAL, '0' + PORTED[2:-1]], '0' + PORTED[2:-1], 'national-prefix'),
    (['0270000000-0279999999'], '0270000000', 'national-prefix'),
    (['02*'], '02', 'national-prefix')])
def test_a_table_of_national_numbers_is_refused(world, rows, first, rule):
    """By swap, by reload and at the start, where country-code says that they are looked up in another form."""
    for carrier in ('spark', 'onenz'):
        world.smsc(carrier, 'redx')
    world.client()
    world.routes()
    world.tables = {name: world.directory / ('numbers-' + name) for name in NAMES}
    build_for(world, [PORTED + ',onenz'], 'one')
    start_one(world, 'a', country_code='64')
    build_for(world, [row + ',onenz' for row in rows + [PORTED, '6427*']], 'two')
    says = 'has number %s, which begins with %s' % (first, rule)
    code, answer = world.ctl('numbers', 'swap', check=False)
    assert code == 15 and says in answer['error'], answer
    event, = reload_all(world)
    assert event['event'] == 'config_refused' and says in str(event).replace('\\"', '"'), event
    assert versions(world) == ['one']
    start_one(world, 'b')  # no country-code: they are looked up as they are
    config = world.write_config(name='c.conf', instance='c', portability_table=str(world.tables['c']), country_code='64')
    done = subprocess.run([str(TOOLS / 'turnoutd'), '--config', str(config)], capture_output=True, text=True, timeout=30,
                          check=False)
    assert done.returncode != 0 and first in done.stdout + done.stderr


def test_numbers_with_00_are_not_built(two):
    code, answer = build(two, [row + ',spark' for row in ('0064*', '+00642', '0010-0020', '064', '64')], 'two', check=False)
    assert (code, [e['line'] for e in answer['errors']]) == (9, [2, 3, 4])


def test_an_address_is_read_as_a_message_has_it(two):
    world = two
    for number in ('+', '', '++' + PORTED, '+-1', '6427 1', '64' + '1' * 19):
        assert world.ctl('carrier', number, check=False)[0] == 2, number
    address = PORTED[:-1] + 'x'
    goes_to(world.bound(), world.smscs['spark-redx'].leg(), address)
    assert carrier_of(world, address) == ('spark', 'prefix')


def test_what_could_never_match_is_not_set(two):
    world = two
    code, answer = world.ctl('numbers', 'set', '00' + SET, 'onenz')
    assert [n['number'] for n in world.ctl('numbers', 'list')[1]['numbers']] == ['+' + SET]
    for daemon in world.daemons:
        daemon.stop()
    code, answer = world.ctl('numbers', 'set', '0' + SET[2:], 'onenz', check=False)
    assert code == 9 and 'no international number begins with 0' in answer['error']
    assert world.ctl('numbers', 'set', PORTED, 'onenz', check=False)[0] == 7
