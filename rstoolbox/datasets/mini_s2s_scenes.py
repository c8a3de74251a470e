"""The eight kinds of scene of the embedded data set ``mini_s2s``.

Four pairs look alike in red, green and blue and differ in the infrared: Forest and SeaLake (both dark and smooth),
AnnualCrop and Pasture (green parcels), Highway and River (a band through farmland), Industrial and Residential
(blocks).
"""

import numpy as np

from .mini_s2s_layouts import Surface, buildings, fields, hedges, ribbon, streets, woods
from .mini_s2s_physics import BANDS


def annual_crop(surface):
    """Bare and green fields side by side, some with hedges."""
    edge = fields(surface, 'crop', contrast=surface.rng.uniform(.05, .18), kinds=6)
    if surface.rng.random() < .4:
        hedges(surface, edge, surface.rng.uniform(-1, .3))
    surface.relief(.15)


def pasture(surface):
    """Meadows with few edges, hedges and single trees."""
    edge = fields(surface, 'meadow', contrast=surface.rng.uniform(.01, .06), kinds=3,
                  size=surface.rng.uniform(1.4, 2.6))
    if surface.rng.random() < .7:
        hedges(surface, edge, surface.rng.uniform(-.8, .6))
    if surface.rng.random() < .4:
        _trees(surface, surface.rng.uniform(2, 2.8))
    surface.relief(.35)


def forest(surface):
    """Closed woods on relief, some with a clearing."""
    woods(surface)
    if surface.rng.random() < .35:
        clearing = np.clip(2 * (surface.noise(12) - 1.3), 0, 1)
        surface.paint(surface.spectrum(surface.pick('meadow')), clearing, .06 * surface.noise(2))
    surface.relief(surface.rng.uniform(.1, 1.2))


def sea_lake(surface):
    """Open water with waves, some with a wooded shore."""
    rng = surface.rng
    names = surface.pick('lake'), surface.pick('lake')
    share = 1 / (1 + np.exp(-2 * surface.noise(rng.uniform(8, 24))))
    water = (surface.spectrum(names[0])[:, None, None] * share
             + surface.spectrum(names[1])[:, None, None] * (1 - share))
    along, _ = surface.rotated()
    waves = np.sin(along * rng.uniform(.5, 1.6) + 2 * surface.noise(6))
    surface.paint(water, 1., rng.uniform(.02, .08) * surface.noise(rng.uniform(.8, 2)) + rng.uniform(0, .06) * waves)
    if rng.random() < .3:
        shore, _ = surface.rotated()
        land = np.clip(shore - surface.size * rng.uniform(.3, .5) + 4 * surface.noise(10), 0, 1)
        woods(surface, land)


def highway(surface):
    """One or two roads with verges through the countryside."""
    _countryside(surface)
    rng = surface.rng
    verge = surface.spectrum(surface.pick('meadow'))
    for _ in range(1 if rng.random() < .7 else 2):
        road = surface.spectrum(surface.pick('road'))
        _band(surface, verge, road, rng.uniform(3, 6.5), rng.uniform(0, .04), .04)


def river(surface):
    """A stream between wooded or green banks."""
    _countryside(surface)
    rng = surface.rng
    bank = surface.spectrum(surface.pick('wood') if rng.random() < .75 else surface.pick('meadow'))
    _band(surface, bank, surface.spectrum(surface.pick('stream')), rng.uniform(8, 22), rng.uniform(.1, .36), .04)


def residential(surface):
    """Small houses in rows with gardens and streets."""
    rng = surface.rng
    surface.paint(surface.spectrum(surface.pick('meadow')), 1., .12 * surface.noise(3, 2))
    surface.paint(surface.spectrum(surface.pick('road')), np.clip(.25 + .3 * surface.noise(4), 0, .8))
    _trees(surface, rng.uniform(.2, 1.2))
    spacing = rng.uniform(22, 48)
    along, across = buildings(surface, 'house', spacing, rng.uniform(.45, .7), rng.uniform(6, 16))
    streets(surface, along, across, 2 * spacing, rng.uniform(1, 1.8))


def industrial(surface):
    """Large halls and yards with few trees."""
    rng = surface.rng
    surface.paint(surface.spectrum(surface.pick('road')), 1., .10 * surface.noise(4, 2))
    surface.paint(surface.spectrum(surface.pick('meadow')), np.clip(.1 + .4 * surface.noise(7), 0, .9))
    _trees(surface, rng.uniform(1., 2.))
    spacing = rng.uniform(38, 120)
    along, across = buildings(surface, 'hall', spacing, rng.uniform(.5, .75), rng.uniform(7, 18))
    streets(surface, along, across, 2 * spacing, rng.uniform(1, 2.4))


ALL_BANDS = tuple(range(len(BANDS)))
SCENES = {
    'AnnualCrop': annual_crop,
    'Forest': forest,
    'Highway': highway,
    'Industrial': industrial,
    'Pasture': pasture,
    'Residential': residential,
    'River': river,
    'SeaLake': sea_lake,
}


def draw_scene(name, region, rng, bands=ALL_BANDS, size=64):
    """Paint one scene.

    Args:
        name (str): A key of :data:`SCENES`.
        region (Region): Where it lies.
        rng (numpy.random.Generator): The only source of chance.
        bands (Sequence[int]): Places in ``BANDS`` of those to paint.
        size (int): Pixels of 10 m on a side.

    Returns:
        tuple[numpy.ndarray, float]: Reflectance (bands, 2 size, 2 size) of 5 m cells, and the aerosol optical depth.
    """
    surface = Surface(region, rng, 2 * size, bands)
    SCENES[name](surface)
    return np.clip(surface.reflectance, 0, 1), float(rng.uniform(*region.haze))


def _countryside(surface):
    """What a road or a river runs through."""
    edge = fields(surface, 'crop' if surface.rng.random() < .6 else 'meadow', contrast=.08)
    hedges(surface, edge, surface.rng.uniform(-1.5, .3))
    if surface.rng.random() < .4:
        woods(surface, np.clip(2 * surface.noise(14) - 1, 0, 1))


def _band(surface, border, inner, width, wander, grain):
    mask_width = width + surface.rng.uniform(2, 5)
    _, distance = ribbon(surface, border, mask_width, wander, .08 * surface.noise(2))
    surface.paint(inner, np.clip(width / 2 - distance + .5, 0, 1), grain * surface.noise(3))


def _trees(surface, threshold):
    mask = surface.noise(1.3) > threshold
    surface.paint(surface.spectrum(surface.pick('wood')), .85 * mask, .1 * surface.noise(1))
    surface.shade(6. * mask, .25)
