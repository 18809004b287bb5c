"""Figures as text: columns, ranges, numbers as short as they may be."""
MEASURES = ('messages_per_second', 'cpu', 'latency_p50', 'latency_p99')
NAMES = {'messages_per_second': 'messages/s', 'cpu': 'CPU per message', 'latency_p50': 'p50', 'latency_p99': 'p99'}


def sides_of(by_middle):
    """{name: figures} of the sides in a cell of a summary."""
    return {name: figures for name, figures in by_middle.items() if name not in ('ratio', 'ratios')}


def plain(value):
    return '%.0f' % value if abs(value) >= 100 else '%.3g' % value


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
