"""What an installed package holds, and that what it needs is written down."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ('rstoolbox', 'configs', 'tools', 'requirements', 'setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md',
           'LICENSE', 'model-index.yml')


def _run(*arguments, path=None, cwd=None):
    environment = dict(os.environ, OMP_NUM_THREADS='1', **({'PYTHONPATH': str(path)} if path else {}))
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, cwd=cwd,
                          env=environment, timeout=600)
    assert done.returncode == 0, f'{done.stdout[-4000:]}\n{done.stderr[-4000:]}'
    return done.stdout


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """A wheel, built from a copy of the sources so that the checkout stays clean."""
    folder = tmp_path_factory.mktemp('wheel')
    for name in SOURCES:
        source, target = ROOT / name, folder / 'source' / name
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns('__pycache__'))
        else:
            shutil.copy(source, target)
    _run('-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '--no-index', '--disable-pip-version-check',
         '-w', folder, folder / 'source')
    return next(folder.glob('*.whl'))


@pytest.fixture(scope='module')
def site(wheel):
    """A folder that the wheel is installed to."""
    folder = wheel.parent / 'site'
    _run('-m', 'pip', 'install', '--no-deps', '--no-index', '--disable-pip-version-check', '--target', folder, wheel)
    return folder


@pytest.mark.parametrize('folder', ['configs', 'tools'])
def test_configs_and_tools_travel_in_the_wheel(wheel, folder):
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob('*')
             if path.is_file() and '__pycache__' not in path.parts]
    assert files
    assert {f'rstoolbox/.mim/{name}' for name in files} <= names


def test_nothing_else_travels_in_the_wheel(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert 'rstoolbox/.mim/model-index.yml' in names
    assert all(name.startswith(('rstoolbox/', 'rstoolbox-')) for name in names)
    assert not [name for name in names if name.endswith('.pyc') or '__pycache__' in name]


def test_an_installed_package_lends_its_configs(site, tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'rstoolbox::sembridge/r18_ms2rgb.py'\nmax_epochs = 7\n")
    code = ('import rstoolbox.registry\nfrom mmengine.config import Config\n'
            "cfg = Config.fromfile('mine.py')\nprint(rstoolbox.__file__, cfg.model.type, cfg.max_epochs)")
    where, model, epochs = _run('-c', code, path=site, cwd=tmp_path).split()
    assert where == str(site / 'rstoolbox' / '__init__.py')
    assert (model, epochs) == ('Distiller', '7')


@pytest.mark.parametrize('room', ['engine', 'models'])
def test_an_import_prints_nothing(room):
    assert _run('-c', f'import rstoolbox.{room}', path=ROOT) == ''


def test_an_installed_package_reads_its_own_config_by_name(site, tmp_path):
    code = ('from rstoolbox.engine.config import load_config\n'
            "print(load_config('rstoolbox::sembridge/r18_ms2rgb.py').filename)")
    assert _run('-c', code, path=site, cwd=tmp_path).startswith(str(site))


def test_every_import_of_the_package_is_a_requirement():
    required = _requirements('runtime') | _requirements('falcon') | _requirements('dense')
    distributions = packages_distributions()
    missing = {}
    for path in (ROOT / 'rstoolbox').rglob('*.py'):
        for module in _imported(path) - sys.stdlib_module_names - {'rstoolbox'}:
            names = {_normal(name) for name in distributions.get(module, [module])}
            if not names & required:
                missing.setdefault(module, path.relative_to(ROOT).as_posix())
    assert not missing


def test_every_bound_has_its_reason_beside_it():
    for path in (ROOT / 'requirements').glob('*.txt'):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if re.match(r'[\w-]+[<>=!~]', line):
                # One reason may stand above several lines that follow each other.
                above = next(other for other in reversed(lines[:number]) if not re.match(r'[\w-]+[<>=!~]', other))
                assert above.startswith('#'), f'{path.name}: {line} has no reason'


def test_the_model_index_names_every_metafile_and_they_name_configs_that_exist():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    metafiles = [path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').rglob('metafile.yml')]
    assert sorted(index) == sorted(metafiles)
    for metafile in metafiles:
        for model in yaml.safe_load((ROOT / metafile).read_text())['Models']:
            assert (ROOT / model['Config']).is_file(), f'{metafile}: {model["Name"]}'


def _requirements(name):
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return {_normal(re.match(r'[\w-]+', line).group()) for line in lines if re.match(r'[\w-]', line)}


def _normal(name):
    return name.lower().replace('_', '-')


def _imported(path):
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name.partition('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules.add(node.module.partition('.')[0])
    return modules
