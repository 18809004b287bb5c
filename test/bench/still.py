"""What is measured without a load to compare: look-ups in full tables, instructions of a message, memory of idle sessions,
the cost of 10,000 of them, a storm of binds. Each function gives rows of {name, what, value, unit, aim}, with values and
range where value is a median; an aim is an upper limit. A note says what has to be known to read the row.
"""
import contextlib
import json
import pathlib
import re
import resource
import subprocess
import time
from statistics import median

import counting
import judging
from middles import HAPROXY_LISTEN, PASSWORD, PASSWORD_HASH, PREFIXES, SYSTEM_ID, Haproxy, Smsc, Turnoutd
from world import Child, Control, Failed, free_port, wait_for

ACCOUNTS, BINDS = 10, 1000      # a client may bind so often
NO_LEGS, ONE_LEG, ALL_LEGS = '5900', '5901', '5001'  # shortcodes: without a route, with one carrier, with all
STORM_ACCOUNTS, STORMS = 5, 5
OTHERS, FORWARDED = 'onenz', 1000  # the carrier that a storm is not about; messages a second there meanwhile
SPARE_DESCRIPTORS = 1000
LATE = 1  # second, in which messages go out that had to wait while a storm's clients left
SETTLE = 4  # seconds, after which buffers of the binds are given back


def row(name, what, value, unit, aim=None):
    return {'name': name, 'what': what, 'value': value, 'unit': unit, 'aim': aim}


def row_of(name, what, values, unit, aim=None):
    """Of a measure that was taken several times."""
    return row(name, what, median(values), unit, aim) | {'range': [min(values), max(values)], 'values': list(values)}


# --- the proxy, and clients that do nothing ---------------------------------------------------------------------------

class Proxy(Turnoutd):
    """With accounts for many sessions beside the one of the loads."""
    name = 'turnoutd-still'
    more_routes = '%s,spark,redx\n' % ONE_LEG
    more_config = ''.join('client "%s%d" { password-hash = "%s" shortcodes = { "%s" } max-binds = %d }\n' % (
        kind, i, PASSWORD_HASH, shortcode, BINDS) for kind, shortcode in (('none', NO_LEGS), ('one', ONE_LEG),
                                                                       ('all', ALL_LEGS)) for i in range(ACCOUNTS))

    load_options = []

    @property
    def others_port(self):
        """Where those bind that a storm is not about."""
        return self.port

    def resident(self):
        status = pathlib.Path('/proc/%d/status' % self.child.pid).read_text()
        return 1024 * int(re.search(r'^VmRSS:\s+(\d+)', status, re.M).group(1))


class ProxyTls(Proxy):
    name = 'turnoutd-still-tls'
    tls = True
    load_options = ['--tls', '--insecure']


class Sessions:
    """Sessions of one account, bound and idle."""

    def __init__(self, proxy, account, count):
        self.world, self.count = proxy.world, count
        self.path = self.world.directory / ('%s.sock' % account)
        self.path.unlink(missing_ok=True)
        self.child = Child(self.world, account, [
            self.world.build / 'turnout-load', '--connect', '127.0.0.1:%d' % proxy.port, '--system-id', account,
            '--password', PASSWORD, '--count', 0, '--duration', '60m', '--control', self.path, '--sessions', count,
            '--enquire-link', '30s', '--reconnect=100ms', *proxy.load_options], self.world.ends_cpu)
        self.control = Control(self.child, self.path)

    def bound(self):
        return self.control.ask('stats')['bound']

    def wait(self):
        self.child.wait_for(lambda: self.bound() == self.count, 'all binds')
        return self

    def close(self):
        self.control.close()
        self.world.end(self.child)


@contextlib.contextmanager
def proxy_of(world, ports, kind=Proxy):
    proxy = kind(world, ports, 100)
    proxy.child_now()
    try:
        yield proxy
    finally:
        proxy.end()


def make_known(proxy, kind, accounts):
    """Each of the accounts binds once: verifying a password takes 15 ms, and is done once."""
    for i in range(accounts):
        with contextlib.closing(Sessions(proxy, '%s%d' % (kind, i), 1)) as first:
            first.wait()


def sessions_of(stack, proxy, kind, accounts, count):
    """So many sessions of each of so many accounts, all bound."""
    all_of_them = [stack.enter_context(contextlib.closing(Sessions(proxy, '%s%d' % (kind, i), count)))
                   for i in accounts]
    for sessions in all_of_them:
        sessions.wait()
    return all_of_them


