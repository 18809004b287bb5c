"""Every call of libuv, OpenSSL, hiredis and of the allocator failing, one after the other, in the real program; then the
machine's own faults: no descriptors, no disk.

    for each function, for each N: the Nth call fails while
        start      the program starts                     -> it runs, or ends with a reason on its standard error
        round      a client binds (TLS), sends, gets MO, a route is flipped, it sends again and unbinds
                                                          -> an answer each or an end; the next round is whole again
        shutdown   SIGTERM with sessions bound            -> exit 0

In all of it a second client's session lives on and gets its answers. CI tries as many as fit into a few minutes, others each
day; test/system/sweep tries all. Each test prints how many of how many.
"""
import json
import os
import resource

import ssl
import subprocess
import time

import pytest

import wire
from faults import Faults, FaultyTurnoutd, Sweep, sanitizer
from harness import PATIENCE, Raw, free_port
from peers import Client, Ended


# Of the machine's time in CI, in seconds; the end has few calls, and all of them fit.
ROUND_SECONDS, START_SECONDS, END_SECONDS = 60, 30, 15
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
        if self.ended:
            return None
        try:
            sent = self.peer.request(command, body)
        except (OSError, ssl.SSLError):
            self.ended = True
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

    def start(self, armed=None, wait=True):
        world = self.world
        name = 'turnoutd-%d' % (len(world.daemons) + 1)
        daemon = FaultyTurnoutd(world.write_config(name + '.conf', redis={
            'host': '127.0.0.1', 'port': world.redis.port, 'prefix': world.prefix, 'beat': Raw('100ms'),
            'reconnect_min': Raw('20ms'), 'reconnect_max': Raw('50ms')}), name, self.faults, armed)
        world.daemons.append(daemon)
        if wait:
            daemon.port('tls')
            daemon.wait_version(world.version)
            self.resident = world.bound('transceiver', 'resident', 'quiet')
            self.resident.on_pdu = Guest.on_pdu
        return daemon

    def flip(self):
        """The route of the guest goes to the other platform. False where the proxy did not say that it follows."""
        self.platform = 'omni' if self.platform == 'redx' else 'redx'
        version = self.world.change({('5001', 'spark'): self.platform})
        try:
            self.world.daemon.wait_version(version, timeout=2)
        except AssertionError:
            return False
        return True

    def round(self):
        """True where nothing at all went wrong."""
        guest = Guest(self.world, self.tls)
        guest.bind()
        good = guest.submit()
        good = self.flip() and good
        good = guest.submit() and good
        guest.leave()
        return good

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


def counted(scene, act):
    """Calls of each function while act runs: the larger of two runs, since the first ones warm up."""
    most = {}
    for _ in range(3):
        before = scene.faults.calls()
        act()
        after = scene.faults.calls()
        most = {name: max(most.get(name, 0), after[name] - before[name]) for name in after}
    return most


@pytest.mark.load
@pytest.mark.sanitize
def test_any_call_may_fail_while_a_client_binds_sends_and_a_route_is_flipped(world, tmp_path, certificates):
    scene = Scene(world, tmp_path, certificates)
    daemon = scene.start()
    assert scene.round(), 'without a fault all is well'
    calls = counted(scene, scene.round)
    sweep = Sweep('round', calls, ROUND_SECONDS)
    for function, nth, run in sweep:
        scene.faults.arm(function, nth, run)
        try:
            scene.round()
            scene.faults.disarm()
            daemon.wait_version(world.version)  # late, maybe, but by itself
            sweep.note(scene.faults)
            assert daemon.running, 'it ended'
            scene.check_others()
            assert scene.round() or scene.round(), 'the next round but one is not whole again'
        except (AssertionError, OSError) as fault:
            raise AssertionError('%s:%d:%d: %s\n%s\n%s' % (function, nth, run, fault, scene.faults.where(),
                                                         daemon.note())) from fault
    scene.settled()
    sweep.tell()
    assert sweep.failed + sweep.spared >= sweep.tried // 2


def start_calls(scene):
    """Calls of each function from the program's start until it serves."""
    daemon = scene.start(wait=False)
    daemon.wait_event('started')
    daemon.wait_version(scene.world.version)
    calls = scene.faults.calls()
    daemon.stop()
    return calls


@pytest.mark.load
def test_any_call_may_fail_at_the_start(world, tmp_path, certificates):
    """It runs, or it says why not and ends: no crash, no hang, and no silence."""
    scene = Scene(world, tmp_path, certificates)
    sweep, refused = Sweep('start', start_calls(scene), START_SECONDS), 0
    for function, nth, run in sweep:
        daemon = scene.start(armed='%s %d %d' % (function, nth, run), wait=False)
        fault = '%s:%d:%d' % (function, nth, run)
        until(lambda d=daemon: d.find('started') or not d.running,
              lambda f=fault: '%s: neither a start nor an end\n%s' % (f, scene.faults.where()))
        code = daemon.stop()
        sweep.note(scene.faults)
        told = daemon.junk + [e for e in daemon.events if e['level'] in ('error', 'warning')]
        if code < 0 or (code != 0 and not told):
            raise AssertionError('%s: it %s\n%s\n%s' % (fault, 'crashed' if code < 0 else 'ended without a word',
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
        before = scene.faults.calls()
        if armed:
            scene.faults.arm(*armed)
        code = daemon.stop()
        scene.faults.disarm()
        guest.peer.close()
        world.daemons.remove(daemon)
        where = '%s\n%s\n%s' % (armed, scene.faults.where(), daemon.note())
        assert code == 0 and not daemon.junk, 'exit %d: %s' % (code, where)
        return {name: count - before[name] for name, count in scene.faults.calls().items()}

    sweep = Sweep('end', end(), END_SECONDS)
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
