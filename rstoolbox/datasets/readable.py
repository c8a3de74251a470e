"""Whether all images of a data set can be read, known before a training that would meet a bad one hours later."""

import os
from concurrent.futures import ThreadPoolExecutor

from rich.progress import track

NAMED = 5  # bad files in a message

_read = set()


def check_readable(load, samples):
    """Read the images of samples that were not read before in this process, several at a time.

    Args:
        load (Callable): The transform that reads an image.
        samples (list[dict]): What it takes of each; ``img_path`` tells them apart, and the bands that are wanted.

    Raises:
        ValueError: With the first few that cannot be read, what is wrong with each, and their number.
    """
    keys = [(sample['img_path'], sample.get('sensor'), *(sample.get('bands') or ())) for sample in samples]
    new = [(key, sample) for key, sample in zip(keys, samples) if key not in _read]

    def fault(item):
        try:
            load(dict(item[1]))
        except (ValueError, OSError) as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        faults = list(track(pool.map(fault, new), 'reading all images once', len(new), transient=True)) if new else []
    bad = [text for text in faults if text]
    if len(bad) > 1:
        raise ValueError('\n  '.join([f'{len(bad)} images cannot be read:', *bad[:NAMED],
                                      *['...'][:len(bad) > NAMED]]))
    if bad:
        raise ValueError(bad[0])
    _read.update(key for key, _ in new)
