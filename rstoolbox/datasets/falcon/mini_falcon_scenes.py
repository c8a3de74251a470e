"""Drawn scenes of the embedded records: a ground, and objects of several classes at any angle."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

SIZE = 96  # pixels of a side
GROUNDS = dict(sea=(28, 72, 128), desert=(206, 176, 128), forest=(36, 88, 44), farmland=(138, 150, 70))
# Colour and outline of each class: corners in the frame of the object, of length 1.
OBJECTS = dict(
    ship=((236, 236, 240), ((-.5, -.16), (.25, -.16), (.5, 0.), (.25, .16), (-.5, .16))),
    building=((188, 62, 52), ((-.5, -.4), (.5, -.4), (.5, .4), (-.5, .4))),
    pool=((70, 214, 232), ((-.5, -.2), (.5, -.2), (.5, .2), (-.5, .2))),
    tank=((120, 120, 130), tuple((.36 * np.cos(angle), .36 * np.sin(angle))
                                 for angle in np.linspace(0, 2 * np.pi, 8, endpoint=False))))
# What later dates may show: bare earth over whatever was there.
SHAPES = dict(OBJECTS, site=((92, 58, 40), ((-.5, -.4), (.5, -.4), (.5, .4), (-.5, .4))))
LENGTHS = dict(small=(20, 25), large=(34, 40))  # pixels
SITE_LENGTHS = (36, 46)


@dataclass
class DrawnObject:
    """An object or a site: its class, 'small' or 'large', centre (2,), angle in radians and length in pixels."""

    category: str
    extent: str
    centre: np.ndarray
    angle: float
    length: float

    @property
    def polygon(self):
        """(K, 2) outline in pixels, x before y."""
        return self._place(SHAPES[self.category][1])

    @property
    def quad(self):
        """(4, 2) corners of the smallest box along the object."""
        outline = np.array(SHAPES[self.category][1])
        (left, top), (right, bottom) = outline.min(0), outline.max(0)
        return self._place(((left, top), (right, top), (right, bottom), (left, bottom)))

    @property
    def bbox(self):
        """(4,) x1, y1, x2, y2."""
        return np.concatenate([self.polygon.min(0), self.polygon.max(0)])

    @property
    def radius(self):
        """Of the circle around the centre that holds the outline at any angle, in pixels."""
        return self.length * np.hypot(*np.transpose(SHAPES[self.category][1])).max()

    @property
    def place(self):
        """Which quarter of the scene it is in."""
        x, y = self.centre
        return f"{'upper' if y < SIZE / 2 else 'lower'} {'left' if x < SIZE / 2 else 'right'}"

    def is_clear_of(self, other):
        """Whether two objects are so far apart that they touch at no angle."""
        return np.hypot(*(self.centre - other.centre)) > self.radius + other.radius + 3

    def _place(self, corners):
        turn = np.array([[np.cos(self.angle), np.sin(self.angle)], [-np.sin(self.angle), np.cos(self.angle)]])
        points = np.array(corners) * self.length @ turn + self.centre
        # Clockwise from the uppermost corner, so that one shape has one answer.
        return np.roll(points, -points[:, 1].argmin(), axis=0)


def draw_objects(rng):
    """One to three objects of one or two classes, at any angle, none of them touching another or the border."""
    categories = rng.permutation(list(OBJECTS))[:2]
    objects = []
    for _ in range(rng.integers(1, 4)):
        for _ in range(20):
            extent = str(rng.choice(list(LENGTHS)))
            thing = DrawnObject(str(rng.choice(categories)), extent, np.zeros(2), rng.uniform(0, np.pi),
                                rng.uniform(*LENGTHS[extent]))
            thing.centre = rng.uniform(thing.radius + 2, SIZE - thing.radius - 2, 2)
            # Clear of the middle lines, so that its quarter is beyond doubt.
            clear = (np.abs(thing.centre - SIZE / 2) > 5).all()
            if clear and all(thing.is_clear_of(other) for other in objects):
                objects.append(thing)
                break
    return sorted(objects, key=lambda thing: tuple(thing.centre[::-1]))  # from top to bottom


def draw_site(rng):
    """A building site at any angle, all of it within the scene."""
    site = DrawnObject('site', 'large', np.zeros(2), rng.uniform(0, np.pi), rng.uniform(*SITE_LENGTHS))
    site.centre = rng.uniform(-site.polygon.min(0), SIZE - site.polygon.max(0))
    return site


def draw_scene(ground, objects, rng):
    """Draw a scene.

    Args:
        ground (str): One of :data:`GROUNDS`.
        objects (list[DrawnObject]): What stands on it; later ones cover earlier ones.
        rng (numpy.random.Generator): Of textures and light; the same state gives the same picture.

    Returns:
        np.ndarray: (96, 96, 3) uint8.
    """
    texture = gaussian_filter(rng.normal(size=(SIZE, SIZE)), 4 if ground in ('sea', 'desert') else 1.5)
    texture = texture / texture.std()
    if ground == 'farmland':
        rows = np.arange(SIZE) // 8 % 2 * 2 - 1
        texture = 0.4 * texture + (rows[:, None] if rng.random() < 0.5 else rows[None])
    image = np.array(GROUNDS[ground]) + 8 * texture[..., None] + rng.normal(0, 3, 3)
    drawn = Image.fromarray(np.uint8(np.clip(image, 0, 255))).resize((4 * SIZE, 4 * SIZE), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(drawn)
    for thing in objects:
        shade = np.clip(np.array(SHAPES[thing.category][0]) + rng.normal(0, 6), 0, 255)
        pen.polygon([tuple(point) for point in 4 * thing.polygon], fill=tuple(map(int, shade)))
    small = np.asarray(drawn.resize((SIZE, SIZE), Image.Resampling.BOX), np.float64)
    return np.uint8(np.clip(small * rng.uniform(0.9, 1.1) + rng.normal(0, 2, small.shape), 0, 255))
