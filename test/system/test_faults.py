"""Every call of libuv, OpenSSL, hiredis and of the allocator failing, one after the other, in the real program; then the
machine's own faults: no descriptors, no disk.

    for each function, for each N: the Nth call fails while
        start      the program starts                     -> it runs, or ends with a reason on its standard error
        round      a client binds (TLS on both sides), sends, gets MO, a route is flipped, it sends again and unbinds
        hold       a route is held, a message waits, the route opens to the other platform
        redis      the connections to Redis are cut; a flip comes meanwhile
        window     a window begins, whose move is made by itself, and goes back
        reload     SIGHUP: another certificate, portability table, window, and a client more or less
                                                          -> an answer each or an end; the next round is whole again
        end        SIGTERM with sessions bound            -> exit 0

In all of it a second client's session lives on and gets its answers. CI tries as many as fit into a few minutes, others each
day; test/system/sweep tries all. Each test prints how many of how many.
"""
import http.client
import itertools
import json
import os
import pathlib
import resource
import shutil
import ssl
import subprocess
import time

import pytest

import wire
from faults import Faults, FaultyTurnoutd, Point, Sweep, forgotten, sanitizer
from harness import PATIENCE, Raw, free_port
from peers import Client, Ended


# Of the machine's time in CI, in seconds; the end has few calls, and all of them fit.
SECONDS = {'round': 40, 'hold': 10, 'redis': 10, 'window': 15, 'reload': 15, 'start': 30, 'end': 15}
SHORT = {'connect_timeout': Raw('500ms'), 'bind_timeout': Raw('500ms'), 'response_timeout': Raw('500ms')}


def answers(leg, pdu):
    """The carrier: takes every message, and sends a reply from the handset with it."""
    if pdu.name != 'submit_sm':
        return None
    fields = wire.message_fields(pdu)
    leg.request('deliver_sm', wire.message(fields.dest, fields.source, b'reply'))
    return pdu.answer(0, b'%d\0' % pdu.seq)


def until(look, what):
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.01)


class Guest:
    """The client that meets the fault. An end of its session is an answer to all that it still waits for."""

    def __init__(self, world, tls):
        self.ended = False
        self.bound = False
        try:
            self.peer = Client(world.daemon.port('tls'), world.trace, 'guest', tls=tls)
        except (OSError, ssl.SSLError):
            self.ended = True
            return
        self.peer.on_pdu = self.on_pdu
        world.peers.append(self.peer)

    @staticmethod
    def on_pdu(peer, pdu):
        if pdu.name != 'deliver_sm':
            return False
        try:
            peer.send(pdu.answer(0, b'\0'))
        except OSError:
            pass
        return True

    def ask(self, command, body=b''):
        """The response, or None where the session has ended."""
        return self.await_answer(command, self.send(command, body))

    def send(self, command, body=b''):
        """What was sent, or None where the session has ended."""
        if self.ended:
            return None
        try:
            return self.peer.request(command, body)
        except (OSError, ssl.SSLError):
            self.ended = True
            return None

    def await_answer(self, command, sent):
        if sent is None:
            return None
        got = self.peer.next()
        if isinstance(got, Ended) or got.name == 'unbind':
            self.ended = True
            return None
        assert got.name in (command + '_resp', 'generic_nack') and got.seq == sent.seq, got
        return got

    def bind(self):
        answer = self.ask('bind_transceiver', wire.bind('acme', 'secret'))
        if answer is None:
            return
        assert answer.status not in wire.FINAL_FOR_CLIENTS, 'a fault of ours that looks like its own: %r' % answer
        self.bound = answer.status == 0
        self.ended = not self.bound

    def submit(self):
        answer = self.ask('submit_sm', wire.message('5001', '64251234567', b'hello'))
        return answer is not None and answer.status == 0

    def leave(self):
        if self.bound:
            self.ask('unbind')
        if hasattr(self, 'peer'):
            self.peer.close()


