"""The files of a map of classes: checked before the work, written row by row, whole or not at all."""

import json
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import rasterio
from matplotlib.colors import to_rgba
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.transform import Affine

from rstoolbox.engine.errors import check_output
from rstoolbox.structures.files import whole_file, write_whole
from rstoolbox.visualization.figure import colour

NODATA = 255


def check_map_files(scene, out, probabilities, classes):
    """Find what would keep :func:`map_writer` from writing, before hours of work.

    Returns:
        Path: The picture that goes with the map.

    Raises:
        ConfigError, ValueError: If files are not GeoTIFFs by name, one would take the place of another or of the scene,
            nothing can be written there, or there are more classes than a byte can tell apart.
    """
    picture = Path(out).with_suffix('.png')
    if len(classes) > NODATA:
        raise ValueError(f'A map tells at most {NODATA} classes apart, and the model has {len(classes)}.')
    for path in (out,) if probabilities is None else (out, probabilities):
        if Path(path).suffix.lower() not in ('.tif', '.tiff'):
            raise ValueError(f"A map is written as GeoTIFF; '{path}' should end in .tif.")
    files = dict(scene=scene, out=out, picture=picture)
    if probabilities is not None:
        files['probabilities'] = probabilities
    if len({Path(path).resolve() for path in files.values()}) < len(files):
        raise ValueError('Scene, map, the picture of it (.png) and probabilities are different files; got '
                         + ', '.join(f"{name} '{path}'" for name, path in files.items()) + '.')
    for name, path in list(files.items())[1:]:
        check_output(name, path)
    return picture


@contextmanager
def map_writer(out, probabilities, classes, source, stride, size):
    """Open the files of a map; they appear under their names when the block ends without an error.

    Args:
        out (str | Path): A GeoTIFF of one byte a cell: the number of its class, or 255; with colours and names.
        probabilities (str | Path, optional): A GeoTIFF of a float32 band for each class; NaN where nothing is known.
        classes (Sequence[str]): Names in the order of the scores, at most 255.
        source (rasterio.DatasetReader): The raster that is mapped.
        stride (int): Its pixels along a cell.
        size (tuple[int, int]): Columns and rows of cells.

    Yields:
        Callable: Given the number of a row and its scores (columns, classes), writes them.

    Raises:
        OSError: If what was written cannot be read back, as on a full disk.
        ValueError: If a GeoTIFF cannot hold the coordinate system of the raster.
    """
    a, b, c, d, e, f = source.transform[:6]
    common = dict(driver='GTiff', width=size[0], height=size[1], crs=source.crs, compress='deflate', BIGTIFF='IF_SAFER',
                  transform=Affine(a * stride, b * stride, c, d * stride, e * stride, f))
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        # What a GeoTIFF cannot hold would go to a file beside it, of the temporary name.
        stack.enter_context(rasterio.Env(GDAL_PAM_ENABLED='NO'))

        def create(path, **profile):
            temporary = stack.enter_context(whole_file(path))

            def check(error, *_):
                if error is None:
                    _check_written(temporary, path, source.crs)

            stack.push(check)  # runs once the file is closed, and before it gets its name
            return stack.enter_context(rasterio.open(temporary, 'w', **common, **profile))

        numbers = create(out, count=1, dtype='uint8', nodata=NODATA)
        numbers.write_colormap(1, {**{index: _rgba(index) for index in range(len(classes))}, NODATA: (0, 0, 0, 0)})
        numbers.update_tags(classes=json.dumps(list(classes), ensure_ascii=False))
        scores_file = None
        if probabilities is not None:
            scores_file = create(probabilities, count=len(classes), dtype='float32', nodata=np.nan)
            scores_file.descriptions = tuple(classes)

        def write(row, scores):
            known = ~np.isnan(scores).any(1)
            found = np.where(known, np.where(known[:, None], scores, 0).argmax(1), NODATA).astype(np.uint8)
            numbers.write(found[None], 1, window=((row, row + 1), (0, size[0])))
            if scores_file is not None:
                scores_file.write(scores.T[:, None].astype(np.float32), window=((row, row + 1), (0, size[0])))
            return found

        yield write
    for path in filter(None, (out, probabilities)):
        for suffix in ('.ovr', '.msk'):  # of an earlier map
            Path(f'{path}{suffix}').unlink(missing_ok=True)
    _name_categories(out, classes)


def _check_written(temporary, path, crs):
    """GDAL passes errors over when it closes a file."""
    try:
        with rasterio.open(temporary) as file:
            for _, window in file.block_windows(1):
                file.read(window=window)
            kept = file.crs
    except RasterioError as error:
        raise OSError(f"'{path}' could not be written, and what was there before is untouched; is the disk full? "
                      f'({error.__cause__ or error})') from None
    if crs and not kept:
        raise ValueError(f"A GeoTIFF cannot hold the scene's coordinate system, {crs.to_string():.60}: bring the scene "
                         'to another, such as by gdalwarp -t_srs.')


def _rgba(index):
    return tuple(round(255 * part) for part in to_rgba(colour(index)))


def _name_categories(path, classes):
    """Tell GDAL, and with it geographic information systems, what the numbers mean."""
    root = ElementTree.Element('PAMDataset')
    names = ElementTree.SubElement(ElementTree.SubElement(root, 'PAMRasterBand', band='1'), 'CategoryNames')
    for name in classes:
        ElementTree.SubElement(names, 'Category').text = name
    write_whole(ElementTree.tostring(root, encoding='utf-8'), f'{path}.aux.xml')
