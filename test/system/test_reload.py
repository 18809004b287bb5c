"""SIGHUP: a good file is taken into use without touching live sessions; a wrong one changes nothing and is named."""
import pytest

import harness
import wire
from harness import Raw, number_of, render


@pytest.fixture
def one(world):
    world.smsc('spark', 'redx')
    world.client()
    world.routes()
    return world


def reload_with(world, text=None):
    daemon = world.daemon
    since = daemon.mark()
    path = world.directory / (daemon.name + '.conf')
    path.write_text(text if text is not None else render(world.config()) + '\n')
    daemon.reload()
    return daemon.wait_for(lambda: (daemon.find('config_loaded', since) + daemon.find('config_refused', since) or
                                    [None])[0], 'the end of the reload')


@pytest.mark.sanitize
def test_a_new_client_a_new_password_a_client_gone(one):
    world = one
    world.client('gone', 'gone-password')
    world.start()
    live = world.bound()
    leg = world.smscs['spark-redx'].leg()
    world.client('acme', 'new-password')
    world.client('bcme', 'other', shortcodes=['6001'])
    del world.clients['gone']
    assert reload_with(world)['event'] == 'config_loaded'
    sent = live.submit()
    leg.send(leg.expect('submit_sm').answer(0, b'1\0'))
    live.expect('submit_sm_resp', seq=sent.seq, status=0)
    assert world.connect().try_bind('transceiver', 'acme', 'secret').status == wire.RINVPASWD
    assert world.connect().try_bind('transceiver', 'gone', 'gone-password').status == wire.RINVPASWD
    world.bound('transceiver', 'acme', 'new-password')
    world.change({('6001', 'spark'): 'redx'})
    world.daemon.wait_version(world.version)
    world.bound('transceiver', 'bcme', 'other')


