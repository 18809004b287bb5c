"""turnoutd with fault.c preloaded: which calls there are, and one of them failing.

    Faults ── FAULT_CONTROL, a file in shared memory ──▶ fault.so in turnoutd ──▶ calls of each function, what fired where
       ├─ arm(Point): the nth call from now on fails, or the nth that is made on one way in the code
       └─ record(), recorded(): the calls of an undisturbed run ──▶ Sweep: which of them are tried
"""
import collections
import json
import mmap
import os
import pathlib
import random
import re
import struct
import subprocess
import time

import harness

READY, COUNT, ARMED, COUNTDOWN, RUN, FIRED, PASSED, RECORDING, RECORDED, STACK, HIT = 0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48
WHY, WHERE, FUNCTIONS, RECORDS = 56, 152, 2200, 8192
NAME_SIZE, ENTRY_SIZE, RECORD_SIZE, RECORDS_MAX = 40, 44, 16, 262144
SIZE = RECORDS + RECORD_SIZE * RECORDS_MAX
LIBRARY = 'fault.so'


class Faults:
    def __init__(self, path):
        self.path = str(path)
        with open(self.path, 'wb') as out:
            out.truncate(SIZE)
        self.file = open(self.path, 'r+b')
        self.memory = mmap.mmap(self.file.fileno(), SIZE)

    def close(self):
        self.memory.close()
        self.file.close()

    def _get(self, at):
        return struct.unpack_from('<i', self.memory, at)[0]

    def _put(self, at, value):
        struct.pack_into('<i', self.memory, at, value)

    @property
    def names(self):
        found = []
        for i in range(self._get(COUNT)):
            at = FUNCTIONS + i * ENTRY_SIZE
            found.append(self.memory[at:at + NAME_SIZE].split(b'\0')[0].decode())
        return found

    def calls(self):
        """{function: calls since the start}."""
        return {name: self._get(FUNCTIONS + i * ENTRY_SIZE + NAME_SIZE) for i, name in enumerate(self.names)}

    def record(self):
        """Every call from now on."""
        self._put(RECORDED, 0)
        self._put(RECORDING, 1)

    def recorded(self):
        """Ends it; the calls in their order."""
        self._put(RECORDING, 0)
        count, names, nth, found = self._get(RECORDED), self.names, {}, []
        assert count <= RECORDS_MAX, '%d calls: more than there is room for' % count
        for i in range(count):
            function, beyond, stack = struct.unpack_from('<IIQ', self.memory, RECORDS + i * RECORD_SIZE)
            name = names[function]
            nth[name] = nth.get(name, 0) + 1
            found.append(Call(name, nth[name], stack, beyond > 0))
        return found

    def arm(self, point):
        """Calls nth to nth + run - 1 will fail: of all, or of those with the point's stack."""
        self.forget()
        self._put(RUN, point.run)
        self._put(COUNTDOWN, point.nth)
        struct.pack_into('<Q', self.memory, STACK, point.stack)
        self._put(ARMED, 1 + self.names.index(point.function))

    def forget(self):
        """What was armed, and what came of it."""
        self.disarm()
        self._put(FIRED, 0)
        self._put(PASSED, 0)
        self._put(RECORDING, 0)
        struct.pack_into('<QQ', self.memory, STACK, 0, 0)
        self.memory[WHY:WHY + 1] = self.memory[WHERE:WHERE + 1] = b'\0'

    def disarm(self):
        self._put(ARMED, 0)

    @property
    def fired(self):
        return self._get(FIRED) > 0

    @property
    def passed(self):
        """It was to fail, and was spared: see beyond_us."""
        return self._get(PASSED) > 0

    @property
    def hit(self):
        """The stack of what failed or was spared."""
        return struct.unpack_from('<Q', self.memory, HIT)[0]

    @property
    def why(self):
        """Why it was, or would have been, spared."""
        return self.memory[WHY:WHERE].split(b'\0')[0].decode()

    def place(self):
        """The call that failed or was spared, as text that is the same for the same path."""
        return self.memory[WHERE:FUNCTIONS].split(b'\0')[0].decode()

    def where(self):
        """The same to be read: a frame a line, with names where addr2line knows them."""
        told = []
        for line in self.place().splitlines():
            module, _, rest = line.partition('+')
            if module == 'turnoutd':
                done = subprocess.run(['addr2line', '-fse', str(harness.BUILD / 'turnoutd'), rest.split()[0]],
                                      capture_output=True, text=True, check=False)
                told.append(' '.join(done.stdout.split()) or line)
            else:
                told.append(line)
        return '\n'.join(told)


