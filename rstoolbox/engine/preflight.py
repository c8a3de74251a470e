"""What can be known before hours of training: that data sets, models and hooks build and fit one another."""

import copy
import logging
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper

from rstoolbox.datasets.seeding import seeded
from rstoolbox.datasets.unpaired import check_same_classes
from rstoolbox.models import SceneClassifier
from rstoolbox.models.distillers.teacher import check_kept
from rstoolbox.models.sembridge.gallery import OUTPUTS
from rstoolbox.registry import DATASETS, HOOKS, LOOPS, METRICS, MODELS, OPTIMIZERS, PARAM_SCHEDULERS, UnknownTypeError
from rstoolbox.structures import nearest

from .config_checks import ConfigError, typed_nodes
from .cpu_amp import check_amp
from .hooks import StudentFriendlyMatchingHook
from .runner import Runner

PENDING = '<result of the stage {}>'  # stands for a result that is not there yet
MARK = PENDING.partition('{')[0]


def check_run(config):
    """Build everything a training run is made of, and show each model side one sample of its data.

    Args:
        config (mmengine.config.Config): From :func:`~rstoolbox.engine.config.runner_config`. What is :data:`PENDING`
            in it is left out; a gallery that is stands for the teacher, of which it will hold the outputs.

    Raises:
        ConfigError: Whatever would end the run, behind the config's key.

    Returns:
        BaseModel: The model, with random weights.
    """
    datasets = {}
    for key, node in run_datasets(config):
        with located(key):
            datasets[key] = DATASETS.build(_without_pending(node))
    train, val, test = (datasets.get(f'{part}_dataloader.dataset') for part in ('train', 'val', 'test'))
    classes = getattr(train, 'metainfo', {}).get('classes')
    model = _build_model(config.model, classes)
    count = getattr(getattr(model, 'student', model), 'num_classes', None)
    if classes and count not in (None, len(classes)):
        raise ConfigError(f'model: its head tells {count} classes apart, but the training data have {len(classes)}: '
                          f'{", ".join(classes)}. Set num_classes to their number, or leave classes out with classes=.')
    for key, dataset in datasets.items():
        with located(key):
            batch = check_sample(model.data_preprocessor, getattr(dataset, 'student', dataset))
            _check_files(getattr(dataset, 'student', dataset))
    if isinstance(model, SceneClassifier) and datasets:
        with located('model'):
            model.check_head(batch['inputs'])
    if getattr(train, 'read_teacher', False) and getattr(train, 'teacher', None) is not None:
        with located('train_dataloader.dataset.teacher'):
            check_sample(model.data_preprocessor.teacher, train.teacher)
    if classes and val is not None and 'classes' in val.metainfo:
        with located('val_dataloader.dataset'):
            check_same_classes(training=classes, validation=val.metainfo['classes'])
    for name in getattr(test, 'metainfo', {}).get('classes', ()) if classes else ():
        if name not in classes:
            raise ConfigError(f"test_dataloader.dataset: the class '{name}' is none of those that are learned: "
                              f'{", ".join(classes)}.')
    hooks = {f'custom_hooks.{place}': hook for place, hook in enumerate(config.get('custom_hooks') or ())}
    hooks |= {f'default_hooks.{name}': hook for name, hook in (config.get('default_hooks') or {}).items()}
    for key, hook in hooks.items():
        if isinstance(hook, dict):
            with located(key):
                built = HOOKS.build({name: value for name, value in hook.items() if name != 'priority'})
                if isinstance(built, StudentFriendlyMatchingHook):
                    built.check(config)
    _check_parts(config, datasets, model)
    return model


def run_datasets(config):
    """Yield key and config of every data set that a run reads, those of its hooks too."""
    found = []
    for key, node in typed_nodes(config._cfg_dict if isinstance(config, Config) else config):
        if key.endswith('dataloader.dataset') and not any(key.startswith(f'{other}.') for other in found):
            found.append(key)
            yield key, node


