"""The instructions that a message costs on its way through the proxy, by function.

    build/budget (budget.c) ──callgrind, one phase collected──▶ cost by address ──addr2line──▶ cost by function ÷ messages

What is counted is the code of proxy/, routing/ and smpp/, without the sockets (the world is in memory), and how often
it calls the C library; of it, what it is for (PURPOSES), file by file. What calls of the library cost hangs on the
processor as valgrind shows it, so the names of the functions that the library chose stand beside. The compiler puts most functions into others; an instruction is counted for the
innermost function of ours that it was written in, which the debug information knows.
"""
import collections
import concurrent.futures
import json
import pathlib
import re
import subprocess
import tempfile

from world import Failed

# name: (what budget.c sends, the phase of it that is counted)
CELLS = {'submit': ('plain', 'phase_request'), 'answer': ('plain', 'phase_answer'),
         'ported submit': ('ported', 'phase_request'), 'receipt': ('receipt', 'phase_request'),
         'receipt answer': ('receipt', 'phase_answer')}
MESSAGE = ('submit', 'answer')  # what a message to a handset takes
WINDOWS = (1, 100)
LAYERS = ('proxy', 'routing', 'smpp')
NOT_COUNTED = ('stream_mem.c',)  # stands for the sockets
# What a file's code is for; a .h and a .c of one name are one module.
PURPOSES = {
    'framing and session rules': 'frame session constants control encode',
    'addresses': 'view address tlv',
    'carrier and number forms': 'carrier choice number_form numbers blocks',
    'accounts and limits': 'client config bundle limits registry worker',
    'route and leg choice': 'way table leg legs rail lease fence hold waiting released',
    'window and correlation': 'window timers',
    'message-id index': 'message_index siphash',
    'metrics': 'metrics',
    'counters of each route, and finding its cell': 'traffic',
    'receipts, MO, long messages': 'mo seen receipt multipart twice owners relay shared evidence',
    'copying and output': 'conn chunk stream',
    'from one step to the next': 'forward'}
PURPOSE_OF = {module: purpose for purpose, modules in PURPOSES.items() for module in modules.split()}
CACHES = ('--cache-sim=yes', '--I1=32768,8,64', '--D1=32768,8,64', '--LL=8388608,16,64')  # the same on every machine
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
        self.variants = set()               # their names with what the library chose for this processor
        self.library = 0                    # instructions in the library
        self.misses = {'D1': 0, 'LL': 0}    # of data, simulated, in ours and in the library
        self.files = {}                     # address: where the function was written that the code was put into
        self.events = ['Ir']
        self.read(text)

    def read(self, text):
        function = home = place = callee = callee_file = None
        in_call = False
        for line in text.splitlines():
            key, _, value = line.partition('=')
            if line.startswith('events: '):
                self.events = line.split()[1:]
            elif key == 'fl':
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
                    self.variants.add(callee)
            elif line.startswith('0x'):
                address, _line, *costs = line.split()
                costs = dict(zip(self.events, map(int, costs)))
                of_library = in_call and is_ours(home) and is_library(callee_file or home)
                if of_library:
                    self.library += costs['Ir']
                elif not in_call and is_ours(home):
                    self.cost[address, function] += costs['Ir']
                    self.files[address] = place if is_ours(place) else home
                if of_library or not in_call and is_ours(home):
                    for level, names in (('D1', ('D1mr', 'D1mw')), ('LL', ('DLmr', 'DLmw'))):
                        self.misses[level] += sum(costs.get(name, 0) for name in names)
                if in_call:
                    in_call, callee_file = False, None

    def by_function(self, names):
        """Instructions by function. names: {address: the innermost function there}, where known."""
        found = collections.Counter()
        for (address, function), cost in self.cost.items():
            found[names.get(address) or plain(function)] += cost
        return found


def module_of(name):
    """A file's, whose .h, _p.h and .c are one."""
    return pathlib.PurePath(name).stem.removesuffix('_p')


