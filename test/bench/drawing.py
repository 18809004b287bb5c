"""The ratios as a picture: a bar a comparison with its range, and a mark where the aim is. SVG, written by hand."""
from html import escape

WIDTH, LEFT, ROW, BAR, TOP = 820, 250, 34, 16, 64
GOOD, BAD, PLAIN, RANGE, AIM = '#3f8f5f', '#c2553f', '#5b7ea8', '#222', '#111'


def scale_of(rows):
    most = max([row['ratio'][2] for row in rows] + [row['aim'] or 0 for row in rows])
    return (WIDTH - LEFT - 80) / max(most, 0.1)


def draw_row(y, row, scale):
    least, median, most = row['ratio']
    colour = PLAIN if row['met'] is None else GOOD if row['met'] else BAD
    middle = y + BAR / 2
    yield '<text x="%d" y="%.0f" text-anchor="end">%s</text>' % (LEFT - 8, middle + 4, escape(row['label']))
    yield '<rect x="%d" y="%.0f" width="%.1f" height="%d" fill="%s"/>' % (LEFT, y, median * scale, BAR, colour)
    yield '<line x1="%.1f" x2="%.1f" y1="%.0f" y2="%.0f" stroke="%s"/>' % (
        LEFT + least * scale, LEFT + most * scale, middle, middle, RANGE)
    yield '<text x="%.1f" y="%.0f">%.2f</text>' % (LEFT + most * scale + 6, middle + 4, median)
    if row['aim'] is not None:
        x = LEFT + row['aim'] * scale
        yield '<line x1="%.1f" x2="%.1f" y1="%.0f" y2="%.0f" stroke="%s" stroke-width="2"/>' % (
            x, x, y - 4, y + BAR + 4, AIM)


def draw(result):
    rows = [{**row, 'label': '%s: %s' % (row['cell'], row['what'].split(',')[0])} for row in result['aims'] if row['ratio']]
    height = TOP + ROW * len(rows) + 20
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">' % (
        WIDTH, height), '<rect width="100%" height="100%" fill="white"/>',
        '<text x="12" y="22" font-size="15">Ratios, median and range of %d pairs; the mark is the aim</text>' % result['pairs'],
        '<text x="12" y="42">%s; %s</text>' % (escape(result['machine']['cpu']), escape(result['machine']['date']))]
    scale = scale_of(rows) if rows else 1
    for i, row in enumerate(rows):
        parts.extend(draw_row(TOP + ROW * i, row, scale))
    return '\n'.join(parts + ['</svg>']) + '\n'
