"""Webhooks and mails: who hears what of a cutover, once, signed, and without holding up anything."""
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from harness import ENVIRONMENT, PATIENCE, Raw, free_port
from receivers import Exim, Receiver

SECRET = 'a-secret-of-the-receiver'
QUICK = {'retry_min': Raw('50ms'), 'retry_max': Raw('200ms')}


@pytest.fixture
def exim():
    server = Exim()
    yield server
    server.close()


@pytest.fixture
def receiver():
    server = Receiver()
    yield server
    server.close()


def two_clients(world):
    world.client('acme', shortcodes=['5001', '5002'], mail=['ops@acme.example', 'duty@acme.example'])
    world.client('bank', shortcodes=['6001'], mail=['sms@bank.example'])
    for platform in ('redx', 'omni'):
        world.smsc('spark', platform)
        world.smsc('onenz', platform)
    world.routes(shortcodes=('5001', '5002', '6001'))


def use(world, receiver=None, exim=None, webhooks=None, **more):
    """The sections of the next config: more are options of hooks, webhooks {name: url}."""
    for key in [k for k in world.options if k == 'hooks' or k[0] == 'webhook']:
        del world.options[key]
    webhooks = webhooks or {}
    if receiver:
        webhooks = {'ops': receiver.url + '/turnout', **webhooks}
    for name, url in webhooks.items():
        world.options['webhook', name] = {'url': url, 'secret': SECRET}
    if exim:
        more = {'smtp': exim.url, 'smtp_tls': 'never', 'mail_from': 'noc@turnout.example', **more}
    world.options['hooks'] = {**QUICK, **more}


def start(world, *args, name=None, instance='i1', **more):
    use(world, *args, **more)
    state = world.directory / ('state-' + instance)
    state.mkdir()
    daemon = world.start(name=name, instance=instance, state_directory=str(state))
    daemon.wait_event('hooks_reading')
    return daemon


def second(world, *args, **more):
    return start(world, *args, name='turnoutd-2', instance='i2', **more)


def reload(world, daemon, *args, **more):
    since = daemon.mark()
    use(world, *args, **more)
    world.write_config(daemon.name + '.conf', instance='i1', state_directory=str(world.directory / 'state-i1'))
    daemon.reload()
    daemon.wait_event('config_loaded', since=since)


def add_event(world, kind='carrier_moved', **fields):
    """As functions/35-events.lua writes one."""
    words = {'kind': kind, 'at': '1700000000000', 'window': '', 'version': '7', 'who': 'kim', 'why': 'CHG-1',
             'ticket': '', 'text': 'a sentence', 'cells': '5001 spark redx omni open', **fields}
    return world.redis.call('XADD', world.prefix + ':events', '*', *[w for pair in words.items() for w in pair])


def to_of(mail):
    return mail['Envelope-to']


def pending(world):
    return int(world.redis.call('XPENDING', world.prefix + ':events', 'hooks').split()[0])


def wait_settled(world):
    deadline = time.monotonic() + PATIENCE
    while pending(world) > 0:
        assert time.monotonic() < deadline, 'events are still pending'
        time.sleep(0.02)


@pytest.mark.sanitize
def test_each_client_hears_of_its_own_and_the_webhook_of_all(world, exim, receiver):
    two_clients(world)
    start(world, receiver, exim, mail_always=['noc@turnout.example'])
    version = world.change({('5001', 'spark'): 'omni', ('6001', 'spark'): 'omni'}, kind='flip', why='CHG-4711',
                           outside_window=True)
    post, = receiver.wait_posts(1)
    told = post.json
    assert post.signed_by(SECRET) and not post.signed_by('another')
    assert post.headers['X-Turnout-Event'] == told['event'] == 'carrier_moved'
    assert post.headers['X-Turnout-Id'] == told['id']
    assert (told['version'], told['who'], told['why'], told['test']) == (version, 'test', 'CHG-4711', False)
    assert told['cells'] == [
        {'shortcode': s, 'carrier': 'spark', 'from': 'redx', 'to': 'omni', 'state': 'open'} for s in ('5001', '6001')]
    mails = {to_of(m): m for m in exim.wait_mails(4)}
    assert set(mails) == {'ops@acme.example', 'duty@acme.example', 'sms@bank.example', 'noc@turnout.example'}
    acme, bank, noc = mails['ops@acme.example'], mails['sms@bank.example'], mails['noc@turnout.example']
    assert acme['Subject'] == 'spark: 5001 now by omni' and '5001 spark: redx -> omni' in acme.get_content()
    assert b'6001' not in acme.raw and b'bank' not in acme.raw
    assert b'5001' not in bank.raw and b'acme' not in bank.raw
    assert acme['To'] == 'ops@acme.example, duty@acme.example' and acme['From'] == 'noc@turnout.example'
    assert acme['Message-ID'] == mails['duty@acme.example']['Message-ID'] != bank['Message-ID']
    assert told['id'] in acme['Message-ID'] and acme['Message-ID'].endswith('@turnout.example>')
    assert acme['Return-path'] == '<noc@turnout.example>' and acme['Auto-Submitted'] == 'auto-generated'
    assert '5001' in noc.get_content() and '6001' in noc.get_content() and 'CHG-4711' in noc.get_content()
    wait_settled(world)
    assert world.daemon.metric('hook_posts_delivered_total') == 1
    assert world.daemon.metric('hook_mails_delivered_total') == 4
    assert not world.redis.call('KEYS', world.prefix + ':events:told:*')


