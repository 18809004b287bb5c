"""The ratios as a picture: a bar a comparison with its range, and a mark where the aim is. SVG, written by hand.

    rows of judge() ──by measure──▶ a block each, with a scale of its own: label │ bar, range, aim │ figure and verdict
"""
from html import escape

from tables import NAMES, ranged

WIDTH, LEFT, RIGHT, ROW, BAR, TOP, HEAD = 1000, 250, 330, 38, 16, 86, 26
LONGEST = 3  # of a bar, in aims: what is beyond is cut off, and has an arrow
COLOURS = {'met': '#3f8f5f', 'MISSED': '#c2553f', 'undecided': '#d9a441', 'not judged': '#8a94a3'}
LEGEND = (('met', 'all pairs within the aim'), ('undecided', 'pairs on both sides of it'), ('MISSED', 'all beyond'),
          ('not judged', 'too few pairs'))


def text(x, y, words, more=''):
    return '<text x="%.1f" y="%.1f"%s>%s</text>' % (x, y, more, escape(words))


def line(x1, y1, x2, y2, more):
    return '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#222"%s/>' % (x1, y1, x2, y2, more)


def colour_of(row):
    return COLOURS[row['verdict'].split(',')[0]]


def scale_of(rows):
    """(pixels of a ratio of 1, the greatest ratio that has room)"""
    most = min(max(max(row['ratio'][2], row['aim']) for row in rows), LONGEST * max(row['aim'] for row in rows)) * 1.03
    return (WIDTH - LEFT - RIGHT) / most, most


def draw_row(y, row, scale, most):
    least, median, greatest = (min(value, most) for value in row['ratio'])
    middle = y + BAR / 2
    yield text(LEFT - 10, middle + 4, row['cell'], ' text-anchor="end"')
    yield '<rect x="%d" y="%.1f" width="%.1f" height="%d" fill="%s"/>' % (LEFT, y, median * scale, BAR, colour_of(row))
    yield line(LEFT + least * scale, middle, LEFT + greatest * scale, middle, '')
    for end in (least, greatest):
        yield line(LEFT + end * scale, middle - 4, LEFT + end * scale, middle + 4, '')
    x = LEFT + row['aim'] * scale
    yield line(x, y - 6, x, y + BAR + 6, ' stroke-width="2.5"')
    yield text(x, y - 8, '%g' % row['aim'], ' font-size="10" text-anchor="middle"')
    yield text(WIDTH - RIGHT + 10, middle + 4, '%s%s   %s' % (
        '→ ' if row['ratio'][1] > most else '', ranged(row['ratio'], '%.2f'), row['verdict']))


def draw_block(y, measure, rows):
    """(parts, where the next one begins)"""
    best = 'at least' if measure == 'messages_per_second' else 'at most'
    parts = [text(12, y + 16, '%s, Turnout / the other side: the mark is the aim, %s' % (NAMES[measure], best),
                  ' font-weight="bold"')]
    scale, most = scale_of(rows)
    y += HEAD + 6
    parts.append(line(LEFT, y - 6, LEFT, y + ROW * len(rows) - 8, ''))
    for i, row in enumerate(rows):
        parts.extend(draw_row(y + ROW * i + 8, row, scale, most))
    return parts, y + ROW * len(rows) + 18


def legend(y):
    x = 12
    for name, meaning in LEGEND:
        yield '<rect x="%d" y="%d" width="12" height="12" fill="%s"/>' % (x, y - 10, COLOURS[name])
        words = '%s: %s' % (name, meaning)
        yield text(x + 18, y, words)
        x += 40 + 6.4 * len(words)


def draw(result):
    """The picture of what report.result() gives."""
    machine, blocks, y = result['machine'], [], TOP
    rows = [row for row in result['aims'] if row['ratio']]
    for measure in dict.fromkeys(row['measure'] for row in rows):
        parts, y = draw_block(y, measure, [row for row in rows if row['measure'] == measure])
        blocks.extend(parts)
    head = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">' % (
        WIDTH, y + 10), '<rect width="100%" height="100%" fill="white"/>',
        text(12, 24, 'Turnout against HAProxy and itself: median and range of %d pairs of %g s' % (
            result['pairs'], result['seconds']), ' font-size="16"'),
        text(12, 44, 'commit %s; %s, Linux %s; %s' % (
            result['made']['commit'], machine['cpu'], machine['kernel'], machine['date']))]
    return '\n'.join(head + list(legend(66)) + blocks + ['</svg>']) + '\n'
