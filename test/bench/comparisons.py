"""What is compared with what, and what should come of it: the table of the targets, row by row.

    comparison ──▶ two sides (a load on a middle each), run in turn ──▶ ratios ──▶ held against its aims
"""
from measure import Cell, Comparison, Side

CELLS = {'1x10': 1.1, '10x10': 1.1, '100x10': 1.1, '1x100': 1.1, '10x100': 1.3, '100x100': 1.3, '1x1000': 1.5,
         '10x1000': 1.5}  # sessions x window: CPU per message, at most
RATE = 20000


def cell_of(text):
    return Cell(*map(int, text.split('x')))


def against_haproxy(text):
    cell = cell_of(text)
    return Comparison(text, Side('turnoutd', 'turnoutd', cell), Side('haproxy', 'haproxy', cell),
                      (('cpu', CELLS.get(text)), ('messages_per_second', 0.9)))


def with_itself(name, subject, peer, aim):
    """Turnout under two loads, or with two configurations."""
    return Comparison(name, Side(*subject), Side(*peer), (('cpu', aim),))


SPECIAL = {
    'latency': Comparison('latency at %d/s' % RATE, Side('turnoutd', 'turnoutd', Cell(10, 100, RATE)),
                          Side('haproxy', 'haproxy', Cell(10, 100, RATE)), (('latency_p99', 1.2),)),
    'carriers': with_itself('carriers', ('4 carriers', 'turnoutd', Cell(10, 100, carriers=4)),
                            ('1 carrier', 'turnoutd', Cell(10, 100)), 1.6),
    'sessions': with_itself('sessions at %d/s' % RATE, ('1000 sessions', 'turnoutd', Cell(1000, 10, RATE)),
                            ('10 sessions', 'turnoutd', Cell(10, 10, RATE)), 1.5),
    'sessions-haproxy': with_itself('the same of HAProxy', ('1000 sessions', 'haproxy', Cell(1000, 10, RATE)),
                                    ('10 sessions', 'haproxy', Cell(10, 10, RATE)), None),
    'workers': with_itself('workers', ('2 workers', 'turnoutd-2-workers', Cell(10, 100)),
                           ('1 worker', 'turnoutd', Cell(10, 100)), 1.1),
    'tls': Comparison('tls', Side('turnoutd', 'turnoutd-tls', Cell(10, 100, tls=True)),
                      Side('haproxy', 'haproxy-tls', Cell(10, 100, tls=True)), (('cpu', 1.1),)),
}
SESSIONS_FLOOR = with_itself('the same of the floor', ('1000 sessions', 'floor-2', Cell(1000, 10, RATE)),
                             ('10 sessions', 'floor-2', Cell(10, 10, RATE)), None)
ALL = [*CELLS, *SPECIAL]
# Against proxies that decode what they pass on; nothing is aimed at.
PEERS = [Comparison('node-smpp %s' % text, Side('turnoutd', 'turnoutd', cell_of(text)),
                    Side('node-smpp', 'node-smpp', cell_of(text))) for text in ('1x10', '10x10')]
WITHOUT_KANNEL = ('Kannel, the other SMPP gateway of Debian, cannot stand in the middle: what is in its packages (1.4.5: '
                  'bearerbox, smsbox, wapbox) is a client of SMSCs alone, and what would be the server for ESMEs, '
                  'opensmppbox, is not packaged')


def floors(cells):
    """For each of those cells: turnoutd over the floor that does what no proxy that reads PDUs can do without, and the
    floors, from that one down to the one that reads nothing, over HAProxy. For many sessions over few, the floor's own.
    Nothing is aimed at."""
    pairs = (('turnoutd', 'floor-2'), ('floor-2', 'haproxy'), ('floor-1', 'haproxy'), ('floor-0', 'haproxy'))
    found = [Comparison('%s %s' % (c.name, subject), Side(subject, subject, c.subject.cell),
                        Side(peer, peer, c.subject.cell), (('cpu', None),))
             for c in cells if c.name in CELLS for subject, peer in pairs]
    return found + ([SESSIONS_FLOOR] if SPECIAL['sessions'] in cells else [])


def comparison(name):
    """By its name in the command line: SESSIONSxWINDOW, or one of SPECIAL."""
    return SPECIAL[name] if name in SPECIAL else against_haproxy(name)


def meets(measure, ratio, aim):
    return ratio >= aim if measure == 'messages_per_second' else ratio <= aim
