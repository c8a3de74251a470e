# EU: EuroSAT's Sentinel-2 patches teach a student of EuroSAT's RGB pictures of other places, ten classes.
# data_root holds eurosat_ms/<class>/*.tif and eurosat_rgb/rgb_only/<class>/*.jpg.
_base_ = './sides.py'

data_root = 'data'
image_size = 64
num_classes = dict(teacher=10, student=10)
label_kind = dict(teacher='single', student='single')
ms_bands = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')
rgb_bands = ('R', 'G', 'B')
split_files = dict(
    ms='{{fileDirname}}/splits/eurosat_ms.json',  # by 100-km UTM cell, 60/20/20 %
    rgb='{{fileDirname}}/splits/eurosat_rgb.json')  # 20/30/50 %: 30 labelled images a class to learn from
statistics = dict(
    ms='{{fileDirname}}/statistics/eurosat_ms.json',
    rgb='{{fileDirname}}/statistics/eurosat_rgb.json')

ms_source = dict(
    type='S2S_EU', modality='ms', data_root='${data_root}/eurosat_ms', data_prefix='',
    split_file='${split_files.ms}', seed='${randomness.seed}')
rgb_source = dict(
    type='S2S_EU', data_root='${data_root}/eurosat_rgb', data_prefix='rgb_only', split_file='${split_files.rgb}',
    seed='${randomness.seed}')

pack = dict(type='mmpretrain.PackInputs', meta_keys=('sample_id', 'img_path', 'img_shape', 'bands'))
plain_pipeline = [dict(type='LoadRaster'), dict(type='ToReflectance'), '${pack}']
train_pipeline = [
    dict(type='LoadRaster'),
    dict(type='ToReflectance'),
    dict(type='mmpretrain.RandomResizedCrop', scale=64, crop_ratio_range=(0.5, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomRot90'),
    dict(type='RadiometricJitter', brightness=0.2, contrast=0.2, band_gain=0.05),
    '${pack}',
]
rgb_plain_pipeline = '${plain_pipeline}'
rgb_train_pipeline = '${train_pipeline}'
pack_matcher = dict(
    type='PackMatcherInputs', statistics='${statistics}',
    rgb_transforms=[dict(type='RadiometricJitter', brightness=0.1, contrast=0., band_gain=0.)])
plain_pack_matcher = dict(type='PackMatcherInputs', statistics='${statistics}')
matcher_plain_pipeline = [dict(type='LoadRaster'), dict(type='ToReflectance'), '${plain_pack_matcher}']
matcher_pipeline = [
    dict(type='LoadRaster'),
    dict(type='ToReflectance'),
    dict(type='mmpretrain.RandomResizedCrop', scale=64, crop_ratio_range=(0.5, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomRot90'),
    '${pack_matcher}',
]
