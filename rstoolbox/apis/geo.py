"""Where a raster lies on Earth, and what was found in it as features of a map."""

import os
from pathlib import Path

import numpy as np
from rasterio.errors import RasterioError

from rstoolbox.datasets.transforms.readers import open_raster
from rstoolbox.models.falcon.optional import optional
from rstoolbox.structures.files import whole_file, write_whole

shapely = optional('shapely')
geopandas = optional('geopandas')

GEOJSON, GEOPACKAGE = ('.geojson', '.json'), '.gpkg'
DEGREES = 1e-7  # about a centimetre


class GeoRaster:
    """The size of a raster and its place on Earth; pixels stay in the file.

    Args:
        path (str | Path): A raster that GDAL reads.

    Attributes:
        size (tuple[int, int]): Width and height in pixels.
        crs (rasterio.crs.CRS): The coordinate system.
        transform (affine.Affine): From pixels, x before y, to its coordinates.

    Raises:
        ValueError: If it is no raster, or does not say where it lies.
    """

    def __init__(self, path):
        self.path = path
        try:
            with open_raster(path) as source:
                self.size, self.crs, self.transform = (source.width, source.height), source.crs, source.transform
        except RasterioError as error:
            raise ValueError(f"'{path}' is no raster that can be read: {error}") from None
        if self.crs is None or self.transform.is_identity:
            raise ValueError(f"'{path}' does not say where on Earth it lies (no coordinate system, or no transform), "
                             'so that what is found in it has no place on a map. Ask about it as an ordinary image, or '
                             'add them, such as by gdal_translate -a_srs -a_ullr.')

    def tiles(self, side, stride):
        """Cut the raster into squares that cover it; those at the right and lower edge are moved inwards.

        Args:
            side (int): Of a square in pixels; a shorter side of the raster stays whole.
            stride (int): Pixels from one to the next, at most ``side``.

        Returns:
            list[tuple[int, int, int, int]]: x1, y1, x2, y2 in pixels, row by row.
        """
        starts = [[*range(0, max(length - side, 0), stride), max(length - side, 0)] for length in self.size]
        return [(left, top, min(left + side, self.size[0]), min(top + side, self.size[1]))
                for top in starts[1] for left in starts[0]]

    def coordinates(self, shapes):
        """Bring shapely's shapes from pixels to the raster's coordinate system."""
        a, b, c, d, e, f = self.transform[:6]
        return shapely.transform(shapes, lambda points: points @ np.array([[a, d], [b, e]]) + (c, f))


def check_format(out):
    """Raise ValueError unless the name of a file says a format that :func:`write_features` knows."""
    if Path(out).suffix.lower() not in (*GEOJSON, GEOPACKAGE):
        raise ValueError(f"Features are written as GeoJSON (.geojson) or GeoPackage (.gpkg); '{out}' ends in neither.")


def write_features(frame, out, layer):
    """Write features; the file appears whole or not at all.

    Args:
        frame (geopandas.GeoDataFrame): Features with their coordinate system.
        out (str | Path): ``.geojson`` holds longitude and latitude (WGS 84, RFC 7946), ``.gpkg`` the frame's own
            coordinates.
        layer (str): The name of the layer in a GeoPackage.
    """
    if Path(out).suffix.lower() == GEOPACKAGE:
        with whole_file(out) as temporary:
            os.unlink(temporary)  # GDAL would take the empty file for a damaged one
            frame.to_file(temporary, driver='GPKG', layer=layer, engine='pyogrio')
        return
    degrees = frame.to_crs('EPSG:4326')
    degrees = degrees.set_geometry(shapely.set_precision(degrees.geometry.values, DEGREES))
    write_whole(degrees.to_json(drop_id=True, ensure_ascii=False).encode(), out)
