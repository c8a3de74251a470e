"""Packages that only the vision-language model needs: absent ones are named when something asks for them."""

from importlib import import_module


def optional(name):
    """Return the module called ``name``; where it is not installed, a stand-in that says so on its first use."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition('.')[0]:
            raise
        return _Missing(error.name)


class _Missing:
    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        raise ImportError(f"Falcon needs the package '{self._name}', which is not installed. Install what the "
                          "vision-language tasks need: pip install -e '.[falcon]'")
