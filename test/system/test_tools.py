"""The rehearsal tools: turnout-smsc against a raw client, turnout-load against a raw SMSC, the two against each other,
and the reconciler on ledgers that are right and on ledgers that are not (it must go red)."""
import importlib.machinery
import importlib.util
import json
import signal
import socket
import subprocess
import sys
import time

import pytest

import harness
import wire
from peers import PATIENCE, Client, Smsc, Trace

RECONCILE = harness.ROOT / 'test/tools/reconcile'
DEST = '64271234567'


def load_reconcile():
    loader = importlib.machinery.SourceFileLoader('reconcile', str(RECONCILE))
    spec = importlib.util.spec_from_loader('reconcile', loader)
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


reconcile = load_reconcile()


class Tool(harness.Process):
    """A running tool with a control socket and a ledger."""

    def __init__(self, program, directory, name, options):
        self.socket = directory / (name + '.sock')
        self.ledger = directory / (name + '.ledger')
        self.connection = None
        super().__init__([harness.BUILD / program, '--control', self.socket, '--ledger', self.ledger, *options], name)

    def command(self, text):
        if self.connection is None:
            self.connection = socket.socket(socket.AF_UNIX)
            self.connection.settimeout(PATIENCE)
            self.connection.connect(str(self.socket))
            self.answers = self.connection.makefile('r')
        self.connection.sendall(text.encode() + b'\n')
        return json.loads(self.answers.readline())

    def do(self, *texts):
        for text in texts:
            answer = self.command(text)
            assert answer['ok'], answer
        return answer

    def until(self, look):
        """Waits for counters; nothing announces them, so they are asked for."""
        deadline = time.monotonic() + PATIENCE
        while True:
            stats = self.command('stats')
            if look(stats):
                return stats
            assert time.monotonic() < deadline, stats
            time.sleep(0.005)

    def events(self, event=None):
        lines = [reconcile.parse(line) for line in self.ledger.read_text().splitlines()]
        return [values for _, name, values in lines if event in (None, name)]

    def finish(self):
        """Ends it by its process id; checks that it ended well."""
        if self.running:
            self.signal(signal.SIGTERM)
        code = self.wait()
        if self.connection is not None:
            self.answers.close()
            self.connection.close()
            self.connection = None
        return code


class Carrier(Tool):
    def __init__(self, directory, name, options):
        super().__init__('turnout-smsc', directory, name, ['--name', name, *options])
        self.port = int(self.wait_line(r'^ready name=%s port=(\d+)$' % name).group(1))

    def marked(self, event):
        """The ledger's events of this kind, the latest included."""
        self.do('mark look')
        return self.events(event)


class Load(Tool):
    def __init__(self, directory, name, port, options):
        super().__init__('turnout-load', directory, name, ['-c', '127.0.0.1:%d' % port, '--run', name, *options])

    def report(self):
        assert self.wait() == 0, self.tail()
        return json.loads(self.lines['stdout'][-1])


class Stage:
    """What a test starts, so that it all ends."""

    def __init__(self, directory):
        self.directory = directory
        self.trace = Trace()
        self.tools = []
        self.peers = []

    def smsc(self, *options, name='spark-redx'):
        self.tools.append(Carrier(self.directory, name, options))
        return self.tools[-1]

    def load(self, carrier, *options, name='acme'):
        self.tools.append(Load(self.directory, name, carrier.port, options))
        return self.tools[-1]

    def client(self, carrier, kind='transceiver', system_id='acme', bound=True, **options):
        self.peers.append(Client(carrier.port, self.trace, **options))
        if bound:
            self.peers[-1].bind(kind, system_id)
        return self.peers[-1]

    def raw_smsc(self, **options):
        self.peers.append(Smsc('smsc', self.trace, **options))
        return self.peers[-1]

    def close(self):
        for peer in self.peers:
            peer.close()
        return [tool.tail() for tool in self.tools if tool.finish() != 0]


@pytest.fixture
def stage(tmp_path):
    stage = Stage(tmp_path)
    yield stage
    faults = stage.close()
    assert not faults, '\n'.join(faults)


@pytest.fixture
def smsc(stage):
    return stage.smsc()


def verdict(tools, **rules):
    return reconcile.reconcile([str(tool.ledger) for tool in tools], **rules)


def clean(tools, **rules):
    found = verdict(tools, **rules)
    assert found.exit_status == 0, (found.summary(), found.offences)
    return found


def key_text(n):
    return b'K:raw-1-%d; hello' % n


def submit(client, n=1, **fields):
    return client.submit(source='3001', dest=DEST, text=key_text(n), **fields)


def accepted(client, n=1, **fields):
    sent = submit(client, n, **fields)
    return client.expect('submit_sm_resp', seq=sent.seq, status=0)


# --- turnout-smsc: binds and link keeping -----------------------------------------------------------------------


def test_many_links_in_one_process(stage, tmp_path):
    smsc = stage.smsc('--name', 'onenz-redx', '--ledger', tmp_path / 'second', '--submit-status', '0x58')
    port = int(smsc.wait_line(r'name=onenz-redx port=(\d+)').group(1))
    accepted(stage.client(smsc))
    other = Client(port, stage.trace)
    stage.peers.append(other)
    other.bind()
    submit(other)
    other.expect('submit_sm_resp', status=wire.RTHROTTLED)
    smsc.do('@onenz-redx submit-status off')
    accepted(other)
    stats = smsc.do('stats')
    assert stats['mt'] == 3
    assert stats['links']['onenz-redx']['mt_refused'] == 1
    assert stats['bound']['transceiver'] == 2
    assert not smsc.command('@nobody stats')['ok']


