"""Before a flip: what instances say of the target, refusals, the test message, legs released, instances left out."""
import os
import signal
import subprocess
import time

import pytest

import wire
from harness import ENVIRONMENT, OUTSIDE, TOOLS, Raw, free_port, number_of

DONE, CONFLICT, INCOMPLETE, NO_INSTANCES, NOT_FOUND, PREFLIGHT = 0, 4, 5, 7, 8, 15
TARGET = ('--carrier', 'spark', '--to', 'omni')


@pytest.fixture
def start(world):
    """Starts instances by name, and waits until their entries say what they can be asked."""
    def begin(*names, lease='30s', on_loss='serve', **more):
        for name in names:
            (world.directory / name).mkdir(exist_ok=True)
            world.start(instance=name, name=name, state_directory=str(world.directory / name), redis={
                'host': '127.0.0.1', 'port': world.redis.port, 'prefix': world.prefix, 'beat': Raw('200ms'),
                'lease': Raw(lease), 'on_loss': on_loss, 'reconnect_min': Raw('50ms'), 'reconnect_max': Raw('200ms')}, **more)
        for name in names:
            while not world.redis.call('HGET', '%s:instance:%s' % (world.prefix, name), 'answers'):
                pass
        return world.daemons[-len(names):]
    return begin


@pytest.fixture
def links(world):
    """Both platforms of one carrier, one client."""
    world.client(bind_answer='all', hold_budget=Raw('10s'))
    world.smsc('spark', 'redx'), world.smsc('spark', 'omni')
    world.routes(shortcodes=('5001', '5002'))
    return world


def preflight(world, *more, code=DONE):
    got, answer = world.ctl('preflight', '5001', *TARGET, *more, check=False)
    assert got == code, answer
    one, = answer['preflight']
    return {i['id']: i for i in one['instances']}, one, answer


def flip(world, *more, code=DONE, shortcode='5001'):
    got, answer = world.ctl(*OUTSIDE, shortcode, *TARGET, *more, check=False)
    assert got == code, answer
    return answer


