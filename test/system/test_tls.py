"""TLS on both sides: 1.2 and 1.3 only, certificates checked, and swapped on SIGHUP while sessions live."""
import hashlib
import ssl
import shutil

import pytest

import harness
import wire
from harness import Raw
from peers import Smsc


def fingerprint(pem_path):
    text = open(pem_path).read()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[text.index('-----BEGIN CERT'):])).hexdigest()


def client_context(certificates, version=None):
    context = ssl.create_default_context(cafile=certificates['ca'])
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def smsc_context(certificates, ask_client=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates['server'], certificates['server-key'])
    if ask_client:
        context.load_verify_locations(certificates['ca'])
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
def tls(world, certificates):
    """A TLS listener beside the plain one; its files are copies that a test may replace."""
    for name in ('server', 'server-key'):
        shutil.copy(certificates[name], world.directory / (name + '.pem'))
    world.listeners['tls'] = {'address': '127.0.0.1', 'port': 0, 'tls': True,
                              'certificate': str(world.directory / 'server.pem'),
                              'key': str(world.directory / 'server-key.pem')}
    world.client()
    return world


def roundtrip(client, leg):
    for size in (0, 100, 254):
        sent = client.submit(text=b'x' * size)
        leg.send(leg.expect('submit_sm').answer(0, b'1\0'))
        client.expect('submit_sm_resp', seq=sent.seq, status=0)
        mo = leg.deliver(text=b'y' * size)
        client.send(client.expect('deliver_sm').answer(0, b'\0'))
        leg.expect('deliver_sm_resp', seq=mo.seq, status=0)


@pytest.mark.sanitize
@pytest.mark.parametrize('version', (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
def test_client_side(tls, certificates, version):
    smsc = tls.smsc('spark', 'redx')
    tls.routes()
    tls.start()
    client = tls.connect('tls', tls=client_context(certificates, version))
    client.bind()
    roundtrip(client, smsc.leg())
    client.unbind()


@pytest.mark.sanitize
@pytest.mark.parametrize('mutual', (False, True))
def test_smsc_side(tls, certificates, mutual):
    link = {'tls': True, 'ca': certificates['ca'], 'tls_name': 'localhost'}
    if mutual:
        link.update(certificate=certificates['client'], key=certificates['client-key'])
    smsc = tls.smsc('spark', 'redx', tls=smsc_context(certificates, mutual), link=link)
    tls.routes()
    tls.start()
    client = tls.bound()
    roundtrip(client, smsc.leg())


def test_both_sides_and_large_pdus(tls, certificates):
    smsc = tls.smsc('spark', 'redx', tls=smsc_context(certificates),
                    link={'tls': True, 'ca': certificates['ca'], 'tls_name': 'localhost'})
    tls.routes()
    tls.start()
    client = tls.connect('tls', tls=client_context(certificates))
    client.bind()
    leg = smsc.leg()
    for i in range(20):
        body = wire.message('5001', '64251234567', b'', tlvs=wire.tlv(wire.MESSAGE_PAYLOAD, bytes([i]) * 60000))
        sent = client.request('submit_sm', body)
        got = leg.expect('submit_sm')
        assert got.body == body
        leg.send(got.answer(0, b'1\0'))
        client.expect('submit_sm_resp', seq=sent.seq, status=0)


@pytest.mark.parametrize('version', (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1))
def test_old_versions_are_refused(tls, certificates, version):
    tls.smsc('spark', 'redx')
    tls.routes()
    tls.start()
    context = client_context(certificates, version)
    context.set_ciphers('DEFAULT:@SECLEVEL=0')
    with pytest.raises((ssl.SSLError, OSError)):
        tls.connect('tls', tls=context)


def test_plain_octets_to_a_tls_listener(tls):
    tls.smsc('spark', 'redx')
    tls.routes()
    tls.start()
    client = tls.connect('tls')
    client.trace.lines.append('what follows is no TLS')
    client.request('bind_transceiver', wire.bind('acme', 'secret'))
    client.until_end()
    assert not tls.daemon.find('client_bound')


def test_a_handshake_that_never_ends(tls):
    tls.smsc('spark', 'redx')
    tls.routes()
    tls.start(session_init=Raw('400ms'))
    client = tls.connect('tls')
    client.send_octets(b'\x16\x03\x01')
    client.until_end()


@pytest.mark.parametrize('fault', ('name', 'ca', 'plain'))
def test_an_smsc_whose_certificate_is_wrong_is_not_trusted(tls, certificates, fault, tmp_path):
    other = harness.make_certificates(tmp_path, prefix='other-')
    link = {'tls': True, 'ca': certificates['ca'], 'tls_name': 'localhost'}
    if fault == 'name':
        link['tls_name'] = 'smpp.elsewhere.example'
    if fault == 'ca':
        link['ca'] = other['ca']
    smsc = tls.smsc('spark', 'redx', tls=None if fault == 'plain' else smsc_context(certificates), link=link)
    world_link = tls.link_options['spark-redx']
    world_link['connect_timeout'] = Raw('500ms')
    tls.routes()
    tls.start()
    client = tls.connect()
    answer = client.try_bind()
    assert answer.status in (wire.RBINDFAIL, wire.RSYSERR)
    assert smsc.legs_waiting() == 0, 'credentials were given to an SMSC that is not trusted'
    assert not [p for s in smsc.peers for f, o in s.octets if f for p in [o] if b'upstream' in p]


def test_tls_verify_false_takes_any(tls, certificates, tmp_path):
    other = harness.make_certificates(tmp_path, prefix='other-')
    smsc = tls.smsc('spark', 'redx', tls=smsc_context(other), link={'tls': True, 'tls_verify': False})
    tls.routes()
    tls.start()
    client = tls.bound()
    roundtrip(client, smsc.leg())


@pytest.mark.sanitize
def test_certificates_swapped_while_sessions_live(tls, certificates, tmp_path):
    smsc = tls.smsc('spark', 'redx')
    tls.routes()
    daemon = tls.start()
    live = tls.connect('tls', tls=client_context(certificates))
    live.bind()
    leg = smsc.leg()
    assert hashlib.sha256(live.sock.certificate()).hexdigest() == fingerprint(certificates['server'])
    other = harness.make_certificates(tmp_path, prefix='new-')
    for name in ('server', 'server-key'):
        shutil.copy(other[name], tls.directory / (name + '.pem'))
    since = daemon.mark()
    daemon.reload()
    daemon.wait_event('config_loaded', since=since)
    roundtrip(live, leg)
    fresh = tls.connect('tls', tls=client_context(other))
    fresh.bind()
    assert hashlib.sha256(fresh.sock.certificate()).hexdigest() == fingerprint(other['server'])
    roundtrip(fresh, smsc.leg())
    roundtrip(live, leg)


def test_a_broken_certificate_on_reload_changes_nothing(tls, certificates):
    smsc = tls.smsc('spark', 'redx')
    tls.routes()
    daemon = tls.start()
    (tls.directory / 'server.pem').write_text('no certificate\n')
    daemon.reload()
    daemon.wait_event('config_refused')
    client = tls.connect('tls', tls=client_context(certificates))
    client.bind()
    roundtrip(client, smsc.leg())
