"""A whole window through a running turnoutd: two carriers, their legs, their messages, and the report of it."""
import html.parser
import json
import re
import time

import pytest

import wire
from harness import PATIENCE, number_of
from peers import answer_all


@pytest.fixture
def night(world, tmp_path):
    """Two carriers on both platforms, which answer; and the plan: 5001 and 5002 of spark, 5001 of onenz."""
    for carrier in ('spark', 'onenz'):
        for platform in ('redx', 'omni'):
            world.smsc(carrier, platform).answers = answer_all
    world.client()
    world.routes(shortcodes=('5001', '5002'))
    plan = tmp_path / 'night.csv'
    plan.write_text('shortcode,carrier,to\n5001,spark,omni\n5002,spark,omni\n5001,onenz,omni\n')
    now = time.time()
    times = [text for option, at in (('--start', now - 60), ('--end', now + 3600))
             for text in (option, time.strftime('%Y-%m-%dT%H:%M:%S+00:00', time.gmtime(at)))]
    world.window = lambda *args, **options: world.ctl('window', args[0], 'night', *args[1:], **options)[1]
    world.create = lambda: world.window('create', str(plan), *times, '--ticket', 'CHG-7', '--why', 'Spark and One NZ')
    return world


def platforms(client, source, carrier, count=3):
    """Where so many messages went."""
    seen = set()
    for _ in range(count):
        sent = client.submit(source=source, dest=number_of(carrier))
        answer = client.expect('submit_sm_resp', seq=sent.seq, status=0)
        seen.add(re.match(r'\w+-(\w+)#', wire.response_id(answer)).group(1))
    return seen


