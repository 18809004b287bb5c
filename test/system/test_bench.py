"""The judgement of test/bench, by figures made up for it: what counts, what is met, what is noise, what it says to a
wrong argument. Nothing is measured here."""
import argparse
import importlib.machinery
import importlib.util
import json
import subprocess
import sys

import pytest

from harness import ROOT

BENCH = ROOT / 'test/bench'
sys.path.append(str(BENCH))  # behind ours: both have a hostile.py

import bench  # noqa: E402
import comparisons  # noqa: E402
import counting  # noqa: E402
import differences  # noqa: E402
import drawing  # noqa: E402
import judging  # noqa: E402
import measure  # noqa: E402
import report  # noqa: E402
import still  # noqa: E402

MACHINE = {'cpu': 'a processor', 'processors': 2, 'memory_gb': 4, 'host': 'here', 'kernel': '6.1', 'middle_on': 1,
           'ends_on': 0, 'versions': {'haproxy': 'HAProxy 2.6', 'turnoutd': 'turnoutd 1'}, 'date': '2026-11-25 10:00:00 UTC',
           'load_average': {'before': [0, 0, 0], 'after': [0, 0, 0]}}
MADE = {'commit': 'abc', 'compiler': 'cc 12.2.0', 'build': 'RelWithDebInfo'}


def run_of(middle, cpu, pair=0, cell='1x10', **more):
    figures = {'messages_per_second': 1e6 / cpu, 'latency_p50': 10, 'latency_p99': 20} | more
    return measure.Run(cell, middle, pair, cpu=cpu, **figures)


def runs_of(ratios, cell='1x10', subject='turnoutd', peer='haproxy'):
    """A pair for each ratio of CPU per message."""
    return [run for pair, ratio in enumerate(ratios)
            for run in (run_of(subject, 4 * ratio, pair, cell), run_of(peer, 4, pair, cell))]


def result_of(runs, cells=('1x10',), still=(), quick=False, made=MADE, machine=MACHINE, unmeasured=()):
    chosen = argparse.Namespace(quick=quick, pairs=5, seconds=5, others=10,
                                cells=[comparisons.comparison(name) if isinstance(name, str) else name for name in cells])
    found = report.result({'made': made, 'machine': machine}, chosen, runs, [], list(still), dict(unmeasured))
    return json.loads(json.dumps(found | {'took_seconds': 1}))  # as --json has it


def verdict_of(result, measure='cpu'):
    return next(row['verdict'] for row in result['aims'] if row['measure'] == measure)


# --- what counts ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('share, rate, words', [
    ({'others_on_middle': 0.09, 'others_on_ends': 0.1}, 0, []),
    ({'others_on_middle': 0.11}, 0, ["others took 11 % of the middle's processor"]),
    ({'others_on_ends': 0.5}, 0, ["others took 50 % of the ends' processor"]),
    ({'ends_busy': 0.99}, 0, []),
    ({'ends_busy': 0.99}, 300000, ["off its rate: 250000 of 300000 messages/s, and the ends' processor full"]),
    ({'ends_busy': 0.99}, 250000, []),
    ({'ends_busy': 0.6}, 300000, ['off its rate: 250000 of 300000 messages/s']),
    ({'middle_busy': 0.97}, 300000, []),  # it is the middle that could not
    ({'middle_busy': 0.97, 'ends_busy': 0.99}, 300000,
     ["off its rate: 250000 of 300000 messages/s, and the ends' processor full"]),
    ({'latency_p50': 241000}, 250000, ['off its rate: a backlog, p50 241 ms at 250000 messages/s']),
    ({'latency_p50': 241000}, 0, []),  # as fast as it can, a window is full
])
def test_a_run_is_discarded_by_the_rule(share, rate, words):
    run = run_of('turnoutd', 4, **share)
    assert list(judging.reasons(vars(run), rate, 10)) == words


