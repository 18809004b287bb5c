"""The system tests' world and fixtures, for peers that are not ours."""
import importlib.util
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
SYSTEM = HERE.parent / 'system'
sys.path.insert(0, str(SYSTEM))

_spec = importlib.util.spec_from_file_location('system_conftest', SYSTEM / 'conftest.py')
_system = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_system)

pytest_configure = _system.pytest_configure
pytest_runtest_makereport = _system.pytest_runtest_makereport
redis_shared = _system.redis_shared
world = _system.world


@pytest.fixture(scope='session')
def node_modules():
    """The npm package smpp, at the version of package-lock.json."""
    if not (HERE / 'node_modules/smpp').is_dir():
        done = subprocess.run(['npm', 'ci', '--no-audit', '--no-fund'], cwd=HERE, capture_output=True, text=True,
                              timeout=300, check=False)
        assert done.returncode == 0, 'npm ci: ' + done.stdout + done.stderr
    return HERE