class Scene:
    """One proxy, the guest's carrier with TLS, and a resident: a client that must not notice anything."""

    def __init__(self, world, tmp_path, certificates):
        if sanitizer() == 'tsan':
            pytest.skip('ThreadSanitizer wants to be the first to see an allocation; fault.so is')
        self.world = world
        self.certificates = certificates
        self.turn = itertools.count(1)
        self.options = {}
        self.faults = Faults(tmp_path / 'faults')
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates['server'], certificates['server-key'])
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.tls.load_verify_locations(certificates['ca'])
        secure = {'tls': True, 'ca': certificates['ca'], 'tls_name': 'localhost', **SHORT}
        world.smsc('spark', 'redx', tls=context, answers=answers, link=secure)
        # A name, so that it is resolved.
        world.smsc('spark', 'omni', answers=answers, link={'host': 'localhost', **SHORT})
        world.smsc('onenz', 'redx', answers=answers, link=SHORT)
        world.listeners['tls'] = {'address': '127.0.0.1', 'port': 0, 'tls': True, 'certificate': certificates['server'],
                                  'key': certificates['server-key']}
        quick = {'hold_budget': Raw('300ms'), 'response_timeout': Raw('1s')}
        world.client(shortcodes=['5001'], **quick)
        world.client('resident', 'quiet', shortcodes=['6001'], **quick)
        world.change({('5001', 'spark'): 'redx', ('6001', 'onenz'): 'redx'})
        self.platform = 'redx'

    def write_config(self, name):
        world = self.world
        return world.write_config(name + '.conf', **self.options, redis={
            'host': '127.0.0.1', 'port': world.redis.port, 'prefix': world.prefix, 'beat': Raw('100ms'),
            'reconnect_min': Raw('20ms'), 'reconnect_max': Raw('50ms')})

    def start(self, armed=None, wait=True, record=False):
        world = self.world
        name = 'turnoutd-%d' % (len(world.daemons) + 1)
        daemon = FaultyTurnoutd(self.write_config(name), name, self.faults, armed, record)
        world.daemons.append(daemon)
        if wait:
            daemon.port('tls')
            daemon.wait_version(world.version)
            self.resident = world.bound('transceiver', 'resident', 'quiet')
            self.resident.on_pdu = Guest.on_pdu
        return daemon

    def follows(self, version):
        """False where the proxy does not say so soon."""
        try:
            self.world.daemon.wait_version(version, timeout=2)
        except AssertionError:
            return False
        return True

    def other(self):
        return 'omni' if self.platform == 'redx' else 'redx'

    def flip(self):
        """The route of the guest goes to the other platform. False where the proxy did not say that it follows."""
        self.platform = self.other()
        return self.follows(self.world.change({('5001', 'spark'): self.platform}))

    def round(self):
        """True where nothing at all went wrong."""
        guest = Guest(self.world, self.tls)
        guest.bind()
        good = guest.submit()
        good = self.flip() and good
        good = guest.submit() and good
        guest.leave()
        return good

    def hold(self):
        """A message waits while its route is held, and leaves by the other platform."""
        guest = Guest(self.world, self.tls)
        guest.bind()
        good = self.follows(self.world.change({('5001', 'spark'): (self.platform, 'hold')}))
        waiting = guest.send('submit_sm', wire.message('5001', '64251234567', b'hello'))
        good = self.flip() and good
        answer = guest.await_answer('submit_sm', waiting)
        guest.leave()
        return good and answer is not None and answer.status == 0

    def redis(self):
        """Every connection is cut; a flip is made before they are there again."""
        self.world.redis.call('CLIENT', 'KILL', 'TYPE', 'normal')
        return self.flip()

    def window(self):
        """A window whose move is due, and is made by the instance itself; then it is rolled back."""
        world, name = self.world, 'w%d' % next(self.turn)
        now = time.time()
        times = {option: time.strftime('%Y-%m-%dT%H:%M:%S+00:00', time.gmtime(now + at))
                 for option, at in (('--start', -60), ('--end', 3600), ('at', -30))}
        plan = world.directory / 'plan.csv'
        plan.write_text('shortcode,carrier,to,at\n5001,spark,%s,%s\n' % (self.other(), times['at']))
        world.ctl('window', 'create', name, str(plan), '--start', times['--start'], '--end', times['--end'])
        version = world.ctl('window', 'start', name, '--timeout', '5s')[1]['version']
        good = self.follows(version + 1)
        if not good:  # after a fault it is tried again, in ten seconds, or now
            world.ctl('window', 'pause', name), world.ctl('window', 'resume', name)
            until(lambda: int(world.redis.call('GET', world.prefix + ':version')) > version, 'the move by itself')
        world.ctl('window', 'rollback', name, '--why', 'the next round')
        world.version = int(world.redis.call('GET', world.prefix + ':version'))
        return self.follows(world.version) and good

    def furnish(self):
        """What a reload swaps: files under the config's own names, of two kinds each."""
        world, directory = self.world, self.world.directory
        for kind in ('one', 'two'):
            source = directory / 'numbers.csv'
            source.write_text('number,carrier\n64270000001,%s\n' % {'one': 'spark', 'two': 'onenz'}[kind])
            world.ctl('numbers', 'build', str(source), str(directory / ('numbers-' + kind)), kind)
        world.listeners['tls'].update(certificate=str(directory / 'certificate.pem'), key=str(directory / 'key.pem'))
        self.options['portability_table'] = str(directory / 'numbers')
        self.swap('one')

    def swap(self, kind):
        directory = self.world.directory
        who = {'one': 'server', 'two': 'client'}[kind]
        for source, name in ((self.certificates[who], 'certificate.pem'), (self.certificates[who + '-key'], 'key.pem'),
                             (directory / ('numbers-' + kind), 'numbers')):
            shutil.copy(source, directory / 'new')
            os.replace(directory / 'new', directory / name)

    def reload(self):
        """A good config with everything new in it. True where it is in use."""
        world, daemon = self.world, self.world.daemon
        kind = ('one', 'two')[next(self.turn) % 2]
        self.swap(kind)
        world.clients['acme']['window'] = {'one': 10, 'two': 20}[kind]
        if kind == 'two':
            world.client('more', 'more', shortcodes=['8001'])
        else:
            world.clients.pop('more', None)
        self.write_config(daemon.name)
        since = daemon.mark()
        daemon.reload()
        told = daemon.wait_for(lambda: (daemon.find('config_loaded', since) + daemon.find('config_refused', since) or
                                        [None])[0], 'the end of the reload')
        if told['event'] == 'config_refused':
            assert told['why'], told
            return False
        guest = Guest(world, self.tls)
        guest.bind()
        good = guest.submit()
        if not guest.ended:
            served = ssl.DER_cert_to_PEM_cert(guest.peer.sock.certificate())
            wanted = pathlib.Path(self.certificates[{'one': 'server', 'two': 'client'}[kind]]).read_text()
            assert served in wanted, 'the certificate that was there before'
        guest.leave()
        try:
            return good and daemon.metric('portability_table_info', version=kind) == 1
        except (AssertionError, OSError, http.client.HTTPException):  # that was what failed: no page, or no 200
            return False

    def check_others(self):
        resident = self.resident
        sent = resident.submit(source='6001', dest='64211234567')
        resident.expect('submit_sm_resp', seq=sent.seq, status=0)

    def settled(self):
        """Nothing is left of the guest: sessions, legs, waiting messages."""
        daemon = self.world.daemon
        for _ in range(2000):
            left = [daemon.metric('sessions', side='client'), daemon.metric('sessions', side='smsc'),
                    daemon.metric('waiting_messages'), daemon.metric('link_window_used')]
            if left == [1, 1, 0, 0]:
                return
        raise AssertionError('sessions, legs, waiting, in flight: %s' % left)


