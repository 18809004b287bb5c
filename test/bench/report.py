"""Figures of runs: medians with ranges, ratios pair by pair, what of it holds the aims, what was discarded.

    runs ──▶ summarise(): {cell: {side: {measure: [least, median, most]}, "ratio": the same, "ratios": each pair's}}
         ──▶ judge(): a row an aim ──▶ show(), --json, drawing.py
"""
import dataclasses
import textwrap

import judging
from comparisons import FLOOR, FLOOR_LEVELS, OWN_FLOORS, SPECIAL, over_floor, over_haproxy
from judging import spread
from tables import MEASURES, NAMES, plain, ranged, sides_of, table

WIDE = 120
SHARES = ('middle_busy', 'ends_busy', 'others_on_middle', 'others_on_ends')
WORKERS = ('The two workers of "%s" share the one processor of the middle, so that what is compared is the CPU per message, '
           'what sharing the work costs. It is the processor time of the middle alone, so it does not depend on who is the '
           'limit; whether the load was shows in "ends" above (%.0f %% and more: their processor was full).' % (
               SPECIAL['workers'].name, 100 * judging.FULL))
CHAIN = ('messages/s are those of the whole chain: client and SMSC share the ends\' processor. "ends full" stands where '
         'they had no more of it to use in most runs of a side: then they were the limit, the middle could do more, and '
         'the CPU per message says how much.')
OBSERVATION = ('what the instructions of a message are for, metrics and counters of each route among them: --still '
               'instructions')


def line(run):
    if run.discarded:
        return '%-20s%-15s discarded: %s' % (run.cell, run.middle, '; '.join(run.discarded))
    return '%-20s%-15s%9.0f messages/s  %7.3f CPU-s per million  p50 %8.0f us  p99 %8.0f us  others %3.0f and %3.0f %%%s' % (
        run.cell, run.middle, run.messages_per_second, run.cpu, run.latency_p50, run.latency_p99,
        100 * run.others_on_middle, 100 * run.others_on_ends, '  middle full: ' + run.behind if run.behind else '')


# --- figures ----------------------------------------------------------------------------------------------------------

def summarise_cell(runs, subject, peer):
    good = [run for run in runs if not run['discarded']]
    by_pair = {}
    for run in good:
        by_pair.setdefault(run['pair'], {})[run['middle']] = run
    pairs = [pair for pair in by_pair.values() if subject in pair and peer in pair]
    summary = {}
    for middle in dict.fromkeys(run['middle'] for run in runs):
        own = [run for run in good if run['middle'] == middle]
        summary[middle] = {m: spread([run[m] for run in own])
                           for m in MEASURES + SHARES + ('cpu_user', 'cpu_system')}
        summary[middle]['behind'] = [sum(bool(run['behind']) for run in own), len(own)]
        summary[middle]['ends_full'] = 2 * sum(map(judging.ends_full, own)) > len(own)
    ratios = {m: [p[subject][m] / p[peer][m] for p in pairs if p[peer][m]] for m in MEASURES}
    return summary | {'ratios': ratios, 'ratio': {m: spread(values) for m, values in ratios.items()}}


def summarise(runs, compared):
    return {c.name: summarise_cell([run for run in runs if run['cell'] == c.name], c.subject.label, c.peer.label)
            for c in compared}


def floor_of(summary, cell, measure, aim):
    """What the floor says of an aim: {"over": floor / peer, "under": turnoutd / floor, "beyond": the floor alone is beyond
    the aim, in each pair}; {} where it was not measured."""
    own = {SPECIAL[name].name: its.name for name, its in OWN_FLOORS.items()}
    over = own.get(cell) or over_haproxy(cell)
    if over not in summary or not summary[over]['ratio'][measure]:
        return {}
    values = summary[over]['ratios'][measure]
    under = summary.get(over_floor(cell), {}).get('ratio', {}).get(measure)
    return {'over': summary[over]['ratio'][measure], 'under': under,
            'beyond': judging.verdict(measure, values, aim) == 'MISSED'}


