# World: the same teacher, a student of NWPU-RESISC45 pictures from another sensor, scale and continent, nine classes.
# data_root holds eurosat_ms/<class>/*.tif and nwpu_resisc45_subset/<class>/*.jpg.
_base_ = './eurosat_eu.py'

num_classes = dict(student=9)
split_files = dict(rgb='{{fileDirname}}/splits/nwpu_resisc45.json')
statistics = dict(rgb='{{fileDirname}}/statistics/nwpu_resisc45.json')
shared_classes = (
    'AnnualCrop', 'Forest', 'HerbaceousVegetation', 'Highway', 'Industrial', 'Pasture', 'Residential', 'River',
    'SeaLake')
# Our reading of the class names; chaparral, meadow and circular farmland are the weakest matches.
class_map = dict(
    rectangular_farmland='AnnualCrop', circular_farmland='AnnualCrop', forest='Forest',
    chaparral='HerbaceousVegetation', freeway='Highway', industrial_area='Industrial', meadow='Pasture',
    dense_residential='Residential', medium_residential='Residential', sparse_residential='Residential', river='River',
    lake='SeaLake')

rgb_source = dict(
    _delete_=True, type='SceneDataset', data_root='${data_root}/nwpu_resisc45_subset', classes='${shared_classes}',
    class_map='${class_map}', split_file='${split_files.rgb}', seed='${randomness.seed}')
rgb_plain_pipeline = [
    dict(type='LoadRaster'),
    dict(type='ToReflectance'),
    dict(type='Resize', scale=(64, 64), interpolation='area'),
    '${pack}',
]
rgb_train_pipeline = [
    dict(type='LoadRaster'),
    dict(type='ToReflectance'),
    dict(type='mmpretrain.RandomResizedCrop', scale=64, crop_ratio_range=(0.5, 1.0), interpolation='area'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomRot90'),
    dict(type='RadiometricJitter', brightness=0.2, contrast=0.2, band_gain=0.05),
    '${pack}',
]

# The teacher learns its ten classes; its gallery holds the nine that the student has.
ms_data = dict(gallery=dict(classes='${shared_classes}'))
