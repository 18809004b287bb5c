"""turnoutctl watch on a screen of 80 columns and 24 lines: read as an engineer reads it, and driven by keys."""
import fcntl
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import termios
import time

import pyte
import pytest

from harness import Redis, TOOLS, number_of
from peers import PATIENCE, answer_all

UP, DOWN, RIGHT, LEFT = '\x1bOA', '\x1bOB', '\x1bOC', '\x1bOD'
HANDSET = number_of('spark')


class Screen:
    """A terminal with a program on it."""

    def __init__(self, args, lines=24, columns=80, term='xterm'):
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', lines, columns, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(args, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        env={**os.environ, 'TERM': term, 'LC_ALL': 'C.UTF-8', 'TZ': 'UTC'},
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def read(self, wait=0.05):
        if select.select([self.master], [], [], wait)[0]:
            self.stream.feed(os.read(self.master, 65536))

    def text(self):
        return '\n'.join(self.screen.display)

    def until(self, pattern, gone=False):
        """The screen, once the pattern is on it (or gone from it)."""
        end = time.monotonic() + PATIENCE
        while (re.search(pattern, self.text()) is not None) == gone:
            assert time.monotonic() < end, '%r was %s:\n%s' % (pattern, 'not gone' if gone else 'not there', self.text())
            self.read()
        return self.text()

    def keys(self, text):
        os.write(self.master, text.encode())

    def resize(self, lines, columns):
        self.screen.resize(lines, columns)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack('HHHH', lines, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def end(self):
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < end, 'it does not end:\n' + self.text()
            self.read()
        while select.select([self.master], [], [], 0.05)[0]:
            self.read()
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def two(world):
    for platform in ('redx', 'omni'):
        world.smsc('spark', platform, answers=answer_all)
        world.smsc('onenz', platform, answers=answer_all)
    world.client(bind_answer='all')
    world.routes(shortcodes=('5001', '5002'))
    return world


@pytest.fixture
def watch(two):
    screens = []

    def start(*more, **screen):
        args = [str(TOOLS / 'turnoutctl'), 'watch', '--redis', '127.0.0.1:%d' % two.redis.port, '--prefix', two.prefix,
                '--as', 'tester', *more]
        screens.append(Screen(args, **screen))
        return screens[-1]
    yield start
    for screen in screens:
        screen.close()


def version(world):
    return int(world.redis.call('GET', world.prefix + ':version'))


def send(client, count, status=0):
    for _ in range(count):
        sent = client.submit(dest=HANDSET)
        client.expect('submit_sm_resp', seq=sent.seq, status=status)


def test_shows_the_board_and_acts_on_the_selected_cell(two, watch):
    """Flip, hold, open, roll back, by keys: each is shown as a command first, and done after y alone."""
    world = two
    daemon = world.start()
    client = world.bound()
    send(client, 2)
    screen = watch('--outside-window')
    screen.until(r'SHORTCODE +onenz +spark')
    screen.until(r'5001 +redx +redx')
    text = screen.until(r'(?s)5002 +redx +redx.*q[^\n]*$')
    assert all(len(line) <= 80 for line in text.splitlines()) and 'q' in text.splitlines()[23]
    screen.keys(RIGHT)
    screen.until(r'5001 spark: redx, open')
    start = version(world)

    screen.keys('f')
    screen.until(r'Flip 5001 spark from redx to: ')
    screen.keys('omni\r')
    screen.until(r'Why')
    screen.keys("it's time\r")
    text = screen.until(r'Do it\? y/N, then Enter')
    shown = ''.join(text.splitlines())
    assert '--carrier spark --from redx --to omni' in shown
    assert "it's time" in shlex.split(shown[shown.index('turnoutctl flip'):shown.index('Do it?')])
    assert re.search(r'AS OF \d\d:\d\d:\d\d: the board goes on', text)
    screen.keys('n\r')
    screen.until(r'nothing was done')
    assert version(world) == start

    screen.keys('fomni\rmoved\r')
    screen.until(r'Do it\? y/N')
    screen.keys('y\r')
    screen.until(r'exit code 0')
    screen.keys('\r')
    screen.until(r'5001 spark: omni, open, before redx')
    daemon.wait_version(start + 1)
    send(client, 3)
    screen.until(r'5001 +redx +omni \d+s 3/0')
    screen.until(r'3 ok')
    screen.keys('\r')
    screen.until(r'omni \(serves\):')
    screen.until(r'MT +3 sent, 3 accepted')
    screen.keys('q')

    screen.until(r'SHORTCODE')
    screen.keys('hwhy not\r')
    screen.until(r'route hold 5001')
    screen.keys('y\r')
    screen.until(r'exit code 0')
    screen.keys('\r')
    screen.until(r'omni/hold')
    screen.keys('o\r')
    screen.until(r'route open 5001')
    screen.keys('y\r')
    screen.until(r'exit code 0')
    screen.keys('\r')
    screen.until(r'omni/hold', gone=True)
    screen.keys('rback\r')
    screen.until(r'rollback 5001 --version %d' % (start + 3))
    screen.keys('y\r')
    screen.until(r'exit code 0')
    screen.keys('\r')
    screen.until(r'omni/hold')
    assert version(world) == start + 4
    entry = world.redis.call('XREVRANGE', world.prefix + ':changes', '+', '-', 'COUNT', '4')
    assert 'tester' in entry and 'moved' in entry and 'back' in entry
    screen.keys('q')
    assert screen.end() == 0


def test_confirms_and_shows_alarms(two, watch):
    world = two
    daemon = world.start()
    client = world.bound()
    send(client, 6)
    world.smscs['spark-omni'].answers = lambda leg, pdu: pdu.answer(0x45) if pdu.name == 'submit_sm' else None
    made = world.change({('5001', 'spark'): 'omni'}, kind='flip', outside_window=True, confirm_within_ms=600000,
                        guard={'errors': 5, 'min': 5, 'action': 'alert', 'for_ms': 60000})
    daemon.wait_version(made)
    screen = watch()
    screen.keys(RIGHT)
    screen.until(r'version %d by test goes back in \d+ s unless confirmed' % made)
    screen.until(r'5001 +redx +gcomni')
    screen.until(r'guard inconclusive')
    send(client, 5, status=0x45)
    screen.until(r'ALARMS: 1')
    screen.until(r'5001 +redx +!comni \d+s 0/5')
    screen.keys('c')
    screen.until(r'turnoutctl confirm %d' % made)
    screen.keys('y\r')
    screen.until(r'exit code 0')
    screen.keys('\r')
    screen.until(r'unless confirmed', gone=True)
    screen.keys('c')
    screen.until(r'does not wait for a confirmation')
    screen.keys('a')
    screen.until(r'100.0 % of 5 went wrong on omni')
    screen.keys('k')
    screen.until(r'turnoutctl alarms ack %d' % made)
    screen.keys('y\r')
    screen.until(r'exit code 0')
    screen.keys('\r')
    screen.until(r'acknowledged')
    screen.keys('\x1b')
    screen.until(r'5001 +redx +omni')
    screen.until(r'ALARMS', gone=True)
    screen.keys('?')
    screen.until(r'Nothing is done before the command is shown')
    screen.keys('q')
    screen.until(r'SHORTCODE')
    screen.keys('q')
    assert screen.end() == 0


def test_leaves_the_terminal_sane(two, watch):
    """At Ctrl-C, with the cursor and the settings as they were."""
    screen = watch()
    screen.until(r'SHORTCODE')
    assert termios.tcgetattr(screen.slave)[3] != screen.before[3]
    screen.keys('\x03')
    assert screen.end() == 0
    assert termios.tcgetattr(screen.slave) == screen.before
    assert not screen.screen.cursor.hidden


@pytest.mark.parametrize('term', ['vt100', 'linux'])
def test_other_terminals_and_sizes(two, watch, term):
    """Without colours; smaller and larger than it was."""
    screen = watch(term=term)
    screen.until(r'SHORTCODE +onenz +spark')
    screen.resize(12, 44)
    screen.until(r'5002 +redx')
    screen.resize(40, 132)
    screen.until(r'SHORTCODE +onenz +spark')
    screen.until(r'\? q')
    screen.keys('q')
    assert screen.end() == 0


def test_stays_when_redis_goes(two, watch, tmp_path):
    """What was last read stays on the screen, with its age; and it goes on when Redis is back."""
    (tmp_path / 'own').mkdir()
    redis = Redis(tmp_path / 'own')
    try:
        redis.load_functions()
        two.redis, two.prefix = redis, '{own}'
        two.change({('7001', 'spark'): 'redx'})
        screen = watch()
        screen.until(r'7001 +redx')
        redis.stop()
        text = screen.until(r'REDIS IS AWAY, shown is what was \d+ s ago')
        assert '7001' in text
        redis.start()
        redis.load_functions()
        screen.until(r'REDIS IS AWAY', gone=True)
        screen.keys('q')
        assert screen.end() == 0
    finally:
        redis.stop()


def test_names_an_instance_that_has_not_applied(two, watch):
    two.redis.call('FCALL', 'turnout_beat', 1, two.prefix + ':version', 'slow-1', '60000', 'applied', '0', 'desired', '1',
                   'state', 'following', 'obstacle', 'its leg does not read')
    screen = watch()
    screen.until(r'INCOMPLETE: slow-1 has applied 0 of \d+: its leg does not read')
    screen.keys('q')
    assert screen.end() == 0


def test_needs_a_terminal(two):
    done = subprocess.run([str(TOOLS / 'turnoutctl'), 'watch', '--redis', '127.0.0.1:%d' % two.redis.port],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 2 and 'needs a terminal' in done.stderr