def judge(summary, compared, quick=False):
    """A row for each aim: what, how much, and what is to be said of it."""
    rows = []
    for c in compared:
        for measure, aim in [(measure, aim) for measure, aim in c.aims if aim is not None]:
            found = summary[c.name]
            behind = {label: found[label]['behind'] for label in (c.subject.label, c.peer.label) if label in found}
            verdict = 'not judged' if quick else judging.verdict_at_rate(
                judging.verdict(measure, found['ratios'][measure], aim), *(behind.get(label, (0, 0)) for label in (
                    c.subject.label, c.peer.label)))
            full = [label for label, side in sides_of(found).items() if side['ends_full']]
            rows.append({'cell': c.name, 'what': '%s, %s / %s' % (NAMES[measure], c.subject.label, c.peer.label),
                         'measure': measure, 'aim': aim, 'ratio': found['ratio'][measure], 'verdict': verdict,
                         'behind': {label: its for label, its in behind.items() if its[0]},
                         'ends_full': full if measure == 'messages_per_second' else [],
                         'floor': {} if verdict == 'met' else floor_of(summary, c.name, measure, aim)})
    return rows


def judge_still(rows, quick=False):
    """The rows of still.py with what is to be said of them; one that was measured once is held by its one value."""
    for row in rows:
        values = row.get('values', [row['value']])
        verdict = judging.verdict_if_left_alone(judging.verdict('', values, row['aim'], 1), row.get('taken'))
        yield row | {'verdict': 'not judged' if quick and verdict else verdict}


def result(provenance, chosen, runs, calls, found, unmeasured):
    """What --json writes. provenance: {"made": ..., "machine": ...}; unmeasured: {what was to be measured: why not}"""
    runs = [dataclasses.asdict(run) for run in runs]
    summary = summarise(runs, chosen.cells)
    return {**provenance, 'quick': chosen.quick, 'pairs': chosen.pairs, 'seconds': chosen.seconds,
            'rule': judging.rule(chosen.others), 'summary': summary, 'aims': judge(summary, chosen.cells, chosen.quick),
            'still': list(judge_still(found, chosen.quick)), 'unmeasured': unmeasured,
            'calls': [dataclasses.asdict(c) for c in calls], 'runs': runs}


# --- as text ----------------------------------------------------------------------------------------------------------

def say(text):
    print(textwrap.fill(text, WIDE))


def show_machine(result):
    facts, made = result['machine'], result['made']
    print('commit %s, %s, %s' % (made['commit'], made['compiler'], made['build']))
    print('%s, %d processors, %d GB, %s, Linux %s; middle on processor %d, client and SMSC on %d' % (
        facts['cpu'], facts['processors'], facts['memory_gb'], facts['host'], facts['kernel'], facts['middle_on'],
        facts['ends_on']))
    print('%s; %s' % (', '.join(dict.fromkeys(facts['versions'].values())) or 'no middle', facts['date']))
    print('%d pair(s) of %g s; load average %.1f before, %.1f after; took %.0f s' % (
        result['pairs'], result['seconds'], facts['load_average']['before'][0], facts['load_average']['after'][0],
        result['took_seconds']))
    if result['quick']:
        print('quick: one short pair is no figure to rely on, so that no aim is judged')


def show_figures(summary):
    rows = [('cell', 'middle', '1000 messages/s', 'CPU-s per million', 'user', 'system', 'p50 us', 'p99 us', 'middle',
             'ends', 'others: middle', 'ends')]
    for cell, by_middle in summary.items():
        for middle, m in sides_of(by_middle).items():
            rows.append((cell, middle, ranged(m['messages_per_second'], '%.1f', 0.001), ranged(m['cpu'], '%.3f'),
                         *('%.3f' % m[name][1] if m[name] else '-' for name in ('cpu_user', 'cpu_system')),
                         ranged(m['latency_p50'], '%.0f'), ranged(m['latency_p99'], '%.0f'),
                         *('%.0f %%' % (100 * m[name][1]) if m[name] else '-' for name in SHARES)))
    table(rows)


def show_ratios(summary):
    rows = [('the one side / the other', '', *(NAMES[m] for m in MEASURES))]
    for cell, by_middle in summary.items():
        rows.append((cell, '', *(ranged(by_middle['ratio'][m], '%.2f') for m in MEASURES)))
    table(rows)


def found_text(row):
    low, high = row.get('range', (row['value'],) * 2)
    spread = '' if low == high else ' [%s-%s]' % (plain(low), plain(high))
    how = ' (%s)' % row['how'] if row.get('how') else ''
    return '%s%s %s%s' % (plain(row['value']), spread, row['unit'], how)


def verdict_text(row):
    text = row['verdict']
    if row.get('ends_full'):
        text += ', ends full (%s)' % ', '.join(row['ends_full'])
    for label, (some, of) in row.get('behind', {}).items():
        text += ', behind its rate for its full processor (%s, %d of %d runs)' % (label, some, of)
    if row.get('floor', {}).get('beyond') and row['verdict'] == 'MISSED':
        text += ', the floor misses it, too'
    return text