@pytest.mark.parametrize('system_id,password,status', [
    ('acme', 'secret', 0), ('acme', 'wrong', wire.RINVPASWD), ('nobody', 'secret', wire.RINVSYSID),
    ('open', 'anything', 0)])
def test_credentials(stage, system_id, password, status):
    smsc = stage.smsc('--accept', 'acme:secret,open')
    client = stage.client(smsc, bound=False)
    assert client.try_bind('transmitter', system_id, password).status == status


def test_bind_settings(stage, smsc):
    smsc.do('bind-status ESME_RBINDFAIL next 1')
    client = stage.client(smsc, bound=False)
    assert client.try_bind().status == wire.RBINDFAIL
    smsc.do('bind-delay 20ms next 1', 'mo acme %s 3001' % DEST)
    patient = stage.client(smsc, bound=False)
    patient.bind('receiver')  # the MO waits for the answer
    patient.expect('deliver_sm')
    smsc.do('bind-silence on next 1')
    client.request('bind_transceiver', wire.bind('acme', 'secret'))
    client.expect_nothing()
    client.bind()
    assert client.try_bind().status == wire.RALYBND
    assert smsc.do('stats')['binds_refused'] == 3


def test_version(stage, smsc):
    for version, answered in ((0x33, None), (0x34, 0x34), (0x50, 0x34)):
        answer = stage.client(smsc, bound=False).bind(version=version)
        assert wire.bind_resp_fields(answer) == ('turnout-smsc', answered)


def test_out_of_place_and_unknown(stage, smsc):
    client = stage.client(smsc, bound=False)
    submit(client)
    client.expect('submit_sm_resp', status=wire.RINVBNDSTS)
    client.bind('receiver')
    submit(client)
    client.expect('submit_sm_resp', status=wire.RINVBNDSTS)
    client.send_octets(bytes.fromhex('00000010 00000999 00000000 00000007'))
    client.expect('generic_nack', seq=7, status=wire.RINVCMDID)
    client.send_octets(bytes.fromhex('00000004 00000004 00000000 00000008'))
    client.expect('generic_nack', seq=8, status=wire.RINVCMDLEN)
    client.expect_end()
    assert smsc.do('stats')['bad_pdus'] == 4


def test_link_keeping(stage, smsc):
    client = stage.client(smsc, auto=False)
    smsc.do('enquire')
    client.send(client.expect('enquire_link').answer())
    smsc.do('enquire-link 1ms next 1')
    client.send(client.expect('enquire_link').answer())
    smsc.until(lambda stats: stats['enquire_answers'] == 2)
    smsc.do('unbind acme')
    client.send(client.expect('unbind').answer())
    client.expect_end()
    smsc.until(lambda stats: stats['sessions'] == 0)
    assert [e['type'] for e in smsc.marked('BOUND')] == ['transceiver']
    assert len(smsc.events('CLOSED')) == 1


# --- turnout-smsc: answers --------------------------------------------------------------------------------------


def test_statuses_and_shares(stage, smsc):
    client = stage.client(smsc)
    smsc.do('submit-status 0x14 next 2')
    for status in (wire.RMSGQFUL, wire.RMSGQFUL, 0):
        submit(client)
        client.expect('submit_sm_resp', status=status)
    smsc.do('submit-status 0x400 50%')
    for n in range(200):
        submit(client, n)
    got = [client.expect('submit_sm_resp').status for _ in range(200)]
    assert set(got) == {0, 0x400}
    assert 50 < got.count(0) < 150
    assert [e['status'] for e in smsc.marked('MT')][:3] == ['0x00000014', '0x00000014', '0x00000000']


def test_throttle(stage, smsc):
    client = stage.client(smsc)
    smsc.do('throttle 3')
    for n in range(50):
        submit(client, n)
    got = [client.expect('submit_sm_resp').status for _ in range(50)]
    assert got.count(0) in (3, 6)  # 6 where a second began between
    assert set(got) == {0, wire.RTHROTTLED}


def test_delay_and_silence(stage, smsc):
    client = stage.client(smsc)
    smsc.do('delay 50ms next 1')
    slow = submit(client, 1)
    quick = submit(client, 2)
    client.expect('submit_sm_resp', seq=quick.seq)
    client.expect('submit_sm_resp', seq=slow.seq)
    smsc.do('silence on next 1')
    submit(client, 3)
    client.expect_nothing()
    accepted(client, 4)
    assert [e['status'] for e in smsc.marked('MT')][2:] == ['silent', '0x00000000']


def test_reorder(stage, smsc):
    client = stage.client(smsc)
    smsc.do('reorder 3')
    sent = [submit(client, n).seq for n in range(3)]
    assert [client.expect('submit_sm_resp').seq for _ in range(3)] == sent[::-1]
    alone = submit(client)  # fewer than three are not kept for long
    client.expect('submit_sm_resp', seq=alone.seq)


