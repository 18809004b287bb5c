"""Two runs of the benchmark side by side: what was another than then, and which differences are more than noise.

    saved run, this run ──▶ circumstances() ──▶ may absolute figures be compared? ──▶ a line a figure, with its word

A difference is called noise where the ranges of the two runs have values in common. Figures of two machines are not
compared; ratios, counts and octets are.
"""
import judging
from tables import MEASURES, NAMES, plain, sides_of, table

CIRCUMSTANCES = (('commit', 'made', 'commit'), ('compiler', 'made', 'compiler'), ('build', 'made', 'build'),
                 ('processor', 'machine', 'cpu'), ('processors', 'machine', 'processors'), ('host', 'machine', 'host'),
                 ('kernel', 'machine', 'kernel'))
SAME_MACHINE = ('processor', 'processors', 'host')
TIMES = ('ns', 'us', 'ms', 's', '% of a core')  # units of what another machine does at another speed


def circumstances(before, after):
    """{name: (then, now)} of what differs; what one of them did not write down differs."""
    pairs = {name: tuple(run.get(part, {}).get(key, 'not recorded') for run in (before, after))
             for name, part, key in CIRCUMSTANCES}
    then, now = (run['machine'].get('versions', {}) for run in (before, after))
    pairs |= {'version of ' + name: (then[name], now[name]) for name in then.keys() & now.keys()}
    pairs['pairs x seconds'] = tuple('%s x %g' % (run.get('pairs'), run.get('seconds', 0)) for run in (before, after))
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def change(measure, before, after, enough):
    """"median -> median (+N %, noise)" of two spreads, '-' where one is missing. enough: both ranges say something."""
    if not before or not after:
        return '-'
    percent = '%+.0f %%' % (100 * (after[1] / before[1] - 1)) if before[1] else 'from 0'
    word = ', ' + judging.difference(measure, before, after) if enough else ''
    return '%s -> %s (%s%s)' % (plain(before[1]), plain(after[1]), percent, word)


def figures(before, after, enough, ratios):
    """Rows of the sides' own figures, or of the ratios."""
    for cell, by_middle in after['summary'].items():
        for middle in ['ratio'] if ratios else sides_of(by_middle):
            old, new = before['summary'].get(cell, {}).get(middle), by_middle[middle]
            if old:
                yield (cell, '' if ratios else middle, *(change(m, old.get(m), new[m], enough) for m in MEASURES))


def peers_that_differ(before, after):
    """Cells in which HAProxy, which we do not change, spent another processor time beyond noise."""
    for cell, by_middle in after['summary'].items():
        old, new = (run['summary'].get(cell, {}).get('haproxy', {}).get('cpu') for run in (before, after))
        if old and new and judging.difference('cpu', old, new) != 'noise':
            yield cell


def calls(before, after):
    old = {(c['cell'], c['middle']): c['total'] or c['traced'] for c in before['calls']}
    for c in after['calls']:
        then, now = old.get((c['cell'], c['middle'])), c['total'] or c['traced']
        if then and now:
            yield c['cell'], c['middle'], '%.3f -> %.3f (%+.0f %%)' % (then, now, 100 * (now / then - 1))


def still(before, after, same_machine):
    old = {(row['name'], row['what']): row for row in before['still']}
    for row in after['still']:
        was = old.get((row['name'], row['what']))
        if was and (same_machine or row['unit'] not in TIMES):
            ranges = [r.get('range') for r in (was, row)]
            spreads = [[low, r['value'], high] for r, (low, high) in
                       ((r, found or (r['value'],) * 2) for r, found in zip((was, row), ranges))]
            yield row['name'], row['what'], change('', *spreads, all(ranges)), row['unit']


def show(before, after):
    differing = circumstances(before, after)
    same_machine = not any(name in differing for name in SAME_MACHINE)
    enough = min(before.get('pairs', 1), after['pairs']) >= judging.JUDGED_PAIRS
    print('\ndifference to the run of %s, load average %.1f then, %.1f now (medians)' % (
        before['machine']['date'], before['machine']['load_average']['before'][0],
        after['machine']['load_average']['before'][0]))
    table([('other than then', 'then', 'now'), *((name, *map(str, pair)) for name, pair in differing.items())]
          if differing else [('commit, compiler, machine and programs are the same', '', '')], right=())
    if not same_machine:
        print('another machine: its times are not compared, only ratios, counts and octets')
    print('"noise": the ranges of the two runs have values in common' if enough else
          'fewer than %d pairs in one of them: nothing is said about noise' % judging.JUDGED_PAIRS)
    strange = list(peers_that_differ(before, after)) if same_machine and enough else []
    if strange:
        print('HAProxy, which we do not change, differs by more than noise, too (%s): go by the ratios' %
              ', '.join(strange))
    parts = [(('cell', '', *(NAMES[m] for m in MEASURES)), list(figures(before, after, enough, False)) if same_machine else []),
             (('ratios', '', *(NAMES[m] for m in MEASURES)), list(figures(before, after, enough, True))),
             (('system calls per message', '', ''), list(calls(before, after))),
             (('what is no load', '', '', ''), list(still(before, after, same_machine)))]
    for head, rows in parts:
        if rows:
            print()
            table([head, *rows], right=range(2, len(head) - (len(head) == 4)))
    if not any(rows for _, rows in parts):
        print('nothing that both have measured')
