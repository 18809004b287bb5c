"""The floor of test/bench passes what it is measured with: each message, answer and receipt, to whom it is for."""
import socket
import time

import pytest

import harness
from test_tools import PATIENCE, clean, stage  # noqa: F401  (a fixture)

MESSAGES = 3000


class Floor(harness.Process):
    def __init__(self, level, *smscs):
        self.port = harness.free_port()
        super().__init__([harness.BUILD / 'turnout-floor', level, self.port, *smscs], 'floor')
        deadline = time.monotonic() + PATIENCE
        while not self.listens():
            assert self.running and time.monotonic() < deadline, self.tail()
            time.sleep(0.01)  # it says nothing

    def listens(self):
        with socket.socket() as sock:
            return sock.connect_ex(('127.0.0.1', self.port)) == 0


@pytest.fixture(params=[0, 1, 2])
def floor(request, stage):  # noqa: F811
    floor = Floor(request.param, stage.smsc().port)
    yield floor
    assert floor.running, floor.tail()
    floor.kill()


def test_carries_to_each_carrier_its_own(stage):  # noqa: F811
    smscs = [stage.smsc(name=name) for name in ('spark-redx', 'onenz-redx')]
    floor = Floor(2, '%d:6427' % smscs[0].port, '%d:6421' % smscs[1].port)
    load = stage.load(floor, '--sessions', 4, '--window', 100, '--count', MESSAGES, '--from', '5001', '--to',
                      '6427xxxxxxx,6421xxxxxxx', '--duration', '20s', '--timeout', '5s', '--drain', '5s')
    report = load.report()
    assert report['accepted'] == MESSAGES and report['stray'] == 0, report
    for smsc, prefix in zip(smscs, ('6427', '6421')):
        numbers = [values['dest'] for values in smsc.marked('MT')]
        assert len(numbers) > MESSAGES / 3 and all(number.startswith(prefix) for number in numbers)
    floor.kill()


def test_carries(stage, floor):  # noqa: F811
    load = stage.load(floor, '--sessions', 4, '--window', 100, '--count', MESSAGES, '--from', '5001', '--to', '6427xxxxxxx',
                      '--size', 1000, '--payload', 'tlv', '--registered-delivery', 1, '--linger', '20s', '--wait-receipts', MESSAGES,
                      '--duration', '20s', '--timeout', '5s', '--drain', '5s')
    report = load.report()
    assert report['accepted'] == report['receipts'] == MESSAGES and report['stray'] == 0, report
    stage.tools[0].do('mark end')
    clean(stage.tools)