def calls_of(scene, act):
    """The calls that act makes: of each function those of the run with most of them, since the first ones warm up."""
    most = {}
    for _ in range(3):
        scene.faults.record()
        act()
        run = {}
        for call in scene.faults.recorded():
            run.setdefault(call[0], []).append(call)
        for name, calls in run.items():
            most[name] = max(most.get(name, []), calls, key=len)
    return [call for _, calls in sorted(most.items()) for call in calls]


def test_no_call_is_forgotten():
    assert forgotten() == [], 'give fault.c a failure for each, or faults.py the reason why it has none'


@pytest.mark.load
@pytest.mark.sanitize
@pytest.mark.parametrize('phase', ('round', 'hold', 'redis', 'window', 'reload'))
def test_any_call_may_fail_in(world, tmp_path, certificates, phase):
    scene = Scene(world, tmp_path, certificates)
    act = getattr(scene, phase)
    if phase == 'reload':
        scene.furnish()
    daemon = scene.start()
    assert act(), 'without a fault all is well'
    sweep = Sweep(phase, calls_of(scene, act), SECONDS[phase])
    for point in sweep:
        scene.faults.arm(point)
        try:
            act()
            scene.faults.disarm()
            daemon.wait_version(world.version)  # late, maybe, but by itself
            sweep.note(scene.faults)
            assert daemon.running, 'it ended'
            scene.check_others()
            if not act():  # the link of a bind that failed is left alone for a moment
                sweep.again += 1
                assert act(), 'the next round but one is not whole again'
            why, outcome = scene.faults.why, 'lived'
        except (AssertionError, OSError) as fault:
            scene.faults.disarm()
            why, outcome = scene.faults.why, 'lived, but not as before' if daemon.running else 'went down'
            if sweep.wanted != 'beyond':
                sweep.wrong('%s: %s\n%s\n%s' % (point, fault, scene.faults.where(), daemon.note()))
            daemon.kill()
            world.daemons.remove(daemon)  # judged here
            daemon = scene.start()
        sweep.came_of(why, outcome)
    scene.settled()
    sweep.tell()
    assert sweep.wanted == 'beyond' or sweep.failed + sum(sweep.spared.values()) >= sweep.tried // 2


