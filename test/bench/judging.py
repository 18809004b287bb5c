"""What a figure is good for: which runs count, and whether those that do hold an aim.

    a run ──▶ reasons() to discard it ──▶ its pair is run again, REPEATS times at most
    ratios of the pairs that count ──▶ verdict(): met | missed | undecided | not judged

Nothing here measures, reads a clock or prints, so that the rules can be tested by figures made up for it.
"""
import statistics

OTHERS_MOST = 10        # per cent of a processor, the middle's or the ends', unless --others says otherwise
FULL = 0.95             # of the ends' processor: from there on it is the ends that cannot do more
RATE_OFF = 0.02         # of the rate that a load was told to keep, more or less
BACKLOG_US = 10000      # p50 of a load that keeps a rate, from where on its messages wait for one another: unhindered, and at
                        # such rates, all of these middles answer in less than a tenth of that
REPEATS = 2             # of a pair that does not count
JUDGED_PAIRS = 3        # with fewer nothing is judged: that all of them are on one side of an aim is chance too often

TAKEN_PER_SECOND = 20   # times that somebody else gets a busy processor: with its neighbours idle it is 1 to 5
STOLEN_MOST = 0.02      # of the time, by the host

TAKEN_RULE = ('A look-up\'s row is not judged where its process was preempted more than %d times a second while it was '
              'measured, or the host stole more than %.0f %% of its processor.' % (TAKEN_PER_SECOND, 100 * STOLEN_MOST))
PARTNER = 'the other run of its pair was discarded'


def rule(others_most):
    """The rule of reasons(), in words, as the output has it."""
    return ('A run is discarded where others took more than %g %% of a processor, the middle\'s or the ends\'; where it was '
            'off its rate, which is more than %.0f %% above or below the one that it was told to keep, or with a backlog (p50 '
            'beyond %d ms); and where a message was refused, lost or counted otherwise at the SMSC than at the client. With it '
            'goes the other run of its pair, and the pair is run again, %d times at most. A run that is behind its rate, or '
            'has a backlog, because its middle was full (%.0f %% of its processor) while the ends were not, counts: the middle '
            'could do no more, and misses.' % (
                others_most, 100 * RATE_OFF, BACKLOG_US // 1000, REPEATS, 100 * FULL))


def ends_full(run):
    """Whether client and SMSC had no more of their processor to use."""
    return run['ends_busy'] + run['others_on_ends'] >= FULL


def off_rate(run, rate):
    """How a load that was to keep a rate did not, '' where it did. Above it a backlog of before is caught up with."""
    found = run['messages_per_second']
    if not rate:
        return ''
    if abs(found - rate) > RATE_OFF * rate:
        return '%.0f of %d messages/s' % (found, rate)
    if run['latency_p50'] > BACKLOG_US:
        return 'a backlog, p50 %.0f ms at %.0f messages/s' % (run['latency_p50'] / 1000, found)
    return ''


def behind(run, rate):
    """How a run was off its rate where that is a finding: its middle was full, and nothing else. '' otherwise."""
    above = run['messages_per_second'] > (1 + RATE_OFF) * rate
    alone = run['middle_busy'] >= FULL and not ends_full(run) and not above
    return off_rate(run, rate) if alone else ''


def reasons(run, rate, others_most):
    """Why a run that passed all its messages is no measurement; nothing, where it is one. run: a dict of a measure.Run;
    rate: messages a second that its load was to keep, 0 for as fast as it can; others_most: per cent."""
    for where, share in (("middle's", run['others_on_middle']), ("ends'", run['others_on_ends'])):
        if 100 * share > others_most:
            yield 'others took %.0f %% of the %s processor' % (100 * share, where)
    off = off_rate(run, rate)
    if off and not behind(run, rate):
        yield 'off its rate: %s%s' % (off, ', and the ends\' processor full' if ends_full(run) else '')


def spread(values):
    """[least, median, most], or None of nothing."""
    return [min(values), statistics.median(values), max(values)] if values else None


def meets(measure, value, aim):
    """An aim is an upper limit, but for messages a second."""
    return value >= aim if measure == 'messages_per_second' else value <= aim


def verdict(measure, values, aim, least=JUDGED_PAIRS):
    """'met' or 'missed' where all values are on that side of the aim, 'undecided, N of M within' where they straddle it,
    'not judged' where they are fewer than `least`; '' without an aim."""
    if aim is None:
        return ''
    if len(values) < max(1, least):
        return 'not judged'
    within = sum(meets(measure, value, aim) for value in values)
    if within in (0, len(values)):
        return 'met' if within else 'MISSED'
    return 'undecided, %d of %d within' % (within, len(values))


def verdict_at_rate(said, subject, peer):
    """What becomes of a verdict where runs were behind their rate since their middle was full. subject, peer: (how many,
    of how many). A subject that always is misses whatever its ratio; where only some are, or the peer is and what was
    'met' may be so for that, it is undecided."""
    if said in ('', 'not judged') or not (subject[0] or peer[0]):
        return said
    if subject[0] and subject[0] == subject[1]:
        return 'MISSED'
    return said if said == 'MISSED' else 'undecided'


def taken(preempted, stolen, seconds):
    """Whether a processor was taken so often (times, seconds stolen) in those seconds that a time is not to be relied on."""
    return preempted > TAKEN_PER_SECOND * seconds or stolen > STOLEN_MOST * seconds


def verdict_if_left_alone(said, taken_by):
    """A verdict, unless the processor was taken: taken_by is what of it, {"times", "stolen"} (seconds), or None."""
    if not said or not taken_by:
        return said
    stolen = ', %.2f s stolen' % taken_by['stolen'] if taken_by['stolen'] else ''
    return 'undecided: its processor was taken %d times%s' % (taken_by['times'], stolen)


def difference(measure, before, after):
    """Of two spreads: 'noise' where they have values in common, else 'better' or 'worse'."""
    if before[0] <= after[2] and after[0] <= before[2]:
        return 'noise'
    return 'better' if (after[1] > before[1]) == (measure == 'messages_per_second') else 'worse'
