"""Sensors and their bands, selected by name; the place of a band in a file is another matter (``file_bands``)."""

import re
from dataclasses import dataclass

from rstoolbox.structures import nearest, nearest_band

THERMAL_FROM_NM = 5000.


@dataclass(frozen=True)
class Band:
    """One spectral band.

    Args:
        name (str): As used in configs, e.g. 'B02'.
        wavelength (float): Centre, in nm.
        resolution (float): Ground sampling distance, in m; 0 where the sensor sets none (plain RGB pictures).
    """

    name: str
    wavelength: float
    resolution: float

    @property
    def is_thermal(self):
        """bool: Whether the band measures emitted heat, which has no reflectance."""
        return self.wavelength > THERMAL_FROM_NM


@dataclass(frozen=True)
class Sensor:
    """A sensor (with its processing level, which sets the units).

    Args:
        name (str): As used in configs, e.g. 'sentinel2_l2a'.
        bands (tuple[Band]): In the order of the sensor's documentation.
        scale (float, optional): Reflectance = scale * stored number + offset. None: by the data type, 8 bits / 255
            and 16 bits / 65535, as ordinary pictures are.
        offset (float): See ``scale``.
        red, green, blue (str): Names of the bands for natural colour.
        nodata (float, optional): A pixel that holds this in all its bands was never measured.
    """

    name: str
    bands: tuple
    scale: float = None
    offset: float = 0.
    red: str = 'R'
    green: str = 'G'
    blue: str = 'B'
    nodata: float = None

    @property
    def band_names(self):
        """tuple[str]: Names in the sensor's order."""
        return tuple(band.name for band in self.bands)

    @property
    def rgb_bands(self):
        """tuple[str]: Names of the red, green and blue band, in this order."""
        return self.red, self.green, self.blue

    def band_called(self, text):
        """The name of the band that a text means in whatever case: 'B2' for B02, 'red'; None if it means none."""
        names = {name.upper(): name for name in self.band_names}
        colours = dict(RED=self.red, GREEN=self.green, BLUE=self.blue)
        text = re.sub(r'^B(\d)$', r'B0\1', text.strip().upper())
        return names.get(text) or colours.get(text)

    def band(self, name):
        """Return the :class:`Band` called ``name``; ValueError with the nearest name if there is none."""
        return self.bands[band_indices([name], self.band_names, f"sensor '{self.name}'")[0]]


def band_indices(wanted, available, source):
    """Return the place of every wanted band among the available ones.

    Args:
        wanted (Sequence[str]): Band names.
        available (Sequence[str]): Band names in order.
        source (str): Whose bands these are, for the message, e.g. "sensor 'rgb'" or a file name.

    Raises:
        ValueError: If a band is missing, with the nearest name.
    """
    positions = {name: index for index, name in enumerate(available)}
    for name in wanted:
        if name not in positions:
            raise ValueError(f"There is no band '{name}' in {source}{nearest_band(name, available)}. Its bands: "
                             f'{", ".join(available)}.')
    return [positions[name] for name in wanted]


def get_sensor(name):
    """Return the registered :class:`Sensor` called ``name``; ValueError with the nearest name if there is none."""
    if isinstance(name, Sensor):
        return name
    if name not in _sensors:
        raise ValueError(f"There is no sensor '{name}'{nearest(name, _sensors, 0.3)}. Known: "
                         f'{", ".join(sorted(_sensors))}. Add yours with '
                         'rstoolbox.datasets.bands.register_sensor(Sensor(...)).')
    return _sensors[name]


def register_sensor(sensor):
    """Make a :class:`Sensor` known by its name; ValueError if the name is taken by another or a band stands twice."""
    if _sensors.get(sensor.name, sensor) != sensor:
        raise ValueError(f"A different sensor is already registered as '{sensor.name}'.")
    names = sensor.band_names
    if len(set(names)) != len(names):
        raise ValueError(f"Sensor '{sensor.name}' names a band twice: {', '.join(names)}.")
    band_indices(sensor.rgb_bands, names, f"sensor '{sensor.name}'")
    _sensors[sensor.name] = sensor
    return sensor


_sensors = {}

# Sentinel-2A, ESA "Sentinel-2 MSI User Guide", spectral and spatial resolution.
_SENTINEL2 = (Band('B01', 442.7, 60.), Band('B02', 492.4, 10.), Band('B03', 559.8, 10.), Band('B04', 664.6, 10.),
              Band('B05', 704.1, 20.), Band('B06', 740.5, 20.), Band('B07', 782.8, 20.), Band('B08', 832.8, 10.),
              Band('B8A', 864.7, 20.), Band('B09', 945.1, 60.), Band('B10', 1373.5, 60.), Band('B11', 1613.7, 20.),
              Band('B12', 2202.4, 20.))
_S2_RGB = dict(red='B04', green='B03', blue='B02')
# Products of processing baseline 04.00 (2022) and later store reflectance + 0.1: ToReflectance(offset=-0.1).
register_sensor(Sensor('sentinel2_l1c', _SENTINEL2, scale=1e-4, nodata=0, **_S2_RGB))
# Level 2A leaves out the cirrus band, which holds no surface signal.
register_sensor(Sensor('sentinel2_l2a', tuple(band for band in _SENTINEL2 if band.name != 'B10'), scale=1e-4,
                       nodata=0, **_S2_RGB))

# USGS "Landsat 8-9 OLI/TIRS Collection 2" product guides, level 1 (top of atmosphere) and level 2 (surface).
_LANDSAT = (Band('B01', 443., 30.), Band('B02', 482., 30.), Band('B03', 561.4, 30.), Band('B04', 654.6, 30.),
            Band('B05', 864.7, 30.), Band('B06', 1608.9, 30.), Band('B07', 2200.7, 30.), Band('B08', 589.5, 15.),
            Band('B09', 1373.4, 30.), Band('B10', 10895., 100.), Band('B11', 12005., 100.))
for _number in (8, 9):
    register_sensor(Sensor(f'landsat{_number}_l1', _LANDSAT, scale=2e-5, offset=-0.1, nodata=0, **_S2_RGB))
    register_sensor(Sensor(f'landsat{_number}_l2', _LANDSAT[:7], scale=2.75e-5, offset=-0.2, nodata=0, **_S2_RGB))

# Wide-band imager of the space laboratory Tiangong-2, 14 bands from 0.40 to 1.04 um at 100 m. The centres 413, 443,
# 490, 565, 665, 682.5, 750 and 865 nm are published (He et al., Optics Express 2017, 25(20)); the others are nominal.
# Its products come without a calibrated reflectance: 1e-4 only brings the numbers near 1.
register_sensor(Sensor('tiangong2_wis', tuple(
    Band(f'B{number:02d}', wavelength, 100.) for number, wavelength in enumerate(
        (413., 443., 490., 520., 565., 620., 665., 682.5, 750., 820., 865., 905., 940., 980.), start=1)),
    scale=1e-4, red='B07', green='B05', blue='B03', nodata=0))

register_sensor(Sensor('rgb', (Band('R', 650., 0.), Band('G', 550., 0.), Band('B', 450., 0.))))

# The ten bands of 10 and 20 m, which see the surface.
SENTINEL2_SURFACE_BANDS = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')
# EuroSAT's GeoTIFFs carry no band names and hold B8A last, unlike the sensor's order.
EUROSAT_FILE_BANDS = ('B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B09', 'B10', 'B11', 'B12', 'B8A')
