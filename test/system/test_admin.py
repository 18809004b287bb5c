"""The admin listener, the metrics, and what the logs never say."""
import json
import pathlib
import re
import subprocess

import pytest

import wire
from harness import PATIENCE, Raw, number_of


@pytest.fixture
def busy(world):
    """Some of everything has happened."""
    smsc = world.smsc('spark', 'redx')
    onenz = world.smsc('onenz', 'redx', bind_status=wire.RINVPASWD)
    world.client()
    world.routes()
    world.start()
    client = world.bound()
    leg = smsc.leg()
    for i in range(5):
        sent = client.submit(text=b'TOPSECRETTEXT %d' % i, registered=1)
        leg.send(leg.expect('submit_sm').answer(0, b'IDENTITY%d\0' % i))
        client.expect('submit_sm_resp', seq=sent.seq, status=0)
        receipt = leg.deliver(text=wire.receipt_text('IDENTITY%d' % i), esm_class=4)
        client.send(client.expect('deliver_sm').answer(0, b'\0'))
        leg.expect('deliver_sm_resp', seq=receipt.seq)
    mo = leg.deliver(text=b'TOPSECRETTEXT mo')
    client.send(client.expect('deliver_sm').answer(0x14))
    leg.expect('deliver_sm_resp', seq=mo.seq)
    for fields in ({'source': '5999'}, {'dest': '61412345678'}, {'source': '5002'}):
        sent = client.submit(**fields)
        client.expect('submit_sm_resp', seq=sent.seq)
    sent = client.submit()
    leg.send(leg.expect('submit_sm').answer(0x4A1))
    client.expect('submit_sm_resp', seq=sent.seq)
    client.ask('query_sm', wire.query('UNHEARDOF', '5001'))
    client.request(0x0BAD, b'')
    client.expect('generic_nack')
    refused = world.connect()
    refused.try_bind('transceiver', 'acme', 'WRONGPASSWORD')
    assert onenz.port
    return world, client, leg


