"""Surface reflectance, sun, atmosphere and sensors of the embedded data set ``mini_s2s``.

The spectra are typical values of each cover at the ten 10 m and 20 m bands of Sentinel-2, written for this file in
the shape that field spectroscopy knows: chlorophyll absorption and red edge of leaves, liquid-water absorption in the
short-wave infrared, iron slope of soils, cellulose absorption of dry plants at 2.2 um, water black beyond 0.8 um.
"""

from dataclasses import dataclass, field

import numpy as np

BANDS = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')
WAVELENGTHS = np.array([492, 560, 665, 704, 740, 783, 833, 865, 1614, 2202], np.float32)  # nm
IS_20M = np.array([False, False, False, True, True, True, False, True, True, True])
RGB = (2, 1, 0)  # places in BANDS of B04, B03, B02

# Reflectance in percent, in the order of BANDS.
SPECTRA = {
    'deep_water': (3.4, 2.6, 1.4, 1.1, .9, .8, .7, .6, .3, .2),
    'clear_water': (3.0, 3.9, 2.2, 1.7, 1.2, 1.1, 1.0, .9, .4, .3),
    'algal_water': (2.2, 4.6, 2.6, 3.6, 2.6, 2.2, 1.9, 1.7, .5, .4),
    'turbid_water': (7.4, 9.8, 10.6, 9.4, 5.4, 5.0, 4.0, 3.6, 1.0, .7),
    'broadleaf': (2.2, 4.8, 2.6, 8.2, 27, 35, 38, 40, 19, 8.5),
    'conifer': (1.9, 3.4, 2.1, 5.4, 15.5, 19.5, 22, 23, 10.5, 4.6),
    'shrub': (3.6, 6.2, 5.0, 9.4, 20, 24, 26, 27.5, 20, 11.5),
    'grass_fresh': (3.4, 7.6, 4.4, 11.5, 31, 39, 42, 44, 24, 12.5),
    'grass_dry': (6.4, 9.8, 11.2, 15.5, 23, 26, 29, 31, 34, 24),
    'crop_young': (5.2, 8.4, 7.6, 12.2, 22, 25, 28, 30, 27, 18.5),
    'crop_peak': (2.8, 6.6, 3.2, 10.2, 37, 48, 51, 53, 19.5, 8.4),
    'crop_ripe': (7.4, 11.2, 14.4, 18.5, 23, 26, 28.5, 30.5, 38, 27.5),
    'paddy': (3.8, 6.6, 4.6, 8.6, 17, 21, 22.5, 23, 8.5, 4.4),
    'soil_dark': (5.2, 7.2, 9.6, 11, 12.4, 13.8, 15.2, 16.4, 22, 19),
    'soil_light': (9.8, 13.8, 18.6, 20.6, 22.4, 24, 26, 27.6, 36, 31.5),
    'sand': (18, 23.5, 28.5, 30.5, 32.5, 34, 35, 36, 44, 41),
    'asphalt': (8.6, 9.6, 10.6, 11, 11.3, 11.6, 12.2, 12.4, 14.2, 13.6),
    'concrete': (17.5, 20, 22, 23, 24, 25, 26, 26.5, 29.5, 28),
    'roof_tile': (7.8, 10, 17, 20, 22, 24, 26, 27, 35, 31),
    'roof_bitumen': (6.6, 7.2, 7.8, 8, 8.2, 8.5, 9, 9.2, 11.8, 11.4),
    'roof_metal': (28, 30, 31, 31.5, 31.5, 31.5, 31, 31, 24, 20),
    'roof_blue': (21, 19, 14, 14.5, 17, 20, 22, 23, 17, 13),
}
VEGETATION = ('broadleaf', 'conifer', 'shrub', 'grass_fresh', 'grass_dry', 'crop_young', 'crop_peak', 'crop_ripe',
              'paddy')
SOILS = ('soil_dark', 'soil_light', 'sand', 'roof_tile')
WATERS = ('deep_water', 'clear_water', 'algal_water', 'turbid_water')


@dataclass(frozen=True)
class Region:
    """Where a part of the data set was "taken".

    Attributes:
        crs (str): UTM zone of the images.
        origin (tuple[float, float]): Easting and northing in metres of the region's upper-left corner.
        sun_elevation (tuple[float, float]): Range in degrees.
        haze (tuple[float, float]): Range of the aerosol optical depth at 550 nm.
        parcel (tuple[float, float]): Range of the width of fields in metres.
        covers (dict): For each kind of place the covers found there and their shares.
        redness (float): Iron slope of soils: added to the logarithm of reflectance from blue to red.
    """

    name: str
    crs: str
    origin: tuple
    sun_elevation: tuple
    haze: tuple
    parcel: tuple
    redness: float
    covers: dict = field(hash=False)


EUROPE = Region(
    name='europe', crs='EPSG:32632', origin=(399960.0, 5400000.0), sun_elevation=(38, 62), haze=(.03, .14),
    parcel=(90, 260), redness=0.,
    covers=dict(
        crop=dict(crop_young=.3, crop_peak=.25, crop_ripe=.2, soil_dark=.15, soil_light=.1),
        meadow=dict(grass_fresh=.7, grass_dry=.2, shrub=.1),
        wood=dict(broadleaf=.5, conifer=.5),
        lake=dict(deep_water=.35, clear_water=.35, algal_water=.3),
        stream=dict(turbid_water=.45, clear_water=.35, algal_water=.2),
        road=dict(asphalt=.7, concrete=.3),
        house=dict(roof_tile=.55, roof_bitumen=.25, concrete=.2),
        hall=dict(roof_metal=.35, roof_bitumen=.3, concrete=.3, roof_blue=.05)))

