"""The instructions that a message costs on its way through the proxy, by function.

    build/budget (budget.c) ──callgrind, one phase collected──▶ cost by address ──addr2line──▶ cost by function ÷ messages

What is counted is the code of proxy/, routing/ and smpp/, without the sockets (the world is in memory), and how often
it calls the C library; of it, what the metrics cost, and what the counters of each route (with the look-up of the
route, which they have taken over). The compiler puts most functions into others; an instruction is counted for the
innermost function of ours that it was written in, which the debug information knows.
"""
import collections
import concurrent.futures
import pathlib
import re
import subprocess
import tempfile

from world import Failed

PHASES = {'submit': 'phase_submit', 'answer': 'phase_answer'}
WINDOWS = (1, 100)
LAYERS = ('proxy', 'routing', 'smpp')
NOT_COUNTED = ('stream_mem.c',)  # stands for the sockets
SHOWN_LEAST = 0.5  # instructions


def plain(name):
    """A function's name without what the compiler, or the processor, put to it."""
    name = re.sub(r"(\.(isra|part|constprop|cold|lto_priv)(\.\d+)?)+$|'\d+$", '', name)
    library = re.fullmatch(r'_*(\w+?)_(avx|sse|evex|erms|ssse3).*', name)
    return library.group(1) if library else name


def is_ours(path):
    parts = pathlib.PurePath(path).parts
    return len(parts) >= 2 and parts[-2] in LAYERS and 'test' not in parts and parts[-1] not in NOT_COUNTED


def is_library(path):
    return not is_ours(path) and 'test' not in pathlib.PurePath(path).parts and \
        pathlib.PurePath(path).name not in NOT_COUNTED


class Profile:
    """What a callgrind file, with instructions and nothing compressed, says of our functions."""

    def __init__(self, text):
        self.cost = collections.Counter()   # (address, function that the code was put into): instructions
        self.calls = collections.Counter()  # library function: calls of it by ours
        self.library = 0                    # instructions in the library
        self.counting = 0                   # of cost: in metrics.h and metrics.c
        self.traffic = 0                    # of cost: in traffic.h and traffic.c, the counters of each route
        self.read(text)

    def read(self, text):
        function = home = place = callee = callee_file = None
        in_call = False
        for line in text.splitlines():
            key, _, value = line.partition('=')
            if key == 'fl':
                home = place = value
            elif key in ('fi', 'fe'):
                place = value
            elif key == 'fn':
                function, callee_file = value, None
            elif key in ('cfi', 'cfl'):
                callee_file = value
            elif key == 'cfn':
                callee = value
            elif key == 'calls':
                in_call = True
                if is_ours(home) and is_library(callee_file or home):
                    self.calls[plain(callee)] += int(value.split()[0])
            elif line.startswith('0x'):
                address, _line, cost = line.split()
                if in_call:
                    self.library += int(cost) if is_ours(home) and is_library(callee_file or home) else 0
                    in_call, callee_file = False, None
                elif is_ours(home):
                    self.take(address, function, place, int(cost))

    def take(self, address, function, place, cost):
        self.cost[address, function] += cost
        module = pathlib.PurePath(place).stem
        self.counting += cost if module == 'metrics' else 0
        self.traffic += cost if module == 'traffic' else 0

    def by_function(self, names):
        """Instructions by function. names: {address: the innermost function there}, where known."""
        found = collections.Counter()
        for (address, function), cost in self.cost.items():
            found[names.get(address) or plain(function)] += cost
        return found


def innermost(text):
    """{address: "window.c:find"} of what addr2line prints with -a -i -f: an address, then a function and a place for each
    that was put into another there, the innermost first. The innermost of ours counts: what a header of the library
    brings is its caller's."""
    names, address, function = {}, None, None
    for line in text.splitlines():
        if re.fullmatch('0x[0-9a-f]+', line):
            address, function = '0x%x' % int(line, 16), None
        elif function is None:
            function = line
        else:
            path = line.rpartition(':')[0]
            if address not in names and is_ours(path):
                names[address] = '%s:%s' % (pathlib.PurePath(path).name, plain(function))
            function = None
    return names


def names_of(program, addresses):
    done = subprocess.run(['addr2line', '-a', '-i', '-f', '-e', str(program)], input='\n'.join(addresses) + '\n',
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed('addr2line: ' + done.stderr.strip())
    return innermost(done.stdout)


def measure(build, phase, window):
    program = build / 'budget'
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / 'out'
        done = subprocess.run(['valgrind', '--tool=callgrind', '--callgrind-out-file=%s' % out, '--dump-instr=yes',
                               '--compress-strings=no', '--compress-pos=no', '--toggle-collect=%s' % PHASES[phase],
                               str(program), str(window)], capture_output=True, text=True)
        said = re.search(r'^messages (\d+)$', done.stdout, re.M)
        if done.returncode != 0 or not said:
            raise Failed('the run that is counted failed:\n%s%s' % (done.stdout, done.stderr))
        profile = Profile(out.read_text())
    messages = int(said.group(1))
    functions = profile.by_function(names_of(program, sorted({address for address, _ in profile.cost})))
    return {'instructions': round(sum(functions.values()) / messages, 1),
            'counting': round(profile.counting / messages, 1),
            'route_counters': round(profile.traffic / messages, 1),
            'library': round(profile.library / messages, 1),
            'functions': {n: round(c / messages, 1) for n, c in functions.most_common() if c / messages >= SHOWN_LEAST},
            'calls': {n: round(c / messages, 2) for n, c in profile.calls.most_common() if c / messages >= 0.01}}


def measure_all(build):
    """{"submit, 1 at a time": its figures a message, ...}. Failed where callgrind, or what it runs, does not work."""
    cells = [(phase, window) for window in WINDOWS for phase in PHASES]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return dict(zip(('%s, %d at a time' % cell for cell in cells),
                        pool.map(lambda cell: measure(build, *cell), cells)))
