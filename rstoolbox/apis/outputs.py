"""Names of what is written for each image."""

import itertools


def free_name(stem, taken):
    """A name that no image before has, of the same name in another folder or with the number that this one gets.

    Args:
        stem (str): The name if it is free.
        taken (set[str]): Those given so far; the new one is added.
    """
    names = itertools.chain([stem], (f'{stem}_{number}' for number in itertools.count(2)))
    name = next(name for name in names if name not in taken)
    taken.add(name)
    return name
