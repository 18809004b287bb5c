"""node-smpp as client and as SMSC, through the proxy."""
import json

import pytest

import wire
from harness import Raw, number_of

DEST = number_of('spark')


def events(process, name):
    return [e for e in (json.loads(l) for l in process.lines['stdout'] if l.startswith('{')) if e['event'] == name]


def wait_events(process, name, count):
    return process.wait_for(lambda: len(events(process, name)) >= count and events(process, name),
                            '%d of %s' % (count, name))


def client(world, node_modules, bind='transceiver', password='secret'):
    return world.run(['node', node_modules / 'node_client.js', world.daemon.port(), bind, 'acme', password, '5001', DEST],
                     'node client', cwd=node_modules)


def answers(leg, pdu):
    return pdu.answer(0, b'ours-1\0') if pdu.name == 'submit_sm' else None


@pytest.mark.parametrize('version', (0x33, 0x34))
def test_as_client(world, node_modules, version):
    smsc = world.smsc('spark', 'redx', answers=answers, version=version)
    world.client(enquire_link=Raw('200ms'))
    world.routes()
    world.start()
    node = client(world, node_modules)
    assert wait_events(node, 'bound', 1)[0]['status'] == 0
    got = wait_events(node, 'submit_sm_resp', 5)
    assert {e['kind'] for e in got} == {'plain', 'ucs2', 'long', 'payload', 'tlvs'}
    assert all(e['status'] == 0 and e['id'] == 'ours-1' for e in got)
    leg = smsc.leg()
    leg.deliver(text=b'an MO')
    leg.deliver(text=wire.receipt_text('ours-1'), esm_class=4, tlvs=wire.tlv(wire.RECEIPTED_MESSAGE_ID, b'ours-1\0'))
    assert {leg.expect('deliver_sm_resp').status for _ in range(2)} == {0}
    got = wait_events(node, 'deliver_sm', 2)
    assert [e['text'] for e in got][0] == 'an MO' and got[1]['receipted'] == 'ours-1'
    node.signal(15)
    assert node.wait() == 0
    leg.expect('unbind')
    assert not events(node, 'error')


def test_as_client_with_a_wrong_password(world, node_modules):
    world.smsc('spark', 'redx')
    world.client()
    world.routes()
    world.start()
    node = client(world, node_modules, password='wrong')
    assert wait_events(node, 'bound', 1)[0]['status'] == wire.RINVPASWD


def test_as_client_over_a_flip(world, node_modules):
    world.smsc('spark', 'redx', answers=answers)
    omni = world.smsc('spark', 'omni', answers=answers)
    world.client()
    world.routes()
    world.start()
    node = client(world, node_modules)
    wait_events(node, 'submit_sm_resp', 5)
    world.flip('5001', 'spark', 'omni')
    leg = omni.leg()
    leg.deliver(text=b'from the new platform')
    leg.expect('deliver_sm_resp', status=0)
    assert wait_events(node, 'deliver_sm', 1)[0]['text'] == 'from the new platform'
    assert not events(node, 'closed')


@pytest.mark.parametrize('kind', ('transceiver', 'transmitter', 'receiver'))
def test_as_smsc(world, node_modules, kind):
    node = world.run(['node', node_modules / 'node_smsc.js', '5001'], 'node smsc', cwd=node_modules)
    port = int(node.wait_line(r'^ready (\d+)').group(1))
    world.link('spark', 'redx', port, enquire_link=Raw('200ms'))
    world.client()
    world.routes()
    world.start()
    peer = world.bound(kind)
    bind, = wait_events(node, 'bind', 1)
    assert (bind['command'], bind['system_id'], bind['version']) == ('bind_' + kind, 'turnout', 0x34)
    if kind != 'transmitter':
        mo = peer.expect('deliver_sm')
        assert wire.message_fields(mo).text == b'an MO of node'
        peer.send(mo.answer(0, b'\0'))
        assert wait_events(node, 'deliver_sm_resp', 1)[0]['status'] == 0
    if kind != 'receiver':
        for text, tlvs in ((b'short', b''), (b'', wire.tlv(wire.MESSAGE_PAYLOAD, b'l' * 3000))):
            sent = peer.submit(text=text, tlvs=tlvs)
            assert wire.response_id(peer.expect('submit_sm_resp', seq=sent.seq, status=0)).startswith('node-')
        assert [e['text'] for e in wait_events(node, 'submit_sm', 2)] == ['short', 'l' * 3000]
    if kind == 'transceiver':
        sent = peer.submit(text=b'with receipt', registered=1)
        got = [peer.next(), peer.next()]
        receipt, = [p for p in got if p.name == 'deliver_sm']
        assert wire.message_fields(receipt).esm_class == 4
        peer.send(receipt.answer(0, b'\0'))
        answer, = [p for p in got if p.name == 'submit_sm_resp']
        assert answer.seq == sent.seq
        assert wait_events(node, 'deliver_sm_resp', 2)[1] == {'event': 'deliver_sm_resp', 'what': 'receipt', 'status': 0}
    peer.unbind()
    assert not events(node, 'error')


def test_client_and_smsc_both_node(world, node_modules):
    smsc = world.run(['node', node_modules / 'node_smsc.js', '5001'], 'node smsc', cwd=node_modules)
    world.link('spark', 'redx', int(smsc.wait_line(r'^ready (\d+)').group(1)))
    world.client()
    world.routes()
    world.start()
    node = client(world, node_modules)
    got = wait_events(node, 'submit_sm_resp', 5)
    assert all(e['status'] == 0 for e in got)
    assert len(wait_events(node, 'deliver_sm', 2)) == 2  # the MO and the receipt
    assert {e['status'] for e in wait_events(smsc, 'deliver_sm_resp', 2)} == {0}
    assert 'p' * 2000 in [e['text'] for e in events(smsc, 'submit_sm')]