def test_duplicate_unsolicited_and_odd(stage, smsc):
    client = stage.client(smsc, auto=False)
    smsc.do('duplicate 5ms next 1')
    first = accepted(client)
    again = client.expect('submit_sm_resp', seq=first.seq)
    assert again.body == first.body
    smsc.do('unsolicited')
    assert client.expect('submit_sm_resp').seq == 0x7FFFFFF0
    smsc.do('nack-zero')
    client.expect('generic_nack', seq=0)
    smsc.do('unknown')
    assert client.next().command == 0x123
    smsc.do('raw all 00000010000000150000000000000063')
    client.expect('enquire_link', seq=0x63)
    smsc.do('alert acme %s 3001' % DEST)
    assert client.expect('alert_notification').body == bytes([1, 1]) + wire.cstr(DEST) + bytes([1, 1]) + b'3001\0'
    smsc.do('nack 0x08 next 1')
    sent = submit(client)
    client.expect('generic_nack', seq=sent.seq, status=wire.RSYSERR)
    smsc.do('bad-length all')
    client.expect_end()  # the raw client loses its framing over this


@pytest.mark.parametrize('form,body', [('none', b''), ('nul', b'\0'), ('id', b'refused\0')])
def test_error_body(stage, smsc, form, body):
    client = stage.client(smsc)
    smsc.do('submit-status 0x45', 'error-body ' + form)
    submit(client)
    assert client.expect('submit_sm_resp', status=0x45).body == body


def test_resp_tlv(stage, smsc):
    client = stage.client(smsc)
    smsc.do('resp-tlv on')
    assert accepted(client).body == b'1\0' + wire.tlv(0x1400, b'turnout')


@pytest.mark.parametrize('format,id', [('hex', b'p-1'), ('padded', b'p-0000000001'),
                                       ('uuid', b'p-7475726e-6f75-4074-8000-000000000001')])
def test_ids(stage, format, id):
    smsc = stage.smsc('--id-format', format, '--id-prefix', 'p-')
    client = stage.client(smsc)
    assert accepted(client).body == id + b'\0'
    about = client.ask('query_sm', wire.query(id.decode(), '3001'))
    assert about.status == 0


def test_drop(stage, smsc):
    for how in ('fin', 'rst'):
        client = stage.client(smsc)
        smsc.do('drop acme ' + how)
        ended = client.expect_end()
        assert ('reset' in repr(ended)) == (how == 'rst')
    client = stage.client(smsc)
    smsc.do('drop-after 2 rst')
    accepted(client)
    submit(client, 2)
    client.expect_end()
    assert len(smsc.marked('MT')) == 1


def test_refuse_and_resume(stage, smsc):
    client = stage.client(smsc)
    smsc.do('refuse')
    with pytest.raises(ConnectionRefusedError):
        Client(smsc.port, stage.trace)
    accepted(client)  # who is in stays in
    smsc.do('resume')
    accepted(stage.client(smsc))


def test_half_open(stage, smsc):
    client = stage.client(smsc)
    smsc.do('half-open on')
    sent = submit(client)
    assert smsc.do('mark hung')['unread'] == 1
    assert smsc.do('stats')['mt'] == 0
    smsc.do('half-open off')
    client.expect('submit_sm_resp', seq=sent.seq)


def test_slow_read(stage, smsc):
    client = stage.client(smsc)
    smsc.do('slow-read 2000')
    begin = time.monotonic()
    for n in range(10):
        submit(client, n)
    for n in range(10):
        client.expect('submit_sm_resp')
    assert time.monotonic() - begin > 0.2  # some 700 octets
    smsc.do('slow-read off')
    accepted(client)


def test_queries(stage, smsc):
    client = stage.client(smsc)
    id = wire.response_id(accepted(client))
    answer = client.ask('query_sm', wire.query(id, '3001'))
    assert (answer.status, answer.body) == (0, id.encode() + b'\0\0\1\0')
    assert client.ask('query_sm', wire.query(id, '9999')).status == wire.RQUERYFAIL
    assert client.ask('query_sm', wire.query('777', '3001')).status == 0x0C
    assert client.ask('replace_sm', wire.replace(id, '3001', b'new')).status == 0
    assert client.ask('cancel_sm', wire.cancel(id, '3001', DEST)).status == 0
    assert client.ask('cancel_sm', wire.cancel(id, '3001', DEST)).status == wire.RCANCELFAIL
    assert client.ask('replace_sm', wire.replace(id, '3001', b'new')).status == wire.RREPLACEFAIL
    answer = client.ask('query_sm', wire.query(id, '3001'))
    assert answer.body.endswith(b'000+\0\4\0')


def test_submit_multi(stage, smsc):
    client = stage.client(smsc)
    answer = client.ask('submit_multi', wire.multi('3001', [DEST, '64211234567'], key_text(1)))
    assert (answer.status, answer.body) == (0, b'1\0\0')
    assert [(e['key'], e['dest']) for e in smsc.marked('MT')] == [('raw-1-1', DEST), ('raw-1-1', '64211234567')]


