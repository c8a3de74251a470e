"""Look-ups by name: what is found, and what is said where nothing is."""

import pytest
from mmengine.config import Config

from rstoolbox import registry
from rstoolbox.registry import METRICS, MODELS, Registry, UnknownTypeError, load_plugins


@pytest.fixture
def fruits():
    fruits = Registry('fruit')
    for name in ('Apple', 'Pear', 'Quince'):
        fruits.register_module(name, module=type(name, (), {}))
    return fruits


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that installs a module as a plug-in; the plug-ins are looked for anew afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, '_plugins', {})
    monkeypatch.setattr(registry, '_plugins_loaded', False)

    def write(name, code):
        (tmp_path / f'{name}.py').write_text(code)
        info = tmp_path / f'{name}-1.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n')
        (info / 'entry_points.txt').write_text(f'[rstoolbox.plugins]\n{name}-entry = {name}\n')

    return write


def test_a_misspelt_type_names_registry_and_nearest_names(fruits):
    with pytest.raises(UnknownTypeError, match=r"'Aple' is not in the registry 'rstoolbox::fruit'.\n.*Nearest.*Apple"):
        fruits.build(dict(type='Aple'))


def test_a_type_near_to_nothing_gets_all_names(fruits):
    with pytest.raises(UnknownTypeError, match='Known names: Apple, Pear, Quince'):
        fruits.get('Zzz')


def test_an_empty_registry_says_that_it_is():
    with pytest.raises(UnknownTypeError, match='It has no names yet'):
        Registry('nothing').get('Zzz')


def test_an_unknown_type_says_how_to_add_ones_own(fruits):
    with pytest.raises(UnknownTypeError, match="(?s)custom_imports.*entry point in group 'rstoolbox.plugins'"):
        fruits.get('Durian')


def test_a_type_of_a_neighbour_is_offered_with_its_scope():
    with pytest.raises(UnknownTypeError, match=r'mmpretrain\.ResNet\b'):
        MODELS.get('ResNett')


def test_types_of_the_parent_and_of_neighbours_are_found():
    assert MODELS.get('BaseDataPreprocessor').__module__.startswith('mmengine')
    assert MODELS.get('mmpretrain.ResNet').__module__.startswith('mmpretrain')
    assert METRICS.get('mmpretrain.Accuracy').__name__ == 'Accuracy'


def test_membership_does_not_raise(fruits):
    assert 'Apple' in fruits
    assert 'Aple' not in fruits


def test_a_plugin_is_imported_before_the_first_look_up(fruits, install):
    install('orchard', 'from rstoolbox.registry import METRICS\n'
                       '@METRICS.register_module()\nclass OrchardMetric: pass\n')
    try:
        assert fruits.get('Apple')  # any registry's look-up loads the plug-ins
        assert METRICS.get('OrchardMetric').__module__ == 'orchard'
        assert load_plugins()['orchard-entry'] is None
    finally:
        METRICS.module_dict.pop('OrchardMetric', None)


def test_a_broken_plugin_is_reported_with_its_first_cause_and_others_still_load(fruits, install):
    install('broken', 'try:\n    import a_driver_nobody_has\nexcept ImportError as error:\n'
                      "    raise RuntimeError('broken could not start') from error\n")
    install('whole', '')
    with pytest.raises(UnknownTypeError) as caught:
        fruits.get('Aple')
    text = str(caught.value)
    assert "Plug-in 'broken-entry' did not load: ModuleNotFoundError: No module named 'a_driver_nobody_has'" in text
    assert 'could not start' not in text
    loaded = next(line for line in text.splitlines() if 'Plug-ins loaded' in line)
    assert 'whole-entry' in loaded
    assert 'broken-entry' not in loaded


def test_a_plugin_that_exits_is_reported_as_any_that_fails(fruits, install):
    install('leaver', "import sys\nsys.exit('no licence')\n")
    with pytest.raises(UnknownTypeError, match="'leaver-entry' did not load: SystemExit: no licence"):
        fruits.get('Aple')


def test_a_plugin_that_takes_a_name_twice_is_reported(fruits, install):
    install('thief', 'from mmengine.evaluator import BaseMetric\nfrom rstoolbox.registry import METRICS\n'
                     '@METRICS.register_module()\nclass ThiefMetric: pass\n'
                     "METRICS.register_module('ThiefMetric', module=BaseMetric)\n")
    try:
        assert isinstance(load_plugins()['thief-entry'], KeyError)
        with pytest.raises(UnknownTypeError, match="'thief-entry' did not load: KeyError: .*already registered"):
            fruits.get('Aple')
    finally:
        METRICS.module_dict.pop('ThiefMetric', None)


def test_custom_imports_of_a_config_register_without_installing(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'own_parts.py').write_text('from rstoolbox.registry import METRICS\n'
                                           '@METRICS.register_module()\nclass OwnPart:\n    pass\n')
    (tmp_path / 'config.py').write_text("custom_imports = dict(imports=['own_parts'])\nmetric = dict(type='OwnPart')\n")
    try:
        cfg = Config.fromfile(tmp_path / 'config.py')
        assert type(METRICS.build(cfg.metric)).__module__ == 'own_parts'
    finally:
        METRICS.module_dict.pop('OwnPart', None)