# --- the measures -----------------------------------------------------------------------------------------------------

LEAST, WARM = 'least of 5 rounds', 'least of 5 rounds, page cache warm'  # ROUNDS of lookups.c
HOW = {'route_lookup_ns': LEAST, 'route_lookup_alone_ns': LEAST, 'memory_wait_ns': LEAST, 'number_lookup_ns': LEAST,
       'number_absent_ns': LEAST, 'number_load_ms': WARM, 'route_publish_s': 'least of 3 rounds',
       'route_change_us': 'mean of 200', 'route_build_s': 'once'}


def row_of_lookups(found, name, what, key, unit, aim=None):
    """With how it was measured, and with what others took of its processor, where that is too much to judge it."""
    made, taken = row(name, what, found[key], unit, aim), found['taken'].get(key)
    if key in HOW:
        made['how'] = HOW[key]
    if taken and judging.taken(taken['times'], taken['stolen'], taken['seconds']):
        made['taken'] = taken
    return made


def lookups(world, _smsc, progress):
    progress('look-ups in tables of full size')
    child = Child(world, 'lookups', [world.build / 'lookups'], world.middle_cpu)
    wait_for(lambda: not child.running, 'the look-ups', 300)
    found = json.loads(child.output.read_text())
    world.end(child)
    rows = [('route look-up', '1,000,000 shortcodes x 4 carriers, random', 'route_lookup_ns', 'ns', 100),
            ('route look-up', 'each waiting for the one before', 'route_lookup_alone_ns', 'ns', None),
            ('route look-up', 'its floor: one wait for memory', 'memory_wait_ns', 'ns', None),
            ('route table', 'memory', 'route_table_mb', 'MB', 64),
            ('route table', 'built whole', 'route_build_s', 's', 1),
            ('route table', 'one row changed', 'route_change_us', 'us', 1000),
            ('route table', 'built whole and published, while a worker looks up', 'route_publish_s', 's', 1),
            ('route table', 'longest pause of that worker, of 3 such', 'worker_pause_us', 'us', None),
            ('route table', 'its longest pause while nothing is built', 'worker_pause_without_us', 'us', None),
            ('route table', 'pauses left out: its processor was taken', 'worker_preempted', 'times', None),
            ('number look-up', '5,000,000 numbers, random', 'number_lookup_ns', 'ns', 200),
            ('number look-up', 'a number that is not there', 'number_absent_ns', 'ns', 200),
            ('portability table', 'size', 'number_table_mb', 'MB', 64),
            ('portability table', 'read and verified', 'number_load_ms', 'ms', 100)]
    return [row_of_lookups(found, *its) for its in rows]


def memory_of(world, smsc, kind, accounts, count, proxy_kind=Proxy):
    """Resident octets a session, from the second account's on: the first pays for what all share."""
    with contextlib.ExitStack() as stack, proxy_of(world, smsc.ports, proxy_kind) as proxy:
        make_known(proxy, kind, accounts)
        sessions_of(stack, proxy, kind, [0], count)
        time.sleep(SETTLE)
        before = proxy.resident()
        sessions_of(stack, proxy, kind, range(1, accounts), count)
        time.sleep(SETTLE)
        return (proxy.resident() - before) / (count * (accounts - 1))


def memory(world, smsc, progress):
    progress('memory of idle sessions')
    return [row('idle session', 'without legs', memory_of(world, smsc, 'none', 4, 1000) / 1024, 'KB', 3),
            row('idle session', 'without legs, over TLS', memory_of(world, smsc, 'none', 4, 500, ProxyTls) / 1024, 'KB'),
            row('idle session', 'with legs to 4 carriers', memory_of(world, smsc, 'all', 4, 500) / 1024, 'KB', 16)]


