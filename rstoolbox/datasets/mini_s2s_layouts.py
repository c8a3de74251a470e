"""What lies where in a scene of the embedded data set ``mini_s2s``: fields, woods, streets, shores."""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft2

from .mini_s2s_physics import BANDS, draw_spectrum

CELL = 5.  # metres of one cell of the surface; two of them make a 10 m pixel


@dataclass
class Surface:
    """A square of land being painted, cover upon cover.

    Args:
        region (Region): Which covers are found and what they look like.
        rng (numpy.random.Generator): The only source of chance.
        size (int): Cells on a side, of 5 m each.
        bands (Sequence[int]): Places in ``BANDS`` of those that are painted; the scene is the same for any.
    """

    region: object
    rng: object
    size: int
    bands: tuple = tuple(range(len(BANDS)))

    def __post_init__(self):
        self.reflectance = np.zeros((len(self.bands), self.size, self.size), np.float32)
        self.rows, self.columns = np.mgrid[:self.size, :self.size].astype(np.float32)
        low, high = self.region.sun_elevation
        self.sun_elevation = np.deg2rad(self.rng.uniform(low, high))
        self._spectra = {}
        frequency = np.fft.fftfreq(self.size).astype(np.float32)
        self._squared_frequency = frequency[:, None] ** 2 + frequency[None, :self.size // 2 + 1] ** 2

    def spectrum(self, cover):
        """This scene's spectrum of a cover, (bands,)."""
        if cover not in self._spectra:
            self._spectra[cover] = draw_spectrum(cover, self.region, self.rng)[list(self.bands)]
        return self._spectra[cover]

    def pick(self, place):
        """One cover that the region has for a kind of place ('crop', 'meadow', 'wood', 'lake', ...)."""
        covers = self.region.covers[place]
        return str(self.rng.choice(list(covers), p=list(covers.values())))

    def noise(self, scale, octaves=1):
        """A smooth field of mean 0 and deviation 1 whose spots measure about ``scale`` cells, periodic."""
        shape = self.size, self.size // 2 + 1
        # White noise has a white spectrum, so it is drawn there, next to the Gaussian filters that colour it.
        real, imaginary = self.rng.standard_normal((2, *shape), np.float32)
        scales = [scale / 2 ** octave for octave in range(octaves)]
        filters = sum(sigma * np.exp(-2 * np.pi ** 2 * sigma ** 2 * self._squared_frequency) / 1.6 ** octave
                      for octave, sigma in enumerate(scales))
        filters[0, 0] = 0
        field = irfft2((real + 1j * imaginary) * filters, (self.size, self.size))
        return field / (field.std() + 1e-12)

    def rotated(self, angle=None):
        """Coordinates along and across a direction, in cells, with the origin somewhere near the middle."""
        angle = self.rng.uniform(0, np.pi) if angle is None else angle
        centre = self.size * self.rng.uniform(.35, .65, 2)
        y, x = self.rows - centre[0], self.columns - centre[1]
        return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x

    def paint(self, spectrum, mask=1., texture=0.):
        """Lay a cover over the surface.

        Args:
            spectrum (numpy.ndarray): (bands,) or, cell by cell, (bands, size, size).
            mask (numpy.ndarray | float): Share of the cover in each cell, 0 to 1.
            texture (numpy.ndarray | float): Relative change of its brightness.
        """
        if spectrum.ndim == 1:
            spectrum = spectrum[:, None, None]
        mask = np.asarray(mask, np.float32)
        self.reflectance *= 1 - mask
        self.reflectance += spectrum * (mask * np.maximum(1 + texture, .15)).astype(np.float32)

    def shade(self, height, share=.45):
        """Darken the cells in the shadow of what stands ``height`` (size, size) metres high; sun in the south-east."""
        length = int(np.clip(height.max() / np.tan(self.sun_elevation) / CELL, 0, 12))
        tall = height > 0
        shadow = np.zeros_like(tall)
        for step in range(1, length + 1):
            shadow |= np.roll(tall, (-step, -max(step // 2, 1)), (0, 1))
        self.reflectance *= 1 - share * (shadow & ~tall)

    def relief(self, strength):
        """Light and dark slopes of hills."""
        height = self.noise(18, octaves=2)
        slope = np.gradient(height, axis=0) + .5 * np.gradient(height, axis=1)
        self.reflectance *= np.clip(1 + strength * slope / np.tan(self.sun_elevation), .35, 1.8)


def fields(surface, place, contrast=.12, kinds=4, size=1.):
    """Parcels of land, each of its own cover of a kind of place, with rows and paths between some."""
    rng = surface.rng
    low, high = surface.region.parcel
    width = size * rng.uniform(low, high) / CELL
    along, across = surface.rotated()
    bend = surface.noise(25) * rng.uniform(0, 2.5)
    row = np.floor((across + bend) / width).astype(int)
    shift, length = rng.random(64), width * rng.uniform(1, 2.6, 64)
    position = (along + bend) / length[row % 64] + shift[row % 64]
    parcel = (row % 64) * 64 + np.floor(position).astype(int) % 64
    names = sorted({surface.pick(place) for _ in range(kinds)})
    kind = rng.integers(0, len(names), 64 * 64)[parcel]
    gain = rng.normal(0, contrast, 64 * 64)[parcel]
    rows_of_plants = rng.uniform(0, .10 if place == 'crop' else .02) * np.sin(across * rng.uniform(1.5, 2.8))
    texture = gain + .05 * surface.noise(rng.uniform(1.5, 6), 2) + rows_of_plants
    for index, name in enumerate(names):
        surface.paint(surface.spectrum(name), kind == index, texture)
    return np.minimum(np.abs(across / width - np.round(across / width)) * width,
                      np.abs(position - np.round(position)) * width)


def hedges(surface, edge_distance, density):
    """Trees along the edges of parcels, with gaps."""
    mask = (edge_distance < surface.rng.uniform(1, 2)) & (surface.noise(5) < density)
    surface.paint(surface.spectrum(surface.pick('wood')), .85 * mask, .12 * surface.noise(1))
    surface.shade(7. * mask, .3)


def ribbon(surface, spectrum, width, wander, texture=0.):
    """A winding band across the scene; returns its mask and the distance from its middle line, in cells."""
    along, across = surface.rotated()
    phase, length = surface.rng.uniform(0, 6.28, 2), surface.size * surface.rng.uniform(.45, 1.4, 2)
    middle = sum(wander * length[k] / (2 + k) * np.sin(6.28 * along / length[k] + phase[k]) for k in range(2))
    distance = np.abs(across - middle)
    mask = np.clip(width / 2 - distance + .5, 0, 1)
    surface.paint(spectrum, mask, texture)
    return mask, distance


def woods(surface, mask=1.):
    """Tree crowns with shaded gaps, stands of two kinds."""
    rng = surface.rng
    names = surface.pick('wood'), surface.pick('wood')
    stand = 1 / (1 + np.exp(-3 * surface.noise(rng.uniform(6, 20)) - rng.normal(0, 1)))
    mixed = (surface.spectrum(names[0])[:, None, None] * stand
             + surface.spectrum(names[1])[:, None, None] * (1 - stand))
    texture = rng.uniform(.07, .2) * surface.noise(rng.uniform(.7, 1.4)) + .05 * surface.noise(10, 2)
    surface.paint(mixed, mask, texture)


def buildings(surface, place, spacing, cover, height):
    """Blocks on a street grid: one building on each plot of ``spacing`` metres, ``cover`` of its side, with shadows."""
    rng = surface.rng
    along, across = surface.rotated()
    plot = spacing / CELL
    row, column = np.floor(across / plot).astype(int) % 64, np.floor(along / (1.2 * plot)).astype(int) % 64
    cell = row * 64 + column
    sides = np.clip(rng.normal(cover, .15, (2, 64 * 64)), .2, .95)
    inside = ((np.abs(across / plot % 1 - .5) < sides[0][cell] / 2)
              & (np.abs(along / (1.2 * plot) % 1 - .5) < sides[1][cell] / 2) & (rng.random(64 * 64) < .88)[cell])
    names = sorted({surface.pick(place) for _ in range(3)})
    kinds = rng.integers(0, len(names), 64 * 64)[cell]
    gain = rng.normal(0, .18, 64 * 64)[cell]
    surface.shade(height * inside)
    for index, name in enumerate(names):
        surface.paint(surface.spectrum(name), inside & (kinds == index), gain)
    return along, across


def streets(surface, along, across, spacing, width):
    """A grid of streets parallel to the buildings."""
    step = spacing / CELL
    mask = (across % step < width) | (along % (1.9 * step) < width)
    surface.paint(surface.spectrum(surface.pick('road')), .85 * mask, .06 * surface.noise(2))