def test_data_sm_both_ways(stage, smsc):
    client = stage.client(smsc)
    client.ask('data_sm', wire.data('3001', DEST, key_text(1)))
    smsc.do('mo-data-sm on', 'mo acme %s 3001' % DEST)
    mo = client.expect('data_sm')
    client.send(mo.answer(0, b'\0'))
    assert smsc.until(lambda stats: stats['mo_accepted'] == 1)['mt_accepted'] == 1


# --- turnout-smsc: MO and receipts ------------------------------------------------------------------------------


def test_mo(stage, smsc):
    acme = stage.client(smsc, 'receiver')
    other = stage.client(smsc, 'transceiver', 'other')
    stage.client(smsc, 'transmitter')
    smsc.do('mo acme 6427xxxxxxx 3001 2', 'mo other %s 3002' % DEST)
    for client, count in ((acme, 2), (other, 1)):
        for _ in range(count):
            mo = client.expect('deliver_sm')
            client.send(mo.answer(0, b'\0'))
    stats = smsc.until(lambda stats: stats['mo_accepted'] == 3)
    assert stats['in_flight'] == 0
    assert [e['dest'] for e in smsc.marked('MO-SENT')] == ['3001', '3001', '3002']


def test_mo_waits_for_a_bind_and_a_window(stage, smsc):
    smsc.do('mo-window 1', 'mo acme %s 3001 2' % DEST)
    assert smsc.do('stats')['waiting'] == 2
    client = stage.client(smsc)
    mo = client.expect('deliver_sm')
    client.expect_nothing()
    client.send(mo.answer(0x08))
    client.expect('deliver_sm')


def test_mo_retry(stage, smsc):
    client = stage.client(smsc)
    smsc.do('mo-retry 1ms 3', 'mo acme %s 3001' % DEST)
    mo = client.expect('deliver_sm')
    client.send(mo.answer(wire.RMSGQFUL))
    again = client.expect('deliver_sm')
    assert wire.message_fields(again).text == wire.message_fields(mo).text
    client.close()
    stage.peers.remove(client)
    client = stage.client(smsc)
    mo = client.expect('deliver_sm')
    client.send(mo.answer(0x45))  # not one to try again on
    client.expect_nothing()
    assert [e['attempt'] for e in smsc.marked('MO-SENT')] == ['1', '2', '3']
    assert len(smsc.events('MO-UNANSWERED')) == 1


def test_mo_rate(stage, smsc):
    load = stage.load(smsc, '-b', 'receiver', '--wait-mo', '20')
    load.wait_line('bound 1 of 1', 'stderr')
    begin = time.monotonic()
    smsc.do('mo any %s 3001 20 100' % DEST)
    assert load.report()['mo'] == 20
    assert time.monotonic() - begin > 0.15


def receipt(client):
    pdu = client.expect('deliver_sm')
    client.send(pdu.answer(0, b'\0'))
    return wire.message_fields(pdu)


def test_receipt(stage, smsc):
    client = stage.client(smsc)
    id = accepted(client, registered=1).body[:-1]
    fields = receipt(client)
    assert fields.esm_class == 4
    assert fields.text.startswith(b'id:' + id + b' sub:001 dlvrd:001 ')
    assert b'stat:DELIVRD' in fields.text and fields.text.endswith(b'text:K:raw-1-1; hello')
    accepted(client, 2, registered=2)  # only if it fails
    client.expect_nothing()
    smsc.do('receipt-stat UNDELIV')
    accepted(client, 3, registered=2)
    assert b'stat:UNDELIV' in receipt(client).text
    smsc.do('receipts off')
    accepted(client, 4, registered=1)
    client.expect_nothing()


def test_receipt_before_the_response(stage, smsc):
    client = stage.client(smsc)
    smsc.do('receipt-before on')
    sent = submit(client, registered=1)
    receipt(client)
    client.expect('submit_sm_resp', seq=sent.seq)


def test_receipt_after_a_cancel(stage, smsc):
    client = stage.client(smsc)
    smsc.do('receipt-delay 50ms')
    id = accepted(client, registered=1).body[:-1].decode()
    assert client.ask('cancel_sm', wire.cancel(id, '3001', DEST)).status == 0
    assert b'stat:DELETED' in receipt(client).text


@pytest.mark.parametrize('form,written,text_id,tlv', [
    ('both', 'decimal', b'id:255 ', True), ('text', 'padded', b'id:0000000255 ', False), ('tlv', 'same', b'', True)])
def test_receipt_ids(stage, smsc, form, written, text_id, tlv):
    client = stage.client(smsc)
    for n in range(254):
        accepted(client, n)
    smsc.do('receipt-form ' + form, 'receipt-id ' + written, 'receipt-esm-class 0x24')
    assert accepted(client, registered=1).body == b'ff\0'
    pdu = client.expect('deliver_sm')
    fields = wire.message_fields(pdu)
    assert fields.esm_class == 0x24
    assert fields.text.startswith(text_id) and (fields.text != b'') == (text_id != b'')
    assert (wire.tlv(wire.RECEIPTED_MESSAGE_ID, b'ff\0') in pdu.body) == tlv


def test_receipt_on_another_bind(stage, smsc):
    sender = stage.client(smsc)
    other = stage.client(smsc, 'receiver')
    stage.client(smsc, 'receiver', 'stranger')
    smsc.do('receipt-other-bind on')
    accepted(sender, registered=1)
    receipt(other)
    transmitter = stage.client(smsc, 'transmitter', 'stranger')
    smsc.do('receipt-other-bind off')
    accepted(transmitter, registered=1)
    receipt(stage.peers[-2])