def report_when(world, look):
    """The report, once what the instances have written is in it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        report = world.window('report')['report']
        if look(report):
            return report
        assert time.monotonic() < deadline, json.dumps(report)
        time.sleep(0.1)  # instances write each second


def sums(report, carrier):
    return next(one for one in report['carriers'] if one['carrier'] == carrier)['messages']


def went_back(report, carrier):
    return next(one for one in report['carriers'] if one['carrier'] == carrier)['went_back']


def carried(**counts):
    return dict(dict.fromkeys(('routes', 'uncounted', 'mt_accepted', 'mt_refused', 'mt_unknown', 'refused', 'mo',
                               'receipts'), 0), **counts)


@pytest.mark.sanitize
def test_a_night_with_two_carriers(night):
    world = night
    world.start()
    client = world.bound()
    assert platforms(client, '5001', 'spark') == {'redx'}
    world.create()
    world.window('check')
    started = world.window('start')
    # Nothing has moved, and yet the legs to come are there.
    for link in ('spark-omni', 'onenz-omni'):
        assert world.smscs[link].leg(), link
    assert started['barrier']['complete']
    assert platforms(client, '5001', 'spark') == platforms(client, '5001', 'onenz') == {'redx'}

    step = world.window('step', '--why', 'Spark is ready')
    assert (step['carrier'], len(step['moves'])) == ('spark', 2)
    assert platforms(client, '5001', 'spark', 5) == platforms(client, '5002', 'spark', 2) == {'omni'}
    assert platforms(client, '5001', 'onenz') == {'redx'}

    strict = world.window('step', '--strict', '--confirm-within', '10m')
    assert strict['carrier'] == 'onenz'
    world.ctl('confirm', str(strict['version']))
    assert platforms(client, '5001', 'onenz', 4) == {'omni'}
    world.ctl('rollback', '5002', '--why', 'no receipts of 5002')
    assert platforms(client, '5002', 'spark') == {'redx'}
    code, answer = world.ctl('window', 'finish', 'night', check=False)
    assert code == 14 and answer['unfinished'] == ['5002 spark is on redx, not on omni']

    report = report_when(world, lambda report: sums(report, 'spark')['mt_accepted'] == 5
                         and sums(report, 'onenz')['mt_accepted'] == 4 and went_back(report, 'spark')['mt_accepted'])
    check_report(report, started['version'], step['version'], strict)
    check_documents(world, report)

    back = world.window('rollback', '--why', 'One NZ has second thoughts')
    assert back['barrier']['complete'] and len(back['moves']) == 2 + 1  # 5002, too: it goes nowhere any more
    assert platforms(client, '5001', 'spark') == platforms(client, '5001', 'onenz') == {'redx'}
    report = report_when(world, lambda report: went_back(report, 'onenz')['mt_accepted']
                         and went_back(report, 'spark')['mt_accepted'] > 2)
    assert went_back(report, 'spark') == carried(routes=2, mt_accepted=5 + 2)
    assert went_back(report, 'onenz') == carried(routes=1, mt_accepted=4)
    assert report['summary']['went_back'] == carried(routes=3, mt_accepted=11)
    assert (report['window']['state'], report['summary']['moved'], report['summary']['waiting']) == ('rolled_back', 0, 3)
    last = report['changes'][-1]
    assert (last['kind'], last['undoes_window'], last['why']) == ('rollback', True, 'One NZ has second thoughts')
    assert report['events'][-1]['text'] == 'window night was rolled back'


def test_a_move_by_itself_waits_until_the_link_binds(night, tmp_path):
    world = night
    omni = world.smscs['spark-omni']
    omni.bind_status = wire.RBINDFAIL
    (world.directory / 'state-2').mkdir()
    daemons = [world.start(), world.start(instance='test-2', state_directory=str(world.directory / 'state-2'))]
    now = time.time()

    def at(seconds):
        return time.strftime('%Y-%m-%dT%H:%M:%S+00:00', time.gmtime(now + seconds))
    plan = tmp_path / 'timed.csv'
    plan.write_text('shortcode,carrier,to,at\n5001,spark,omni,%s\n' % at(-30))
    world.window('create', str(plan), '--start', at(-60), '--end', at(3600))
    version = world.window('start')['version']
    for daemon in daemons:
        told = daemon.wait_event('window_alarm', timeout=20)
        assert told['window'] == 'night' and 'cannot bind spark-omni' in told['why'], told
    (alarm,) = world.window('show')['alarms']
    assert alarm['what'] == told['why'] and alarm['cells'] == ['5001 spark redx omni']
    assert world.ctl('alarms')[1]['alarms'] == world.ctl('status')[1]['alarms'] == [alarm]
    assert int(world.redis.call('GET', world.prefix + ':version')) == version, 'nothing moved'
    omni.bind_status = 0
    world.window('pause'), world.window('resume')  # or ten seconds
    for daemon in daemons:
        daemon.wait_version(version + 1)
    entry = world.ctl('log', '--last', '1')[1]['changes'][0]
    assert (entry['version'], entry['kind'], entry['who'], len(entry['moves'])) == (version + 1, 'flip', 'window-timer', 1)
    assert len(world.ctl('alarms')[1]['alarms']) == 1


def check_report(report, started, stepped, strict):
    """It says what happened, and nothing else."""
    changes = {change['version']: change for change in report['changes']}
    assert list(changes) == list(range(started, strict['version'] + 2))
    assert [change['kind'] for change in report['changes']] == ['window', 'flip', 'flip', 'flip', 'rollback']
    assert [len(change['moves']) for change in report['changes']] == [3, 2, 1, 1, 1]
    assert changes[stepped]['why'] == 'Spark is ready' and changes[stepped]['who'] == 'tester'
    for change in report['changes']:
        assert list(change['applied']) == ['test-1'], change
        assert 0 <= change['slowest_ms'] < PATIENCE * 1000 and change['barrier']['complete']
        assert change['in_window'] and not change['outside']
    assert changes[strict['version']]['outcome']['outcome'] == 'confirmed'
    (hold,) = report['holds']
    assert (hold['from_version'], hold['to_version'], hold['routes']) == (strict['held_version'], strict['version'], 1)
    assert hold['ms'] == changes[strict['version']]['at_ms'] - changes[strict['held_version']]['at_ms']
    summary = report['summary']
    assert (summary['routes'], summary['moved'], summary['waiting'], summary['rollbacks']) == (3, 2, 1, 1)
    assert summary['messages']['mt_unknown'] == 0
    assert summary['went_back'] == went_back(report, 'spark') == carried(routes=1, mt_accepted=2)
    routes = {(route['shortcode'], route['carrier']): route for route in report['routes']}
    assert routes['5001', 'spark']['moved_version'] == stepped
    assert routes['5002', 'spark']['moved_ms'] is None and routes['5002', 'spark']['platform'] == 'redx'
    assert routes['5001', 'onenz']['held_ms'] == hold['ms']
    assert routes['5001', 'onenz']['went_back'] is None
    back = routes['5002', 'spark']['went_back']
    assert (back['left_version'], back['counted'], back['mt_accepted']) == (strict['version'] + 1, True, 2)
    assert routes['5001', 'spark']['evidence']['now']['mt_accepted'] == 5
    assert [event['kind'] for event in report['events']] == [
        'window_opened', 'carrier_moved', 'carrier_moved', 'confirmed', 'rolled_back']
    assert report['events'][-1]['why'] == 'no receipts of 5002'


class Tables(html.parser.HTMLParser):
    """Every element is closed in turn; the cells by row."""

    def __init__(self):
        super().__init__()
        self.open, self.rows = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ('meta', 'br'):
            self.open.append(tag)
        if tag == 'tr':
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ['td']:
            self.rows[-1].append(data)


def check_documents(world, report):
    """Markdown and HTML hold the rows that the JSON has."""
    folder = world.directory
    for name in ('markdown', 'html', 'json'):
        world.window('report', '--format', name, '--output', str(folder / ('report.' + name)))
    text = (folder / 'report.markdown').read_text()
    assert any(line.startswith('| 5002 | spark |') and ' | - | - | ' in line for line in text.splitlines())
    assert text.startswith('# Migration window night\n')
    rows = [line for line in text.splitlines() if line.startswith('| 5001 | spark | redx | omni | omni | open | moved')]
    assert len(rows) == 1
    assert '2 of 3 routes have moved' in text and 'no receipts of 5002' in text
    assert '9 messages accepted by the carriers, 0 refused by them' in text and '0 of unknown outcome' in text
    assert 'Of 1 route that went back the new platforms carried before, not among these: 2 messages accepted' in text
    assert '| spark | 1 | 2 | 0 | 0 | 0 | 0 | 0 | 0 |' in text.split('until then')[1]
    widths = {len(re.findall(r'(?<!\\)\|', line)) for line in text.split('## Routes')[1].splitlines() if line}
    assert len(widths) == 1, 'every row has every column'
    page = (folder / 'report.html').read_text()
    assert 'src=' not in page and 'href=' not in page, 'it needs nothing else'
    parser = Tables()
    parser.feed(page)
    assert parser.open == []
    assert [row[:2] for row in parser.rows if row[:2] == ['5001', 'onenz']] == [['5001', 'onenz']]

    written = json.loads((folder / 'report.json').read_text())
    assert written['changes'] == report['changes']


def totals(report, carrier, name='mt_accepted'):
    found = next(one for one in report['carriers'] if one['carrier'] == carrier)['totals']
    return {one['platform']: one[name] for one in found}


@pytest.mark.sanitize
def test_every_turn_of_a_route_is_in_the_report(night):
    """Moved, back, moved again, back, and once outside of the paused window: the report against what the SMSCs took."""
    world = night
    world.start()
    client = world.bound()
    assert platforms(client, '5001', 'spark', 2) == {'redx'}
    world.create()
    world.window('start')
    taken = {'redx': 0, 'omni': 0}
    time.sleep(1.1 - time.time() % 1)  # the routes keep whole seconds

    def send(platform, count):
        assert platforms(client, '5001', 'spark', count) == {platform}
        taken[platform] += count

    for count in (5, 7):
        world.window('step', '--carrier', 'spark')
        send('omni', count)
        world.ctl('rollback', '--why', 'no receipts')
        send('redx', count - 3)
    report = report_when(world, lambda report: totals(report, 'spark') == taken)
    assert report['summary']['totals'] == next(one for one in report['carriers'] if one['carrier'] == 'spark')['totals']
    assert went_back(report, 'spark') == carried(routes=2, uncounted=1, mt_accepted=12)
    world.window('step', '--carrier', 'spark')
    world.window('pause', '--why', 'a look')
    world.ctl('flip', '5001', '--carrier', 'spark', '--from', 'omni', '--to', 'redx', '--outside-window', '--why', 'by hand')
    send('redx', 2)
    report = report_when(world, lambda report: totals(report, 'spark') == taken)
    event = next(event for event in report['events'] if event['version'] == report['changes'][-1]['version'])
    assert (event['kind'], event['in_window'], event['why']) == ('carrier_moved', False, 'by hand')
    world.window('report', '--output', str(world.directory / 'turns.markdown'))
    text = ' '.join((world.directory / 'turns.markdown').read_text().split())
    assert '| spark | omni | 12 | 12 | 0 | 0 | 0 | 0 | 0 |' in text
    assert '| spark | redx | %d | %d |' % (taken['redx'], taken['redx']) in text
    assert 'Lost by Turnout: 0' in text and 'since the routes first moved: 0;' in text and '(outside of the window)' in text