def test_a_reload_without_memory_for_anything_is_refused(world, tmp_path, certificates):
    """From its first allocation on, the copy of the file's name."""
    scene = Scene(world, tmp_path, certificates)
    scene.furnish()
    daemon = scene.start()
    assert scene.reload()
    for nth in range(1, 6):
        scene.faults.arm(Point('malloc', nth))
        scene.reload()
        scene.faults.disarm()
        assert daemon.running and (scene.faults.fired or scene.faults.passed), nth
        scene.check_others()
    assert scene.reload()


def start_calls(scene):
    """The calls from the program's start until it serves."""
    daemon = scene.start(wait=False, record=True)
    daemon.wait_event('started')
    daemon.wait_version(scene.world.version)
    calls = scene.faults.recorded()
    daemon.stop()
    scene.world.daemons.remove(daemon)
    return calls


def outcome_of(daemon):
    """What came of a start in which a library's own allocation failed. It may go round for ever."""
    try:
        daemon.wait_for(lambda: daemon.find('started') or not daemon.running, 'a start or an end', timeout=2)
        code = daemon.stop(timeout=2)
    except (AssertionError, subprocess.TimeoutExpired):
        daemon.kill()
        return 'went round for ever'
    return 'crashed' if code < 0 else 'ran' if code == 0 else 'ended and said so' if daemon.tail() else 'ended without a word'


