"""The harness sees what it must: a daemon that ends badly, a sanitizer's report, a peer that sends no SMPP."""
import socket
import threading

import pytest

import harness
import wire
from peers import Client, Trace


def daemon_that(tmp_path, script):
    program = tmp_path / 'turnoutd'
    program.write_text('#!/bin/sh\n' + script)
    program.chmod(0o755)
    return harness.Turnoutd(tmp_path / 'none.conf', build=tmp_path)


@pytest.mark.parametrize('script, complaint', [
    ('echo \'{"event":"started"}\' >&2; exit 0', None),
    ('exit 99', 'exited with 99'),
    ('kill -SEGV $$', 'exited with -11'),
    ('echo "==1==ERROR: AddressSanitizer: heap-use-after-free" >&2; exit 0', 'AddressSanitizer'),
    ('echo "WARNING: ThreadSanitizer: data race" >&2; exit 0', 'ThreadSanitizer'),
    ('echo "x.c:1:2: runtime error: shift" >&2; exit 0', 'runtime error'),
])
def test_how_a_daemon_ended(tmp_path, script, complaint):
    daemon = daemon_that(tmp_path, script)
    daemon.wait()
    if complaint is None:
        daemon.check()
        return
    with pytest.raises(AssertionError, match=complaint):
        daemon.check()


def fake_proxy(octets):
    """A listener that sends these octets to whoever connects."""
    listener = socket.create_server(('127.0.0.1', 0))

    def serve():
        sock, _ = listener.accept()
        sock.sendall(octets)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def test_a_peer_fails_on_what_it_did_not_expect():
    trace = Trace()
    port = fake_proxy(wire.Pdu('submit_sm_resp', 0x14, 7, b'').octets() * 4)
    client = Client(port, trace)
    for wrong in ({'command': 'data_sm_resp'}, {'command': 'submit_sm_resp', 'seq': 8},
                  {'command': 'submit_sm_resp', 'status': 0}):
        with pytest.raises(AssertionError):
            client.expect(**wrong)
    client.expect('submit_sm_resp', seq=7, status=0x14)
    with pytest.raises(AssertionError):
        client.expect('submit_sm_resp')  # the end instead
    client.close()


@pytest.mark.parametrize('octets', (b'\0\0\0\1', b'HTTP/1.1 200 OK\r\n', b'\xff' * 16))
def test_what_is_no_smpp_ends_the_connection(octets):
    trace = Trace()
    client = Client(fake_proxy(octets), trace)
    assert 'not SMPP' in client.expect_end().why
    client.close()


def test_config_text():
    text = harness.render({'workers': 2, 'flag': True, 'time_out': harness.Raw('5s'), ('link', 'a"b'): {'x': ['1', '2']}})
    assert text == 'workers = 2\nflag = true\ntime-out = 5s\nlink "a"b" {\n    x = { "1", "2" }\n}'