@pytest.mark.parametrize('rate, p50, middle, discarded, behind', [
    (21400, 241000, 0.7, True, False),   # it catches up with a backlog
    (21400, 241000, 0.99, True, False),  # and may well be able to
    (12000, 900, 0.7, True, False),
    (12000, 241000, 0.99, False, True),  # the middle could do no more
    (19900, 241000, 0.99, False, True),
    (19900, 900, 0.99, False, False),
])
def test_a_run_off_its_rate_counts_where_its_middle_was_full(rate, p50, middle, discarded, behind):
    run = vars(run_of('turnoutd', 4, middle_busy=middle)) | {'messages_per_second': rate, 'latency_p50': p50}
    assert bool(list(judging.reasons(run, 20000, 10))) == discarded
    assert bool(judging.behind(run, 20000)) == behind
    assert judging.behind(run, 0) == ''


def test_a_subject_whose_middle_was_full_misses_whatever_its_ratio(capsys):
    def judged(behind, ratio=1.0):
        runs = runs_of([ratio] * 3, 'sessions at 20000/s', '1000 sessions', '10 sessions')
        for run in runs:
            run.behind = '12000 of 20000 messages/s' if (run.middle, run.pair) in behind else ''
        result = result_of(runs, ['sessions'])
        report.show(result)
        return verdict_of(result), capsys.readouterr().out

    assert judged([])[0] == 'met'
    verdict, said = judged([('1000 sessions', pair) for pair in range(3)])
    assert verdict == 'MISSED' and 'behind its rate for its full processor (1000 sessions, 3 of 3 runs)' in said
    assert judged([('1000 sessions', 1)])[0] == judged([('10 sessions', 1)])[0] == 'undecided'
    assert judged([('10 sessions', pair) for pair in range(3)])[0] == 'undecided'
    assert judged([('10 sessions', 1)], 9)[0] == 'MISSED'


def tries(*outcomes):
    """The runs of a pair whose tries end so; True: it counts."""
    made = []

    def run_once(attempt):
        runs = [run_of('turnoutd', 4), run_of('haproxy', 4)]
        for run in runs:
            run.attempt, run.discarded = attempt, [] if outcomes[attempt] else ['others']
        made.append(attempt)
        return runs

    return bench.run_until_it_counts(run_once), made


def test_a_pair_is_run_again_until_it_counts():
    assert len(tries(True)[0]) == 2
    runs, made = tries(False, True)
    assert made == [0, 1] and [bool(run.discarded) for run in runs] == [True, True, False, False]
    runs, made = tries(*[False] * 9)
    assert len(made) == 1 + judging.REPEATS and all(run.discarded for run in runs)


def test_the_partner_of_a_discarded_run_goes_with_it(monkeypatch):
    def timed(name, side, *_):
        run = run_of(side.label, 4, cell=name)
        run.discarded = ['others'] if side.label == 'haproxy' else []
        return run

    monkeypatch.setattr(bench.measure, 'timed', timed)
    monkeypatch.setattr(bench, 'progress', lambda text: None)
    chosen = argparse.Namespace(seconds=1, others=10)
    middles = {'turnoutd': None, 'haproxy': None}
    for number, order in ((0, ['turnoutd', 'haproxy']), (1, ['haproxy', 'turnoutd'])):
        runs = bench.run_pair(number, 0, comparisons.comparison('1x10'), chosen, None, middles)
        assert [run.middle for run in runs] == order, 'which side is first changes'
        assert {run.middle: run.discarded for run in runs} == {'turnoutd': [judging.PARTNER], 'haproxy': ['others']}


def test_discarded_runs_are_in_no_figure_and_are_listed(capsys):
    runs = runs_of([1, 1, 1])
    odd = runs_of([9])
    for run in odd:
        run.attempt, run.discarded = 1, ['others took 40 % of the middle\'s processor']
    result = result_of(runs + odd)
    assert result['summary']['1x10']['ratio']['cpu'] == [1, 1, 1]
    assert result['summary']['1x10']['turnoutd']['cpu'] == [4, 4, 4]
    report.show(result)
    said = capsys.readouterr().out
    assert 'discarded: 2 runs' in said and "1x10 haproxy pair 1, try 2: others took 40 % of the middle's processor" in said
    assert '1x10: given up; 3 of 5 pairs count' in said
    assert ' '.join(judging.rule(10).split()) in ' '.join(said.split())