@pytest.mark.load
def test_any_call_may_fail_at_the_start(world, tmp_path, certificates):
    """It runs, or it says why not and ends: no crash, no hang, and no silence."""
    scene = Scene(world, tmp_path, certificates)
    sweep, refused = Sweep('start', start_calls(scene), SECONDS['start']), 0
    for point in sweep:
        daemon = scene.start(armed=point, wait=False)
        if sweep.wanted == 'beyond':
            outcome = outcome_of(daemon)
            sweep.came_of(scene.faults.why, outcome)
            sweep.note(scene.faults)
            world.daemons.remove(daemon)
            continue
        try:
            until(lambda d=daemon: d.find('started') or not d.running, 'neither a start nor an end')
            code = daemon.stop()
        except (AssertionError, subprocess.TimeoutExpired) as fault:
            sweep.wrong('%s: %s\n%s\n%s' % (point, fault, scene.faults.where(), daemon.note()))
            daemon.kill()
            code = 0
        sweep.note(scene.faults)
        told = daemon.junk + [e for e in daemon.events if e['level'] in ('error', 'warning')]
        if code < 0 or (code != 0 and not told):
            sweep.wrong('%s: it %s\n%s\n%s' % (point, 'crashed' if code < 0 else 'ended without a word',
                                               scene.faults.where(), daemon.note()))
        refused += code != 0
        world.daemons.remove(daemon)  # judged here
    sweep.tell(', %d did not start' % refused)


@pytest.mark.load
def test_any_call_may_fail_while_it_ends(world, tmp_path, certificates):
    """SIGTERM with sessions bound, a message in flight and a flip just made: exit 0 in any case."""
    scene = Scene(world, tmp_path, certificates)

    def end(armed=None):
        daemon = scene.start()
        guest = Guest(world, scene.tls)
        guest.bind()
        guest.submit()
        if armed:
            scene.faults.arm(armed)
        else:
            scene.faults.record()
        code = daemon.stop()
        scene.faults.disarm()
        guest.peer.close()
        world.daemons.remove(daemon)
        where = '%s\n%s\n%s' % (armed, scene.faults.where(), daemon.note())
        if code != 0 or daemon.junk:
            sweep.wrong('exit %d: %s' % (code, where))

    sweep = None
    end()
    sweep = Sweep('end', scene.faults.recorded(), SECONDS['end'])
    for point in sweep:
        end(point)
        sweep.note(scene.faults)
    sweep.tell()


@pytest.mark.sanitize
def test_without_descriptors_accepting_pauses_and_resumes(world):
    """Existing sessions live; who comes meanwhile is served once there are descriptors again."""
    smsc = world.smsc('spark', 'redx', answers=answers)
    world.client(bind_answer='once')
    world.routes()
    daemon = world.start(core_dumps=True)  # its descriptors are counted
    kept = world.bound()
    kept.on_pdu = Guest.on_pdu
    smsc.leg()
    used = len(os.listdir('/proc/%d/fd' % daemon.pid))
    limits = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (used + 3, limits[1]))
    crowd = [world.connect() for _ in range(12)]
    paused = daemon.wait_event('accept_paused')
    assert 'too many open files' in paused['why']
    for _ in range(20):
        sent = kept.submit()
        kept.expect('submit_sm_resp', seq=sent.seq, status=0)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, limits)
    for peer in crowd:
        peer.close()
    late = world.bound()
    late.on_pdu = Guest.on_pdu
    sent = late.submit()
    late.expect('submit_sm_resp', seq=sent.seq, status=0)
    assert daemon.metric('accept_pauses_total') >= 1


class NoDescriptors:
    """Until the end of the block turnoutd gets no new descriptor, whatever it closes."""

    def __init__(self, daemon):
        self.pid = daemon.pid
        self.limits = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)

    def __enter__(self):
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (3, self.limits[1]))

    def __exit__(self, *_):
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self.limits)


def served(client, count=10, **fields):
    for _ in range(count):
        sent = client.submit(**fields)
        client.expect('submit_sm_resp', seq=sent.seq, status=0)


def guest_of(world, *login):
    client = world.bound('transceiver', *login)
    client.on_pdu = Guest.on_pdu
    return client