def show_aims(result):
    """The table of the targets."""
    floors = any(row['floor'] for row in result['aims'])
    rows = [('target', '', 'aim', 'found', *(('floor / peer', 'turnoutd / floor') if floors else ()), '')]
    for row in result['aims']:
        sign = '>=' if row['measure'] == 'messages_per_second' else '<='
        beside = [ranged(row['floor'].get(which), '%.2f') if row['floor'] else '' for which in ('over', 'under')]
        rows.append((row['cell'], row['what'], '%s %g' % (sign, row['aim']), ranged(row['ratio'], '%.2f'),
                     *(beside if floors else ()), verdict_text(row)))
    for row in result['still']:
        rows.append((row['name'], row['what'], '-' if row['aim'] is None else '<= %g %s' % (row['aim'], row['unit']),
                     found_text(row), *(('', '') if floors else ()), verdict_text(row)))
    table(rows, right=(2, 3, 4, 5) if floors else (2, 3))


def show_notes(result):
    """What has to be known to read the tables."""
    cells = set(result['summary'])
    if result['aims'] or any(row['aim'] is not None for row in result['still']):
        say('An aim is met, or missed, where all pairs are on that side of it; where they are on both it is undecided. With '
            'fewer than %d pairs that count nothing is judged. What was measured once, or is the least of some '
            'rounds, is held by that.' % judging.JUDGED_PAIRS)
    if any(row['ends_full'] for row in result['aims']):
        say(CHAIN)
    if any(row.get('taken') for row in result['still']):
        say(judging.TAKEN_RULE)
    if SPECIAL['workers'].name in cells:
        say(WORKERS)
    if any(FLOOR in by_middle for by_middle in result['summary'].values()):
        print(FLOOR_LEVELS)
    for note in dict.fromkeys(row['note'] for row in result['still'] if row.get('note')):
        say(note)
    if not any(row['name'] == 'instructions' for row in result['still']):
        say(OBSERVATION)


def show_calls(calls):
    rows = [('system calls per message', '', 'full speed', 'strace', 'by name (strace)')]
    for c in calls:
        names = sorted(c['by_name'].items(), key=lambda item: -item[1])[:6]
        rows.append((c['cell'], c['middle'], *('-' if c[n] is None else '%.3f' % c[n] for n in ('total', 'traced')),
                     ' '.join('%s %.3f' % item for item in names)))
    table(rows, right=(2, 3))


def noise(summary):
    """The widest spread of a middle's own processor time between runs, (most - least) / median."""
    spreads = {(cell, middle): (m['cpu'][2] - m['cpu'][0]) / m['cpu'][1] for cell, by_middle in summary.items()
               for middle, m in sides_of(by_middle).items() if m['cpu'] and m['cpu'][1]}
    return max(spreads.items(), key=lambda item: item[1]) if spreads else None


def discarded_line(run):
    where = ' pair %d, try %d' % (run['pair'] + 1, run['attempt'] + 1) if 'pair' in run else ' (system calls)'
    return '  %s %s%s: %s' % (run['cell'], run['middle'], where, '; '.join(run['discarded']))


def show_discarded(result):
    say(result['rule'])
    discarded = [run for run in result['runs'] + result['calls'] if run['discarded']]
    print('discarded: %s' % ('%d runs' % len(discarded) if discarded else 'nothing'))
    for run in discarded:
        print(discarded_line(run))
    for cell, by_middle in result['summary'].items():
        good = len(by_middle['ratios']['cpu'])
        if good < result['pairs']:
            print('  %s: given up; %d of %d pairs count' % (cell, good, result['pairs']))


def show(result):
    show_machine(result)
    if result['summary']:
        print('\nmedian [least-most] of the runs; busy shares of a processor: the middle of its own, the ends of theirs, others')
        show_figures(result['summary'])
        print('\nmedian [least-most] of the ratios pair by pair')
        show_ratios(result['summary'])
    print()
    show_aims(result)
    print()
    show_notes(result)
    print()
    if result['calls']:
        show_calls(result['calls'])
        print()
    for name, why in result['unmeasured'].items():
        say('not measured: %s: %s' % (name, why))
    widest = noise(result['summary'])
    if widest and result['pairs'] > 1:
        print('noise: CPU per message of the same middle differs by up to %.0f %% between runs (%s)' % (
            100 * widest[1], ' '.join(widest[0])))
    if result['runs']:
        show_discarded(result)