# --- marks ------------------------------------------------------------------------------------------------------


def test_mark_stands_below_what_the_sockets_held(stage, smsc):
    """Octets that are in the simulator's sockets when the mark is asked for are above it, however many."""
    clients = [stage.client(smsc) for _ in range(3)]
    for round in range(20):
        smsc.signal(signal.SIGSTOP)
        for client in clients:
            for n in range(50):
                submit(client, round * 50 + n)
        smsc.signal(signal.SIGCONT)
        smsc.do('mark round-%d' % round)
        assert len(smsc.events('MT')) == (round + 1) * 150
        for client in clients:
            for _ in range(50):
                client.expect('submit_sm_resp', status=0)


# --- turnout-load -----------------------------------------------------------------------------------------------


def test_load_against_a_raw_smsc(stage):
    smsc = stage.raw_smsc()
    load = stage.load(smsc, '-u', 'acme', '-p', 'secret', '-n', '2', '-f', '3001', '-t', DEST, '--size', '60',
                      '--tlv', '0x1401:0a0b', '--registered-delivery', '1')
    leg = smsc.leg()
    assert wire.bind_fields(leg.bound_as)[:2] == ('acme', 'secret')
    pdus = [leg.expect('submit_sm') for _ in range(2)]
    fields = wire.message_fields(pdus[0])
    assert len(fields.text) == 60 and fields.text.startswith(b'K:acme-1-1;')
    assert pdus[0].body.endswith(wire.tlv(0x1401, b'\x0a\x0b'))
    leg.send(pdus[1].answer(0, b'two\0'))
    leg.send(pdus[0].answer(0x45))
    report = load.report()
    assert (report['accepted'], report['refused'], report['refused_by_status']) == (1, 1, {'0x00000045': 1})
    assert [(e['key'], e['status'], e['id']) for e in load.events('ANSWER')] == [
        ('acme-1-2', '0x00000000', 'two'), ('acme-1-1', '0x00000045', '-')]


@pytest.mark.parametrize('payload,command', [('tlv', 'submit_sm'), ('data_sm', 'data_sm')])
def test_load_payload(stage, payload, command):
    smsc = stage.raw_smsc()
    load = stage.load(smsc, '-n', '1', '--payload', payload, '--size', '1000')
    leg = smsc.leg()
    pdu = leg.expect(command)
    assert b'\x04\x24\x03\xe8K:acme-1-1;' in pdu.body
    leg.send(pdu.answer(0, b'1\0'))
    assert load.report()['accepted'] == 1


def test_load_password_from_file(stage, tmp_path):
    (tmp_path / 'pw').write_text('hush\nmore\n')
    smsc = stage.smsc('--accept', 'acme:hush')
    assert stage.load(smsc, '-u', 'acme', '--password-file', tmp_path / 'pw', '-n', '1').report()['accepted'] == 1


def test_load_cannot_bind(stage):
    smsc = stage.smsc('--accept', 'acme:hush')
    load = stage.load(smsc, '-u', 'acme', '-p', 'wrong', '-n', '1')
    assert load.wait() == 1
    assert json.loads(load.lines['stdout'][-1])['binds_refused'] == 1
    stage.tools.remove(load)


def test_load_pair_many_sessions_and_carriers(stage, smsc):
    load = stage.load(smsc, '-b', 'pair', '-s', '5', '-n', '500', '-f', '3001,3002', '-t',
                      '6427xxxxxxx*3,6421xxxxxxx', '--registered-delivery', '1', '--linger', '10s',
                      '--wait-receipts', '500', '-P')
    report = load.report()
    assert (report['accepted'], report['receipts'], report['binds']) == (500, 500, 10)
    by_prefix = [e['dest'][:4] for e in load.events('SUBMIT')]
    assert set(by_prefix) == {'6427', '6421'} and by_prefix.count('6427') > by_prefix.count('6421')
    smsc.do('mark end')
    assert clean([smsc, load]).counts['receipts_taken'] == 500


def test_load_rate(stage, smsc):
    report = stage.load(smsc, '-r', '500', '-n', '250').report()
    assert 350 < report['rate'] < 650
    assert report['latency_from_schedule_us']['count'] == 250
    assert report['latency_us']['p50'] <= report['latency_us']['p99'] <= report['latency_us']['max']


def test_load_retries(stage, smsc):
    smsc.do('submit-status 0x58 next 3')
    load = stage.load(smsc, '-n', '5', '--retry=1ms')
    report = load.report()
    assert (report['messages'], report['sent'], report['retries'], report['accepted']) == (5, 8, 3, 5)
    assert sorted(e['attempt'] for e in load.events('SUBMIT')) == ['1'] * 5 + ['2'] * 3
    smsc.do('mark end')
    clean([smsc, load])


def test_load_timeout(stage, smsc):
    smsc.do('silence on next 1')
    report = stage.load(smsc, '-n', '3', '--timeout', '50ms').report()
    assert (report['accepted'], report['unanswered']) == (2, 1)