ASIA = Region(
    name='asia', crs='EPSG:32650', origin=(399960.0, 3400020.0), sun_elevation=(30, 68), haze=(.06, .25),
    parcel=(50, 170), redness=.18,
    covers=dict(
        crop=dict(crop_young=.2, crop_peak=.2, crop_ripe=.2, paddy=.15, soil_dark=.15, soil_light=.1),
        meadow=dict(grass_fresh=.65, grass_dry=.2, shrub=.15),
        wood=dict(broadleaf=.6, conifer=.3, shrub=.1),
        lake=dict(deep_water=.4, clear_water=.4, algal_water=.2),
        stream=dict(turbid_water=.65, clear_water=.25, algal_water=.1),
        road=dict(asphalt=.5, concrete=.5),
        house=dict(roof_tile=.35, roof_bitumen=.35, concrete=.2, roof_blue=.1),
        hall=dict(roof_metal=.3, roof_bitumen=.2, concrete=.25, roof_blue=.25)))

REGIONS = {region.name: region for region in (EUROPE, ASIA)}


def draw_spectrum(cover, region, rng):
    """One image's own spectrum of a cover: the typical one with its gain, slope and red edge varied.

    Args:
        cover (str): A key of :data:`SPECTRA`.
        region (Region): Soils are redder and waters more loaded where the region says so.
        rng (numpy.random.Generator): Source of the variation.

    Returns:
        numpy.ndarray: Reflectance (10,), about 0 to 0.6.
    """
    spectrum = np.asarray(SPECTRA[cover], np.float32) / 100
    slope = np.log(WAVELENGTHS / 665).astype(np.float32)
    log_change = rng.normal(0, .14) + rng.normal(0, .08) * slope + rng.normal(0, .035, len(BANDS))
    if cover in SOILS:
        log_change += region.redness * np.clip(slope, -.4, 0)
    elif cover in VEGETATION:
        # Leaf area moves the infrared plateau and the visible in opposite ways.
        leaf_area = rng.normal(0, .12)
        log_change += leaf_area * np.where(WAVELENGTHS < 720, -1., np.where(WAVELENGTHS < 1000, .6, -.3))
    elif cover in WATERS:
        sediment = abs(rng.normal(0, .12 + region.redness))
        log_change += sediment * np.where(WAVELENGTHS < 720, .8, .3)
    return (spectrum * np.exp(log_change)).astype(np.float32)


def sense_multispectral(surface, haze, rng):
    """Observe a 5 m surface as a Sentinel-2 L2A product would show it.

    Args:
        surface (numpy.ndarray): Reflectance (10, 2N, 2N) of 5 m cells, illumination included.
        haze (float): Aerosol optical depth; a fifth of it is left over by the atmospheric correction.
        rng (numpy.random.Generator): Sensor noise.

    Returns:
        numpy.ndarray: uint16 (10, N, N), reflectance x 10000, never 0 (which is nodata).
    """
    image = _pool(surface, 2)
    # 20 m bands are coarser on the ground and delivered on the 10 m grid.
    image[IS_20M] = _pool(image[IS_20M], 2).repeat(2, 1).repeat(2, 2)
    image = _through_air(image, WAVELENGTHS, .2 * haze)
    image += rng.standard_normal(image.shape, np.float32) * (.0015 + .012 * image)
    return np.clip(np.rint(image * 10000), 1, 65535).astype(np.uint16)


def sense_rgb(surface, haze, rng):
    """Observe a 5 m surface as an RGB camera would: through the whole atmosphere, then stretched to eight bits.

    Args:
        surface (numpy.ndarray): Reflectance (3, 2N, 2N) of 5 m cells in red, green, blue, illumination included.
        haze (float): Aerosol optical depth at 550 nm.
        rng (numpy.random.Generator): Sensor noise and the exposure that the archive chose for this image.

    Returns:
        numpy.ndarray: uint8 (N, N, 3) in the order red, green, blue.
    """
    image = _through_air(_pool(surface, 2), WAVELENGTHS[list(RGB)], haze, rayleigh=.02)
    image += rng.standard_normal(image.shape, np.float32) * (.002 + .015 * image)
    image *= np.exp(rng.normal(0, .03, (3, 1, 1)))  # white balance
    # Archives stretch each picture: partly by itself, partly by a fixed range.
    low, high = np.percentile(image, (1, 99))
    weight = rng.uniform(.45, .95)
    low, high = weight * low + (1 - weight) * .03, weight * high + (1 - weight) * .26
    span = max(high - low, .06)
    image = np.clip((image - low + .08 * span) / (1.12 * span), 0, 1) ** rng.uniform(.75, 1.05)
    return np.rint(image * 255).astype(np.uint8).transpose(1, 2, 0)


def _through_air(reflectance, wavelengths, optical_depth, rayleigh=0.):
    """Path radiance and loss of contrast: aerosol falls with wavelength^-1.3, molecules with wavelength^-4."""
    wavelength = (wavelengths / 550).reshape(-1, 1, 1)
    aerosol = optical_depth * wavelength ** -1.3
    path = .13 * aerosol + rayleigh * wavelength ** -4
    blurred = reflectance.mean((1, 2), keepdims=True)  # adjacency: light scattered in from the surroundings
    direct = np.exp(-.8 * aerosol)
    return (direct * reflectance + .7 * (1 - direct) * blurred + path).astype(np.float32)


def _pool(image, factor):
    return sum(image[:, row::factor, column::factor] for row in range(factor) for column in range(factor)) / factor ** 2