def build_quietly(registry, config):
    """Build a model for a check: nothing is logged, and no random number is used up."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with torch.random.fork_rng(devices=[]):
            return registry.build(copy.deepcopy(config))
    finally:
        logger.setLevel(level)


def check_sample(preprocessor, dataset):
    """Return the first sample as the preprocessor of the model that will see it gives it, unless it is refused."""
    with seeded(0):
        batch = pseudo_collate([dataset[0]])
    return preprocessor(batch, False)


def _check_parts(config, datasets, model):
    """Build what a runner makes of its config in the course of a run, or find its type."""
    for part in ('train', 'val', 'test'):
        loader = config.get(f'{part}_dataloader')
        if loader is not None:
            with located(f'{part}_dataloader'):
                Runner.build_dataloader(dict(copy.deepcopy(loader), dataset=datasets[f'{part}_dataloader.dataset']))
        evaluators, metrics = config.get(f'{part}_evaluator') or [], []
        for evaluator in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]:
            with located(f'{part}_evaluator'):
                metrics.append(METRICS.build(evaluator))
        if part == 'val' and metrics:
            _check_selection(config, metrics)
        loop = config.get(f'{part}_cfg') or {}
        if loop.get('type'):
            with located(f'{part}_cfg'):
                LOOPS.get(loop['type'])
    if config.get('optim_wrapper') is not None:
        check_amp(config.optim_wrapper)
        with located('optim_wrapper'):
            OPTIMIZERS.get(config.optim_wrapper.optimizer.type)  # mmengine's own error names nothing
            build_optim_wrapper(model, copy.deepcopy(config.optim_wrapper))
    for place, scheduler in enumerate(config.get('param_scheduler') or ()):
        with located(f'param_scheduler.{place}'):
            PARAM_SCHEDULERS.get(scheduler['type'])


def _check_selection(config, metrics):
    """Whether validation measures what the best epoch is chosen by, as far as the metrics tell what they measure."""
    save_best = ((config.get('default_hooks') or {}).get('checkpoint') or {}).get('save_best')
    measured = [name for metric in metrics for name in getattr(metric, 'names', ())]
    if save_best in (None, 'auto') or not all(hasattr(metric, 'names') for metric in metrics):
        return
    for name in [save_best] if isinstance(save_best, str) else save_best:
        if name not in measured:
            raise ConfigError(f"default_hooks.checkpoint.save_best: the validation measures no '{name}'"
                              f'{nearest(name, measured)}. It measures {", ".join(measured)}; the shipped configs name '
                              'one of them in selection.metric.')


def _check_files(dataset):
    """Read all images of a data set; of several processes the main one does, and each raises what it found."""
    error, text = None, [None]
    if is_main_process() and hasattr(dataset, 'check_files'):
        try:
            dataset.check_files()
        except Exception as found:  # the others wait for the outcome, whatever it is
            error, text = found, [str(found)]
    broadcast_object_list(text)
    if text[0] is not None:
        raise error or ConfigError(text[0])


@contextmanager
def located(key):
    """Put the place in a config in front of what was found wrong there."""
    try:
        yield
    except Exception as error:  # other packages refuse an argument by any kind of error
        kind = '' if isinstance(error, (ValueError, OSError, UnknownTypeError)) else f'{type(error).__name__}: '
        raise ConfigError(f'{key}: {kind}{error}') from error


def _build_model(config, classes):
    pending = _is_pending(config.get('gallery'))
    config = _without_pending(config)
    if pending and config.get('teacher') is not None:
        config['teacher_checkpoint'] = None
        if classes:
            config['teacher']['head']['num_classes'] = len(classes)  # a gallery is of the classes of its data set
    with located('model'):
        model = build_quietly(MODELS, config)
        if pending:
            needs = {name for loss in model.transfer_losses.values() for name in loss.needs}
            check_kept(needs, OUTPUTS, 'of the stages')
    return model


def _without_pending(node):
    if isinstance(node, dict):
        return {key: _without_pending(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(_without_pending(value) for value in node)
    return None if _is_pending(node) else node


def _is_pending(value):
    return isinstance(value, str) and value.startswith(MARK)