def test_load_reconnects(stage, smsc):
    load = stage.load(smsc, '-s', '2', '-r', '2000', '--reconnect=5ms')
    load.wait_line('bound 2 of 2', 'stderr')
    smsc.do('drop all rst')
    smsc.until(lambda stats: stats['binds'] == 4)
    before = smsc.do('stats')['mt']
    smsc.until(lambda stats: stats['mt'] > before)
    load.signal(signal.SIGTERM)
    report = load.report()
    assert report['reconnects'] >= 2 and report['unanswered'] + report['accepted'] == report['sent']
    smsc.do('mark end')
    assert verdict([smsc, load]).lost == 0


def test_load_answers_mo(stage, smsc):
    load = stage.load(smsc, '-b', 'receiver', '--mo-status', '0x14 next 1', '--mo-delay', '5ms',
                      '--mo-silence', 'on next 1')
    load.wait_line('bound 1 of 1', 'stderr')
    smsc.do('mo any %s 3001 4' % DEST)
    smsc.until(lambda stats: stats['mo_accepted'] == 2 and stats['mo_refused'] == 1)
    load.do('flush')
    assert [e['status'] for e in load.events('MO')] == ['never', '0x00000014', '0x00000000', '0x00000000']
    load.do('quit')
    load.report()
    assert clean([smsc_marked(smsc), load]).counts['mo_taken'] == 2


def smsc_marked(smsc):
    smsc.do('mark end')
    return smsc


def test_load_control(stage, smsc):
    load = stage.load(smsc, '-r', '1000')
    load.wait_line('bound 1 of 1', 'stderr')
    load.until(lambda stats: stats['accepted'] > 10)
    load.do('pause')
    load.until(lambda stats: stats['in_flight'] == 0)
    sent = load.do('stats')['sent']
    assert load.do('stats')['sent'] == sent
    load.do('resume', 'rate 0')
    load.until(lambda stats: stats['sent'] > sent)
    load.do('quit')
    assert load.report()['unanswered'] == 0


def test_load_drains_and_unbinds(stage, smsc):
    smsc.do('delay 100ms')
    load = stage.load(smsc, '-w', '50')
    load.wait_line('bound 1 of 1', 'stderr')
    smsc.until(lambda stats: stats['mt'] >= 50)
    load.signal(signal.SIGINT)
    report = load.report()
    assert report['unanswered'] == 0 and report['accepted'] == report['sent']
    assert smsc.do('stats')['unbinds'] == 1


def test_outbind(stage, smsc):
    with socket.create_server(('127.0.0.1', 0)) as listener:
        listener.settimeout(PATIENCE)
        smsc.do('outbind 127.0.0.1:%d smsc hush' % listener.getsockname()[1])
        sock, _ = listener.accept()
        with sock:
            assert sock.recv(100)[16:] == b'smsc\0hush\0'
            sock.sendall(wire.Pdu('bind_receiver', 0, 1, wire.bind('acme', 'secret')).octets())
            assert sock.recv(100)[4:8] == b'\x80\0\0\1'
            smsc.until(lambda stats: stats['bound']['receiver'] == 1)


def test_tls(stage, certificates):
    smsc = stage.smsc('--tls', '--certificate', certificates['server'], '--key', certificates['server-key'])
    report = stage.load(smsc, '--tls', '--ca', certificates['ca'], '-s', '3', '-n', '3000', '-w', '50',
                        '--registered-delivery', '1', '--linger', '10s', '--wait-receipts', '3000').report()
    assert (report['accepted'], report['receipts']) == (3000, 3000)
    assert stage.load(smsc, '--tls', '--insecure', '-n', '1', name='careless').report()['accepted'] == 1
    strict = stage.load(smsc, '--tls', '-n', '1', name='strict')
    assert strict.wait() == 1
    stage.tools.remove(strict)
    assert 'certificate' in strict.tail()


def test_stdin():
    done = subprocess.run([str(harness.BUILD / 'turnout-smsc'), '--stdin'], input='stats\nnonsense\n', text=True,
                          capture_output=True, timeout=PATIENCE * 3)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[0].startswith('ready name=smsc port=')
    assert json.loads(lines[1])['ok'] and not json.loads(lines[2])['ok']


@pytest.mark.parametrize('program', ['turnout-smsc', 'turnout-load'])
def test_help(program):
    text = subprocess.run([str(harness.BUILD / program), '--help'], text=True, capture_output=True, check=True,
                          timeout=PATIENCE * 3).stdout
    assert 'Commands' in text and '--ledger' in text
    assert subprocess.run([str(harness.BUILD / program), '--nonsense'], capture_output=True,
                          timeout=PATIENCE * 3).returncode == 64


# --- the reconciler ---------------------------------------------------------------------------------------------

