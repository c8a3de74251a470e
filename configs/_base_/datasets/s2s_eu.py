# S2S-EU of SemBridge's benchmark: Sentinel-2 patches of Europe teach a student of RGB pictures, ten classes.
# data_root holds MS/<class>/*.tif, RGB/<class>/*.jpg and, made from them once by
#   tools/dataset_converters/compute_statistics.py CONFIG --key ms_data.gallery --out DATA/statistics_ms.json
#   tools/dataset_converters/compute_statistics.py CONFIG --key rgb_data.match --out DATA/statistics_rgb.json
# the statistics of the training splits.
_base_ = './sides.py'

data_root = 'data/S2S-EU'
image_size = 64
num_classes = dict(teacher=10, student=10)
label_kind = dict(teacher='single', student='single')
ms_bands = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')
rgb_bands = ('R', 'G', 'B')
statistics = dict(ms='${data_root}/statistics_ms.json', rgb='${data_root}/statistics_rgb.json')
split_ratio = (0.6, 0.2, 0.2)
split_files = dict(ms=None, rgb=None)  # instead of a split by ratio
ms_scale = None  # reflectance of a stored 1; None: that of the sensor

ms_source = dict(
    type='S2S_EU', modality='ms', data_root='${data_root}', bands='${ms_bands}', split_file='${split_files.ms}',
    split_ratio='${split_ratio}', seed='${randomness.seed}')
rgb_source = dict(
    type='S2S_EU', modality='rgb', data_root='${data_root}', split_file='${split_files.rgb}',
    split_ratio='${split_ratio}', seed='${randomness.seed}')

pack = dict(type='mmpretrain.PackInputs', meta_keys=('sample_id', 'img_path', 'img_shape', 'bands'))
jitter = dict(type='RadiometricJitter', brightness=0.2, contrast=0.2, band_gain=0.05)
# OpenCV averages areas of four channels at the most.
ms_plain = [
    dict(type='LoadRaster'),
    dict(type='ToReflectance', scale='${ms_scale}'),
    dict(type='Resize', scale='${image_size}', interpolation='bilinear'),
]
rgb_plain = [
    dict(type='LoadRaster'),
    dict(type='ToReflectance'),
    dict(type='Resize', scale='${image_size}', interpolation='area'),
]


def _views(load, interpolation):
    return [
        *load,
        dict(type='mmpretrain.RandomResizedCrop', scale='${image_size}', crop_ratio_range=(0.5, 1.0),
             interpolation=interpolation),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        dict(type='RandomRot90'),
    ]


ms_views = _views(ms_plain[:-1], 'bilinear')
plain_pipeline = [*ms_plain, '${pack}']
train_pipeline = [*ms_views, '${jitter}', '${pack}']
rgb_plain_pipeline = [*rgb_plain, '${pack}']
rgb_train_pipeline = [*_views(rgb_plain[:-1], 'area'), '${jitter}', '${pack}']
matcher_plain_pipeline = [*ms_plain, dict(type='PackMatcherInputs', statistics='${statistics}')]
matcher_pipeline = [
    *ms_views,
    dict(type='PackMatcherInputs', statistics='${statistics}',
         rgb_transforms=[dict(type='RadiometricJitter', brightness=0.1, contrast=0., band_gain=0.)])
]