class FaultyTurnoutd(harness.Turnoutd):
    """turnoutd with the library in front of it; armed, a Point, lets one call, or some in a row, fail from the start on;
    record: every call from the start on is recorded."""

    def __init__(self, config, name, faults, armed=None, record=False):
        self.config = config
        self.events = []
        self.junk = []
        env = dict(harness.ENVIRONMENT, FAULT_CONTROL=faults.path, LD_PRELOAD=str(harness.BUILD / LIBRARY))
        env['ASAN_OPTIONS'] += ':verify_asan_link_order=0:allocator_may_return_null=1'
        faults.forget()
        if armed:
            env['FAULT_ARMED'] = '%s %d %d %x' % (armed.function, armed.nth, armed.run, armed.stack)
        if os.environ.get('TURNOUT_FAULTS', '').startswith('beyond'):
            env['FAULT_BEYOND'] = '1'
        if record:
            faults.record()
            env['FAULT_RECORD'] = '1'
        harness.Process.__init__(self, [harness.BUILD / 'turnoutd', '--config', config], name, env=env)

    def note(self):
        return '%s: exit %s\n%s' % (self.name, self.process.poll(), self.tail(30))


def sanitizer():
    """'asan', 'tsan' or None: what turnoutd was built with."""
    linked = subprocess.run(['ldd', str(harness.BUILD / 'turnoutd')], capture_output=True, text=True, check=True).stdout
    return next((name for name in ('asan', 'tsan') if 'lib' + name in linked), None)


# What turnoutd calls of the allocator, libuv, OpenSSL and hiredis and fault.c does not let fail, by why not.
ALLOCATING = re.compile(r'(malloc|calloc|realloc|\w*alloc|mmap|strn?dup|v?asprintf|getdelim)(64)?$')
OF_A_LIBRARY = re.compile(r'(uv|SSL|TLS|EVP|BIO|X509|HMAC|RAND|OSSL|redis)')
NEVER_FAIL = {
    'it asks for memory by malloc or realloc, which fail here': '''
        reallocarray strdup strndup __asprintf_chk __vasprintf_chk __getdelim''',
    'it says what there is, sets it, or gives back': '''
        BIO_clear_flags BIO_free BIO_get_data BIO_meth_set_ctrl BIO_meth_set_read BIO_meth_set_write BIO_set_data BIO_set_flags
        BIO_set_init EVP_MAC_CTX_free EVP_MAC_free EVP_sha256 OSSL_PARAM_construct_end OSSL_PARAM_construct_utf8_string
        SSL_CTX_free SSL_CTX_set_default_passwd_cb SSL_CTX_set_info_callback SSL_CTX_set_options SSL_CTX_set_verify
        SSL_CTX_up_ref SSL_alert_desc_string_long SSL_free SSL_get0_param SSL_get_error SSL_get_ex_data SSL_get_state
        SSL_get_ex_data_X509_STORE_CTX_idx SSL_get_verify_mode SSL_pending SSL_set_accept_state SSL_set_bio
        SSL_set_connect_state SSL_set_info_callback SSL_set_verify TLS_client_method TLS_server_method X509_NAME_get_text_by_NID
        X509_STORE_CTX_get_current_cert X509_STORE_CTX_get_error X509_STORE_CTX_get_error_depth X509_STORE_CTX_get_ex_data
        X509_VERIFY_PARAM_set_hostflags X509_get_subject_name X509_verify_cert_error_string malloc_usable_size redisAsyncFree
        redisAsyncSetConnectCallback redisAsyncSetDisconnectCallback redisFree uv_backend_fd uv_buf_init uv_freeaddrinfo
        uv_fs_req_cleanup uv_hrtime uv_is_active uv_is_closing uv_now uv_ref uv_strerror uv_strerror_r
        uv_translate_sys_error uv_unref uv_update_time uv_walk''',
    'it fails only where it is misused': '''
        uv_async_send uv_cancel uv_check_init uv_check_start uv_close uv_fs_close uv_idle_init uv_idle_start uv_idle_stop
        uv_inet_ntop uv_loop_close uv_mutex_destroy uv_mutex_lock uv_mutex_unlock uv_once uv_poll_start uv_poll_stop
        uv_prepare_init uv_prepare_start uv_read_stop uv_run uv_sem_destroy uv_sem_init uv_sem_post uv_sem_wait uv_tcp_init
        uv_thread_join uv_timer_init uv_timer_start uv_timer_stop''',
    'it fails on what is no address, and is asked whether it is one': 'uv_ip4_addr uv_ip6_addr',
    'it tells of an end by a callback, as of one that the test of redis makes': 'redisAsyncHandleRead redisAsyncHandleWrite',
    'a thread of its own, which tells of windows (hooks), has Redis by it and reads again; test_hooks.py': '''
        redisAppendCommandArgv redisConnectUnixWithTimeout redisConnectWithTimeout redisGetReply redisSetTimeout''',
    'as redisAsyncConnect, for a socket in the file system': 'redisAsyncConnectUnix',
}


