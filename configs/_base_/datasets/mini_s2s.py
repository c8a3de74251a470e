# The embedded data set, made on first use: the teacher sees ten bands in one region, the student RGB in another.
_base_ = './sides.py'

data_root = 'data/mini_s2s'
images_per_class = 64
image_size = 64
num_classes = dict(teacher=8, student=8)
label_kind = dict(teacher='single', student='single')
ms_bands = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')
rgb_bands = ('R', 'G', 'B')
# tools/dataset_converters/compute_statistics.py configs/sembridge/r18_ms2rgb.py --key ms_data.train (rgb_data.train)
statistics = dict(
    ms='{{fileDirname}}/statistics/mini_s2s_ms.json',
    rgb='{{fileDirname}}/statistics/mini_s2s_rgb.json')

mini_source = dict(
    type='MiniS2S', data_root='${data_root}', images_per_class='${images_per_class}', seed='${randomness.seed}')
ms_source = dict(_inherit_='${mini_source}', modality='ms', bands='${ms_bands}', split_ratio=(0.6, 0.15, 0.25))
rgb_source = dict(_inherit_='${mini_source}', modality='rgb', bands='${rgb_bands}', split_ratio=(0.4, 0.2, 0.4))

pack = dict(type='mmpretrain.PackInputs', meta_keys=('sample_id', 'img_path', 'img_shape', 'bands'))
plain_pipeline = [dict(type='LoadRaster'), dict(type='ToReflectance'), '${pack}']
train_pipeline = [
    dict(type='LoadRaster'),
    dict(type='ToReflectance'),
    dict(type='mmpretrain.RandomCrop', crop_size=48),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomRot90'),
    dict(type='RadiometricJitter', brightness=0.2, contrast=0.2, band_gain=0.05),
    '${pack}',
]
rgb_plain_pipeline = '${plain_pipeline}'
rgb_train_pipeline = '${train_pipeline}'
pack_matcher = dict(type='PackMatcherInputs', statistics='${statistics}')
matcher_plain_pipeline = [dict(type='LoadRaster'), dict(type='ToReflectance'), '${pack_matcher}']
matcher_pipeline = [
    dict(type='LoadRaster'),
    dict(type='ToReflectance'),
    dict(type='mmpretrain.RandomCrop', crop_size=48),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomRot90'),
    '${pack_matcher}',
]
