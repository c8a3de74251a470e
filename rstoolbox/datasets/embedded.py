"""Data sets that the toolbox makes itself, on first use."""

import json
import os
import tempfile
from pathlib import Path

from mmengine.logging import print_log

from rstoolbox.structures import locked


def make_embedded(out, wanted, write, places, force=False, advice='Name another folder.'):
    """Write a data set to ``out``, unless it is there already, whole and of the same making.

    The folder appears at once, by a rename, so that a run cut short leaves nothing half-written behind. Several
    processes may call this at the same time: one writes, the others wait.

    Args:
        out (str | Path): The folder.
        wanted (dict): ``name``, ``version`` of the generator and the settings that the content depends on.
        write (Callable): ``write(folder, wanted)`` fills an absent folder; what it returns is added to ``wanted`` in
            ``dataset.json``.
        places (Callable): ``places(settings)`` gives the relative paths of all files that it writes.
        force (bool): Write anew even if it is there.
        advice (str): What to do where ``out`` holds something else; ``{out}`` stands for it.

    Returns:
        dict: The content of ``dataset.json``.

    Raises:
        ValueError: If ``out`` holds files that are no such data set, or, without ``force``, one of other settings or
            one that lacks files.
    """
    out = Path(out).expanduser().absolute()
    info = _read_info(out)
    if not force and _fits(info, wanted):
        _check_whole(out, wanted, places)
        return info
    out.parent.mkdir(parents=True, exist_ok=True)
    with locked(out.parent / f'.{out.name}.lock'):
        info = _read_info(out)  # another process may have written it while this one waited
        if not force and _fits(info, wanted):
            return info
        _refuse_foreign(out, wanted, places, force, advice)
        settings = ', '.join(f'{key} {value}' for key, value in _settings(wanted).items())
        print_log(f"Making the embedded data set {wanted['name']} in {out} ({settings}), once.", 'current')
        with tempfile.TemporaryDirectory(prefix=f'.{out.name}.', dir=out.parent) as staging:
            new = Path(staging, 'new')
            info = {**wanted, **write(new, wanted)}
            # Written last: a folder without it is not whole.
            (new / 'dataset.json').write_text(json.dumps(info, indent=2) + '\n')
            if out.exists():
                # Moved aside rather than deleted first: the folder is missing for an instant only.
                os.replace(out, Path(staging, 'old'))
            os.replace(new, out)
    return info


def _read_info(out):
    try:
        return json.loads((out / 'dataset.json').read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None


def _fits(info, wanted):
    return isinstance(info, dict) and all(info.get(key) == value for key, value in wanted.items())


def _refuse_foreign(out, wanted, places, force, advice):
    """Never delete what this generator did not write, nor, unasked, a data set that was made with other settings."""
    if not out.exists():
        return
    name = wanted['name']
    if not out.is_dir():
        raise ValueError(f"'{out}' is a file; {name} needs a folder to be written to.")
    info = _read_info(out)
    # The folder appears whole, so files without their dataset.json were not made here, whatever they are called.
    ours = set()
    if isinstance(info, dict) and info.get('name') == name and info.keys() >= wanted.keys():
        ours = {'dataset.json', *places(info)}
    found = (path.relative_to(out).as_posix() for path in sorted(out.rglob('*')) if not path.is_dir())
    foreign = [file for file in found if file not in ours]
    if foreign:
        raise ValueError(f"'{out}' holds what is no {name} data set ({', '.join(foreign[:3])}), so it is not "
                         f'overwritten. {advice.format(out=out)}')
    differing = [key for key in _settings(wanted) if info is not None and info.get(key) != wanted[key]]
    if differing and not force:
        raise ValueError(f"'{out}' holds {name} with {', '.join(f'{key} {info.get(key)}' for key in differing)}, but "
                         f'{", ".join(f"{key} {wanted[key]}" for key in differing)} is asked for. Name another '
                         f'data_root, or replace it: {_command(out, wanted)}.')


def _check_whole(out, wanted, places):
    """The folder appeared whole, so what it lacks was taken away since."""
    there = {f'{folder.relative_to(out).as_posix()}/{entry.name}'.removeprefix('./')
             for folder in (out, *(path for path in out.rglob('*') if path.is_dir())) for entry in os.scandir(folder)}
    missing = [place for place in places(wanted) if place not in there]
    if missing:
        raise ValueError(f"'{out}' lacks {len(missing)} of the files of {wanted['name']}, the first '{missing[0]}'. "
                         f'Make it anew: {_command(out, wanted)}.')


def _settings(wanted):
    return {key: value for key, value in wanted.items() if key not in ('name', 'version')}


def _command(out, wanted):
    options = ' '.join(f'--{key.replace("_", "-")} {value}' for key, value in _settings(wanted).items())
    return f'tools/dataset_converters/make_{wanted["name"]}.py --out {out} {options} --force'
