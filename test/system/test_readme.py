"""What the README tells a reader to type must work as it stands."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / 'README.md').read_text()


def block_after(heading):
    text = README.split(f'\n## {heading}\n', 1)[1]
    return re.search(r'```sh\n(.*?)```', text, re.S).group(1)


@pytest.mark.load
def test_a_first_cutover_by_hand():
    shutil.rmtree('/tmp/first', ignore_errors=True)
    done = subprocess.run(['bash', '-c', block_after('A first cutover by hand')], cwd=ROOT, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
    print(done.stdout)
    assert done.stdout.rstrip().endswith('lost=0 duplicated=0 misrouted=0')
    assert re.search(r'Version 2 is applied by the one live instance', done.stdout)
    ledger = pathlib.Path('/tmp/first/smsc.ledger').read_text()
    links = re.findall(r' MT link=(\S+) ', ledger)
    assert links.count('spark-redx') > 100 and links.count('spark-omni') > 100
    assert links.count('onenz-redx') > 100 and links.count('onenz-omni') == 0


@pytest.mark.parametrize('name', ['docker/demo.sh', 'test/run.sh', 'test/bench/run.sh', 'docker/turnout.conf.example'])
def test_the_files_it_names_are_there(name):
    assert name in README
    assert (ROOT / name).is_file()


def test_the_metrics_it_names_exist():
    known = subprocess.run([os.environ.get('TURNOUT_BUILD', str(ROOT / 'build-release')) + '/turnoutd', '--print-metrics'],
                           capture_output=True, text=True, check=True).stdout
    named = set(re.findall(r'`(turnout_\w+)`', README))
    assert named
    for name in named:
        assert f'`{name}`' in known, name