def test_what_was_not_measured_is_a_failure():
    assert bench.whole(result_of(runs_of([1])))
    none = runs_of([1])
    for run in none:
        run.discarded = ['others']
    assert not bench.whole(result_of(none))
    assert not bench.whole(result_of(runs_of([1]), unmeasured={'storm': 'wants root'}))


# --- what holds an aim ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('ratios, verdict', [
    ([0.9, 1.0, 1.1], 'met'),
    ([1.11, 1.2, 1.3], 'MISSED'),
    ([1.0, 1.0, 1.0, 1.0, 1.2], 'undecided, 4 of 5 within'),
    ([0.5, 0.5], 'not judged'),
    ([], 'not judged'),
])
def test_an_aim_is_judged_by_all_pairs(ratios, verdict):
    result = result_of(runs_of(ratios))
    assert verdict_of(result) == verdict
    drawing.draw(result)


def test_messages_a_second_are_to_be_many():
    assert verdict_of(result_of(runs_of([0.5] * 3)), 'messages_per_second') == 'met'
    assert verdict_of(result_of(runs_of([2] * 3)), 'messages_per_second') == 'MISSED'


def test_quick_judges_nothing():
    row = {'name': 'table', 'what': 'size', 'value': 99, 'unit': 'MB', 'aim': 64}
    result = result_of(runs_of([2] * 5), still=[row, row | {'aim': None}], quick=True)
    assert {found['verdict'] for found in result['aims']} == {'not judged'}
    assert [found['verdict'] for found in result['still']] == ['not judged', '']
    assert result_of([], (), [row])['still'][0]['verdict'] == 'MISSED'


def test_several_values_of_what_is_no_load_are_judged_as_pairs_are():
    row = {'name': 'storm', 'what': 'ratio', 'value': 1.9, 'values': [1.5, 1.9, 2.1], 'range': [1.5, 2.1], 'unit': '', 'aim': 2}
    assert result_of([], (), [row])['still'][0]['verdict'] == 'undecided, 2 of 3 within'


def test_where_the_ends_were_full_messages_a_second_say_so(capsys):
    runs = runs_of([1] * 3)
    for run in runs:
        run.ends_busy = 0.99 if run.middle == 'haproxy' else 0.7
    report.show(result_of(runs))
    said = capsys.readouterr().out
    assert 'met, ends full (haproxy)' in said and 'messages/s are those of the whole chain' in said


def floored(turnoutd, floor, cells=('1x10',)):
    """A run with --floor: turnoutd / haproxy, and floor-2 / haproxy."""
    base = [comparisons.comparison(name) for name in cells]
    runs = runs_of([turnoutd] * 3) + runs_of([turnoutd / floor] * 3, '1x10 turnoutd', 'turnoutd', 'floor-2')
    for level in (2, 1, 0):
        runs += runs_of([floor] * 3, '1x10 floor-%d' % level, 'floor-%d' % level)
    return result_of(runs, [*base, *comparisons.floors(base)])


def test_a_missed_aim_has_its_floor_beside_it(capsys):
    row = floored(2, 0.8)['aims'][0]
    assert row['verdict'] == 'MISSED' and row['floor'] == {'over': [0.8] * 3, 'under': [2.5] * 3, 'beyond': False}
    report.show(floored(2, 1.6))
    said = capsys.readouterr().out
    assert 'MISSED, the floor misses it, too' in said and 'out of reach:' not in said
    assert 'floor-2   finds both addresses' in said, 'what the levels do is said where they are'
    assert floored(1, 0.8)['aims'][0]['floor'] == {}
    assert [row['cell'] for row in floored(2, 1.6)['aims']] == ['1x10'] * 2, 'what nothing is aimed at is no target'


