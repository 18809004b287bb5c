"""Kannel's bearerbox and smsbox as a client: MT, MO and receipts through the proxy, and what it makes of our refusals."""
import http.server
import queue
import shutil
import threading
import urllib.parse
import urllib.request

import pytest

import wire
from harness import PATIENCE, Raw, free_port, number_of

CONFIG = '''
group = core
admin-port = %(admin)d
admin-interface = 127.0.0.1
admin-password = test
smsbox-port = %(box)d
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1
dlr-storage = internal

group = smsc
smsc = smpp
smsc-id = proxy
host = 127.0.0.1
port = %(port)d
smsc-username = acme
smsc-password = %(password)s
system-type = ""
transceiver-mode = true
reconnect-delay = 1
enquire-link-interval = 1
my-number = 5001

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = %(send)d
sendsms-interface = 127.0.0.1
global-sender = 5001

group = sendsms-user
username = tester
password = test
max-messages = 10
concatenation = true

group = sms-service
keyword = default
get-url = "http://127.0.0.1:%(web)d/mo?from=%%p&to=%%P&text=%%a"
max-messages = 0
'''


class Web:
    """Where Kannel tells of MO and receipts."""

    def __init__(self):
        calls = self.calls = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                calls.put((url.path, dict(urllib.parse.parse_qsl(url.query))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self, path, timeout=PATIENCE):
        try:
            got, fields = self.calls.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError('Kannel told nothing of %s' % path) from None
        assert got == path, (got, fields)
        return fields


class Kannel:
    def __init__(self, world, password='secret'):
        self.web = Web()
        self.send_port = free_port()
        numbers = {'admin': free_port(), 'box': free_port(), 'send': self.send_port, 'web': self.web.port,
                   'port': world.daemon.port(), 'password': password}
        path = world.directory / 'kannel.conf'
        path.write_text(CONFIG % numbers)
        self.bearerbox = world.run([shutil.which('bearerbox') or '/usr/sbin/bearerbox', '-v', '0', path], 'bearerbox',
                                   cwd=world.directory)
        self.bearerbox.wait_line('MAIN: Start-up done', 'stderr', PATIENCE * 2)
        self.smsbox = world.run([shutil.which('smsbox') or '/usr/sbin/smsbox', '-v', '0', path], 'smsbox',
                                cwd=world.directory)
        self.bearerbox.wait_line('Client connected from <127.0.0.1>|Started thread.*boxc_sender', 'stderr', PATIENCE * 2)
        self.smsbox.wait_line('Connected to bearerbox|Adding interface', 'stderr', PATIENCE * 2)

    def send(self, to, text, receipt=False):
        fields = {'username': 'tester', 'password': 'test', 'from': '5001', 'to': to, 'text': text}
        if receipt:
            fields.update({'dlr-mask': 31, 'dlr-url': 'http://127.0.0.1:%d/dlr?state=%%d&id=%%F' % self.web.port})
        url = 'http://127.0.0.1:%d/cgi-bin/sendsms?%s' % (self.send_port, urllib.parse.urlencode(fields))
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            assert answer.status in (200, 202)


@pytest.fixture
def served(world):
    smsc = world.smsc('spark', 'redx')
    world.client(enquire_link=Raw('500ms'))
    world.routes()
    world.start()
    return world, smsc


def test_mt_receipt_and_mo(served):
    world, smsc = served
    kannel = Kannel(world)
    leg = smsc.leg()
    assert leg.bound_as.name == 'bind_transceiver'
    kannel.send(number_of('spark'), 'from Kannel', receipt=True)
    got = leg.expect('submit_sm')
    fields = wire.message_fields(got)
    assert (fields.source, fields.text, fields.registered & 3) == ('5001', b'from Kannel', 1)
    assert fields.dest.lstrip('+') == number_of('spark')
    leg.send(got.answer(0, b'kid-77\0'))
    assert kannel.web.next('/dlr')['state'] == '8', 'accepted by the SMSC'
    receipt = leg.deliver(text=wire.receipt_text('kid-77'), esm_class=4,
                          tlvs=wire.tlv(wire.RECEIPTED_MESSAGE_ID, b'kid-77\0'))
    leg.expect('deliver_sm_resp', seq=receipt.seq, status=0)
    assert kannel.web.next('/dlr')['state'] == '1', 'delivered'
    mo = leg.deliver(text=b'to Kannel')
    leg.expect('deliver_sm_resp', seq=mo.seq, status=0)
    fields = kannel.web.next('/mo')
    assert fields['text'] == 'to Kannel' and fields['to'] == '5001'


def test_a_long_message_in_parts_and_a_flip(served):
    world, smsc = served
    omni = world.smsc('spark', 'omni')
    world.daemon.stop()
    world.start()
    kannel = Kannel(world)
    leg = smsc.leg()
    kannel.send(number_of('spark'), 'x' * 300)
    for _ in range(2):
        got = leg.expect('submit_sm')
        assert wire.message_fields(got).esm_class & 0x40
        leg.send(got.answer(0, b'1\0'))
    world.flip('5001', 'spark', 'omni')
    kannel.send(number_of('spark'), 'after the flip')
    new = omni.leg()
    got = new.expect('submit_sm')
    assert wire.message_fields(got).text == b'after the flip'
    new.send(got.answer(0, b'2\0'))
    assert len(world.daemon.find('client_bound')) == 1, 'Kannel must not have noticed'


def test_it_comes_back_by_itself_after_our_fault(served):
    """All links down when it binds: our answer must not make it stop for good."""
    world, smsc = served
    smsc.refuse()
    Kannel(world)
    refused = world.daemon.wait_event('client_refused')
    assert refused['command_status'] == wire.RBINDFAIL
    smsc.listen()
    smsc.leg(PATIENCE * 2)
    world.daemon.wait_event('client_bound', timeout=PATIENCE * 2)


def test_enquire_link_keeps_it_bound(served):
    world, smsc = served
    Kannel(world)
    leg = smsc.leg()
    world.daemon.wait_metric('pdus_total', 2, side='client', direction='in', command='enquire_link')
    world.daemon.wait_metric('pdus_total', 2, side='client', direction='in', command='enquire_link_resp')
    assert leg.thread.is_alive() and not world.daemon.find('client_closed')
