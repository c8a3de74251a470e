"""What tells the entries of an annotation file apart, and what others call them by."""

from ..record_files import check_keys


def by_key(numbered, key, where):
    """The entries of a list by a key that each has for itself.

    Args:
        numbered (Iterable[tuple[int, dict]]): The entries, each behind its number in the file.
        key (str): What tells them apart, such as ``id``.
        where (str): What messages put before such a number, ``FILE, image``.

    Returns:
        dict: The entries in their order.

    Raises:
        ValueError: Naming an entry without the key, or two that have it in common: one would take the other's place.
    """
    found = {}
    for number, entry in numbered:
        check_keys(entry, (key,), f'{where} {number}')
        value = entry[key]
        if not is_key(value):
            raise ValueError(f'{where} {number} has the "{key}" {value!r:.60}, expected a number or a text.')
        if value in found:
            raise ValueError(f'{where} {number} has the "{key}" {value!r:.60}, which is that of number '
                             f'{found[value][0]} already; it could mean either. Give each its own.')
        found[value] = number, entry
    return {value: entry for value, (_, entry) in found.items()}


def is_key(value):
    """Whether a value of a JSON file can name an entry: a list or an object cannot."""
    return isinstance(value, (int, float, str))


def check_text(entry, key, where):
    """ValueError that says where an object has something else under the key than a text."""
    check_keys(entry, (key,), where)
    if not isinstance(entry[key], str) or not entry[key].strip():
        raise ValueError(f'{where} has the "{key}" {entry[key]!r:.60}, expected a text that is not empty.')