def test_a_look_up_whose_processor_was_taken_is_not_judged(capsys):
    def made(**taken):
        found = {'number_load_ms': 150, 'taken': {'number_load_ms': {'times': 3, 'stolen': 0, 'seconds': 1} | taken}}
        result = result_of([], (), [still.row_of_lookups(found, 'portability table', 'read', 'number_load_ms', 'ms', 100)])
        report.show(result)
        return result['still'][0]['verdict'], capsys.readouterr().out

    verdict, said = made()
    assert verdict == 'MISSED' and 'least of 5 rounds, page cache warm' in said
    assert made(times=21)[0] == 'undecided: its processor was taken 21 times'
    verdict, said = made(stolen=0.03)
    assert verdict == 'undecided: its processor was taken 3 times, 0.03 s stolen' and 'more than 20 times a second' in said
    assert made(times=21, seconds=2)[0] == 'MISSED'


def test_as_many_sessions_are_idle_as_files_may_be_open():
    assert still.idle_binds(1000000, 4) == still.idle_binds(51000, 4) == still.BINDS == still.idle_binds(11000, 0)
    assert 0 < still.idle_binds(20000, 4) < still.BINDS and still.idle_binds(1024, 4) == 0


# --- another day ------------------------------------------------------------------------------------------------------

def compared(before, after, capsys):
    differences.show(before, after)
    return capsys.readouterr().out


def test_a_difference_is_noise_where_the_ranges_meet():
    assert judging.difference('cpu', [1, 2, 3], [3, 4, 5]) == 'noise'
    assert judging.difference('cpu', [1, 2, 3], [4, 5, 6]) == 'worse'
    assert judging.difference('cpu', [4, 5, 6], [1, 2, 3]) == 'better'
    assert judging.difference('messages_per_second', [1, 2, 3], [4, 5, 6]) == 'better'


def test_what_was_another_than_then_is_said(capsys):
    result = result_of(runs_of([1] * 3))
    assert 'commit, compiler, machine and programs are the same' in compared(result, result, capsys)
    said = compared(result, result | {'made': MADE | {'commit': 'def', 'compiler': 'cc 13.1.0'}}, capsys)
    assert 'cc 13.1.0' in said and 'abc' in said and 'def' in said and 'another machine' not in said
    old = {name: part for name, part in result.items() if name != 'made'}
    assert 'not recorded' in compared(old, result, capsys)


def test_times_of_another_machine_are_not_compared(capsys):
    row = {'name': 'look-up', 'what': 'random', 'value': 90, 'unit': 'ns', 'aim': None}
    result = result_of(runs_of([1.0, 1.1, 1.2]), still=[row, row | {'what': 'size', 'unit': 'MB'}])
    said = compared(result, result, capsys)
    assert 'turnoutd' in said and 'random' in said and 'size' in said
    said = compared(result, result | {'machine': MACHINE | {'cpu': 'another'}}, capsys)
    assert 'another machine' in said and 'random' not in said and 'size' in said
    assert '1.1 -> 1.1 (+0 %, noise)' in said, 'ratios are'


def test_a_peer_that_differs_too_is_the_machine(capsys):
    before, after = runs_of([1] * 3), runs_of([1] * 3)
    for run in after:
        run.cpu *= 2
    said = compared(result_of(before), result_of(after), capsys)
    assert '4 -> 8 (+100 %, worse)' in said and 'HAProxy, which we do not change, differs by more than noise, too (1x10)' in said


def test_few_pairs_say_nothing_about_noise(capsys):
    few = result_of(runs_of([1])) | {'pairs': 1}
    said = compared(few, few, capsys)
    assert 'nothing is said about noise' in said and '(+0 %)' in said


# --- what is said before anything is measured -------------------------------------------------------------------------