def may_open(wanted):
    """How many descriptors each of our children may have; asks the kernel for more where that is too few."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def idle_binds(may, legs):
    """Sessions of each account, with so many legs each, where a process may have so many descriptors."""
    return min(BINDS, (may - SPARE_DESCRIPTORS) // (ACCOUNTS * (1 + legs)))


def idle_share(world, smsc, kind, binds, seconds):
    """Per cent of a core that so many idle sessions of each account cost."""
    with contextlib.ExitStack() as stack, proxy_of(world, smsc.ports) as proxy:
        make_known(proxy, kind, ACCOUNTS)
        sessions_of(stack, proxy, kind, range(ACCOUNTS), binds)
        time.sleep(2)
        before = proxy.child.cpu_seconds()
        time.sleep(seconds)
        return 100 * (proxy.child.cpu_seconds() - before) / seconds


IDLE_NOTE = ('The idle sessions send an enquire_link every 30 s, which turnoutd answers; over each of their legs it sends one '
             'every 30 s, too, its default, so that with legs to 4 carriers there are five times as many sessions and PDUs: that '
             'row is told beside the aim, which is for %d sessions. Where a process '
             'may not open the %d files that all of these take (ulimit -n), fewer are measured, and the figure is in '
             'proportion.' % (ACCOUNTS * BINDS, ACCOUNTS * BINDS * (1 + len(PREFIXES))))


def idle_rows(world, progress, kind, what, legs, aim, seconds=30):
    binds = idle_binds(may_open(ACCOUNTS * BINDS * (1 + legs) + SPARE_DESCRIPTORS), legs)
    what += ', by %d of them' % (ACCOUNTS * binds) if binds < BINDS else ''
    progress('idle sessions %s, %d s' % (what, seconds))
    if binds < 1:
        raise Failed('too few open files a process, %d: ulimit -n' % may_open(0))
    with contextlib.closing(Smsc(world, 'smsc-idle')) as own:  # begun after the limit was raised
        share = idle_share(world, own, kind, binds, seconds) * BINDS / binds
    return [row('%d idle sessions' % (ACCOUNTS * BINDS), what, share, '% of a core', aim) | {'note': IDLE_NOTE}]


def idle(world, _smsc, progress):
    return idle_rows(world, progress, 'none', 'without legs', 0, 2)


def idle_legs(world, _smsc, progress):
    return idle_rows(world, progress, 'all', 'with legs to %d carriers' % len(PREFIXES), len(PREFIXES), None)


STORM_NOTE = (
    'In a storm the client and the SMSC of the forwarding whose p99 is taken run with SCHED_FIFO (chrt): they share the '
    'ends\' processor with the %d clients of the storm and their SMSC, and would wait for those, which would be measured in '
    'place of the middle. The middle treats both alike, at nice -20, so that what else the machine does is not measured '
    'either. HAProxy is treated the same.' % (STORM_ACCOUNTS * BINDS))


def raise_priority(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed('a storm wants root, or CAP_SYS_NICE, for the priority of what it measures: ' + done.stderr.strip())


class Forwarding:
    """A modest load of its own, for its latency; STORM_NOTE says what it may that others may not."""

    def __init__(self, middle, smsc):
        self.world, self.path = middle.world, middle.world.directory / 'forwarding.sock'
        self.path.unlink(missing_ok=True)
        self.child = Child(middle.world, 'forwarding', [
            middle.world.build / 'turnout-load', '--connect', '127.0.0.1:%d' % middle.others_port, '--system-id',
            SYSTEM_ID, '--password', PASSWORD, '--from', ALL_LEGS, '--to', PREFIXES[OTHERS] + 'x' * 7, '--sessions', 10,
            '--rate', FORWARDED, '--duration', '10m', '--control', self.path], middle.world.ends_cpu)
        self.control = Control(self.child, self.path)
        self.child.wait_for(lambda: self.control.ask('stats')['bound'] == 10, 'all binds')
        for child in (self.child, smsc.child):
            raise_priority('chrt', '--fifo', '--pid', '1', str(child.pid))
        raise_priority('renice', '-n', '-20', '-g', str(middle.child.pid))

    @contextlib.contextmanager
    def p99(self):
        """Gives a function that, called when the block is left, says the 99th percentile within it: of the time from
        when a message was due to its answer, in us."""
        self.control.ask('fresh')
        found = []
        yield lambda: found[0]
        found.append(self.control.ask('stats')['latency_from_schedule_us']['p99'])

    def close(self):
        self.control.close()
        self.world.end(self.child)


class StormHaproxy(Haproxy):
    """The control: it connects as often, and copies the binds. The others have a listener and the SMSC apart."""
    sessions = STORM_ACCOUNTS * BINDS + 100
    load_options = []

    def __init__(self, world, ports, window):
        super().__init__(world, ports, window)
        self.others_port = free_port()

    def config(self):
        return super().config() + HAPROXY_LISTEN.format(name='others', port=self.others_port, tls='',
                                                        smsc_port=self.ports[OTHERS])


def one_storm(middle, smsc, forwarding, seconds=1.5):
    """(seconds until all are bound, p99 before, p99 meanwhile, p99 while all of them leave)"""
    legs = smsc.control.ask('stats')['sessions']
    with forwarding.p99() as quiet:
        time.sleep(seconds)
    with contextlib.ExitStack() as stack:
        with forwarding.p99() as stormy:
            began = time.monotonic()
            sessions_of(stack, middle, 'one', range(STORM_ACCOUNTS), BINDS)
            took = time.monotonic() - began
        leaving = stack.pop_all()
    with forwarding.p99() as left:
        leaving.close()
        middle.child.wait_for(lambda: smsc.control.ask('stats')['sessions'] == legs, 'the end of all legs')
        time.sleep(LATE)
    return took, quiet(), stormy(), left()


def storms(world, smsc, kind):
    """What one_storm() gives, of each of STORMS."""
    apart = Smsc(world, 'smsc-apart')  # the storm's legs go to the one, the messages to the other
    ports = {carrier: (apart if carrier == OTHERS else smsc).ports[carrier] for carrier in PREFIXES}
    with contextlib.ExitStack() as stack, proxy_of(world, ports, kind) as middle:
        make_known(middle, 'one', STORM_ACCOUNTS)
        forwarding = stack.enter_context(contextlib.closing(Forwarding(middle, apart)))
        found = [one_storm(middle, smsc, forwarding) for _ in range(STORMS)]
    world.end(apart.child)
    return found


def rows_of_storms(name, found, seconds_aim, ratio_aim):
    took, quiet, stormy, left = zip(*found)
    ratios = [after / before for before, after in zip(quiet, stormy)]
    return [row_of(name, '%d clients with a leg each, all bound' % (STORM_ACCOUNTS * BINDS), took, 's', seconds_aim),
            row_of(name, 'forwarding p99 of others, before', quiet, 'us'),
            row_of(name, 'forwarding p99 of others, meanwhile', stormy, 'us'),
            row_of(name, 'forwarding p99 of others, while all of them leave', left, 'us'),
            row_of(name, 'forwarding p99 of others, meanwhile / before', ratios, '', ratio_aim) | {'note': STORM_NOTE}]


def storm(world, smsc, progress):
    progress('storms of %d binds' % (STORM_ACCOUNTS * BINDS))
    rows = rows_of_storms('bind storm', storms(world, smsc, Proxy), 5, 2)
    progress('the same at HAProxy')
    return rows + rows_of_storms('at HAProxy', storms(world, smsc, StormHaproxy), None, None)


INSTRUCTIONS_NOTE = (
    'Instructions of a message are those of turnoutd\'s own code for a submit_sm and its answer, %d at a time, sockets in memory '
    '(budget.c), by what the file is for that they were written in (counting.py). Copied octets are those that memcpy and its '
    'like of the C library move for it; misses are simulated by callgrind, with 32 KB of L1 and 8 MB of LL, of our code and '
    'what it calls.')


def rows_of_instructions(build, cells, progress):
    """Each cell's, and what they are for in a message there and back."""
    window = max(counting.WINDOWS)
    progress('octets copied and cache misses of a message')
    missed = counting.misses(build, window)
    found = [row('instructions', name, cell['instructions'], 'instructions') for name, cell in cells.items()]
    found += [row('a message', 'instructions for ' + purpose, value, 'instructions')
              for purpose, value in counting.ladder(cells, window)]
    found += [row('a message', 'octets copied', counting.copied(build, window), 'octets'),
              row('a message', 'L1d misses, simulated', missed['D1'], 'misses'),
              row('a message', 'LL data misses, simulated', missed['LL'], 'misses')]
    return [its | {'note': INSTRUCTIONS_NOTE % window} for its in found]


def instructions(world, _smsc, progress):
    progress('instructions of a message')
    return rows_of_instructions(world.build, counting.measure_all(world.build), progress)


MEASURES = {'lookups': lookups, 'instructions': instructions, 'memory': memory, 'idle': idle, 'idle-legs': idle_legs, 'storm': storm}
TAKES = {'lookups': '10 s', 'instructions': '60 s', 'memory': '45 s', 'idle': '40 s', 'idle-legs': '60 s', 'storm': '40 s'}