def forgotten():
    """What turnoutd calls of the libraries in question and is neither let fail nor known not to; what is known and not
    called is no matter: builds differ."""
    source = (pathlib.Path(__file__).parent / 'fault.c').read_text()
    table = re.search(r'#define FUNCTIONS\(X\)(.*?)\n/\*', source, re.S).group(1)
    known = {*re.findall(r'X\((\w+)\)', table), *' '.join(NEVER_FAIL.values()).split()}
    listed = subprocess.run(['nm', '-D', '--undefined-only', str(harness.BUILD / 'turnoutd')], capture_output=True, text=True,
                            check=True).stdout
    called = {line.split()[-1].partition('@')[0] for line in listed.splitlines()}
    wanted = {name for name in called if ALLOCATING.match(name) or OF_A_LIBRARY.match(name)}
    assert len(wanted) > 100, 'nm tells too little: %s' % sorted(wanted)
    return sorted(name for name in wanted if name not in known and name.removesuffix('64') not in known)


# One of an undisturbed run: the nth of its function; beyond: a library goes down with its failure, it is spared (fault.c).
Call = collections.namedtuple('Call', 'function nth stack beyond')
MEMORY = ('malloc', 'calloc', 'realloc')
IN_A_ROW = 5
FAULTS_MAX = 8
WHOLE = ('every', 'stacks', 'beyond')


class Point(collections.namedtuple('Point', 'function nth run stack', defaults=(1, 0))):
    """One trial: the nth call of a function fails, or some in a row; with a stack, the nth of the calls that have it."""

    def __str__(self):
        return '%s:%d:%d' % self[:3] + (':%x' % self.stack if self.stack else '')

    @classmethod
    def parse(cls, text):
        name, nth, *more = text.split(':')
        return cls(name, int(nth), int(more[0]) if more else 1, int(more[1], 16) if len(more) > 1 else 0)


def every_call(calls):
    """A point for every call; memory may also stay away for a while."""
    counts = collections.Counter(call.function for call in calls)
    once = [Point(name, nth) for name, count in sorted(counts.items()) for nth in range(1, count + 1)]
    return once + [Point(name, nth, IN_A_ROW) for name in MEMORY for nth in range(1, counts[name] + 1, IN_A_ROW)]


def of_each_stack(calls):
    """[(point, stack)]: of the calls that one function gets on the same way in the code the first, the second and the last;
    memory also stays away for a while from the first one on."""
    on = {}
    for call in calls:
        on.setdefault((call.function, call.stack), []).append(call.nth)
    chosen = []
    for (name, stack), some in sorted(on.items()):
        chosen += [(Point(name, nth), stack) for nth in sorted({*some[:2], some[-1]})]
        if name in MEMORY:
            chosen.append((Point(name, some[0], IN_A_ROW), stack))
    return chosen


def in_turn(everything, day):
    """Another order each day: a point of each function, then the next of each, so that those with few calls are all tried."""
    dice = random.Random(day)
    of = {}
    for point in everything:
        of.setdefault(point.function, []).append(point)
    for some in of.values():
        dice.shuffle(some)
    return [point for _, point in sorted((at, point) for some in of.values() for at, point in enumerate(some))]