@pytest.mark.sanitize
def test_promtool_accepts_the_metrics_without_a_word(busy):
    world, _, _ = busy
    status, text = world.daemon.get('/metrics')
    assert status == 200
    done = subprocess.run(['promtool', 'check', 'metrics'], input=text, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_metrics_before_anything_happened(world):
    world.smsc('spark', 'redx')
    world.client()
    world.start()
    done = subprocess.run(['promtool', 'check', 'metrics'], input=world.daemon.get('/metrics')[1], capture_output=True,
                          text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout + done.stderr) == (0, '')


def test_what_is_counted(busy):
    world, _, _ = busy
    daemon = world.daemon
    metrics = daemon.metrics()

    def value(name, **labels):
        return sum(v for (n, l), v in metrics.items() if n == 'turnout_' + name and set(labels.items()) <= l)

    assert value('link_mt_total', link='spark-redx', carrier='spark', platform='redx') == 6
    assert value('link_mo_total', link='spark-redx') == 1
    assert value('link_receipts_total', link='spark-redx') == 5
    assert value('client_binds_accepted_total') == 1
    assert value('client_binds_credentials_total') == 1
    assert value('queries_unknown_id_total') == 1
    assert value('refused_total', cause='not_owner') == 1
    assert value('refused_total', cause='no_carrier') == 1
    assert value('refused_total', cause='no_route') == 1
    assert value('link_window_used', link='spark-redx') == 0
    names = {n for n, _ in metrics}
    for wanted in ('route_version_applied', 'route_version_desired'):
        assert 'turnout_' + wanted in names
        assert value(wanted) == world.version
    sessions = {tuple(sorted(l)): v for (n, l), v in metrics.items() if n == 'turnout_sessions' and v}
    assert sessions, 'no sessions'
    text = str(sessions)
    assert 'transceiver' in text and 'bound_trx' in text and 'spark-redx' in text or 'spark' in text
    buckets = [(dict(l)['le'], v) for (n, l), v in metrics.items()
               if n == 'turnout_link_response_time_seconds_bucket' and dict(l).get('link') == 'spark-redx']
    assert max(v for _, v in buckets) == 6, 'six answers of spark-redx are in its histogram'
    # By direction, command and status.
    pdus = [(dict(l), v) for (n, l), v in metrics.items() if n == 'turnout_pdus_total' and dict(l).get('status') and v]
    assert any('vendor' in str(l) for l, _ in pdus)
    assert any('ESME_RINVSRCADR' in str(l) for l, _ in pdus)


def test_no_label_from_a_number_or_an_id(busy):
    world, _, _ = busy
    text = world.daemon.get('/metrics')[1]
    for secret in ('64251234567', '4251234567', 'IDENTITY', 'UNHEARDOF', 'TOPSECRET', 'WRONGPASSWORD', '61412345678'):
        assert secret not in text


def test_healthz_readyz_and_the_rest(busy):
    world, _, _ = busy
    daemon = world.daemon
    assert daemon.get('/healthz')[0] == 200
    assert daemon.get('/readyz')[0] == 200
    assert daemon.get('/nothing-here')[0] == 404
    assert daemon.get('/metrics/../../etc/passwd')[0] == 404
    status, text = daemon.get('/sessions')
    assert status == 200
    sessions = json.loads(text)
    assert any('spark-redx' in str(s) for s in sessions) and any('client' in str(s) for s in sessions)


def test_not_ready_without_a_table(world_own):
    world = world_own
    world.smsc('spark', 'redx')
    world.client()
    world.redis.stop()
    daemon = world.start(wait=False)
    daemon.port()
    status, why = daemon.get('/readyz')
    assert status == 503 and why.strip()
    assert daemon.get('/healthz')[0] == 200
    world.redis.start()
    world.redis.load_functions()
    world.routes()
    daemon.wait_version(world.version)
    assert daemon.get('/readyz')[0] == 200


def test_admin_is_on_loopback_by_default(world):
    world.smsc('spark', 'redx')
    world.client()
    world.routes()
    config = world.config(admin={'port': 0})
    path = world.directory / 'default-admin.conf'
    (world.directory / 'state').mkdir(exist_ok=True)
    from harness import render
    path.write_text(render(config) + '\n')
    daemon = world.start(config=path)
    assert daemon.wait_event('admin_listening')['address'] == '127.0.0.1'




@pytest.mark.parametrize('style', ('json', 'text'))
def test_logs_mask_numbers_and_never_say_text_or_passwords(world, style):
    """At the chattiest level, after everything that went well and wrong, a reload with a wrong file included."""
    log = world.directory / 'turnout.log'
    smsc = world.smsc('spark', 'redx', link={'password': 'UPSTREAMPW'})
    world.client()
    world.routes()
    config = world.config()
    config['log'] = {'format': style, 'level': 'debug', 'file': str(log)}
    from harness import Turnoutd, render
    path = world.directory / 'logged.conf'
    (world.directory / 'state').mkdir(exist_ok=True)
    config['listener', 'plain'] = {'address': '127.0.0.1', 'port': 0}
    path.write_text(render(config) + '\n')
    daemon = Turnoutd(path, 'logged')
    world.daemons.append(daemon)
    port = tail_for(daemon, log, r'(?s).*\blistening\b.*?\bport"?[:=] ?"?(\d+)')
    from peers import Client
    client = Client(int(port), world.trace)
    world.peers.append(client)
    client.bind()
    leg = smsc.leg()
    for fields in ({}, {'source': '5999'}, {'dest': '61412345678'}, {'source': '5002'}):
        client.submit(text=b'TOPSECRETTEXT', **fields)
    leg.send(leg.expect('submit_sm').answer(0, b'IDENTITY\0'))
    for _ in range(4):
        client.expect('submit_sm_resp')
    mo = leg.deliver(source='64251234567', dest='7777', text=b'TOPSECRETTEXT')  # nobody's: to the leg's client
    client.send(client.expect('deliver_sm').answer(0, b'\0'))
    leg.expect('deliver_sm_resp', seq=mo.seq)
    leg.close()
    wrong = Client(int(port), world.trace)
    world.peers.append(wrong)
    wrong.try_bind('transceiver', 'acme', 'WRONGPASSWORD')
    path.write_text(render(config).replace('UPSTREAMPW"', 'UPSTREAMPW" nonsense') + '\n')
    daemon.reload()
    tail_for(daemon, log, r'(?s).*(config_refused)')
    text = log.read_text() + daemon.tail(10000)
    for secret in ('64251234567', '251234567', '61412345678', 'TOPSECRETTEXT', 'WRONGPASSWORD', 'UPSTREAMPW', '$y$j9T'):
        assert secret not in text, secret
    assert 'client_bound' in text
    if style == 'json':
        for line in log.read_text().splitlines():
            assert 'event' in json.loads(line)


def tail_for(daemon, log, pattern):
    """Waits for a pattern in a log file, whose end is looked at as long as the process runs."""
    import time
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and daemon.running:
        text = log.read_text() if log.exists() else ''
        found = re.match(pattern, text)
        if found:
            return found.group(1)
        time.sleep(0.01)  # a file has no event to wait for
    raise AssertionError('no %r in %s:\n%s\n%s' % (pattern, log, log.read_text() if log.exists() else '', daemon.tail()))


def test_no_number_whole_in_the_log(busy):
    world, _, _ = busy
    lines = '\n'.join(world.daemon.lines['stderr'] + world.daemon.lines['stdout'])
    for secret in ('64251234567', '251234567', '61412345678', 'TOPSECRETTEXT', 'WRONGPASSWORD', '$y$'):
        assert secret not in lines
    assert world.daemon.find('pdu_refused')


def test_log_file_is_opened_again_on_sighup(world):
    """For rotation."""
    log = world.directory / 'turnout.log'
    world.smsc('spark', 'redx')
    world.client()
    world.routes()
    config = world.config(log={'format': 'json', 'level': 'info', 'file': str(log)})
    from harness import Turnoutd, render
    path = world.directory / 'rotated.conf'
    (world.directory / 'state').mkdir(exist_ok=True)
    path.write_text(render(config) + '\n')
    daemon = Turnoutd(path, 'rotated')
    world.daemons.append(daemon)
    tail_for(daemon, log, r'(?s).*(table_applied)')
    log.rename(log.with_suffix('.1'))
    daemon.reload()
    tail_for(daemon, log, r'(?s).*(config_loaded)')