@pytest.mark.sanitize
def test_a_webhook_that_is_busy_is_told_again(world):
    two_clients(world)
    receiver = Receiver(503, 429, 200)
    try:
        daemon = start(world, receiver)
        identity = add_event(world)
        posts = receiver.wait_posts(3)
        assert {p.headers['X-Turnout-Id'] for p in posts} == {identity} and all(p.signed_by(SECRET) for p in posts)
        event = daemon.wait_event('hook_delivered')
        assert (event['to'], event['attempt'], event['status']) == ('webhook ops', 3, 200)
        assert [e['status'] for e in daemon.find('hook_retry')] == [503, 429]
        assert daemon.metric('hook_posts_retried_total') == 2
        wait_settled(world)
    finally:
        receiver.close()


@pytest.mark.parametrize('status', [302, 400, 410])
def test_a_webhook_that_refuses_is_told_once(world, status):
    two_clients(world)
    receiver = Receiver(status)
    try:
        daemon = start(world, receiver)
        add_event(world)
        assert daemon.wait_event('hook_given_up')['status'] == status
        assert [p.path for p in receiver.posts] == ['/turnout'] and daemon.metric('hook_posts_failed_total') == 1
        wait_settled(world)
    finally:
        receiver.close()


def test_attempts_come_to_an_end(world):
    two_clients(world)
    daemon = start(world, webhooks={'dead': 'http://127.0.0.1:%d/' % free_port()}, attempts=3)
    add_event(world)
    event = daemon.wait_event('hook_given_up')
    assert event['attempt'] == 3 and 'connect' in event['why'].lower()
    assert [e['next_ms'] for e in daemon.find('hook_retry')] == [50, 100]
    wait_settled(world)


def test_a_webhook_that_hangs_holds_up_nobody(world, receiver):
    """Neither another webhook, nor traffic, nor a flip, nor the end of the process."""
    two_clients(world)
    hung = Receiver(None)
    try:
        daemon = start(world, receiver, webhooks={'hung': hung.url})
        for _ in range(20):
            add_event(world)
        receiver.wait_posts(20)
        hung.wait_posts(4)
        peer = world.bound()
        leg = world.smscs['spark-redx'].leg()
        began = time.monotonic()
        version = world.change({('5002', 'spark'): 'omni'}, kind='flip', outside_window=True)
        daemon.wait_version(version)
        peer.submit('5001', '64251234567')
        leg.send(leg.expect('submit_sm').answer(0, b'1\0'))
        peer.expect('submit_sm_resp')
        assert len(hung.posts) == 4, 'no more at a time than parallel'
        assert time.monotonic() - began < PATIENCE
        began = time.monotonic()
        assert daemon.stop() == 0 and time.monotonic() - began < 5
    finally:
        hung.close()


@pytest.mark.sanitize
def test_two_instances_tell_each_event_once(world, receiver):
    two_clients(world)
    start(world, receiver)
    second(world, receiver)
    identities = [add_event(world, version=str(i)) for i in range(60)]
    receiver.wait_posts(60)
    wait_settled(world)
    assert sorted(p.headers['X-Turnout-Id'] for p in receiver.posts) == sorted(identities)
    print('told by', {i: sum(p.json['instance'] == i for p in receiver.posts) for i in ('i1', 'i2')})


