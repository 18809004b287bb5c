"""What is compared with what, and what should come of it: the table of the targets, row by row.

    comparison ──▶ two sides (a load on a middle each), run in turn ──▶ ratios ──▶ held against its aims
"""
import re

from measure import Cell, Comparison, Side

CELLS = {'1x10': 1.1, '10x10': 1.1, '100x10': 1.1, '1x100': 1.1, '10x100': 1.3, '100x100': 1.3, '1x1000': 1.5,
         '10x1000': 1.5}  # sessions x window: CPU per message, at most
SESSIONS_MOST, WINDOW_MOST = 1000, 32766  # that a middle of ours is configured for: max-binds, and half of its own window
FLOOR_WINDOW_MOST = 4096                  # WINDOW of floor.c
RATE = 20000
FLOOR = 'floor-2'  # the plain reader of PDUs that turnoutd is laid beside


def cell_of(text):
    """SESSIONSxWINDOW; ValueError of anything else."""
    found = re.fullmatch(r'([1-9]\d*)x([1-9]\d*)', text)
    if not found or int(found[1]) > SESSIONS_MOST or int(found[2]) > WINDOW_MOST:
        raise ValueError(text)
    return Cell(*map(int, found.groups()))


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
SESSIONS_FLOOR = with_itself('the same of the floor', ('1000 sessions', FLOOR, Cell(1000, 10, RATE)),
                             ('10 sessions', FLOOR, Cell(10, 10, RATE)), None)
CARRIERS_FLOOR = with_itself('carriers of the floor', ('4 carriers', 'floor-2-carriers', Cell(10, 100, carriers=4)),
                             ('1 carrier', FLOOR, Cell(10, 100)), None)
OWN_FLOORS = {'sessions': SESSIONS_FLOOR, 'carriers': CARRIERS_FLOOR}  # of what is compared with itself
ALL = [*CELLS, *SPECIAL]
# Against proxies that decode what they pass on; nothing is aimed at.
PEERS = [Comparison('node-smpp %s' % text, Side('turnoutd', 'turnoutd', cell_of(text)),
                    Side('node-smpp', 'node-smpp', cell_of(text))) for text in ('1x10', '10x10')]
WITHOUT_KANNEL = ('Kannel, the other SMPP gateway of Debian, cannot stand in the middle: what is in its packages (1.4.5: '
                  'bearerbox, smsbox, wapbox) is a client of SMSCs alone, and what would be the server for ESMEs, '
                  'opensmppbox, is not packaged')


FLOOR_LEVELS = """floor-N is turnout-floor, a plain proxy of turnoutd's shape (test/bench/floor.c): one thread, one read of a
socket that has something, one write a turn.
  floor-0   copies octets, unread, as HAProxy does
  floor-1   frames them: PDU by PDU, what is not whole yet waits for the rest
  floor-2   finds both addresses of each message, gives each request a new sequence_number and each answer its old one
With four carriers floor-2 has a connection to each and chooses by the destination's first digits.
It routes, counts and limits nothing. floor-2 / haproxy is what reading PDUs costs in this one plain implementation; another
may do it for less, so that an aim which the floor misses, too, is not shown to be out of reach. turnoutd / floor-2 is what
turnoutd does beyond it: carrier, route, window, accounts (--still instructions says how much of it for what).
floor-1 and floor-0 / haproxy say how much of the floor is the finding, the framing and the copying."""


def over_haproxy(name, floor=FLOOR):
    """The comparison of a floor with HAProxy, under the load of that cell."""
    return '%s %s' % (name, floor)


def over_floor(name):
    """The comparison of turnoutd with the floor, under the load of that cell."""
    return '%s turnoutd' % name


def floors(cells):
    """For each of those cells: turnoutd over the floor, and the floors, from that one down to the one that reads nothing,
    over HAProxy. For many sessions over few, and for four carriers over one, the floor's own. Nothing is aimed at."""
    found = []
    for c in [c for c in cells if c.name in CELLS]:
        pairs = [(over_floor(c.name), 'turnoutd', FLOOR)]
        pairs += [(over_haproxy(c.name, floor), floor, 'haproxy') for floor in (FLOOR, 'floor-1', 'floor-0')]
        found += [Comparison(name, Side(subject, subject, c.subject.cell), Side(peer, peer, c.subject.cell),
                             (('cpu', None),)) for name, subject, peer in pairs]
    return found + [own for name, own in OWN_FLOORS.items() if SPECIAL[name] in cells]


def comparison(name):
    """By its name in the command line: SESSIONSxWINDOW, or one of SPECIAL."""
    return SPECIAL[name] if name in SPECIAL else against_haproxy(name)