def said_to(directory, *arguments):
    done = subprocess.run(['/usr/bin/python3', '-B', BENCH / 'bench.py', '--build', directory, '--check',
                           *map(str, arguments)], capture_output=True, text=True, timeout=30)
    assert done.stdout == '' and 'Traceback' not in done.stderr, done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize('arguments, words', [
    (['--cells', '1x10x3'], 'wanted is SESSIONSxWINDOW'),
    (['--cells', '1x0'], 'wanted is SESSIONSxWINDOW'),
    (['--cells', '1x99999999'], 'wanted is SESSIONSxWINDOW (to 1000x32766)'),
    (['--cells', '1001x1'], 'wanted is SESSIONSxWINDOW (to 1000x32766)'),
    (['--cells', ''], 'nothing is to be measured: --cells and --still name nothing'),
    (['--cells', '1x5000', '--floor'], '1x5000: the floor has a window of 4096 at most'),
    (['--pairs', '0'], 'wanted is a number of pairs, 1 or more'),
    (['--seconds', '0'], 'wanted are seconds'),
    (['--seconds', 'nan'], 'wanted are seconds'),
    (['--others', '101'], 'wanted is per cent'),
    (['--still', 'rain'], 'one of lookups'),
    (['--json', '/nowhere/run.json'], '/nowhere/run.json cannot be written'),
    (['--svg', '/'], '/ cannot be written'),
    (['--compare', '/nowhere/run.json'], '/nowhere/run.json cannot be compared with'),
    (['--compare', '/etc/hostname'], '/etc/hostname cannot be compared with'),
])
def test_wrong_arguments_are_explained(tmp_path, arguments, words):
    code, said = said_to(tmp_path, *arguments)
    assert code == 2 and words in said


def test_what_is_compared_with_is_whole(tmp_path):
    whole = result_of(runs_of([1] * 3), still=[{'name': 'table', 'what': 'size', 'value': 9, 'unit': 'MB', 'aim': 64}])
    saved = tmp_path / 'saved.json'

    def said(run):
        saved.write_text(json.dumps(run))
        return said_to(tmp_path, '--compare', saved)

    assert said(whole) == (0, '')
    empty = {'machine': {}, 'runs': [], 'summary': {}, 'still': []}
    for broken in (empty, [], whole | {'still': [{}]}, whole | {'summary': {'1x10': 3}}, whole | {'pairs': 'five'},
                   whole | {'machine': MACHINE | {'date': None, 'load_average': {}}}):
        code, words = said(broken)
        assert code == 2 and 'it is no run that --json has written' in words


def test_what_cannot_be_written_in_the_end_is_said(capsys):
    assert not bench.write(bench.pathlib.Path('/dev/full'), 'figures')
    assert '/dev/full cannot be written: No space left on device' in capsys.readouterr().err


def test_a_look_at_a_file_leaves_it_as_it_was(tmp_path):
    old, new = tmp_path / 'old', tmp_path / 'new'
    old.write_text('figures')
    assert said_to(tmp_path, '--json', new, '--svg', old) == (0, '')
    assert old.read_text() == 'figures' and not new.exists()


def test_what_the_machine_lacks_is_named(tmp_path, monkeypatch):
    chosen = argparse.Namespace(cells=[comparisons.comparison('1x10')], still=[], no_calls=True, floor=False, build=tmp_path)
    monkeypatch.setattr(bench.shutil, 'which', lambda name: None if name == 'haproxy' else '/bin/' + name)
    with pytest.raises(bench.Unready, match='not installed: haproxy. As root: apt-get install haproxy'):
        bench.look_at_machine(chosen)
    monkeypatch.setattr(bench.shutil, 'which', lambda name: '/bin/' + name)
    with pytest.raises(bench.Unready, match='has no turnoutd: test/bench/run.sh builds it'):
        bench.look_at_machine(chosen)
    (tmp_path / 'turnoutd').touch()
    monkeypatch.setattr(bench.os, 'sched_getaffinity', lambda pid: {0})
    with pytest.raises(bench.Unready, match='two processors are needed'):
        bench.look_at_machine(chosen)


# --- the budget -------------------------------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def budget():
    loader = importlib.machinery.SourceFileLoader('budget', str(BENCH / 'budget'))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader('budget', loader))
    loader.exec_module(module)
    return module


