# Folders of your own: data_root holds MS/<class>/* and RGB/<class>/*, with the same class names on both sides.
_base_ = './sides.py'

data_root = 'data/mine'
image_size = 64  # images of other sizes are brought to it
ms_sensor = 'sentinel2_l2a'
ms_bands = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')
ms_file_bands = None  # names of the files' bands in their order, where they do not say and it is not the sensor's
rgb_bands = ('R', 'G', 'B')
split_ratio = (0.6, 0.2, 0.2)
split_seed = 0
# Both are what the training splits hold. A file of tools/dataset_converters/compute_statistics.py may be named instead.
label_kind = dict(teacher='single', student='single')
num_classes = dict(teacher='${num_classes_of:ms_data.train}', student='${num_classes_of:rgb_data.train}')
statistics = dict(ms='${statistics_of:ms_data.train}', rgb='${statistics_of:rgb_data.train}')

ms_source = dict(
    type='SceneDataset', data_root='${data_root}', data_prefix='MS', sensor='${ms_sensor}', bands='${ms_bands}',
    file_bands='${ms_file_bands}', split_ratio='${split_ratio}', split_seed='${split_seed}',
    seed='${randomness.seed}')
rgb_source = dict(
    type='SceneDataset', data_root='${data_root}', data_prefix='RGB', bands='${rgb_bands}',
    split_ratio='${split_ratio}', split_seed='${split_seed}', seed='${randomness.seed}')

pack = dict(type='mmpretrain.PackInputs', meta_keys=('sample_id', 'img_path', 'img_shape', 'bands'))
pack_matcher = dict(type='PackMatcherInputs', statistics='${statistics}')
load = [dict(type='LoadRaster'), dict(type='ToReflectance')]


def _plain(interpolation):
    return [*load, dict(type='Resize', scale=('${image_size}', '${image_size}'), interpolation=interpolation)]


def _views(interpolation):
    return [
        *load,
        dict(type='mmpretrain.RandomResizedCrop', scale='${image_size}', crop_ratio_range=(0.5, 1.0),
             interpolation=interpolation),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        dict(type='RandomRot90'),
    ]


jitter = dict(type='RadiometricJitter', brightness=0.2, contrast=0.2, band_gain=0.05)
# OpenCV averages areas of four channels at the most.
plain_pipeline = [*_plain('bilinear'), '${pack}']
train_pipeline = [*_views('bilinear'), '${jitter}', '${pack}']
rgb_plain_pipeline = [*_plain('area'), '${pack}']
rgb_train_pipeline = [*_views('area'), '${jitter}', '${pack}']
matcher_plain_pipeline = [*_plain('bilinear'), '${pack_matcher}']
matcher_pipeline = [*_views('bilinear'), '${pack_matcher}']
