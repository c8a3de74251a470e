"""Every shipped config resolves, its keys fit the classes they name, and its networks and losses can be built."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from rstoolbox.datasets import get_sensor
from rstoolbox.engine.config import check_types, load_config, resolve, runner_config
from rstoolbox.models.falcon import Falcon, load_tokenizer
from rstoolbox.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFER_LOSSES, TRANSFORMS

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(path.relative_to(ROOT / 'configs').as_posix() for path in (ROOT / 'configs').glob('[!_]*/*.py')
                 # Those are no experiments of stages.
                 if path.parent.name not in ('benchmarks', 'dense', 'falcon'))
DENSE = sorted(path.name for path in (ROOT / 'configs/dense').glob('*.py'))
FALCON = sorted(path.name for path in (ROOT / 'configs/falcon').glob('*.py'))


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


@pytest.mark.parametrize('name', FALCON)
def test_every_falcon_of_a_shipped_config_can_be_built(name, tmp_path):
    init_default_scope('rstoolbox')
    cfg = load_config(ROOT / 'configs/falcon' / name)
    config = runner_config(cfg)
    check_types(config)
    METRICS.build(config.val_evaluator)
    for hook in filter(None, config.default_hooks.values()):
        HOOKS.build(hook)
    if 'pretrained' in config.model:
        tokenizer = load_tokenizer(ROOT / 'configs/_base_/models/falcon_tiny_tokenizer')
        Falcon('tiny', tokenizer=tokenizer, image_size=32).save_pretrained(tmp_path)
        config.model.update(pretrained=str(tmp_path), image_size=32)
    assert isinstance(MODELS.build(config.model), Falcon)


@pytest.mark.parametrize('name', DENSE)
def test_every_segmentor_of_a_shipped_config_can_be_built(name, tmp_path):
    pytest.importorskip('mmseg', reason="mmseg is not installed: pip install -e '.[dense]'")
    init_default_scope('rstoolbox')
    config = runner_config(load_config(ROOT / 'configs/dense' / name, {'data_root': str(tmp_path)}))
    check_types(config)
    METRICS.build(config.val_evaluator)
    for part in ('train', 'val', 'test'):
        DATASETS.build({**config[f'{part}_dataloader'].dataset, 'lazy_init': True})
    config.model.pop('teacher_checkpoint', None)  # of a training of one's own
    model = MODELS.build(config.model)
    assert getattr(model, 'student', model).decode_head.num_classes == 7


@pytest.mark.parametrize(('part', 'bands', 'size', 'head', 'loss'), [
    ('s2s_eu', 10, 64, 'LinearClsHead', 'KD'), ('s2s_cn', 14, 128, 'LinearClsHead', 'KD'),
    ('m2s_gl', 10, 128, 'MultiLabelLinearClsHead', 'BinaryKD')])
def test_the_published_data_sets_are_parts_of_an_experiment(tmp_path, part, bands, size, head, loss):
    init_default_scope('rstoolbox')
    parts = (f'datasets/{part}', 'models/nets', 'distillers/sembridge', 'schedules/s2s')
    path = tmp_path / 'experiment.py'
    path.write_text(f'_base_ = {[str(ROOT / "configs/_base_" / f"{name}.py") for name in parts]}')
    cfg = load_config(path, {'data_root': str(tmp_path / 'absent')})
    resolved = resolve(cfg)
    check_types(resolved)
    assert (len(resolved.teacher.bands), resolved.image_size) == (bands, size)
    assert resolved.teacher.head.type == f'mmpretrain.{head}' and resolved.student.head.type.endswith('.LinearClsHead')
    for settings in ({}, cfg.rows.kd):
        assert runner_config(cfg, settings).model.losses.kd.type == loss
    teacher = runner_config(cfg, cfg.stages.teacher.settings)
    assert teacher.default_hooks.checkpoint.save_best == ('mAP' if loss == 'BinaryKD' else 'accuracy')
    red, green, blue = get_sensor(DATASETS.get(resolved.ms_data.train.type).SENSOR).rgb_bands
    assert tuple(resolved.teacher.rgb_bands or ('B04', 'B03', 'B02')) == (red, green, blue)
    for data in (resolved.ms_data.train, resolved.rgb_data.test):
        with pytest.raises(FileNotFoundError, match='no folder .*absent.* should hold one folder of images per class'):
            DATASETS.build(data).sample_ids  # noqa: B018, read for its error
    for key, channels in dict(plain=bands, train=bands, rgb_plain=3, rgb_train=3).items():
        image = np.random.default_rng(0).random((size + 9, size + 9, channels), np.float32)
        results = dict(img=image, img_shape=image.shape[:2], gt_label=0)
        for transform in resolved[f'{key}_pipeline'][2:]:  # reading apart
            results = TRANSFORMS.build(transform).transform(results)
        assert results['inputs'].shape == (channels, size, size)
    with pytest.raises(FileNotFoundError, match='absent/statistics_ms.json. Make it with tools/.*compute_statistics'):
        MODELS.build(resolved.teacher)


def test_an_experiment_is_four_lines():
    for name in CONFIGS:
        lines = (ROOT / 'configs' / name).read_text().splitlines()
        assert len([line for line in lines if line.lstrip().startswith("'../_base_/")]) == 4, name