# conn.c:consume is a function that others were put into: two of ours, and the library's memcpy.
CALLGRIND = '''fl=/x/proxy/conn.c
fn=consume
0x10 5 100
fi=/x/smpp/frame.h
0x14 9 30
fi=/usr/include/string_fortified.h
0x18 29 8
fe=/x/proxy/conn.c
cfi=/usr/src/string/memmove.S
cfn=__memcpy_avx_unaligned
calls=10 0x99
0x1c 6 500
fl=/usr/src/string/memmove.S
fn=__memcpy_avx_unaligned
0x99 1 500
'''
ADDR2LINE = '''0x0000000000000010
consume
/x/proxy/conn.c:5 (discriminator 2)
0x0000000000000014
smpp_frame
/x/smpp/frame.h:9
consume
/x/proxy/conn.c:5
0x0000000000000018
memcpy
/usr/include/string_fortified.h:29
conn_forward.isra.0
/x/proxy/conn.c:77
consume
/x/proxy/conn.c:5
0x0000000000000020
??
??:0
'''


def test_an_instruction_is_of_the_function_that_it_was_written_in():
    profile = counting.Profile(CALLGRIND)
    assert profile.by_function(counting.innermost(ADDR2LINE)) == {
        'conn.c:consume': 100, 'frame.h:smpp_frame': 30, 'conn.c:conn_forward': 8}
    assert profile.by_function({}) == {'consume': 138}
    assert profile.calls == {'memcpy': 10} and profile.library == 500
    assert profile.variants == {'__memcpy_avx_unaligned'}
    assert counting.by_purpose(profile, counting.innermost(ADDR2LINE)) == {
        'copying and output': 108, 'framing and session rules': 30}
    assert counting.by_purpose(counting.Profile(CALLGRIND.replace('conn.c', 'new.c')), {})['new.c'] == 108


def test_cache_misses_are_of_ours_and_of_what_it_calls():
    text = 'events: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw\n' + CALLGRIND
    for line, more in (('0x10 5 100', ' 9 9 9 1 2 9 3 4'), ('0x1c 6 500', ' 9 9 9 10 20 9 30 40'), ('0x99 1 500', ' 9 9 9 9 9 9 9 9')):
        text = text.replace(line, line + more)
    profile = counting.Profile(text)
    assert profile.misses == {'D1': 33, 'LL': 77} and profile.library == 500


def test_copied_octets_are_those_of_our_functions_in_a_phase():
    frames = ['[root]', '0x1: memmove (shared/vg_replace_strmem.c:1390)', '0x2: consume (/x/proxy/conn.c:5)',
              '0x3: phase_answer (/x/test/bench/budget.c:30)', '0x4: phase_warm (/x/test/bench/budget.c:35)',
              '0x5: stream_pair_step (/x/proxy/stream_mem.c:9)', '0x6: peer_bytes (/x/test/unit/forward_world.h:9)']
    points = [([1, 2, 5, 3], 1000), ([1, 2, 4], 200), ([1, 6, 2, 3], 30), ([1, 2, 3], 4)]
    text = json.dumps({'ftbl': frames, 'pps': [{'tb': octets, 'fs': stack} for stack, octets in points]})
    assert counting.octets_copied(text, {'phase_request', 'phase_answer'}) == 1004


def test_every_file_of_a_message_has_a_purpose(budget):
    cells = json.loads(budget.BUDGET.read_text())['cells'].values()
    assert {file for its in cells for file in its['purposes']} <= set(counting.PURPOSES)
    files = {name.partition(':')[0] for its in cells for name in its['functions'] if ':' in name}
    assert len(files) > 20 and all(counting.module_of(file) in counting.PURPOSE_OF for file in files)
    known = {counting.module_of(path) for layer in counting.LAYERS for path in (ROOT / layer).glob('*.[ch]')}
    assert set(counting.PURPOSE_OF) <= known, 'a file that is no more'
    assert len(counting.PURPOSE_OF) == sum(len(modules.split()) for modules in counting.PURPOSES.values())
    assert sum(cost for _, cost in counting.ladder(json.loads(budget.BUDGET.read_text())['cells'], 100)) > 1000


def cell(instructions, calls=1.0, library=20, variants=('__memcpy_avx',), purposes=(), **functions):
    return {'instructions': instructions, 'functions': functions, 'calls': {'memcpy': calls}, 'library': library,
            'variants': list(variants), 'purposes': dict(purposes)}