def text(world, *args):
    """The command as a person sees it: exit code, standard output, standard error."""
    done = subprocess.run([str(TOOLS / 'turnoutctl'), *args, '--redis', '127.0.0.1:%d' % world.redis.port, '--prefix',
                           world.prefix, '--as', 'tester'], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    return done.returncode, done.stdout, done.stderr


def last_change(world):
    return world.ctl('log', '--last', '1')[1]['changes'][0]


# --- what is found ---------------------------------------------------------------------------------------------

@pytest.mark.sanitize
def test_a_bind_is_tried_where_no_leg_is_bound(links, start):
    world = links
    start('a', 'b', workers=2)
    client = world.bound(daemon=world.daemons[0])
    found, one, answer = preflight(world)
    assert sorted(found) == ['a', 'b'] and not one['refusals'] and not one['warnings'], one
    for name in 'ab':
        assert found[name]['target']['verdict'] == 'bindable'
        assert found[name]['target']['round_trip_ms'] > 0 and found[name]['window'] == 100
    acme, = found['a']['clients']
    assert (acme['client'], acme['sessions'], acme['verdict'], acme['bound']) == (
        'acme', {'transceiver': 1}, 'bindable', 0)
    assert found['a']['clients_touched'] == 1 and found['b']['clients'] == []
    row, = answer['differing']
    assert (row['shortcode'], row['platform'], answer['same']) == ('5001', 'redx', 0)
    for _ in range(2):  # each instance has bound once, asked once, and said good-bye
        leg = world.smscs['spark-omni'].leg()
        assert leg.bound_as is not None
        leg.until_end()
    assert world.smscs['spark-omni'].legs_waiting() == 0
    assert [d.find('link_probed')[0]['step'] for d in world.daemons] == ['done', 'done']
    client.fence()
    assert world.version == int(world.redis.call('GET', world.prefix + ':version')), 'nothing was changed'


def test_bound_legs_are_left_alone(links, start):
    """They are what is asked about: no bind is tried, and the flip takes no longer."""
    world = links
    start('a')
    client = world.bound()
    world.flip('5001', 'spark', 'omni')
    leg = world.smscs['spark-omni'].leg()
    found, one, answer = preflight(world)
    acme, = found['a']['clients']
    assert (found['a']['target']['verdict'], acme['verdict'], acme['bound'], acme['window_size']) == (
        'bound', 'bound', 1, 100)
    assert answer['same'] == 1 and one['ms'] < 200
    assert world.smscs['spark-omni'].legs_waiting() == 0
    client.submit()
    leg.expect('submit_sm')
    found, _, _ = preflight(world)
    assert found['a']['window_used'] == 1 and found['a']['clients'][0]['in_flight'] == 1


def test_what_is_in_flight_on_the_routes_of_today(links, start):
    world = links
    start('a')
    client = world.bound()
    redx = world.smscs['spark-redx'].leg()
    for _ in range(3):
        client.submit()
        redx.expect('submit_sm')
    found, _, _ = preflight(world)
    source, = found['a']['from']
    assert (source['link'], source['bound'], source['in_flight']) == ('spark-redx', 1, 3)
    code, out, _ = text(world, 'preflight', '5001', *TARGET)
    assert code == DONE
    assert 'spark to omni: ready' in out and 'clients: acme (1)' in out and '5001 spark: redx (open) -> omni' in out
    assert all(len(line) < 80 for line in out.splitlines()), 'a terminal of 80 columns'


def test_the_last_hour_and_receipts_that_are_owed(links, start):
    world = links
    start('a', 'b')
    clients = [world.bound(daemon=daemon) for daemon in world.daemons]
    for client, shortcodes in zip(clients, (['5001', '5001', '5002'], ['5001'])):
        leg = world.smscs['spark-redx'].leg()
        for index, shortcode in enumerate(shortcodes):
            client.submit(source=shortcode, registered=1)
            leg.send(leg.expect('submit_sm').answer(0, b'%d\0' % index))
            client.expect('submit_sm_resp')
    sent = leg.deliver(text=wire.receipt_text('0'), esm_class=4)
    client.send(client.expect('deliver_sm').answer(0, b'\0'))
    leg.expect('deliver_sm_resp', seq=sent.seq, status=0)

    def seen():
        found = world.ctl('preflight', '5001', '5002', *TARGET)[1]['preflight'][0]['instances']
        rows = {(i['id'], row['shortcode']): (row['last_hour'], row['receipts_pending']) for i in found
                for row in i['traffic']}
        return rows, [i['last_hour'] for i in found]

    deadline = time.monotonic() + 10
    while seen()[1] != [3, 1] and time.monotonic() < deadline:
        pass  # it is counted once a second
    assert seen()[0] == {('a', '5001'): (2, 2), ('a', '5002'): (1, 1), ('b', '5001'): (1, 0), ('b', '5002'): (0, 0)}
    out = text(world, 'preflight', '5001', '5002', *TARGET)[1]
    assert 'last hour: 4 messages (5001 3, 5002 1); receipts pending: 3' in out


def test_no_room_is_told(links, start):
    world = links
    world.link_options['spark-omni']['window'] = 1
    start('a')
    client = world.bound()
    world.flip('5001', 'spark', 'omni')
    leg = world.smscs['spark-omni'].leg()
    client.submit()
    leg.expect('submit_sm')
    _, one, _ = preflight(world)
    assert not one['refusals'] and 'no room' in one['warnings'][0]


# --- refusals --------------------------------------------------------------------------------------------------

@pytest.mark.sanitize
def test_a_flip_to_an_smsc_that_refuses_the_bind_is_refused(links, start):
    world = links
    world.smscs['spark-omni'].bind_status = wire.RINVPASWD
    start('a', 'b')
    client = world.bound(daemon=world.daemons[0])
    found, one, _ = preflight(world, code=PREFLIGHT)
    target = found['a']['target']
    assert (target['verdict'], target['command_status']) == ('failed', wire.RINVPASWD)
    assert len(one['refusals']) == 2 and 'bind was refused: ESME_RINVPASWD (0x0000000e)' in one['refusals'][0]
    before = last_change(world)
    for more in ((), ('--strict',)):
        answer = flip(world, *more, code=PREFLIGHT)
        assert 'nothing was changed' in answer['error']
    assert last_change(world) == before
    code, _, err = text(world, *OUTSIDE, '5001', *TARGET)
    assert code == PREFLIGHT and 'a cannot bind spark-omni' in err and '--force' in err
    # By force it is done, and the log says so.
    flip(world, '--force', code=DONE)
    assert last_change(world)['forced'] is True
    assert 'WITHOUT PREFLIGHT' in text(world, 'log', '--last', '1')[1]
    client.fence()


def test_a_flip_to_nowhere_is_refused(links, start):
    world = links
    world.link_options['spark-omni'].update(port=free_port(), host='127.0.0.1')
    start('a')
    _, one, _ = preflight(world, code=PREFLIGHT)
    assert 'a cannot bind spark-omni: connect: connect_failed' in one['refusals'][0]
    flip(world, code=PREFLIGHT)
    assert flip(world, '--any-link', code=PREFLIGHT)['error'], '--any-link is about links that are still to come'


def test_one_instance_that_cannot_is_enough(links, start):
    """Its clients' messages would be refused, though the others could carry theirs."""
    world = links
    start('a')
    world.link_options['spark-omni']['port'] = free_port()
    start('b')
    found, one, _ = preflight(world, code=PREFLIGHT)
    assert found['a']['target']['verdict'] == 'bindable' and found['b']['target']['verdict'] == 'failed'
    refusal, = one['refusals']
    assert refusal.startswith('b cannot bind')


def test_an_smsc_that_does_not_answer(links, start):
    world = links
    world.smscs['spark-omni'].bind_status = None
    start('a')
    _, one, _ = preflight(world, '--timeout', '700ms', code=PREFLIGHT)
    assert 'bind: not answered within 0.7 s' in one['refusals'][0]
    assert 700 <= one['ms'] < 5000


def test_clients_with_their_own_credentials_are_tried_one_by_one(links, start):
    world = links
    world.link_options['spark-omni']['credentials'] = 'client'
    for link in ('system_id', 'password'):
        world.link_options['spark-omni'].pop(link)
    for name in ('acme', 'beta', 'gone'):
        world.client(name, bind_answer='once', upstreams={'spark-omni': {'system_id': name, 'password': 'up' + name}})
    start('a')
    world.bound('transmitter', system_id='acme'), world.bound(system_id='beta')
    found, one, _ = preflight(world)
    names = {c['client']: c for c in found['a']['clients']}
    assert sorted(names) == ['acme', 'beta', 'gone'] and {c['verdict'] for c in names.values()} == {'bindable'}
    binds = [world.smscs['spark-omni'].leg().bound_as for _ in range(3)]
    assert world.smscs['spark-omni'].legs_waiting() == 0 and not one['refusals']
    assert {(wire.bind_fields(pdu).system_id, wire.bind_fields(pdu).password, pdu.name) for pdu in binds} == {
        ('acme', 'upacme', 'bind_transmitter'), ('beta', 'upbeta', 'bind_transceiver'),
        ('gone', 'upgone', 'bind_transceiver')}


def test_a_password_to_be_passed_on(links, start):
    """The leg would bind with what the client sent: only a session of it can lend that."""
    world = links
    for platform in ('redx', 'omni'):
        world.link_options['spark-' + platform]['credentials'] = 'pass'
        world.link_options['spark-' + platform].pop('system_id'), world.link_options['spark-' + platform].pop('password')
    start('a', 'b')
    found, one, _ = preflight(world)
    assert found['a']['clients'] == [] and not one['refusals'], 'nobody is bound: nothing can be tried'
    world.bound(daemon=world.daemons[0])
    found, _, _ = preflight(world)
    acme, = found['a']['clients']
    assert acme['verdict'] == 'bindable' and found['b']['clients'] == []


def test_probes_are_few(links, start):
    world = links
    world.link_options['spark-omni']['credentials'] = 'client'
    for option in ('system_id', 'password'):
        world.link_options['spark-omni'].pop(option)
    for i in range(12):
        world.client('c%02d' % i, upstreams={'spark-omni': {'system_id': 'c%02d' % i, 'password': 'p'}})
    start('a')
    found, one, _ = preflight(world)
    verdicts = [c['verdict'] for c in found['a']['clients']]
    assert verdicts.count('bindable') == 8 and verdicts.count('untried') == 4
    assert found['a']['left_out'] == 4 and not one['refusals']


# --- instances that do not answer ------------------------------------------------------------------------------

def test_one_that_hangs_is_named_and_can_be_left_out(links, start):
    world = links
    first, second = start('a', 'b')
    os.kill(second.pid, signal.SIGSTOP)
    try:
        found, one, _ = preflight(world)
        assert found['b']['error'] == 'does not answer' and '--without b' in one['warnings'][0]
        code, out, err = text(world, *OUTSIDE, '5001', *TARGET, '--timeout', '2s')
        assert code == INCOMPLETE, (out, err)
        assert 'waiting: b is silent for' in err and 'cut off from Redis' in err and '--without b' in err
        first.wait_version(world.version + 1)
        answer = flip(world, '--without', 'ghost', shortcode='5002', code=NOT_FOUND)
        assert 'ghost' in answer['error']
        began = time.monotonic()
        answer = flip(world, '--without', 'b', '--why', 'b hangs', shortcode='5002')
        assert [one['id'] for one in answer['preflight'][0]['instances']] == ['a'], 'b is not asked, nor waited for'
        assert time.monotonic() - began < 1
        barrier = answer['barrier']
        assert barrier['complete'] and barrier['live'] == 1 and [i['id'] for i in barrier['left_out']] == ['b']
        entry = last_change(world)
        assert entry['without'] == ['b'] and entry['version'] == answer['version']
        assert 'NOT WAITED FOR: b' in text(world, 'log', '--last', '1')[1]
        assert 'b was left out: it may still send' in text(world, *OUTSIDE, '5002', *TARGET, '--without', 'b')[1]
        note, = world.ctl('log', '--last', '1')[1]['left_out']
        assert (note['without'], note['who'], note['version']) == (['b'], 'tester', answer['version']), (
            'also where nothing was to be changed any more')
        assert 'not waited for any more: b, by tester' in text(world, 'log', '--last', '1')[1]
    finally:
        os.kill(second.pid, signal.SIGCONT)
    second.wait_version(answer['version'])
    flip(world, code=6)


@pytest.mark.parametrize('on_loss, words', [('serve', 'it may go the old way'), ('fence', 'it sends nothing')])
def test_a_dead_one_is_told_of(links, start, on_loss, words):
    """What it would do if it were only cut off from Redis is known after its entry has expired."""
    world = links
    _, second = start('a', 'b', lease='1s', on_loss=on_loss)
    world.kill(second)
    while world.redis.call('EXISTS', world.prefix + ':instance:b') != '0':
        pass
    code, out, _ = text(world, *OUTSIDE, '5001', *TARGET)
    line, = [line for line in out.splitlines() if line.startswith('b ')]
    assert code == DONE and line.startswith('b is dead, silent for ') and words in line, out
    assert line.endswith('; turnoutctl instances forget b') and out.splitlines()[-1] == line, 'one line, not more'
    world.ctl('instances', 'forget', 'b')
    assert world.redis.call('HGET', world.prefix + ':on_loss', 'b') == ''
    assert world.redis.call('HGET', world.prefix + ':on_loss', 'a') == on_loss


def test_strict_flips_leave_out_and_are_refused_alike(links, start):
    world = links
    first, second = start('a', 'b')
    os.kill(second.pid, signal.SIGSTOP)
    try:
        answer = flip(world, '--strict', '--without', 'b')
        assert [s['step'] for s in answer['steps']] == ['hold', 'held', 'settled', 'open', 'opened']
        assert last_change(world)['without'] == ['b']
    finally:
        os.kill(second.pid, signal.SIGCONT)
    second.wait_version(answer['version'])
    first.wait_version(answer['version'])


def interrupt(world, daemon, args, how):
    """Starts a flip, interrupts it while an instance hangs, and gives what it printed."""
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        process = world.run([TOOLS / 'turnoutctl', *args, '--redis', '127.0.0.1:%d' % world.redis.port, '--prefix',
                             world.prefix, '--timeout', '60s'], 'ctl')
        how(process)
        process.signal(signal.SIGINT)
        return process.wait(), '\n'.join(process.lines['stdout']), '\n'.join(process.lines['stderr'])
    finally:
        os.kill(daemon.pid, signal.SIGCONT)


def test_ctrl_c_says_where_it_stands(links, start):
    world = links
    _, second = start('a', 'b')
    code, _, err = interrupt(world, second, [*OUTSIDE, '5001', *TARGET],
                             lambda process: process.wait_line('waiting: b is silent', 'stderr'))
    assert code == INCOMPLETE
    assert 'stopped; version %d is made, and 1 of 2 live instances have applied it' % (world.version + 1) in ' '.join(
        err.split()), err
    assert 'rollback' in err and 'same command again' in err


def test_ctrl_c_in_preflight_changes_nothing(links, start):
    world = links
    world.smscs['spark-omni'].bind_status = None
    start('a')
    process = world.run([TOOLS / 'turnoutctl', *OUTSIDE, '5001', *TARGET, '--redis', '127.0.0.1:%d' % world.redis.port,
                         '--prefix', world.prefix, '--timeout', '30s'], 'ctl')
    world.smscs['spark-omni'].connection().expect('bind_transceiver')
    process.signal(signal.SIGINT)
    assert process.wait() == 1
    assert 'stopped before anything was changed' in '\n'.join(process.lines['stderr'])
    assert world.version == int(world.redis.call('GET', world.prefix + ':version'))


# --- the test message ------------------------------------------------------------------------------------------

def carry(world, receipts, states=('DELIVRD',), tlvs=b''):
    """An SMSC that takes what it is sent; before its receipts come another's and an MO. Gives the legs that it came by."""
    taken = []

    def answers(leg, pdu):
        if pdu.name == 'submit_sm':
            leg.send(pdu.answer(0, b'abc\0'))
            if receipts:
                leg.deliver(text=wire.receipt_text('other'), esm_class=4)
                leg.deliver(text=b'an MO')
                for state in states:
                    leg.deliver(text=wire.receipt_text('abc', state), esm_class=4, tlvs=tlvs)
            taken.append(leg)

    world.smscs['spark-omni'].answers = answers
    return taken


def test_one_test_message_comes_through(links, start):
    world = links
    start('a', 'b')
    world.bound(daemon=world.daemons[1])
    taken = carry(world, receipts=True)
    message = flip(world, '--probe', number_of('spark'), '--text', 'Kia ora')['message']
    assert (message['step'], message['message_id'], message['client']) == ('done', 'abc', 'acme')
    assert message['receipt_ms'] >= message['answer_ms'] > 0 and 'id:abc' in message['receipt']
    leg, = taken
    sent = wire.message_fields(leg.expect('submit_sm'))
    assert (sent.text, sent.source, sent.dest, sent.registered) == (
        b'Kia ora', '5001', number_of('spark'), 1)
    statuses = [leg.expect('deliver_sm_resp').status for _ in range(3)]
    assert statuses == [wire.RMSGQFUL, wire.RMSGQFUL, 0], 'what is not ours is the network\'s to repeat'


def test_a_number_of_another_carrier_gets_none(links, start):
    world = links
    world.carrier('onenz')
    start('a')
    answer = flip(world, '--probe', number_of('onenz'), code=PREFLIGHT)
    assert "onenz" in answer['error'] and 'no test message was sent' in answer['error']
    assert last_change(world)['version'] == world.version


def test_a_test_message_without_a_receipt_stops_the_flip(links, start):
    world = links
    start('a')
    taken = carry(world, receipts=False)
    answer = flip(world, '--probe', number_of('spark'), '--timeout', '1s', code=PREFLIGHT)
    assert answer['message']['step'] == 'receipt' and 'not answered within 1.0 s' in answer['error']
    assert last_change(world)['version'] == world.version and len(taken) == 1, 'and it is not sent again'


@pytest.mark.parametrize('state, tlvs', [
    ('UNDELIV', b''), ('REJECTD', b''), ('EXPIRED', b''), ('DELETED', b''), ('UNKNOWN', b''), ('', b''),
    ('DELIVRD', b'\x04\x27\x00\x01\x05')])
def test_a_receipt_of_failure_stops_the_flip(links, start, state, tlvs):
    world = links
    start('a')
    carry(world, True, (state,), tlvs)
    answer = flip(world, '--probe', number_of('spark'), code=PREFLIGHT)
    assert answer['message']['step'] == 'receipt' and answer['message']['receipt_ms'] > 0
    assert 'does not say that it was delivered' in answer['error'] and 'stat:' + state in answer['error']
    assert last_change(world)['version'] == world.version
    code, _, err = text(world, 'preflight', '5001', *TARGET, '--probe', number_of('spark'))
    assert code == PREFLIGHT and 'does not say that it was delivered' in ' '.join(err.split())


@pytest.mark.parametrize('states, tlvs', [
    (('ENROUTE', 'DELIVRD'), b''), (('ACCEPTD',), b''), (('UNDELIV',), b'\x04\x27\x00\x01\x02')])
def test_a_receipt_of_success_lets_the_flip_go_on(links, start, states, tlvs):
    world = links
    start('a')
    carry(world, True, states, tlvs)
    message = flip(world, '--probe', number_of('spark'))['message']
    assert message['step'] == 'done' and 'stat:' + states[-1] in message['receipt']


# --- release and clients ---------------------------------------------------------------------------------------

@pytest.mark.sanitize
def test_legs_are_released_on_all_instances(links, start):
    world = links
    start('a', 'b')
    clients = [world.bound(daemon=daemon) for daemon in world.daemons]
    redx = [world.smscs['spark-redx'].leg() for _ in clients]
    code, answer = world.ctl('leg', 'release', 'spark-redx', check=False)
    assert code == CONFLICT and answer['needed_by'][0]['client'] == 'acme', answer
    flip(world), flip(world, shortcode='5002')
    rows = world.ctl('sessions', '--clients')[1]['clients']
    acme, = rows
    assert acme['sessions'] == {'transceiver': 2}
    assert {leg['link']: leg['bound'] for leg in acme['legs']} == {'spark-redx': 2, 'spark-omni': 2}
    code, answer = world.ctl('leg', 'release', 'spark-redx', '--client', 'nobody', check=False)
    assert code == NOT_FOUND and 'no such client' in answer['error']
    code, answer = world.ctl('leg', 'release', 'nowhere', check=False)
    assert code == NOT_FOUND and 'no such link' in answer['error']
    code, answer = world.ctl('leg', 'release', 'spark-redx', '--client', 'acme')
    assert answer['released'] == 2 and sorted((i['id'], i['ended']) for i in answer['instances']) == [('a', 1), ('b', 1)]
    for leg in redx:
        leg.expect('unbind')
        leg.until_end()
    code, answer = world.ctl('leg', 'release', 'spark-redx')
    assert answer['released'] == 0
    for client in clients:
        client.fence()


def test_clients_are_shown_over_all_instances(links, start):
    world = links
    start('a', 'b')
    client = world.bound(daemon=world.daemons[0])
    world.bound('receiver', daemon=world.daemons[1])
    redx = world.smscs['spark-redx'].leg()
    world.smscs['spark-redx'].leg()
    client.submit()
    redx.next(timeout=5)
    acme, = world.ctl('sessions', '--clients')[1]['clients']
    assert acme['sessions'] == {'transceiver': 1, 'receiver': 1} and acme['in_flight'] == 1
    leg, = acme['legs']
    assert (leg['link'], leg['bound'], leg['window_used'], leg['window_size']) == ('spark-redx', 2, 1, 200)
    by_instance = world.ctl('sessions', '--clients', '--by-instance')[1]['clients']
    assert [(c['client'], c['instance']) for c in by_instance] == [('acme', 'a'), ('acme', 'b')]
    code, out, _ = text(world, 'sessions', '--clients')
    assert code == DONE and 'acme' in out and '1 transceiver' in out and '1/200' in out
