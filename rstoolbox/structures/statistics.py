"""Per-band statistics, keyed by band name."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from .names import nearest_band


def load_statistics(statistics, bands):
    """Pick the mean and standard deviation of every band by name.

    Args:
        statistics (dict | str | Path): ``{'B02': dict(mean=.., std=..), ..}``, or the path of a JSON file with that
            mapping under ``statistics``, as ``tools/dataset_converters/compute_statistics.py`` writes it. In the
            units of the images: reflectance for multispectral bands, 0 to 1 for R, G, B.
        bands (Sequence[str]): Band names in channel order.

    Returns:
        tuple[list[float], list[float]]: Means and standard deviations, one per band.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the content is not such a mapping, a band is missing or a value is not usable.
    """
    table, source = _read(statistics)
    means, stds = [], []
    for band in bands:
        if band not in table:
            raise ValueError(f"{source} hold no band '{band}'{nearest_band(band, table)}. They hold {len(table)} "
                             f'bands: {", ".join(table)}; asked for {len(bands)}: {", ".join(bands)}. '
                             'Compute them again for these bands with tools/dataset_converters/compute_statistics.py.')
        mean, std = (_value(table[band], key, band, source) for key in ('mean', 'std'))
        if std <= 0:
            raise ValueError(f"{source}: the standard deviation of band '{band}' is {std}; a band that never changes "
                             'cannot be normalised, leave it out of the bands.')
        means.append(mean)
        stds.append(std)
    return means, stds


def _read(statistics):
    if isinstance(statistics, Mapping):
        return _table(statistics.get('statistics', statistics), 'The statistics'), 'The statistics'
    if not isinstance(statistics, (str, Path)):
        raise ValueError('Statistics are a mapping of band name to dict(mean=.., std=..) or the path of a JSON file, '
                         f'got {type(statistics).__name__}. A list says nothing about which band is which.')
    path = Path(statistics)
    if not path.is_file():
        raise FileNotFoundError(f'There is no statistics file at {path}. Make it with '
                                'tools/dataset_converters/compute_statistics.py.')
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is not a statistics file: it does not hold valid JSON ({error}).') from None
    source = f'The statistics in {path}'
    if not isinstance(content, dict) or 'statistics' not in content:
        raise ValueError(f"{path} is not a statistics file: it has no key 'statistics'.")
    return _table(content['statistics'], source), source


def _table(table, source):
    if not isinstance(table, Mapping) or not all(isinstance(entry, Mapping) for entry in table.values()):
        raise ValueError(f'{source} must map every band name to dict(mean=.., std=..).')
    return table


def _value(entry, key, band, source):
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{source}: '{key}' of band '{band}' must be a finite number, got {value!r}.")
    return float(value)