# A small world that is right: two carriers on two platforms; spark's 3001 moves from redx to omni at the mark.
CLIENT = """\
1 BOUND session=1 system_id=acme type=transceiver
10 SUBMIT key=a-1-1 session=1 system_id=acme source=3001 dest=64271 attempt=1
12 ANSWER key=a-1-1 session=1 attempt=1 status=0x00000000 id=r1
13 RECEIPT key=a-1-1 session=1 system_id=acme source=64271 dest=3001 id=r1 tlvid=r1 textid=r1 stat=DELIVRD status=0x00000000
20 SUBMIT key=a-1-2 session=1 system_id=acme source=3001 dest=64211 attempt=1
22 ANSWER key=a-1-2 session=1 attempt=1 status=0x00000014 id=-
23 SUBMIT key=a-1-2 session=1 system_id=acme source=3001 dest=64211 attempt=2
25 ANSWER key=a-1-2 session=1 attempt=2 status=0x00000000 id=z1
30 SUBMIT key=a-1-3 session=1 system_id=acme source=3001 dest=64272 attempt=1
32 ANSWER key=a-1-3 session=1 attempt=1 status=0x00000000 id=o1
40 SUBMIT key=a-1-4 session=1 system_id=acme source=3001 dest=64273 attempt=1
42 UNANSWERED key=a-1-4 session=1 attempt=1 why=connection
50 MO key=mo-1 session=1 system_id=acme source=64271 dest=3001 status=0x00000000
51 RECEIPT key=- session=1 system_id=acme source=64272 dest=3001 id=o1 tlvid=o1 textid=- stat=- status=0x00000000
"""
REDX = """\
11 MT link=spark-redx key=a-1-1 session=1 system_id=acme source=3001 dest=64271 status=0x00000000 id=r1
12 RECEIPT-SENT link=spark-redx key=a-1-1 session=1 system_id=acme source=64271 dest=3001 attempt=1 id=r1 tlvid=r1 textid=r1
14 RECEIPT-ANSWER link=spark-redx key=a-1-1 session=1 system_id=acme source=64271 dest=3001 attempt=1 id=r1 tlvid=r1 textid=r1 status=0x00000000
26 MARK link=spark-redx label=flipped
49 MO-SENT link=spark-redx key=mo-1 session=1 system_id=acme source=64271 dest=3001 attempt=1
50 MO-ANSWER link=spark-redx key=mo-1 session=1 attempt=1 status=0x00000000
"""
ONENZ = """\
21 MT link=onenz-redx key=a-1-2 session=1 system_id=acme source=3001 dest=64211 status=0x00000014 id=-
24 MT link=onenz-redx key=a-1-2 session=1 system_id=acme source=3001 dest=64211 status=0x00000000 id=z1
"""
OMNI = """\
2 MARK link=spark-omni label=before
31 MT link=spark-omni key=a-1-3 session=1 system_id=acme source=3001 dest=64272 status=0x00000000 id=o1
41 MT link=spark-omni key=a-1-4 session=1 system_id=acme source=3001 dest=64273 status=0x00000000 id=o2
45 RECEIPT-SENT link=spark-omni key=a-1-3 session=1 system_id=acme source=64272 dest=3001 attempt=1 id=o1 tlvid=o1 textid=-
52 RECEIPT-ANSWER link=spark-omni key=a-1-3 session=1 system_id=acme source=64272 dest=3001 attempt=1 id=o1 tlvid=o1 textid=- status=0x00000000
"""
RIGHT = {'client': CLIENT, 'redx': REDX, 'onenz': ONENZ, 'omni': OMNI}
RULES = ['--carrier', 'spark=6427', '--carrier', 'onenz=6421', '--owner', '3001=acme',
         '--route', '3001:spark:redx', '--route', '3001:spark:omni:after=flipped:from=before', '--route', '3001:onenz:redx']


def write_ledgers(directory, ledgers):
    paths = []
    for name, text in ledgers.items():
        paths.append(directory / name)
        paths[-1].write_text(text)
    return [str(path) for path in paths]


def run_reconcile(capsys, paths, *more):
    code = reconcile.main([*paths, *RULES, *more])
    out = capsys.readouterr()
    return code, out.out.splitlines(), out.err


def test_reconcile_right(tmp_path, capsys):
    code, lines, _ = run_reconcile(capsys, write_ledgers(tmp_path, RIGHT))
    assert (code, lines[-1]) == (0, 'lost=0 duplicated=0 misrouted=0')
    assert lines[-2] == ('mt=4 mt_told_ok=3 mt_accepted=4 unknown=1 foreign=0 mo=1 mo_taken=1 receipts=2 '
                         'receipts_taken=2')