def by_purpose(profile, names):
    """Instructions by what they are for, the most first. A file that has no purpose yet stands there by its own name."""
    found = collections.Counter()
    for (address, _function), cost in profile.cost.items():
        file = names[address].partition(':')[0] if address in names else pathlib.PurePath(profile.files[address]).name
        found[PURPOSE_OF.get(module_of(file), file)] += cost
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


def counted_run(build, kind, window, tool, out):
    """Messages of a run of budget.c under a tool of valgrind, which writes to `out`."""
    done = subprocess.run(['valgrind', *tool, str(build / 'budget'), str(window), kind], capture_output=True, text=True)
    said = re.search(r'^messages (\d+)$', done.stdout, re.M)
    if done.returncode != 0 or not said or not out.exists():
        raise Failed('the run that is counted failed:\n%s%s' % (done.stdout, done.stderr))
    return int(said.group(1))


def profile_of(build, name, window, caches=()):
    """(a Profile, messages) of a cell."""
    kind, phase = CELLS[name]
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / 'out'
        messages = counted_run(build, kind, window, [
            '--tool=callgrind', '--callgrind-out-file=%s' % out, '--dump-instr=yes', '--compress-strings=no',
            '--compress-pos=no', '--toggle-collect=%s' % phase, *caches], out)
        return Profile(out.read_text()), messages


def measure(build, name, window):
    profile, messages = profile_of(build, name, window)
    names = names_of(build / 'budget', sorted({address for address, _ in profile.cost}))
    functions = profile.by_function(names)
    return {'instructions': round(sum(functions.values()) / messages, 1),
            'library': round(profile.library / messages, 1),
            'variants': sorted(profile.variants),
            'purposes': {n: round(c / messages, 1) for n, c in by_purpose(profile, names).most_common()},
            'functions': {n: round(c / messages, 1) for n, c in functions.most_common() if c / messages >= SHOWN_LEAST},
            'calls': {n: round(c / messages, 2) for n, c in profile.calls.most_common() if c / messages >= 0.01}}


def measure_all(build):
    """{"submit, 1 at a time": its figures a message, ...}. Failed where callgrind, or what it runs, does not work."""
    cells = [(name, window) for window in WINDOWS for name in CELLS]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return dict(zip(('%s, %d at a time' % cell for cell in cells),
                        pool.map(lambda cell: measure(build, *cell), cells)))


# --- a message there and back ------------------------------------------------------------------------------------------

def ladder(cells, window):
    """[(purpose, instructions a message)], the most first: submit and answer together, and last the library's."""
    both = [cells['%s, %d at a time' % (name, window)] for name in MESSAGE]
    found = collections.Counter()
    for cell in both:
        found.update(cell['purposes'])
    return [*found.most_common(), ('calls of the C library', sum(cell['library'] for cell in both))]


def misses(build, window):
    """{"D1", "LL"}: simulated misses of data a message, submit and answer, in our code and what it calls."""
    found = collections.Counter()
    for name in MESSAGE:
        profile, messages = profile_of(build, name, window, CACHES)
        found.update({level: count / messages for level, count in profile.misses.items()})
    return found


def octets_copied(text, phases):
    """Of the file that dhat --mode=copy writes: octets that functions of ours had the library copy, below those phases."""
    copied = json.loads(text)
    frames = copied['ftbl']
    total = 0
    for point in copied['pps']:
        stack = [frames[i] for i in point['fs']]
        files = [found.group(1) for found in (re.search(r'\((?:in )?(\S+?)(?::\d+)?\)$', frame) for frame in stack) if found]
        caller = next((path for path in files if is_ours(path) or 'test' in pathlib.PurePath(path).parts), '')
        if is_ours(caller) and any(': %s (' % phase in frame for phase in phases for frame in stack):
            total += point['tb']
    return total


def copied(build, window):
    """Octets a message, submit and answer, that the library's memcpy and its like move for our code. A copy that the compiler
    has put in place is none of them: a few octets each."""
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / 'out'
        messages = counted_run(build, 'plain', window, ['--tool=dhat', '--mode=copy', '--num-callers=40',
                                                        '--fullpath-after=', '--dhat-out-file=%s' % out], out)
        return octets_copied(out.read_text(), {CELLS[name][1] for name in MESSAGE}) / messages
