"""Every octet that the proxy sent in the system tests, read by tshark's SMPP dissector: no malformed PDU.

TURNOUT_CAPTURE names the directory in which the system tests left what their peers received, as pcap files; without it a
small set of them is run here first. Tests marked `odd` are left out: their peers had the proxy forward broken bodies.
"""
import collections
import os
import pathlib
import subprocess
import sys

import pytest

import wire
from harness import ROOT, write_capture
from peers import Trace


@pytest.fixture(scope='module')
def captures(tmp_path_factory):
    directory = os.environ.get('TURNOUT_CAPTURE')
    if not directory or not any(pathlib.Path(directory).glob('*.pcap')):
        directory = tmp_path_factory.mktemp('capture')
        tests = [str(ROOT / 'test/system' / name) for name in ('test_forward.py', 'test_bind.py', 'test_timers.py')]
        subprocess.run([sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *tests],
                       env=dict(os.environ, TURNOUT_CAPTURE=str(directory)), capture_output=True, timeout=600, check=False)
    return sorted(pathlib.Path(directory).glob('*.pcap'))


@pytest.fixture(scope='module')
def merged(captures, tmp_path_factory):
    """One file of all; each connection in it has addresses and ports of its own."""
    assert captures, 'nothing was captured'
    path = tmp_path_factory.mktemp('merged') / 'all.pcap'
    with open(path, 'wb') as out:
        out.write(captures[0].read_bytes()[:24])
        for capture in captures:
            out.write(capture.read_bytes()[24:])
    return path


def tshark(path, *args):
    done = subprocess.run(['tshark', '-r', str(path), '-d', 'tcp.port==2775,smpp', '-o', 'tcp.check_checksum:FALSE', *args],
                          capture_output=True, text=True, timeout=600, check=True)
    return done.stdout.splitlines()


def test_no_malformed_pdu(merged, captures):
    bad = tshark(merged, '-Y', '_ws.malformed || (smpp && _ws.expert.severity == "Error")', '-T', 'fields', '-e',
                 'frame.number', '-e', 'ip.src', '-e', 'ip.dst', '-e', 'smpp.command_id', '-e', '_ws.expert.message', '-e',
                 'tcp.payload')
    assert not bad, '%d of %d files: %s' % (len(bad), len(captures), '\n'.join(bad[:20]))


def test_everything_was_dissected(merged):
    """The check above means something: each PDU is there, and no octets are left that the dissector could not frame."""
    seen = collections.Counter()
    for line in tshark(merged, '-Y', 'smpp', '-T', 'fields', '-e', 'smpp.command_id'):
        for command in line.split(','):
            seen[int(command, 0)] += 1
    for command in (0x04, 0x80000004, 0x05, 0x80000005, 0x09, 0x80000009, 0x15, 0x80000015, 0x06, 0x80000006, 0x80000000):
        assert seen[command] >= 1, '%#x never seen: %s' % (command, seen)
    assert sum(seen.values()) > 500, seen
    # A frame without a PDU is a piece of one that a later frame completes; or the connection was cut before that.
    last = {}
    for line in tshark(merged, '-Y', 'smpp', '-T', 'fields', '-e', 'tcp.stream', '-e', 'frame.number'):
        stream, frame = line.split('\t')
        last[stream] = int(frame)
    joined = {frame for line in tshark(merged, '-Y', 'smpp && tcp.segment', '-T', 'fields', '-e', 'tcp.segment')
              for frame in line.split(',')}
    for line in tshark(merged, '-Y', 'tcp.len > 0 && !smpp', '-T', 'fields', '-e', 'tcp.stream', '-e', 'frame.number'):
        stream, frame = line.split('\t')
        assert frame in joined or int(frame) > last.get(stream, 0), 'frame %s is in no PDU' % frame


def test_the_dissector_would_see_it(tmp_path):
    """A submit_sm whose sm_length says more than there is."""
    trace = Trace()
    body = wire.message('5001', '64251234567', b'hello')
    trace.stream('peer').append((True, wire.Pdu('submit_sm', 0, 1, body[:-6] + bytes([200]) + body[-5:]).octets()))
    write_capture(trace, 'spoiled', tmp_path)
    assert tshark(tmp_path / 'spoiled.pcap', '-Y', '_ws.malformed')
