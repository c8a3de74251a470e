"""Testing a trained student: the student alone, on the test split."""

import json

from mmengine.dist import barrier, broadcast_object_list, is_main_process

from rstoolbox.models.checkpoint import load_state

from .runner import Runner, write_json

METRICS = ('accuracy', 'precision', 'recall', 'f1')


def student_config(config):
    """The same resolved runner config with the distilled student in place of its distiller.

    The teacher has nothing to do in a test, so neither its weights nor its images are needed.
    """
    if 'student' in config.model:
        config.model = config.model.student
    for key in ('train_dataloader', 'train_cfg', 'val_dataloader', 'val_cfg', 'val_evaluator', 'optim_wrapper', 'param_scheduler'):
        config[key] = None
    config.custom_hooks = []
    config.default_hooks = {key: hook for key, hook in config.default_hooks.items()
                            if hook['type'] not in ('PublishBestHook', 'ResumableCheckpointHook', 'StudentFriendlyMatchingHook')}
    config.default_hooks.setdefault('checkpoint', None)
    return config


def test(config, checkpoint):
    """Test weights with a resolved runner config.

    Args:
        config (mmengine.config.Config): From :func:`~rstoolbox.engine.config.runner_config`.
        checkpoint (str | Path): Published weights, or a checkpoint of the distiller's training.

    Returns:
        tuple[dict, dict]: Metrics, and the full report of the first metric (per class, confusion matrix).
    """
    runner = Runner.from_cfg(student_config(config))
    weights = load_state(checkpoint)
    state = weights['state_dict']
    if any(key.startswith('student.') for key in state):
        state = {key[len('student.'):]: value for key, value in state.items() if key.startswith('student.')}
    load_weights(runner.model.module if runner.distributed else runner.model, state, checkpoint)
    runner._has_loaded = True
    metrics = runner.test()
    return metrics, getattr(runner.test_evaluator.metrics[0], 'report', {})


def load_weights(model, state, source):
    """Load a state dict that must fit exactly.

    Raises:
        ValueError: Keys or shapes that do not fit, with the first of them.
    """
    own = model.state_dict()
    missing = [key for key in own if key not in state and 'data_preprocessor' not in key]
    surplus = [key for key in state if key not in own]
    shapes = [f'{key} is {tuple(state[key].shape)} in the file but {tuple(own[key].shape)} in the model'
              for key in own if key in state and own[key].shape != state[key].shape]
    if missing or surplus or shapes:
        parts = [shapes[0] if shapes else '', f'{len(missing)} weights are missing, the first {missing[0]}' if missing else '',
                 f'{len(surplus)} are unknown to the model, the first {surplus[0]}' if surplus else '']
        raise ValueError(f'{source} does not fit the model of this config: {"; ".join(p for p in parts if p)}. '
                         'Was it trained with another architecture, class count or band list?')
    model.load_state_dict(state)


def test_once(stage):
    """Test the artifact of a train stage, or return the result of the earlier test of the same weights."""
    path = stage.folder / 'test.json'
    if path.is_file():
        result = json.loads(path.read_text())
        if result['fingerprint'] == stage.fingerprint:
            return result
    barrier()
    config = stage.config(work_dir=str(stage.folder / 'test'), experiment_name=f'{stage.name}_{stage.fingerprint}_test')
    metrics, report = test(config, stage.artifact)
    result = [dict(fingerprint=stage.fingerprint, metrics={key: metrics[key] for key in METRICS if key in metrics}, report=report)]
    broadcast_object_list(result)
    if is_main_process():
        write_json(path, result[0])
    return result[0]