@pytest.mark.sanitize
def test_without_descriptors_a_leg_that_is_lost_comes_back_later(world):
    """The carrier ends the session, and no new one can be made: its messages are refused for retry, those of others flow;
    with descriptors again the leg binds by itself."""
    lost = world.smsc('spark', 'redx', answers=answers, link={'reconnect_min': Raw('50ms'), 'reconnect_max': Raw('100ms')})
    world.smsc('onenz', 'redx', answers=answers)
    world.client(hold_budget=Raw('200ms'))
    world.client('other', 'other', shortcodes=['6001'])
    world.change({('5001', 'spark'): 'redx', ('6001', 'onenz'): 'redx'})
    daemon = world.start(core_dumps=True)  # its limits may be changed
    client, other = guest_of(world), guest_of(world, 'other', 'other')
    served(client)
    elsewhere = dict(source='6001', dest='64211234567')
    with NoDescriptors(daemon):
        since = daemon.mark()
        lost.leg().close()
        failed = daemon.wait_event('leg_retry', since=since, link='spark-redx')
        assert 'too many open files' in json.dumps(failed), failed
        sent = client.submit()
        refused = client.expect('submit_sm_resp', seq=sent.seq)
        assert refused.status == wire.RMSGQFUL, refused
        served(other, **elsewhere)
    daemon.wait_event('leg_bound', since=since, link='spark-redx')
    served(client)
    served(other, **elsewhere)


@pytest.mark.sanitize
def test_without_descriptors_redis_comes_back_later(world):
    """Traffic goes by the table that is there; a change is followed as soon as there are descriptors again."""
    for platform in ('redx', 'omni'):
        world.smsc('spark', platform, answers=answers)
    world.client(bind_answer='all')
    world.routes()
    daemon = world.start(core_dumps=True)
    client = guest_of(world)
    with NoDescriptors(daemon):
        since = daemon.mark()
        world.redis.call('CLIENT', 'KILL', 'TYPE', 'normal')
        lost = daemon.wait_event('store_state', since=since)
        assert lost['why'], lost
        version = world.change({('5001', 'spark'): 'omni'})
        served(client)
        assert not [e for e in daemon.find('table_applied', since) if e['version'] >= version]
    daemon.wait_version(version)
    served(client)
    daemon.wait_event('store_following', since=since)


@pytest.mark.sanitize
def test_without_descriptors_the_log_goes_on_in_the_old_file(world):
    """SIGHUP after rotation: the log says so where it is, the config is refused, traffic goes on; with descriptors again the
    new file is made without another SIGHUP."""
    world.smsc('spark', 'redx', answers=answers)
    world.client()
    world.routes()
    log = world.directory / 'turnoutd.log'
    ports = {'listening': free_port(), 'admin_listening': free_port()}
    world.listeners['plain']['port'] = ports['listening']
    daemon = world.start(wait=False, core_dumps=True, admin={'address': '127.0.0.1', 'port': ports['admin_listening']},
                         log={'format': 'json', 'level': 'debug', 'file': str(log)})
    daemon.events += [{'event': event, 'listener': 'plain', 'port': port} for event, port in ports.items()]
    until(lambda: log.exists() and '"table_applied"' in log.read_text(), 'the table')
    client = guest_of(world)
    old = world.directory / 'turnoutd.log.1'
    with NoDescriptors(daemon):
        log.rename(old)
        daemon.reload()
        until(lambda: '"config_refused"' in old.read_text(), old.read_text)
        told = [json.loads(line) for line in old.read_text().splitlines()]
        (missed,) = [e for e in told if e['event'] == 'log_not_reopened']
        assert missed['file'] == str(log) and missed['why'] == 'Too many open files'
        served(client)
        assert not log.exists()
    until(log.exists, 'the new file')
    client.unbind()
    until(lambda: '"client_closed"' in log.read_text(), log.read_text)
    assert 'log_not_reopened' not in log.read_text()


@pytest.mark.parametrize('function', ('posix_fallocate', 'fsync', 'rename'))
def test_on_a_full_disk_it_starts_with_message_ids_in_memory(world, tmp_path, certificates, function):
    scene = Scene(world, tmp_path, certificates)
    daemon = scene.start(armed=Point(function, 1))
    assert scene.faults.fired, scene.faults.calls()
    told = daemon.wait_event('state_begun_anew')
    assert told['file'].endswith('message-ids') and 'kept in memory' in told['why'], told
    assert scene.round()
    scene.check_others()


