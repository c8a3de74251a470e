"""Loading a classifier's weights, with a message that says what does not fit."""

from .checkpoint import CheckpointError, check_weights, load_state, weights_of
from .stem import find_stems


def load_classifier(network, path, role='model', classes=None):
    """Load all weights of a classifier from a checkpoint of its own or of a distiller's training.

    Args:
        network (SceneClassifier): Where to.
        path (str | Path): The checkpoint. Of a distiller's, the student is taken.
        role (str): What messages call it, such as 'teacher'.
        classes (Sequence[str], optional): The classes wanted. Where the checkpoint says that it was trained on more,
            the rows of its head are picked by name.

    Returns:
        tuple[str]: What the head's rows are called; empty where the checkpoint does not say.

    Raises:
        CheckpointError: If the checkpoint is of other bands, other classes or another architecture, or a weight in it
            is NaN or infinite; the message names what differs.
    """
    checkpoint = load_state(path)
    meta = checkpoint.get('meta') or {}
    saved, own = weights_of(checkpoint, path), network.state_dict()
    if any(name.startswith('student.') for name in saved):
        saved = {name.removeprefix('student.'): value for name, value in saved.items() if name.startswith('student.')}
    _check_bands(network, saved, own, meta.get('bands'), path, role)
    trained = meta.get('classes') or (meta.get('dataset_meta') or {}).get('classes')
    if classes is not None and trained and tuple(trained) != tuple(classes):
        saved = _pick_classes(saved, trained, classes, path, role)
    differing = {name for name in own if name in saved and saved[name].shape != own[name].shape}
    missing, unexpected = own.keys() - saved.keys(), saved.keys() - own.keys()
    if differing and all(name.startswith('head.') for name in differing) and not missing and not unexpected:
        key = max(differing, key=lambda name: own[name].ndim)
        raise CheckpointError(f"the {role} in '{path}' tells {saved[key].shape[0]} classes apart ('{key}'); "
                              f"the config's {role} {own[key].shape[0]}")
    if differing or missing or unexpected:
        wrong = [f'{len(names)} {text} (first: {min(names)})' for names, text in (
            (differing, 'of another shape'), (missing, 'missing'), (unexpected, 'that the config has not')) if names]
        raise CheckpointError(f"'{path}' is not a checkpoint of the config's {role} "
                              f'({type(network.backbone).__name__}): weights {", ".join(wrong)}')
    check_weights(saved, path, role)
    network.load_state_dict(saved)
    return tuple(classes or trained) if trained else ()


def load_matcher(model, path):
    """Load all weights of a matcher, exactly those that it has.

    Args:
        model (SceneMatcher): Where to.
        path (str | Path): The checkpoint.

    Returns:
        dict[str, Tensor]: The weights in it.

    Raises:
        CheckpointError: If it is of other networks, with a count of what differs, or a weight in it is NaN or infinite.
    """
    saved, own = weights_of(load_state(path), path), model.state_dict()
    wrong = [f'{len(names)} {text} (first: {min(names)})' for text, names in (
        ('missing', own.keys() - saved.keys()), ('that the config has not', saved.keys() - own.keys()),
        ('of another shape', {name for name in own.keys() & saved.keys() if saved[name].shape != own[name].shape}),
    ) if names]
    if wrong:
        raise CheckpointError(f"'{path}' is not a checkpoint of the config's matcher ({type(model).__name__}): weights "
                              f'{", ".join(wrong)}. Give the checkpoint that the stage matcher left, or a matcher of '
                              'the same networks')
    check_weights(saved, path, 'matcher')
    model.load_state_dict(saved)
    return saved


def load_rgb_encoder(backbone, path):
    """Load the backbone of a matcher's RGB encoder into a student's.

    Args:
        backbone (nn.Module): Where to.
        path (str | Path): A checkpoint of a :class:`~rstoolbox.models.SceneMatcher`.

    Raises:
        CheckpointError: If it is none, its RGB encoder has another architecture, or a weight is NaN or infinite.
    """
    prefix = 'encoders.rgb.backbone.'
    saved = {name.removeprefix(prefix): value for name, value in weights_of(load_state(path), path).items()
             if name.startswith(prefix)}
    if not saved:
        raise CheckpointError(f"the student cannot start from '{path}': it is not the checkpoint of a SceneMatcher")
    own = backbone.state_dict()
    differing = sorted(own.keys() ^ saved.keys()) + [name for name in own if name in saved
                                                     and own[name].shape != saved[name].shape]
    if differing:
        raise CheckpointError(
            f"the student cannot start from '{path}': {len(differing)} weights of its RGB encoder are not those of the "
            f"student's {type(backbone).__name__} (first: {differing[0]}). Give both one backbone: "
            "matcher.rgb_encoder.backbone='${student.backbone}'")
    check_weights(saved, path, 'RGB encoder')
    backbone.load_state_dict(saved)


def _check_bands(network, saved, own, bands, path, role):
    if bands and tuple(bands) != network.bands:
        raise CheckpointError(f"the {role} in '{path}' was trained on the bands {', '.join(bands)}; "
                              f"the config's {role} reads {', '.join(network.bands)}")
    for name in find_stems(network.backbone):
        key = f'backbone.{name}.weight'
        if key in saved and saved[key].ndim == own[key].ndim and saved[key].shape[1] != own[key].shape[1]:
            raise CheckpointError(f"the {role} in '{path}' reads {saved[key].shape[1]} bands ('{key}'); the config's "
                                  f'{role} reads {len(network.bands)}: {", ".join(network.bands)}')


def _pick_classes(saved, trained, wanted, path, role):
    absent = [name for name in wanted if name not in trained]
    if absent:
        raise CheckpointError(f"the {role} in '{path}' does not know the class '{absent[0]}'; it was trained on "
                              f'{", ".join(trained)}')
    rows = [list(trained).index(name) for name in wanted]
    return {name: value[rows] if name.startswith('head.') and len(value) == len(trained) else value
            for name, value in saved.items()}