def test_growth_names_what_grew(budget):
    before = cell(100, judge=20, look=80)
    assert budget.judge('submit', before, cell(103, judge=23, look=80)) == []
    said = budget.judge('submit', before, cell(104, judge=24, look=80))
    assert len(said) == 2 and 'the budget is 100.0 and 3 %' in said[0] and said[1].split() == ['judge', '20.0', '->', '24.0']
    assert 'memcpy is called 1.25 times' in budget.judge('submit', before, cell(100, 1.25))[0]
    assert 'new.c has no purpose' in budget.judge('submit', before, cell(100, purposes={'new.c': 3, 'metrics': 2}))[0]


def test_the_library_is_judged_where_it_chose_the_same(budget):
    before = cell(100)
    assert budget.judge('submit', before, cell(100, library=21)) == []
    assert '22.0 instructions a message in the C library, the budget is 20.0' in budget.judge(
        'submit', before, cell(100, library=22))[0]
    assert budget.judge('submit', before, cell(100, library=50, variants=['__memcpy_evex'])) == []
    assert budget.judge('submit', before, cell(100, library=50, variants=['__memcpy_avx', '__strlen_avx2']))


def test_a_revision_of_the_package_is_the_same_compiler(budget):
    debian = 'cc (Debian 12.2.0-14+deb12u1) 12.2.0 x86_64-linux-gnu'
    assert budget.same_code(debian) == budget.same_code('gcc (Debian 12.2.0-14+deb12u2) 12.2.0 x86_64-linux-gnu')
    for other in (debian.replace('12.2.0', '12.3.0'), debian.replace('x86_64', 'aarch64'),
                  'Debian clang version 12.2.0 x86_64-linux-gnu'):
        assert budget.same_code(debian) != budget.same_code(other)


def build_by(directory, compiler, kind='RelWithDebInfo'):
    """A build directory as far as it is looked at."""
    directory.mkdir()
    program = directory / 'cc'
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "cc %s" || echo x86_64-linux-gnu\n' % compiler)
    program.chmod(0o755)
    (directory / 'CMakeCache.txt').write_text('CMAKE_C_COMPILER:FILEPATH=%s\nCMAKE_BUILD_TYPE:STRING=%s\n' % (program, kind))
    (directory / 'budget').touch()
    return directory


def judged(budget, monkeypatch, capsys, *arguments):
    """(exit status, all that was said)"""
    monkeypatch.setattr(sys, 'argv', ['budget', *map(str, arguments)])
    code = budget.main()
    return code, ''.join(capsys.readouterr())


def test_another_compiler_is_no_success(budget, tmp_path, monkeypatch, capsys):
    saved = json.loads(budget.BUDGET.read_text())
    monkeypatch.setattr(budget.counting, 'measure_all', lambda build: saved['cells'])
    same = build_by(tmp_path / 'same', saved['compiler'].removeprefix('cc ').removesuffix(' x86_64-linux-gnu'))
    new = build_by(tmp_path / 'new', '(Debian 14.2.0-19) 14.2.0')
    assert judged(budget, monkeypatch, capsys, same)[0] == 0
    code, said = judged(budget, monkeypatch, capsys, new)
    assert code == 2 and 'nothing is judged' in said and '--baseline' in said and '--update' in said
    assert judged(budget, monkeypatch, capsys, new, '--baseline', build_by(tmp_path / 'old', '(Debian 14.2.0-18) 14.2.0'))[0] == 0
    code, said = judged(budget, monkeypatch, capsys, new, '--baseline', same)
    assert code == 2 and 'was built by' in said


def test_what_cannot_be_counted_is_no_success(budget, tmp_path, monkeypatch, capsys):
    code, said = judged(budget, monkeypatch, capsys, tmp_path)
    assert code == 2 and 'has no CMakeCache.txt' in said
    code, said = judged(budget, monkeypatch, capsys, build_by(tmp_path / 'debug', '(Debian) 12.2.0', 'Debug'))
    assert code == 2 and 'a build of type "Debug"' in said