@pytest.mark.sanitize
def test_a_new_link_is_used(one):
    world = one
    world.start()
    client = world.bound()
    world.smscs['spark-redx'].leg()
    omni = world.smsc('spark', 'omni')
    assert reload_with(world)['event'] == 'config_loaded'
    world.flip('5001', 'spark', 'omni')
    leg = omni.leg()
    sent = client.submit()
    leg.send(leg.expect('submit_sm').answer(0, b'1\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)


def test_prefixes_and_shortcodes_change_for_live_sessions(one):
    world = one
    world.start()
    client = world.bound()
    leg = world.smscs['spark-redx'].leg()
    sent = client.submit(dest='61412345678')
    client.expect('submit_sm_resp', seq=sent.seq, status=wire.RINVDSTADR)
    world.carrier('spark', prefixes=['6425', '6427', '614'])
    world.client(shortcodes=['5001', '5003'])
    world.change({('5003', 'spark'): 'redx'})
    assert reload_with(world)['event'] == 'config_loaded'
    world.daemon.wait_version(world.version)
    client.submit(source='5003', dest='61412345678')
    leg.expect('submit_sm')
    sent = client.submit(source='5002')
    client.expect('submit_sm_resp', seq=sent.seq, status=wire.RINVSRCADR)


BAD = {
    'syntax': lambda text: text.replace('workers = 1', 'workers = = 1'),
    'unknown option': lambda text: text.replace('workers = 1', 'workres = 1'),
    'out of range': lambda text: text.replace('workers = 1', 'workers = 100000'),
    'unknown carrier': lambda text: text.replace('carrier = "spark"', 'carrier = "sprak"'),
    'not a hash': lambda text: text.replace('password-hash = "$y$', 'password-hash = "plain'),
    'not a status': lambda text: text + 'carrier "x" { mo-refusal = "ESME_RNOSUCH" }\n',
    'not a network': lambda text: text.replace('shortcodes =', 'networks = { "300.0.0.0/8" }\nshortcodes ='),
    'empty file': lambda text: '',
    'missing brace': lambda text: text.rstrip()[:-1],
    'not text': lambda text: '\0\1\2',
}


@pytest.mark.sanitize
@pytest.mark.parametrize('kind', BAD)
def test_a_wrong_file_changes_nothing(one, kind):
    world = one
    daemon = world.start()
    client = world.bound()
    leg = world.smscs['spark-redx'].leg()
    good = (world.directory / (daemon.name + '.conf')).read_text()
    refused = reload_with(world, BAD[kind](good))
    assert refused['event'] == 'config_refused'
    assert daemon.name + '.conf' in str(refused), 'the file is named'
    sent = client.submit()
    leg.send(leg.expect('submit_sm').answer(0, b'1\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)
    world.bound()
    assert daemon.metric('config_reloads_refused_total') == 1
    assert reload_with(world, good)['event'] == 'config_loaded'


def test_many_reloads_under_traffic(one):
    world = one
    world.smscs['spark-redx'].answers = lambda leg, pdu: pdu.answer(0, b'1\0') if pdu.name == 'submit_sm' else None
    world.start()
    client = world.bound()
    for i in range(30):
        sent = [client.submit(text=b'%d' % n) for n in range(20)]
        if i % 3 == 0:
            world.daemon.reload()
        for s in sent:
            client.expect('submit_sm_resp', seq=s.seq, status=0)
    assert reload_with(world)['event'] == 'config_loaded'


# -- the check without a daemon

def check_config(world, text):
    import subprocess
    path = world.directory / 'checked.conf'
    path.write_text(text)
    done = subprocess.run([str(harness.BUILD / 'turnoutd'), '--check-config', str(path)], capture_output=True, text=True,
                          env=harness.ENVIRONMENT, timeout=harness.PATIENCE)
    return done.returncode, done.stdout + done.stderr


def test_check_config(one):
    world = one
    text = render(world.config()) + '\n'
    (world.directory / 'state').mkdir(exist_ok=True)
    code, out = check_config(world, text)
    assert code == 0, out
    for kind, spoil in BAD.items():
        code, out = check_config(world, spoil(text))
        assert code != 0, kind
        assert 'checked.conf' in out, (kind, out)
        assert 'Sanitizer' not in out


@pytest.mark.parametrize('wrong, line, words', [
    ('workers = 0', 1, ('workers', '1', '64')),
    ('workers = 1\nsession-init = 5', 2, ('session-init', 'ms')),
    ('workers = 1\n\nno-such-thing = 1', 3, ('no-such-thing',)),
    ('link "a" {\n carrier = "spark"\n platform = "redx"\n host = "h"\n port = 70000\n}', 5, ('port', '65535')),
    ('client "a" {\n password-hash = "x"\n shortcodes = { "1" }\n}', 2, ('password-hash',)),
])
def test_a_fault_names_its_line_and_what_is_allowed(one, wrong, line, words):
    code, out = check_config(one, wrong + '\n')
    assert code != 0
    assert 'checked.conf:%d:' % line in out, out
    for word in words:
        assert word in out, out


def test_print_options_names_every_option_of_the_example(one):
    import re
    import subprocess
    out = subprocess.run([str(harness.BUILD / 'turnoutd'), '--print-options'], capture_output=True, text=True, check=True,
                         env=harness.ENVIRONMENT, timeout=harness.PATIENCE).stdout
    example = (harness.ROOT / 'docker/turnout.conf.example').read_text()
    for name in set(re.findall(r'^\s*(?:client ".*?" \{ )?([a-z-]+) =', example, re.M)):
        assert re.search(r'\b%s\b' % name, out), name


def test_start_with_a_wrong_file(one):
    world = one
    path = world.write_config('wrong.conf')
    path.write_text('nonsense = 1\n')
    daemon = harness.Turnoutd(path, 'wrong')
    assert daemon.wait() not in (0, -11, -6)
    assert 'wrong.conf:1' in daemon.tail()


@pytest.mark.sanitize
def test_a_link_that_moved_gets_new_legs_and_the_old_ones_drain(one):
    """A carrier mends its address in the middle of the window: what is in flight is answered, what comes goes there."""
    world = one
    world.start()
    client = world.bound()
    old = world.smscs['spark-redx'].leg()
    sent = client.submit(text=b'in flight')
    asked = old.expect('submit_sm')
    new = world.smsc('spark', 'redx')
    assert reload_with(world)['event'] == 'config_loaded'
    leg = new.leg()
    later = client.submit(text=b'later')
    got = leg.expect('submit_sm')
    assert wire.message_fields(got).text == b'later'
    leg.send(got.answer(0, b'new\0'))
    client.expect('submit_sm_resp', seq=later.seq, status=0)
    old.send(asked.answer(0, b'old\0'))
    assert client.expect('submit_sm_resp', seq=sent.seq, status=0).body == b'old\0'
    assert old.expect('unbind')


def test_two_links_that_change_places_do_not_misroute(world):
    """The carriers of two links are exchanged: no message goes out on a leg that was bound as the other carrier's."""
    spark, onenz = world.smsc('spark', 'redx'), world.smsc('onenz', 'redx')
    world.client(bind_answer='all')
    world.routes()
    world.start()
    client = world.bound()
    spark.leg(), onenz.leg()
    links = world.link_options
    links['spark-redx']['carrier'], links['onenz-redx']['carrier'] = 'onenz', 'spark'
    links['spark-redx']['port'], links['onenz-redx']['port'] = links['onenz-redx']['port'], links['spark-redx']['port']
    assert reload_with(world)['event'] == 'config_loaded'
    sent = client.submit(dest=number_of('spark'))
    leg = spark.leg()
    leg.send(leg.expect('submit_sm').answer(0, b'1\0'))
    client.expect('submit_sm_resp', seq=sent.seq, status=0)
