"""Figures of runs: medians with ranges, ratios pair by pair, machine, what was discarded, differences to another day.

    runs ──▶ summarise(): {cell: {middle: {measure: [least, median, most]}, "ratio": the same}} ──▶ show(), --json
"""
import dataclasses
import os
import pathlib
import platform
import re
import statistics
import time

from comparisons import meets

NAMES = {'messages_per_second': 'messages/s', 'cpu': 'CPU per message', 'latency_p50': 'p50', 'latency_p99': 'p99'}
MEASURES = ('messages_per_second', 'cpu', 'latency_p50', 'latency_p99')


def line(run):
    if run.discarded:
        return '%-20s%-15s discarded: %s' % (run.cell, run.middle, '; '.join(run.discarded))
    return '%-20s%-15s%9.0f messages/s  %7.3f CPU-s per million  p50 %8.0f us  p99 %8.0f us  others %3.0f %%' % (
        run.cell, run.middle, run.messages_per_second, run.cpu, run.latency_p50, run.latency_p99,
        100 * run.others_on_middle)


def machine(world, middles):
    cpuinfo = pathlib.Path('/proc/cpuinfo').read_text()
    model = re.search(r'^model name\s*: (.*)$', cpuinfo, re.M)
    return {'cpu': model.group(1) if model else platform.machine(), 'processors': os.cpu_count(),
            'kernel': platform.release(), 'middle_on': world.middle_cpu, 'ends_on': world.ends_cpu,
            'versions': {m.name: m.version() for m in middles}, 'date': time.strftime('%Y-%m-%d %H:%M:%S %Z')}


def spread(values):
    """[least, median, most], or None"""
    return [min(values), statistics.median(values), max(values)] if values else None


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
                           for m in MEASURES + ('cpu_user', 'cpu_system', 'others_on_middle')}
    summary['ratio'] = {m: spread([p[subject][m] / p[peer][m] for p in pairs if p[peer][m]]) for m in MEASURES}
    return summary


def summarise(runs, compared):
    return {c.name: summarise_cell([run for run in runs if run['cell'] == c.name], c.subject.label, c.peer.label)
            for c in compared}


def judge(summary, compared):
    """A row for each aim: what, how much, and whether it was met."""
    rows = []
    for c in compared:
        for measure, aim in c.aims:
            ratio = summary[c.name]['ratio'][measure]
            rows.append({'cell': c.name, 'what': '%s, %s / %s' % (NAMES[measure], c.subject.label, c.peer.label),
                         'measure': measure, 'aim': aim, 'ratio': ratio,
                         'met': None if not ratio or aim is None else meets(measure, ratio[1], aim)})
    return rows


def result(machine_facts, chosen, runs, calls, found):
    runs = [dataclasses.asdict(run) for run in runs]
    summary = summarise(runs, chosen.cells)
    return {'machine': machine_facts, 'pairs': chosen.pairs, 'seconds': chosen.seconds, 'summary': summary,
            'aims': judge(summary, chosen.cells), 'still': found,
            'calls': [dataclasses.asdict(c) for c in calls], 'runs': runs}


def ranged(values, form, scale=1):
    """"median [least-most]", or the median alone where there was one run"""
    if not values:
        return '-'
    least, median, most = (form % (scale * value) for value in values)
    if values[0] == values[2]:
        return median
    return '%s [%s-%s]' % (median, least, most)


