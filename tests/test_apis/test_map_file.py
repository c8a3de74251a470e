"""What lies beside the files of a map, and behind the raster that is mapped."""

from xml.sax.saxutils import escape

import pytest
import rasterio

from rstoolbox.apis import scene_map


def test_overviews_of_an_earlier_map_go_with_it(classify, scene, tmp_path):
    path, _ = scene()
    classify.map(path, tmp_path / 'map.tif', tile=16)
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(tmp_path / 'map.tif', 'r+') as made:
        made.build_overviews([2])
    assert (tmp_path / 'map.tif.ovr').is_file()
    classify.map(path, tmp_path / 'map.tif', tile=12)
    with rasterio.open(tmp_path / 'map.tif') as made:
        assert not made.overviews(1) and not (tmp_path / 'map.tif.ovr').exists()


def test_the_files_behind_a_mosaic_count(classify, scene, tmp_path, monkeypatch):
    scene('part.tif')
    build_vrt(tmp_path / 'scene.vrt', 'part.tif')

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(scene_map, 'draw_class_map', stop)
    with pytest.raises(KeyboardInterrupt):
        classify.map(tmp_path / 'scene.vrt', tmp_path / 'map.tif', tile=16)
    assert (tmp_path / 'map.tif.part').exists()
    with rasterio.open(tmp_path / 'part.tif', 'r+') as file:
        file.write(255 - file.read())
    with pytest.raises(ValueError, match='holds what another map has so far'):
        classify.map(tmp_path / 'scene.vrt', tmp_path / 'map.tif', tile=16)


def test_a_coordinate_system_beyond_geotiff_is_explained(classify, scene, tmp_path):
    scene('part.tif')
    rotated = rasterio.crs.CRS.from_proj4('+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=30 +lon_0=10 +type=crs')
    build_vrt(tmp_path / 'scene.vrt', 'part.tif', rotated)
    with pytest.raises(ValueError, match="A GeoTIFF cannot hold the scene's coordinate system.* gdalwarp -t_srs"):
        classify.map(tmp_path / 'scene.vrt', tmp_path / 'map.tif', tile=16)
    assert not (tmp_path / 'map.tif').exists()


def build_vrt(path, part, crs=None):
    """A mosaic of one raster beside it, maybe in another coordinate system."""
    with rasterio.open(path.parent / part) as source:
        crs, transform, count = crs or source.crs, source.transform, source.count
    bands = ''.join(f"""<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource>
        <SourceFilename relativeToVRT="1">{part}</SourceFilename><SourceBand>{band}</SourceBand>
        </SimpleSource></VRTRasterBand>""" for band in range(1, count + 1))
    path.write_text(f"""<VRTDataset rasterXSize="44" rasterYSize="36"><SRS>{escape(crs.to_wkt())}</SRS>
        <GeoTransform>{', '.join(map(str, transform.to_gdal()))}</GeoTransform>{bands}</VRTDataset>""")
