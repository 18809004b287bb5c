"""What turnoutd has given up when it serves. (The filter itself is tried in test/unit/test_sandbox.c; every other test
of this folder runs behind it.)"""
import os
import pathlib
import pwd
import resource
import shutil
import tempfile

import pytest



def status_of(path):
    return dict(line.split(':\t', 1) for line in (path / 'status').read_text().splitlines() if ':\t' in line)


def threads(daemon):
    return [status_of(task) for task in pathlib.Path('/proc/%d/task' % daemon.pid).iterdir()]


def serve(world):
    smsc = world.smsc('spark', 'redx')
    world.client()
    world.routes()
    return smsc


def talk(world, smsc):
    client = world.bound()
    sent = client.submit()
    leg = smsc.leg()
    leg.send(leg.expect('submit_sm').answer(0, b'1\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)


def skip_if_off(daemon):
    for event in daemon.find('sandbox_off'):
        assert "sanitizer's build" in event['why'] or 'without libseccomp' in event['why'], event
        pytest.skip(event['why'])


def test_all_threads_are_filtered_and_nothing_is_dumped(world):
    smsc = serve(world)
    daemon = world.start(workers=2)
    skip_if_off(daemon)
    talk(world, smsc)  # the pool for passwords and names runs by now
    found = threads(daemon)
    assert len(found) >= 4
    assert {t['Seccomp'] for t in found} == {'2'} and {t['NoNewPrivs'] for t in found} == {'1'}
    assert resource.prlimit(daemon.pid, resource.RLIMIT_CORE) == (0, 0)
    # What may not be dumped belongs to root in /proc, whoever runs it.
    assert os.stat('/proc/%d/environ' % daemon.pid).st_uid == 0


def test_core_dumps_can_be_allowed(world):
    serve(world)
    before = resource.getrlimit(resource.RLIMIT_CORE)
    daemon = world.start(core_dumps=True)
    assert resource.prlimit(daemon.pid, resource.RLIMIT_CORE) == before


def test_sandbox_off(world):
    smsc = serve(world)
    daemon = world.start(sandbox='off')
    talk(world, smsc)
    assert daemon.find('sandbox_off')
    assert {t['Seccomp'] for t in threads(daemon)} <= {status_of(pathlib.Path('/proc/self'))['Seccomp']}


@pytest.mark.skipif(os.getuid() != 0, reason='only root can become another user')
def test_another_user(world):
    """Root is given up before a file is made; a reload still works."""
    smsc = serve(world)
    nobody = pwd.getpwnam('nobody')
    place = pathlib.Path(tempfile.mkdtemp(prefix='turnout-user-'))
    try:
        place.chmod(0o711)
        state = place / 'state'
        state.mkdir()
        os.chown(state, nobody.pw_uid, nobody.pw_gid)
        config = place / 'turnout.conf'
        config.write_text(world.write_config(state_directory=str(state), user='nobody').read_text())
        config.chmod(0o644)
        daemon = world.start(config=config)
        talk(world, smsc)
        for thread in threads(daemon):
            assert set(thread['Uid'].split()) == {str(nobody.pw_uid)}
            assert set(thread['Gid'].split()) == {str(nobody.pw_gid)}
            assert thread['CapEff'].strip('0') == '' and thread['Groups'].strip() == ''
        daemon.reload()
        daemon.wait_event('config_loaded', since=daemon.mark())
        daemon.stop()
        files = list(state.iterdir())
        assert files and {f.stat().st_uid for f in files} == {nobody.pw_uid}
    finally:
        for running in world.daemons:
            running.stop()
        shutil.rmtree(place)


def test_an_unknown_user_is_no_start(world):
    serve(world)
    daemon = world.start(wait=False, user='nobody-of-this-name')
    world.expected_exits[daemon] = 1
    assert daemon.wait() == 1
    assert 'there is no user nobody-of-this-name' in daemon.tail()
