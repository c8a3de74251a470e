"""References to what a data set holds: ``'${num_classes_of:ms_data.train}'``, ``'${statistics_of:ms_data.train}'``.

A config for folders of anyone's own can know neither beforehand. Both are found once in each process, and a resolved
config holds the values.
"""

import functools
import json

from mmengine.logging import print_log
from omegaconf import OmegaConf

from rstoolbox.datasets import compute_statistics
from rstoolbox.registry import DATASETS

from .inheritance import plain


def num_classes_of(key, *, _root_):
    """How many classes the data set has that stands under this key of the config."""
    return len(_build(_node(key, _root_)).metainfo['classes'])


def statistics_of(key, *, _root_):
    """Band -> mean, std, min and max over the images of the data set that stands under this key of the config."""
    return _statistics(_node(key, _root_), key)


for _function in (num_classes_of, statistics_of):
    OmegaConf.register_resolver(_function.__name__, _function, replace=True)


def _node(key, root):
    node = OmegaConf.select(root, key)
    if node is None:
        raise ValueError(f"there is no data set '{key}' in the config.")
    return json.dumps(plain(node))


@functools.lru_cache
def _build(node):
    dataset = DATASETS.build(json.loads(node))
    dataset.full_init()
    return dataset


@functools.lru_cache
def _statistics(node, key):
    dataset = _build(node)
    print_log(f'The statistics of {key} are computed from its {len(dataset)} images; for a large data set do it once, '
              'with tools/dataset_converters/compute_statistics.py, and name the file in statistics', logger='current')
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return compute_statistics(infos, dataset.pipeline.transforms)['statistics']