def table(rows, right=range(2, 99)):
    """Columns as wide as they need; those in `right` to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print('  '.join(cell.rjust(w) if i in right else cell.ljust(w)
                        for i, (cell, w) in enumerate(zip(row, widths))).rstrip())


def show_machine(result):
    facts = result['machine']
    print('%s, %d processors, Linux %s; middle on processor %d, client and SMSC on %d' % (
        facts['cpu'], facts['processors'], facts['kernel'], facts['middle_on'], facts['ends_on']))
    print('%s; %s' % (', '.join(dict.fromkeys(facts['versions'].values())) or 'no middle', facts['date']))
    print('%d pair(s) of %g s; load average %.1f before, %.1f after; took %.0f s' % (
        result['pairs'], result['seconds'], facts['load_average']['before'][0], facts['load_average']['after'][0],
        result['took_seconds']))


def show_figures(summary):
    rows = [('cell', 'middle', '1000 messages/s', 'CPU-s per million', 'user', 'system', 'p50 us', 'p99 us', 'others')]
    for cell, by_middle in summary.items():
        for middle, m in by_middle.items():
            if middle == 'ratio':
                continue
            rows.append((cell, middle, ranged(m['messages_per_second'], '%.1f', 0.001), ranged(m['cpu'], '%.3f'),
                         *('%.3f' % m[name][1] if m[name] else '-' for name in ('cpu_user', 'cpu_system')),
                         ranged(m['latency_p50'], '%.0f'), ranged(m['latency_p99'], '%.0f'),
                         '%.0f %%' % (100 * m['others_on_middle'][1]) if m['others_on_middle'] else '-'))
    table(rows)


def show_ratios(summary):
    rows = [('the one side / the other', '', 'messages/s', 'CPU per message', 'p50', 'p99')]
    for cell, by_middle in summary.items():
        rows.append((cell, '', *(ranged(by_middle['ratio'][m], '%.2f') for m in MEASURES)))
    table(rows)


def verdict(met):
    return '' if met is None else 'met' if met else 'NOT MET'


def found_text(row):
    low, high = row.get('range', (row['value'],) * 2)
    spread = '' if low == high else ' [%s-%s]' % (plain(low), plain(high))
    return '%s%s %s' % (plain(row['value']), spread, row['unit'])


def show_aims(result):
    """The table of the targets."""
    rows = [('target', '', 'aim', 'found', '')]
    for row in result['aims']:
        sign = '>=' if row['measure'] == 'messages_per_second' else '<='
        rows.append((row['cell'], row['what'], '-' if row['aim'] is None else '%s %g' % (sign, row['aim']),
                     ranged(row['ratio'], '%.2f'), verdict(row['met'])))
    for row in result['still']:
        rows.append((row['name'], row['what'], '-' if row['aim'] is None else '<= %g %s' % (row['aim'], row['unit']),
                     found_text(row),
                     verdict(None if row['aim'] is None else row['value'] <= row['aim'])))
    table(rows, right=(2, 3))


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
               for middle, m in by_middle.items() if middle != 'ratio' and m['cpu'] and m['cpu'][1]}
    return max(spreads.items(), key=lambda item: item[1]) if spreads else None


def show_discarded(result):
    discarded = [run for run in result['runs'] + result['calls'] if run['discarded']]
    print('discarded: %s' % (len(discarded) or 'nothing'))
    for run in discarded:
        print('  %s %s%s: %s' % (run['cell'], run['middle'], ' pair %d' % (run['pair'] + 1) if 'pair' in run else
                                 ' (system calls)', '; '.join(run['discarded'])))


def show(result):
    show_machine(result)
    if result['summary']:
        print('\nmedian [least-most] of the runs')
        show_figures(result['summary'])
        print('\nmedian [least-most] of the ratios pair by pair')
        show_ratios(result['summary'])
    print()
    show_aims(result)
    print()
    if result['calls']:
        show_calls(result['calls'])
        print()
    widest = noise(result['summary'])
    if widest and result['pairs'] > 1:
        print('noise: CPU per message of the same middle differs by up to %.0f %% between runs (%s)' % (
            100 * widest[1], ' '.join(widest[0])))
    show_discarded(result)


def plain(value):
    return '%.0f' % value if value >= 100 else '%.3g' % value


def change(before, after):
    if not before or not after:
        return '-'
    return '%s -> %s (%+.0f %%)' % (plain(before), plain(after), 100 * (after / before - 1))


def calls_of(result):
    return {(c['cell'], c['middle']): c['total'] or c['traced'] for c in result['calls']}


def runs_compared(before, after):
    old_calls, new_calls = calls_of(before), calls_of(after)
    for cell, by_middle in after['summary'].items():
        for middle, new in by_middle.items():
            old = before['summary'].get(cell, {}).get(middle)
            if old:
                yield (cell, middle, *(change(*(s[name] and s[name][1] for s in (old, new))) for name in MEASURES),
                       change(old_calls.get((cell, middle)), new_calls.get((cell, middle))))


def still_compared(before, after):
    old = {(row['name'], row['what']): row['value'] for row in before['still']}
    for row in after['still']:
        if (row['name'], row['what']) in old:
            yield row['name'], row['what'], change(old[row['name'], row['what']], row['value']), row['unit']


def show_differences(before, after):
    print('\ndifference to %s, load average %.1f then (medians)' % (
        before['machine']['date'], before['machine']['load_average']['before'][0]))
    if before['machine']['cpu'] != after['machine']['cpu']:
        print('another machine: only the ratios can be compared')
    runs, still = list(runs_compared(before, after)), list(still_compared(before, after))
    if runs:
        table([('cell', '', 'messages/s', 'CPU-s per million', 'p50 us', 'p99 us', 'calls per message'), *runs])
    if still:
        table(still, right=(2,))
    if not runs and not still:
        print('nothing that both have measured')
