"""Where a model runs."""

import torch


def usable_device(name=None):
    """Return the device of that name, by default ``cuda`` where there is one, else ``cpu``.

    Raises:
        ValueError: If nothing can be put there.
    """
    device = name or ('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip('.')
        raise ValueError(f"The device '{device}' cannot be used ({reason}). Name cpu, or leave it out.") from None
    return device
