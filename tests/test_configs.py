"""Every shipped config resolves, its keys fit the classes they name, and its networks and losses can be built."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from rstoolbox.engine.config import check_types, load_config, resolve, runner_config
from rstoolbox.registry import HOOKS, METRICS, MODELS, TRANSFER_LOSSES, TRANSFORMS

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(path.relative_to(ROOT / 'configs').as_posix() for path in (ROOT / 'configs').glob('[!_]*/*.py')
                 if path.parent.name != 'benchmarks')  # those are no configs of a model


@pytest.fixture
def folders(tmp_path):
    """Folders of one's own: two classes, each with five images of twelve and of three bands."""
    random = np.random.default_rng(0)
    for kind, bands, dtype in (('MS', 12, np.uint16), ('RGB', 3, np.uint8)):
        for name in ('field', 'lake'):
            (tmp_path / kind / name).mkdir(parents=True)
            for number in range(5):
                image = random.integers(1, 255, (8, 8, bands)).astype(dtype)
                np.save(tmp_path / kind / name / f'{number}.npy', image)
    return tmp_path


@pytest.mark.parametrize('name', CONFIGS)
def test_every_run_of_a_shipped_config_can_be_built(name, folders):
    init_default_scope('rstoolbox')
    cfg = load_config(ROOT / 'configs' / name, {'data_root': str(folders)})
    resolved = resolve(cfg)
    check_types(resolved)
    runs = {name: stage.get('settings', {}) for name, stage in cfg.stages.items() if stage.type == 'TrainStage'}
    runs |= {**cfg.rows, cfg.row: {}}
    for settings in runs.values():
        config = runner_config(cfg, settings)
        assert {'model', 'train_dataloader', 'train_cfg', 'optim_wrapper'} <= set(config)
        for hook in config.custom_hooks:
            HOOKS.build(hook)
        METRICS.build(config.val_evaluator)
    for network in ('teacher', 'student', 'matcher'):
        MODELS.build(resolved[network])
    for loss in resolved.model.losses.values():
        TRANSFER_LOSSES.build(loss)
    for key, pipeline in resolved.items():
        if key.endswith('_pipeline'):
            for transform in pipeline:
                TRANSFORMS.build(transform)


def test_an_experiment_is_four_lines():
    for name in CONFIGS:
        lines = (ROOT / 'configs' / name).read_text().splitlines()
        assert len([line for line in lines if line.lstrip().startswith("'../_base_/")]) == 4, name
