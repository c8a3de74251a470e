"""Where a raster lies on Earth, and what was found in it as features of a map."""

import os
from pathlib import Path

import numpy as np

from rstoolbox.datasets.transforms.readers import open_raster, reading_raster
from rstoolbox.engine.errors import check_output
from rstoolbox.models.falcon.optional import optional
from rstoolbox.structures.files import whole_file, write_whole

shapely = optional('shapely')
geopandas = optional('geopandas')
pyogrio = optional('pyogrio')
pyproj = optional('pyproj')

GEOJSON, GEOPACKAGE = ('.geojson', '.json'), '.gpkg'
DEGREES = 1e-7  # about a centimetre
WGS84 = 'EPSG:4326'


class GeoRaster:
    """The size of a raster and its place on Earth; pixels stay in the file.

    Args:
        path (str | Path): A raster that GDAL reads.

    Attributes:
        size (tuple[int, int]): Width and height in pixels.
        crs (rasterio.crs.CRS): The coordinate system.
        transform (affine.Affine): From pixels, x before y, to its coordinates.
        files (list[str]): All that it is read from.

    Raises:
        ValueError: If it is no raster, or does not say where it lies.
    """

    def __init__(self, path):
        self.path = path
        with reading_raster(path), open_raster(path) as source:
            self.size, self.crs, self.transform = (source.width, source.height), source.crs, source.transform
            self.files = source.files or [str(path)]
        if self.crs is None or self.transform.is_identity:
            raise ValueError(f"'{path}' does not say where on Earth it lies (no coordinate system, or no transform), "
                             'so that what is found in it has no place on a map. Ask about it as an ordinary image, or '
                             'add them: by gdal_translate -a_srs -a_ullr, where it has control points by gdalwarp.')

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
        return shapely.transform(shapes, lambda points: _applied(self.transform, points))

    def check_same_grid(self, other):
        """Raise ValueError unless the pixels of another raster lie where those of this one do."""
        corners = np.array([(0, 0), (self.size[0], 0), self.size], float)
        if (self.size, self.crs) == (other.size, other.crs):
            moved = _applied(~self.transform, _applied(other.transform, corners))
            if np.abs(moved - corners).max() < 0.01:
                return
        raise ValueError(f"A pair of dates shows one place, pixel by pixel, but '{self.path}' and '{other.path}' "
                         'differ in size, coordinate system or transform. Bring one onto the grid of the other, such '
                         'as by gdalwarp -t_srs -te -ts.')


def check_features_file(out, layer, rasters):
    """Find what would keep :func:`write_features` from writing, before hours of answers.

    Raises:
        ConfigError, ValueError: If nothing can be written there, the name says no known format, the file is one of the
            rasters or a GeoPackage that holds something else, or their place cannot be said in longitude and latitude.
    """
    suffix = Path(out).suffix.lower()
    if suffix not in (*GEOJSON, GEOPACKAGE):
        raise ValueError(f"Features are written as GeoJSON (.geojson) or GeoPackage (.gpkg); '{out}' ends in neither.")
    if Path(out).resolve() in {Path(raster.path).resolve() for raster in rasters}:
        raise ValueError(f"'{out}' is the scene itself: name another file.")
    check_output('out', out)
    if suffix == GEOPACKAGE and Path(out).is_file():
        others = _layers(out) - {layer}
        if others:
            raise ValueError(f"'{out}' holds the layer {sorted(others)[0]}, which would be lost: name another file.")
    elif suffix in GEOJSON:
        _check_degrees(rasters[0])


def write_features(frame, out, layer):
    """Write features; the file appears whole or not at all.

    Args:
        frame (geopandas.GeoDataFrame): Features with their coordinate system.
        out (str | Path): ``.geojson`` holds longitude and latitude (WGS 84, outer rings counter-clockwise, RFC 7946;
            what crosses the 180th meridian is not cut there), ``.gpkg`` the frame's own coordinates.
        layer (str): The name of the layer in a GeoPackage.
    """
    if Path(out).suffix.lower() == GEOPACKAGE:
        with whole_file(out) as temporary:
            os.unlink(temporary)  # GDAL would take the empty file for a damaged one
            frame.to_file(temporary, driver='GPKG', layer=layer, engine='pyogrio')
        return
    degrees = frame.to_crs(WGS84)
    shapes = shapely.orient_polygons(shapely.set_precision(degrees.geometry.values, DEGREES))
    write_whole(degrees.set_geometry(shapes).to_json(drop_id=True, ensure_ascii=False).encode(), out)


def _layers(path):
    try:
        return {str(name) for name in pyogrio.list_layers(path)[:, 0]}
    except pyogrio.errors.DataSourceError:
        raise ValueError(f"'{path}' is there and holds no layers of features: name another file.") from None


def _check_degrees(raster):
    width, height = raster.size
    corners = _applied(raster.transform, np.array([(0, 0), (width, 0), (0, height), (width, height)], float))
    try:
        to_degrees = pyproj.Transformer.from_crs(raster.crs.to_wkt(), WGS84, always_xy=True)
        if np.isfinite(to_degrees.transform(*corners.T)).all():
            return
        reason = 'its corners lie nowhere on Earth'
    except pyproj.exceptions.ProjError as error:
        reason = str(error)
    raise ValueError(f"GeoJSON holds longitude and latitude, which the coordinates of '{raster.path}' do not lead to "
                     f'({reason}). Name a .gpkg, which holds its own coordinates.')


def _applied(transform, points):
    a, b, c, d, e, f = transform[:6]
    return points @ np.array([[a, d], [b, e]]) + (c, f)