# The first fsync and rename are the message ids'; then the whole snapshot, file and directory, then a line of its journal.
@pytest.mark.parametrize('function, nth', (('fsync', 2), ('rename', 2), ('fsync', 3), ('fdatasync', 1)))
def test_a_snapshot_that_cannot_be_put_in_place_is_tried_again(world, tmp_path, certificates, function, nth):
    """A full disk may show at the very end of it. The proxy serves meanwhile."""
    scene = Scene(world, tmp_path, certificates)
    state = world.directory / 'state'
    scene.start(armed=Point(function, nth))
    assert scene.round()
    until(lambda: scene.faults.fired, scene.faults.calls)
    scene.check_others()
    until(lambda: saved_version(state) is not None and last_saved(state) == world.version,
          lambda: [(path.name, path.read_text()) for path in state.glob('table*')])
    assert not list(state.glob('*.new'))


def test_with_the_disk_full_traffic_goes_on(world):
    """Log and state directory on a disk without room: lines are lost and counted, the snapshot stays as it was; flips and
    messages go on; when there is room again, so does the snapshot."""
    disk = world.directory / 'disk'
    disk.mkdir()
    done = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', str(disk)], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        pytest.skip('a small disk cannot be made here: ' + done.stderr.strip())
    try:
        fill_and_flip(world, disk)
    finally:
        for faulty in world.daemons:
            faulty.stop()
        subprocess.run(['umount', str(disk)], check=True)


def saved_version(state):
    """Of the table on disk, or None."""
    try:
        return json.loads((state / 'table.json').read_text())['version']
    except (OSError, ValueError, KeyError):
        return None


def last_saved(state):
    """Of the table on disk and the lines of its journal."""
    try:
        lines = (state / 'table.json.journal').read_text().splitlines()
    except OSError:
        lines = []
    return max([saved_version(state) or 0, *(json.loads(line)['version'] for line in lines)])


def fill_and_flip(world, disk):
    state, log = disk / 'state', disk / 'turnoutd.log'
    state.mkdir()
    smsc = {name: world.smsc('spark', name, answers=answers) for name in ('redx', 'omni')}
    world.client(bind_answer='all')
    world.routes()
    ports = {'listening': free_port(), 'admin_listening': free_port()}
    world.listeners['plain']['port'] = ports['listening']
    daemon = world.start(wait=False, state_directory=str(state), message_ids=1024,
                         admin={'address': '127.0.0.1', 'port': ports['admin_listening']},
                         log={'format': 'json', 'level': 'debug', 'file': str(log)})
    # Its events go to the full disk, so that where it listens must be known.
    daemon.events += [{'event': event, 'listener': 'plain', 'port': port} for event, port in ports.items()]
    until(lambda: saved_version(state) == world.version, 'the snapshot')
    client = world.bound()
    client.on_pdu = Guest.on_pdu
    smsc['redx'].leg()

    with open(disk / 'filler', 'wb', buffering=0) as filler:
        with pytest.raises(OSError):
            while True:
                filler.write(bytes(1024))
    before = saved_version(state)
    for platform in ('omni', 'redx', 'omni'):
        version = world.change({('5001', 'spark'): platform})
        daemon.wait_metric('route_version_applied', version)
        for _ in range(20):
            sent = client.submit()
            client.expect('submit_sm_resp', seq=sent.seq, status=0)
        world.bound().unbind()  # which the log has lines for
    assert daemon.metric('log_lines_lost_total') > 0
    assert saved_version(state) == before, 'the old snapshot is whole'

    (disk / 'filler').unlink()
    version = world.change({('5001', 'spark'): 'redx'})
    until(lambda: saved_version(state) == version, 'the snapshot when there is room again')
    assert '"log_lost"' in log.read_text(), 'the log tells where lines are missing'
