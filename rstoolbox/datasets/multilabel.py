"""Labels of images that show several classes."""

import json
from collections import Counter
from pathlib import Path

import numpy as np

from rstoolbox.structures import nearest

from .transforms.readers import read_mat

MAT_LABEL_KEY = 'label'


def read_label_sets(root, sample_ids, classes, label_file=None):
    """Return the classes of every image.

    Args:
        root (Path): Folder that the sample ids are relative to.
        sample_ids (Sequence[str]): N ids.
        classes (Sequence[str]): Class names in the order of their labels.
        label_file (str, optional): JSON file of sample id -> list of class names. None: the variable ``label`` of each
            ``.mat`` file: class names, a vector of 0 and 1 as long as there are classes, or class numbers from 0.

    Returns:
        list[list[int]]: Sorted class numbers per image.

    Raises:
        FileNotFoundError, ValueError: Naming the file and what is wrong with its labels.
    """
    if label_file is None:
        return [_labels_of_mat(Path(root, name), classes) for name in sample_ids]
    path = Path(label_file)
    if not path.is_file():
        raise FileNotFoundError(f'There is no label file at {path}.')
    try:
        table = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is not a label file: it does not hold valid JSON ({error}).') from None
    if not isinstance(table, dict):
        raise ValueError(f'{path} is not a label file: its content is of type {type(table).__name__}, expected a '
                         'mapping from image to list of classes.')
    missing = [name for name in sample_ids if name not in table]
    if missing:
        raise ValueError(f"{path} has no labels for {len(missing)} images, the first '{missing[0]}'.")
    for name in sample_ids:
        if not isinstance(table[name], list):
            raise ValueError(f"{path}, '{name}': expected a list of classes, got {table[name]!r}.")
    return [_numbers(table[name], classes, f"{path}, '{name}'") for name in sample_ids]


def common_combinations(labels, smallest=5):
    """Return strata of multi-label samples; combinations too rare to be shared out by a ratio make one stratum."""
    combinations = [tuple(label) for label in labels]
    counts = Counter(combinations)
    return [combination if counts[combination] >= smallest else () for combination in combinations]


def _labels_of_mat(path, classes):
    if path.suffix.lower() != '.mat':
        raise ValueError(f'{path} holds no labels: several classes per image are read from .mat files, or from a JSON '
                         'file given as label_file.')
    content = read_mat(path, variable_names=[MAT_LABEL_KEY], squeeze_me=True, chars_as_strings=True)
    if MAT_LABEL_KEY not in content:
        raise ValueError(f"{path} has no variable '{MAT_LABEL_KEY}' with the image's classes.")
    return _numbers(np.atleast_1d(content[MAT_LABEL_KEY]).tolist(), classes, path)


def _numbers(values, classes, source):
    values = [value.strip() if isinstance(value, str) else value for value in values]
    if not values:
        raise ValueError(f'{source}: the image has no class.')
    if all(isinstance(value, str) for value in values):
        places = {name: index for index, name in enumerate(classes)}
        for value in values:
            if value not in places:
                raise ValueError(f"{source}: '{value}' is no class{nearest(value, classes)}.")
        return sorted({places[value] for value in values})
    if not all(isinstance(value, int) or (isinstance(value, float) and value.is_integer()) for value in values):
        raise ValueError(f'{source}: labels are class names or whole numbers, got {values[:5]}.')
    if len(values) == len(classes) and set(values) <= {0, 1}:
        numbers = [index for index, value in enumerate(values) if value]
        if not numbers:
            raise ValueError(f'{source}: the image has no class.')
        return numbers
    outside = [value for value in values if not 0 <= value < len(classes)]
    if outside:
        raise ValueError(f'{source}: class number {int(outside[0])} is outside 0 to {len(classes) - 1}.')
    return sorted({int(value) for value in values})