DOCTORED = [
    # what is wrong, where, the line that changes, what it becomes, the verdict
    ('an MT is gone', 'redx', REDX.splitlines()[0] + '\n', '', 'lost=1 duplicated=0 misrouted=0'),
    ('an MT was silent', 'redx', 'dest=64271 status=0x00000000 id=r1\n12', 'dest=64271 status=silent id=-\n12',
     'lost=1 duplicated=0 misrouted=0'),
    ('an MO is gone', 'client', '50 MO key=mo-1', '50 MO key=mo-2', 'lost=1 duplicated=1 misrouted=0'),
    ('an MO was refused', 'client', 'dest=3001 status=0x00000000\n51', 'dest=3001 status=0x00000014\n51',
     'lost=1 duplicated=0 misrouted=0'),
    ('a receipt is gone', 'client', CLIENT.splitlines()[3] + '\n', '', 'lost=1 duplicated=0 misrouted=0'),
    ('a receipt without a text is gone', 'client', CLIENT.splitlines()[-1] + '\n', '',
     'lost=1 duplicated=0 misrouted=0'),
    ('an MT came twice', 'omni', OMNI.splitlines()[1] + '\n', (OMNI.splitlines()[1] + '\n') * 2,
     'lost=0 duplicated=1 misrouted=0'),
    ('an MT came on two links', 'redx', '26 MARK',
     '15 MT link=spark-redx key=a-1-3 session=1 system_id=acme source=3001 dest=64272 status=0x00000000 id=r9\n26 MARK',
     'lost=0 duplicated=1 misrouted=0'),
    ('a refused MT was sent again by nobody', 'onenz', '24 MT', '23 MT link=onenz-redx key=a-1-2 session=1 '
     'system_id=acme source=3001 dest=64211 status=0x00000000 id=z1\n24 MT', 'lost=0 duplicated=1 misrouted=0'),
    ('an MO came twice', 'client', CLIENT.splitlines()[-2] + '\n', (CLIENT.splitlines()[-2] + '\n') * 2,
     'lost=0 duplicated=1 misrouted=0'),
    ('a receipt came twice', 'client', CLIENT.splitlines()[3] + '\n', (CLIENT.splitlines()[3] + '\n') * 2,
     'lost=0 duplicated=1 misrouted=0'),
    ('the wrong carrier', 'onenz', 'link=onenz-redx', 'link=skinny-redx', 'lost=0 duplicated=0 misrouted=1'),
    ('the old platform after the flip', 'redx', '26 MARK link=spark-redx label=flipped\n',
     '26 MARK link=spark-redx label=flipped\n31 MT link=spark-redx key=a-1-5 session=1 system_id=acme source=3001 '
     'dest=64272 status=0x00000000 id=r5\n', 'lost=0 duplicated=0 misrouted=1'),
    ('the new platform before the flip', 'omni', '2 MARK link=spark-omni label=before\n',
     '1 MT link=spark-omni key=a-1-5 session=1 system_id=acme source=3001 dest=64272 status=0x00000000 id=o9\n'
     '2 MARK link=spark-omni label=before\n', 'lost=0 duplicated=0 misrouted=1'),
    ('another number', 'omni', 'dest=64272 status', 'dest=64279 status', 'lost=0 duplicated=0 misrouted=1'),
    ('the id of another message', 'client', 'status=0x00000000 id=o1', 'status=0x00000000 id=r1',
     'lost=0 duplicated=0 misrouted=1'),
    ('a receipt at another client', 'client', 'RECEIPT key=a-1-1 session=1 system_id=acme',
     'RECEIPT key=a-1-1 session=1 system_id=other', 'lost=0 duplicated=0 misrouted=1'),
    ('an MO at another client', 'client', 'MO key=mo-1 session=1 system_id=acme',
     'MO key=mo-1 session=1 system_id=other', 'lost=0 duplicated=0 misrouted=1'),
]


@pytest.mark.parametrize('where,before,after,summary', [row[1:] for row in DOCTORED], ids=[row[0] for row in DOCTORED])
def test_reconcile_doctored(tmp_path, capsys, where, before, after, summary):
    assert before in RIGHT[where]
    ledgers = dict(RIGHT, **{where: RIGHT[where].replace(before, after)})
    paths = write_ledgers(tmp_path, ledgers)
    code, lines, _ = run_reconcile(capsys, paths)
    assert (code, lines[-1]) == (1, summary)
    told = json.loads('\n'.join(run_reconcile(capsys, paths, '--json')[1]))
    assert summary == 'lost=%(lost)d duplicated=%(duplicated)d misrouted=%(misrouted)d' % told
    assert told['offences'] and all(o['story'] for o in told['offences'])


@pytest.mark.parametrize('ledgers,what', [
    ({'client': '', 'redx': ''}, 'no MARK|no ledger'),
    (dict(RIGHT, redx=REDX.replace('label=flipped', 'label=other')), 'has no MARK flipped'),
    (dict(RIGHT, redx=''), 'no ledger of a link spark-redx'),
    (dict(RIGHT, client='nonsense\n' + CLIENT), 'not a ledger line'),
    (dict(RIGHT, client='1 SUBMIT key=a\n' + CLIENT), 'SUBMIT without'),
    (dict(RIGHT, client='1 SUMBIT key=a\n' + CLIENT), 'unknown event')])
def test_reconcile_unusable(tmp_path, capsys, ledgers, what):
    code, _, err = run_reconcile(capsys, write_ledgers(tmp_path, ledgers))
    assert code == 2
    assert any(part in err for part in what.split('|'))


@pytest.mark.parametrize('ledgers', [{'client': ''}, {'redx': REDX.splitlines()[3] + '\n'},
                                     {'client': CLIENT.splitlines()[1] + '\n'}])
def test_reconcile_empty(tmp_path, capsys, ledgers):
    assert reconcile.main(write_ledgers(tmp_path, ledgers)) == 2
    assert 'nothing to compare' in capsys.readouterr().out


def test_reconcile_forgives_a_cut_last_line(tmp_path):
    paths = write_ledgers(tmp_path, dict(RIGHT, client=CLIENT + '60 SUBM'))
    assert reconcile.reconcile(paths).exit_status == 0


def test_reconcile_going_back_needs_a_begin():
    with pytest.raises(reconcile.Unusable):
        reconcile.Rules(routes=['3001:spark:redx', '3001:spark:omni:after=a', '3001:spark:redx:after=b'])
