"""What the result of a stage depends on, in a form that tells two runs apart and copies not."""

import hashlib
import json
import os
import re

from mmengine.config import Config

from rstoolbox.models.sembridge.gallery import INDEX
from rstoolbox.structures import content_hash, with_contents

# They change how fast a run goes, what it prints or where its data lie, not what comes out.
COSMETIC = re.compile(r"""
    (.+[._])?dataloader\.(num_workers|persistent_workers|pin_memory|prefetch_factor)
    | (.+[._])?dataloader\.dataset\.((?!.*pipeline\.).+\.)?(data_root|split_file)
    | default_hooks\.(logger|timer|publish\.filename)
""", re.VERBOSE)


def fingerprint_of(settings, upstream):
    """Return 16 hex digits that change with the settings and with what files among them hold.

    Args:
        settings (dict): A tree of plain values.
        upstream (dict[str, str]): What counts in place of the path of a stage's result.
    """
    text = json.dumps(canonical(settings, upstream), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def data_fingerprint(dataset):
    """The data set's own fingerprint; of a foreign data set, which has none, its place, length and classes."""
    if hasattr(dataset, 'fingerprint'):
        return dataset.fingerprint()
    classes = getattr(dataset, 'metainfo', {}).get('classes', [])
    return [str(getattr(dataset, 'data_root', '')), len(dataset), list(classes)]


def canonical(tree, upstream, path=''):
    """The same tree without what is cosmetic, and with what files and galleries hold in place of where they lie."""
    if isinstance(tree, (dict, Config)):
        items = ((key, value, f'{path}.{key}' if path else str(key)) for key, value in tree.items())
        return {key: canonical(value, upstream, place) for key, value, place in items if not COSMETIC.fullmatch(place)}
    if isinstance(tree, (list, tuple)):
        return [canonical(value, upstream, f'{path}.{place}') for place, value in enumerate(tree)]
    if isinstance(tree, str) and tree in upstream:
        return upstream[tree]
    if isinstance(tree, str) and tree and os.path.isfile(os.path.join(tree, INDEX)):
        return content_hash(os.path.join(tree, INDEX))  # it holds the checksums of the rest
    return with_contents(tree)
