"""Testing a trained student: the student alone, on the test split."""

import hashlib
import json
from pathlib import Path

from mmengine.dist import barrier, broadcast_object_list, is_main_process

from rstoolbox.models.falcon import Falcon
from rstoolbox.models.loading import load_classifier
from rstoolbox.registry import DATASETS, MODELS
from rstoolbox.structures import read_record, write_json

from .fingerprints import canonical, data_fingerprint
from .runner import build_runner

TRAINING_KEYS = ('train_dataloader', 'train_cfg', 'val_dataloader', 'val_cfg', 'val_evaluator', 'optim_wrapper',
                 'param_scheduler')
TRAINING_HOOKS = ('PublishBestHook', 'ResumableCheckpointHook')
OF_ANY_FALCON = ('type', 'image_size', 'generation', 'constrain')  # what does not say which weights there are
METRICS = ('accuracy', 'precision', 'recall', 'f1')


def student_config(config):
    """The same resolved runner config with the distilled student in place of its distiller.

    The teacher has nothing to do in a test, so neither its weights nor its images are needed.
    """
    if 'student' in config.model:
        config.model = config.model.student
    for key in TRAINING_KEYS:
        config[key] = None
    config.custom_hooks = []
    config.default_hooks = {key: hook for key, hook in config.default_hooks.items()
                            if hook and hook['type'] not in TRAINING_HOOKS}
    config.default_hooks.setdefault('checkpoint', None)
    return config


def test(config, checkpoint):
    """Test weights with a resolved runner config.

    Args:
        config (mmengine.config.Config): From :func:`~rstoolbox.engine.config.runner_config`.
        checkpoint (str | Path): Published weights, or a checkpoint of the distiller's training; of a vision-language
            model also the folder of one, which then takes the place of the config's model.

    Returns:
        tuple[dict, dict]: Metrics, and the full report of the first metric (per class, confusion matrix); the report is
        empty on all but the main process.

    Raises:
        CheckpointError: If the weights are of another network, or the test data have a class that they do not know.
    """
    config = student_config(config)
    whole = issubclass(MODELS.get(config.model.type), Falcon) and Path(checkpoint).is_dir()
    if whole:
        config.model = dict({key: config.model[key] for key in OF_ANY_FALCON if key in config.model},
                            pretrained=str(checkpoint))
    runner = build_runner(config)
    model = runner.network
    if whole:
        runner.logger.info(f'The model in {checkpoint} is tested')
    elif isinstance(model, Falcon):
        model.load_weights(checkpoint)
    else:
        classes = getattr(runner.test_dataloader.dataset, 'metainfo', {}).get('classes')
        load_classifier(model, checkpoint, 'model', classes=classes)  # labels of the data set count its own classes
    runner._has_loaded = True
    metrics = {name: getattr(value, 'item', lambda value=value: value)() for name, value in runner.test().items()}
    return metrics, getattr(runner.test_evaluator.metrics[0], 'report', None) or {}


def test_once(stage):
    """Test the artifact of a train stage, or return the result of the earlier test of the same weights."""
    with stage.locked():
        return _test_once(stage)


def _test_once(stage):
    path = stage.folder / 'test.json'
    config = stage.config(work_dir=str(stage.folder / 'test'), experiment_name=f'{stage.name}_{stage.fingerprint}_test')
    key = _key(stage, config)
    result = read_record(path, ('key', 'metrics', 'report'))
    if result and result['key'] == key:
        return result
    barrier()
    metrics, report = test(config, stage.artifact)
    metrics = {key: float(value) for key, value in metrics.items()}
    result = [dict(key=key, metrics=metrics, report=report)]
    broadcast_object_list(result)
    if is_main_process():
        write_json(result[0], path)
    return result[0]


def _key(stage, config):
    """What the result of a test depends on: the network and its weights, the data and how they are scored."""
    data = data_fingerprint(DATASETS.build(config.test_dataloader.dataset))
    # Weights that are given may be of a network whose statistics, say, have changed since.
    model = config.model.get('student', config.model)
    text = json.dumps([data, canonical([model, config.test_evaluator], {})], default=str).encode()
    return hashlib.sha256(text + stage.artifact.read_bytes()).hexdigest()[:16]
