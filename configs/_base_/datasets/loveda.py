# LoveDA, land cover in seven classes, as mmseg's tools/dataset_converters/loveda.py lays it out:
# data_root/img_dir/{train,val}/*.png and data_root/ann_dir/{train,val}/*.png (0 is no data, 1 to 7 are the classes).
data_root = 'data/loveDA'
crop = 512  # rows and columns that a training step sees of an image

load = dict(type='mmcv.LoadImageFromFile')
truth = dict(type='mmseg.LoadAnnotations')  # the data set says that 0 is no class
train_pipeline = [
    '${load}',
    '${truth}',
    dict(type='mmcv.RandomResize', scale=(1024, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size='${crop}', cat_max_ratio=0.75),
    dict(type='mmcv.RandomFlip', prob=0.5),
    dict(type='mmseg.PackSegInputs'),
]
plain_pipeline = ['${load}', '${truth}', dict(type='mmseg.PackSegInputs')]


def _split(folder, pipeline):
    return dict(
        type='mmseg.LoveDADataset', data_root='${data_root}', pipeline=f'${{{pipeline}_pipeline}}',
        data_prefix=dict(img_path=f'img_dir/{folder}', seg_map_path=f'ann_dir/{folder}'))


train_dataset = _split('train', 'train')
val_dataset = _split('val', 'plain')
test_dataset = _split('val', 'plain')  # the truth of its test images is not published
evaluator = dict(type='mmseg.IoUMetric')
