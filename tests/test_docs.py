"""The docs name everything that a config can name, and every command."""

from pathlib import Path

import pytest

from rstoolbox import registry

ROOT = Path(__file__).resolve().parents[1]
TEXT = '\n'.join(path.read_text() for path in sorted((ROOT / 'docs').rglob('*.md')))
REGISTRIES = [value for value in vars(registry).values() if isinstance(value, registry.Registry)]
TOOLS = sorted([*(ROOT / 'tools').rglob('*.py'), *(ROOT / 'tools').glob('*.sh')])


@pytest.mark.parametrize('kind', REGISTRIES, ids=lambda kind: kind.name)
def test_every_type_of_the_toolbox_is_named(kind):
    kind.import_from_location()
    own = [name for name, value in kind.module_dict.items() if value.__module__.startswith('rstoolbox.')]
    assert [name for name in own if name not in TEXT] == []


def test_every_command_is_named():
    assert len(TOOLS) > 20
    assert [path.name for path in TOOLS if path.name not in TEXT] == []