def test_what_a_dead_instance_left_is_told_by_another(world, exim):
    """Killed while the webhook has not answered, but the mail is sent: the other posts, and sends no second mail."""
    two_clients(world)
    hung, well = Receiver(None), Receiver()
    try:
        first = start(world, hung, exim, takeover=Raw('1s'))
        identity = add_event(world)
        hung.wait_posts(1)
        exim.wait_mails(2)
        first.wait_event('hook_delivered', to='mail acme duty@acme.example')
        first.wait_event('hook_delivered', to='mail acme ops@acme.example')
        wait_told(world, identity, 2)
        world.kill(first)
        second(world, well, exim, takeover=Raw('1s'))
        post, = well.wait_posts(1)
        assert post.headers['X-Turnout-Id'] == identity and post.json['instance'] == 'i2'
        wait_settled(world)
        assert len(exim.mails()) == 2
    finally:
        hung.close()
        well.close()


def wait_told(world, identity, count):
    deadline = time.monotonic() + PATIENCE
    while int(world.redis.call('SCARD', '%s:events:told:%s' % (world.prefix, identity))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.sanitize
def test_an_instance_that_ends_hands_over(world):
    two_clients(world)
    hung, well = Receiver(None), Receiver()
    try:
        first = start(world, hung, takeover=Raw('6s'))
        second(world, well, takeover=Raw('6s'))
        world.daemons[1].signal(signal.SIGSTOP)
        identity = add_event(world)
        try:
            hung.wait_posts(1)
        finally:
            world.daemons[1].signal(signal.SIGCONT)
        began = time.monotonic()
        assert first.stop() == 0
        post, = well.wait_posts(1)
        assert time.monotonic() - began < 5, 'as late as after a death'
        assert post.headers['X-Turnout-Id'] == identity
        wait_settled(world)
    finally:
        hung.close()
        well.close()


def test_no_mail_can_be_given_headers(world, exim):
    two_clients(world)
    start(world, None, exim, mail_subject='{window}: {why} {who}', mail_body=Raw('"why: {why}\\n.\\n{cells}"'))
    add_event(world, window='w\r\nBcc: everybody@bank.example', who='kim\nX-Evil: 1', why='é\r\n\r\nbody\x1b[31m {event}',
              cells='5001 spark redx omni open\r\nBcc: x@bank.example\n5002 spark redx omni hold')
    mails = exim.wait_mails(2)
    for mail in mails:
        assert mail['Bcc'] is None and mail['X-Evil'] is None
        assert mail['Subject'] == 'w  Bcc: everybody@bank.example: é    body [31m {event} kim X-Evil: 1'
        text = mail.get_content()
        assert text.startswith('why: é    body [31m {event}\n.\n  5001 spark: redx -> omni\n'), text
        assert '5002 spark: redx -> omni (hold)' in text
    assert {to_of(m) for m in mails} == {'ops@acme.example', 'duty@acme.example'}


def test_times_are_told_in_the_zone_of_the_window(world, exim):
    two_clients(world)
    start(world, None, exim, mail_body='{window} {at}')
    world.redis.call('HSET', world.prefix + ':window:night', 'zone', 'Pacific/Auckland')
    add_event(world, cells='6001 spark redx omni open', window='night', at='1790431200000')
    assert exim.wait_mails(1)[0].get_content() == 'night 2026-09-27 03:00:00 +1300\n'


def test_a_mail_server_may_want_to_be_asked_again(world, exim):
    two_clients(world)
    world.client('acme', shortcodes=['5001'], mail=['nobody@acme.example', 'later@acme.example', 'ops@acme.example'])
    daemon = start(world, None, exim)
    add_event(world)
    refused = daemon.wait_event('hook_given_up')
    assert refused['to'] == 'mail acme nobody@acme.example' and refused['status'] == 550 and refused['attempt'] == 1
    assert daemon.wait_event('hook_retry')['status'] == 451
    exim.take_later()
    assert {to_of(m) for m in exim.wait_mails(2)} == {'later@acme.example', 'ops@acme.example'}
    wait_settled(world)


def test_mail_by_starttls(world, certificates):
    """The password is not sent to whom we do not know, and the message neither."""
    two_clients(world)
    server = Exim(certificates)
    try:
        tls = {'smtp': server.url.replace('127.0.0.1', 'localhost'), 'smtp_tls': 'required', 'attempts': 2}
        daemon = start(world, None, server, **tls)
        add_event(world, cells='6001 spark redx omni open')
        assert 'certificate' in daemon.wait_event('hook_given_up')['why']
        assert not server.mails()
        reload(world, daemon, None, server, smtp_ca=certificates['ca'], **tls)
        add_event(world, cells='6001 spark redx omni open')
        mail, = server.wait_mails(1)
        assert 'TLS' in mail['Received'] or 'esmtps' in mail['Received']
    finally:
        server.close()


def test_a_reload_takes_hooks_into_use_and_out(world, receiver):
    two_clients(world)
    (world.directory / 'state-i1').mkdir()
    daemon = world.start(instance='i1', state_directory=str(world.directory / 'state-i1'))
    add_event(world)  # before there was a hook: nobody hears of it
    reload(world, daemon, receiver)
    daemon.wait_event('hooks_reading')
    first = add_event(world)
    assert receiver.wait_posts(1)[0].headers['X-Turnout-Id'] == first
    reload(world, daemon, receiver, events=['alarm'])
    add_event(world)
    wanted = add_event(world, kind='alarm')
    assert receiver.wait_posts(2)[1].headers['X-Turnout-Id'] == wanted
    reload(world, daemon)
    waiting = add_event(world)  # read by nobody
    other = Receiver()
    try:
        reload(world, daemon, other)
        assert other.wait_posts(1)[0].headers['X-Turnout-Id'] == waiting and len(receiver.posts) == 2
    finally:
        other.close()


def test_redis_may_go_and_come_back_empty(world_own, receiver):
    world = world_own
    two_clients(world)
    daemon = start(world, receiver)
    add_event(world)
    receiver.wait_posts(1)
    world.redis.stop()
    daemon.wait_event('hooks_blind')
    since = daemon.mark()
    world.redis.start()
    world.redis.load_functions()
    second_event = add_event(world)
    daemon.wait_event('hooks_reading', since=since)
    assert receiver.wait_posts(2)[1].headers['X-Turnout-Id'] == second_event


NODE = '''
const http = require('http'), crypto = require('crypto');
http.createServer((req, res) => {
    let body = [];
    req.on('data', d => body.push(d)).on('end', () => {
        const mac = crypto.createHmac('sha256', process.env.SECRET);
        mac.update(req.headers['x-turnout-timestamp'] + '.').update(Buffer.concat(body));
        const good = req.headers['x-turnout-signature'] === 'sha256=' + mac.digest('hex');
        res.statusCode = good ? 204 : 401;
        res.end();
    });
}).listen(0, '127.0.0.1', function () { console.log('port', this.address().port); });
'''


def test_the_signature_is_what_another_language_computes(world):
    two_clients(world)
    node = world.run(['node', '-e', NODE], 'node', env={**ENVIRONMENT, 'SECRET': SECRET})
    url = 'http://127.0.0.1:%s/' % node.wait_line(r'port (\d+)').group(1)
    daemon = start(world, webhooks={'node': url})
    add_event(world, why='Māori and "quotes" \\ and 日本')
    assert daemon.wait_event('hook_delivered')['status'] == 204
    world.options['webhook', 'node']['secret'] = 'another'
    world.write_config(daemon.name + '.conf', instance='i1', state_directory=str(world.directory / 'state-i1'))
    daemon.reload()
    daemon.wait_event('config_loaded', since=1)
    add_event(world)
    assert daemon.wait_event('hook_given_up')['status'] == 401


def test_no_secret_is_in_the_log(world, receiver, exim):
    two_clients(world)
    url = receiver.url.replace('http://', 'http://user:url-password@') + '/?token=url-token'
    daemon = start(world, None, exim, webhooks={'ops': url}, smtp_user='noc', smtp_password='smtp-secret', attempts=2)
    add_event(world)
    receiver.wait_posts(1)
    assert 'noc' in exim.wait_mails(2)[0]['Received'] or b'esmtpa' in exim.mails()[0].raw
    reload(world, daemon, None, exim, webhooks={'ops': url}, smtp_user='noc', smtp_password='smtp-secreT', attempts=2)
    add_event(world)
    assert daemon.wait_event('hook_given_up')['status'] == 535
    daemon.stop()
    text = json.dumps(daemon.events)
    for secret in (SECRET, 'url-password', 'url-token', 'smtp-secre', 'c210cC1zZWNyZ'):
        assert secret not in text


@pytest.mark.parametrize('hook_kind', ['carrier_moved', 'window_finished'])
def test_an_operator_tries_the_hooks(world, exim, receiver, hook_kind):
    two_clients(world)
    start(world, receiver, exim)
    world.ctl('hooks', 'test', '--kind', hook_kind, '5001')
    post, = receiver.wait_posts(1)
    assert post.json['test'] is True and post.json['event'] == hook_kind and post.json['who'] == 'tester'
    for mail in exim.wait_mails(2):
        assert mail['Subject'].startswith('[test] ') and 'This is a test' in mail.get_content()


def test_a_kind_that_does_not_exist_is_not_tried(world):
    code, answer = world.ctl('hooks', 'test', '--kind', 'window_opend', check=False)
    assert code == 2 and 'window_opened' in json.dumps(answer)
