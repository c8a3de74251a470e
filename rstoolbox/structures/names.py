"""The nearest of the names that there are, for errors that people read."""

import difflib
import re


def nearest(name, known, cutoff=0.4):
    """Name the nearest of some names as the part of a sentence that follows the unknown one.

    Args:
        name (str): What was asked for.
        known (Iterable[str]): What there is.
        cutoff (float): How alike they must be, from 0 to 1 (:func:`difflib.get_close_matches`).

    Returns:
        str: ``", nearest is '...'"``; ``''`` if none is near.
    """
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=cutoff)
    return f", nearest is '{near[0]}'" if near else ''


def nearest_band(name, available):
    """Return ", nearest is '...'" for an unknown band name, '' if none is near. 'B2' is nearest to 'B02', not 'B12'."""
    plain = {_without_zeros(band): band for band in reversed(list(available))}
    near = difflib.get_close_matches(_without_zeros(str(name).upper()), plain, n=1, cutoff=0.3)
    return f", nearest is '{plain[near[0]]}'" if near else ''


def _without_zeros(name):
    return re.sub(r'(?<=[A-Z])0+(?=\d)', '', name)