class Sweep:
    """Which points are tried, and what came of them. calls: what Faults.recorded() gave of an undisturbed run.
    TURNOUT_FAULTS in the environment says which:

        every[:K/N]    every call, or the Kth of N equal shares
        stacks[:K/N]   of each stack the first, second and last call (of_each_stack), or one share. Threads may change the
                       order of calls: where the call that failed was another one, the first of that stack follows.
        beyond[:K/N]   what the others spare, since a library goes down with it: the first call of each stack fails, and
                       what comes of it is counted, not judged
        malloc,mmap    every call of these functions
        malloc:17      one; malloc:17:5, five in a row; malloc:1:1:5eed, the first one of a stack
        (none)         as many of `every` as fit into some seconds, in another order each day: in time, all"""

    def __init__(self, phase, calls, seconds):
        self.phase, self.seconds = phase, seconds
        self.wanted, _, share = os.environ.get('TURNOUT_FAULTS', '').partition(':')
        self.share = tuple(map(int, share.split('/'))) if self.wanted in WHOLE and share else (1, 1)
        self.all = every_call(calls)
        self.known = {call.stack for call in calls}
        self.chosen = of_each_stack(calls)
        self.calls = len(calls)
        self.untried = self.calls - sum(point.run == 1 for point, _ in self.chosen)
        self.beyond = {call.stack: Point(call.function, 1, 1, call.stack) for call in calls if call.beyond}
        self.beyond_calls = sum(call.beyond for call in calls)
        self.outcomes = collections.Counter()
        self.tried, self.failed, self.nothing, self.spared = 0, 0, 0, collections.Counter()
        self.hit, self.faults = set(), []
        self.again = 0  # points after which the next round was not whole, but the one behind it

    def __iter__(self):
        share, shares = self.share
        if self.wanted == 'every':
            yield from self.all[share - 1::shares]
        elif self.wanted == 'stacks':
            for point, stack in self.chosen:
                if stack % shares == share - 1:
                    yield point
                    if stack not in self.hit:
                        yield point._replace(nth=1, stack=stack)
        elif self.wanted == 'beyond':
            yield from [point for stack, point in sorted(self.beyond.items()) if stack % shares == share - 1]
        elif self.wanted and ':' not in os.environ['TURNOUT_FAULTS']:
            yield from [point for point in self.all if point.function in self.wanted.split(',')]
        elif self.wanted:
            yield Point.parse(os.environ['TURNOUT_FAULTS'])
        else:
            end = time.monotonic() + self.seconds
            for point in in_turn(self.all, int(time.time()) // 86400):
                if time.monotonic() > end:
                    return
                yield point

    def wrong(self, told):
        """A point that did not end in an orderly way; the sweep goes on, for a while."""
        self.faults.append(told)
        if len(self.faults) == FAULTS_MAX:
            self.tell()

    def came_of(self, why, outcome):
        """Of a call that the others spare; where it did not come, nothing."""
        if self.wanted == 'beyond' and why:
            self.outcomes[why, outcome] += 1

    def note(self, faults):
        """A point has been tried."""
        self.tried += 1
        self.failed += faults.fired
        if faults.passed and not faults.fired:
            self.spared[faults.why] += 1
        self.nothing += not faults.passed and not faults.fired
        if faults.fired or faults.passed:
            self.hit.add(faults.hit)

    def tell(self, more=''):
        spared = sum(self.spared.values())
        print('%s: tried %d of %d, at %d stacks of about %d: %d calls failed, %d were spared, %d did not come; '
              '%d wanted a second round%s' % (self.phase, self.tried, len(self.all), len(self.hit), len(self.known), self.failed,
                                              spared, self.nothing, self.again, more))
        for why, count in sorted(self.spared.items()):
            print('%s: spared %d: %s' % (self.phase, count, why))
        for (why, outcome), count in sorted(self.outcomes.items()):
            print('%s: %d times it %s: %s' % (self.phase, count, outcome, why))
        if self.wanted:
            print('FAULTS ' + json.dumps({
                'phase': self.phase, 'calls': self.calls, 'points': len(self.all), 'untried': self.untried,
                'beyond': [self.beyond_calls, len(self.beyond)], 'tried': self.tried, 'failed': self.failed,
                'nothing': self.nothing, 'wrong': len(self.faults), 'spared': self.spared,
                'outcomes': [[why, outcome, count] for (why, outcome), count in self.outcomes.items()],
                'known': ['%x' % stack for stack in self.known], 'hit': ['%x' % stack for stack in self.hit]}))
        assert not self.faults, '%d points ended badly\n%s' % (len(self.faults), '\n\n'.join(self.faults))
        assert self.wanted or self.tried, 'not one was tried'
