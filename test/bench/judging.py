"""What a figure is good for: which runs count, and whether those that do hold an aim.

    a run ──▶ reasons() to discard it ──▶ its pair is run again, REPEATS times at most
    ratios of the pairs that count ──▶ verdict(): met | missed | undecided | not judged

Nothing here measures, reads a clock or prints, so that the rules can be tested by figures made up for it.
"""
import statistics

OTHERS_MOST = 10        # per cent of a processor, the middle's or the ends', unless --others says otherwise
FULL = 0.95             # of the ends' processor: from there on it is the ends that cannot do more
RATE_LEAST = 0.99       # of the rate that a load was told to keep
REPEATS = 2             # of a pair that does not count
JUDGED_PAIRS = 3        # with fewer nothing is judged: that all of them are on one side of an aim is chance too often

PARTNER = 'the other run of its pair was discarded'


def rule(others_most):
    """The rule of reasons(), in words, as the output has it."""
    return ('A run is discarded where others took more than %g %% of a processor, the middle\'s or the ends\'; where the '
            'load was the limit, which is that it fell more than %.0f %% behind the rate that it was told to keep and the '
            'ends\' processor was full (%.0f %%); and where a message was refused, lost or counted otherwise at the SMSC '
            'than at the client. With it goes the other run of its pair, and the pair is run again, %d times at most.' % (
                others_most, 100 * (1 - RATE_LEAST), 100 * FULL, REPEATS))


def ends_full(run):
    """Whether client and SMSC had no more of their processor to use."""
    return run['ends_busy'] + run['others_on_ends'] >= FULL


def reasons(run, rate, others_most):
    """Why a run that passed all its messages is no measurement; nothing, where it is one. run: a dict of a measure.Run;
    rate: messages a second that its load was to keep, 0 for as fast as it can; others_most: per cent."""
    for where, share in (("middle's", run['others_on_middle']), ("ends'", run['others_on_ends'])):
        if 100 * share > others_most:
            yield 'others took %.0f %% of the %s processor' % (100 * share, where)
    if rate and run['messages_per_second'] < RATE_LEAST * rate and ends_full(run):
        yield 'the load was the limit: %.0f of %d messages/s, and its processor full' % (run['messages_per_second'], rate)


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


def difference(measure, before, after):
    """Of two spreads: 'noise' where they have values in common, else 'better' or 'worse'."""
    if before[0] <= after[2] and after[0] <= before[2]:
        return 'noise'
    return 'better' if (after[1] > before[1]) == (measure == 'messages_per_second') else 'worse'
