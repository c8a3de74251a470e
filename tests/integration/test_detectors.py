"""A detector of mmdet and the one that learns from it, as a user would type it."""

import json

import numpy as np
import pytest
from PIL import Image

try:
    import mmcv.ops  # noqa: F401, without them mmdet itself still imports
    import mmdet  # noqa: F401
except ImportError as error:
    pytest.skip(f"needs mmdet and mmcv's compiled operators (docs/get_started.md): {error}", allow_module_level=True)

PARTS = """
_base_ = 'rstoolbox::_base_/schedules/segmentation.py'
data_root = 'data'
learning_rate = 2e-3
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr='${learning_rate}'))
selection = dict(metric='pascal_voc/mAP')
load = dict(type='mmcv.LoadImageFromFile')
truth = dict(type='mmdet.LoadAnnotations', with_bbox=True)
resize = dict(type='mmdet.Resize', scale=(64, 64), keep_ratio=True)
train_pipeline = [
    '${load}', '${truth}', '${resize}', dict(type='mmdet.RandomFlip', prob=0.5), dict(type='mmdet.PackDetInputs')]
plain_pipeline = ['${load}', '${resize}', '${truth}', dict(
    type='mmdet.PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]


def _part(name, pipeline, **settings):
    return dict(
        type='mmdet.XMLDataset', data_root='${data_root}', data_prefix=dict(sub_data_root='.'), img_subdir='images',
        ann_subdir='xml', ann_file=f'{name}.txt', metainfo=dict(classes=('plane', 'ship')), pipeline=pipeline,
        **settings)


train_dataset = _part('train', '${train_pipeline}')
val_dataset = _part('val', '${plain_pipeline}', test_mode=True)
test_dataset = '${val_dataset}'
evaluator = dict(type='mmdet.VOCMetric', metric='mAP', eval_mode='area')


def _fcos(width):
    return dict(
        type='mmdet.FCOS',
        data_preprocessor=dict(
            type='mmdet.DetDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True, pad_size_divisor=32),
        backbone=dict(
            type='mmdet.ResNet', depth=18, base_channels=width, stem_channels=width, norm_cfg=dict(type='BN')),
        neck=dict(
            type='mmdet.FPN', in_channels=[width, 2 * width, 4 * width, 8 * width], out_channels=width, start_level=1,
            add_extra_convs='on_output', num_outs=5),
        bbox_head=dict(
            type='mmdet.FCOSHead', num_classes=2, in_channels=width, stacked_convs=1, feat_channels=width,
            strides=[8, 16, 32, 64, 128], norm_cfg=None, conv_bias=True,
            loss_cls=dict(type='mmdet.FocalLoss', use_sigmoid=True), loss_bbox=dict(type='mmdet.IoULoss'),
            loss_centerness=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True)),
        test_cfg=dict(nms_pre=100, min_bbox_size=0, score_thr=0., nms=dict(type='nms', iou_threshold=0.5),
                      max_per_img=10))


narrow, wide = _fcos(8), _fcos(16)
"""
DISTILLER = """
_base_ = './parts.py'
teacher_checkpoint = 'teacher.pth'
pyramid = dict(feats='neck')
model = dict(
    type='DenseDistiller', student='${narrow}', teacher='${wide}', teacher_checkpoint='${teacher_checkpoint}',
    losses=dict(fit=dict(type='FitNet', loss_weight=0.1), cwd=dict(type='CWD', stage=0)),
    taps=dict(student='${pyramid}', teacher='${pyramid}'))
"""


@pytest.fixture
def configs(tmp_path):
    """Files of the wide detector, the narrow one and its distiller, on eight images of a bright object."""
    random = np.random.default_rng(0)
    for part in ('train', 'val'):
        names = [f'{part}{number}' for number in range(4)]
        for number, name in enumerate(names):
            pixels = random.integers(0, 60, (64, 64, 3)).astype(np.uint8)
            pixels[8:40, 8:48, number % 2] += 150
            box = '<xmin>9</xmin><ymin>9</ymin><xmax>48</xmax><ymax>40</ymax>'
            truth = (f'<annotation><size><width>64</width><height>64</height></size><object><name>'
                     f'{("plane", "ship")[number % 2]}</name><bndbox>{box}</bndbox></object></annotation>')
            for path in (tmp_path / f'data/images/{name}.jpg', tmp_path / f'data/xml/{name}.xml'):
                path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / f'data/images/{name}.jpg')
            (tmp_path / f'data/xml/{name}.xml').write_text(truth)
        (tmp_path / f'data/{part}.txt').write_text('\n'.join(names))
    texts = dict(parts=PARTS, distiller=DISTILLER, wide="_base_ = './parts.py'\nmodel = '${wide}'\n",
                 narrow="_base_ = './parts.py'\nmodel = '${narrow}'\n")
    for name, text in texts.items():
        (tmp_path / f'{name}.py').write_text(text)
    return {name: tmp_path / f'{name}.py' for name in texts}


def test_a_detector_is_trained_teaches_and_is_tested(run_tool, configs, tmp_path):
    options = [f'data_root={tmp_path / "data"}', 'num_workers=0', 'batch_size=2', 'max_epochs=30',
               'train_cfg.val_interval=30']
    run_tool('train.py', configs['wide'], '--work-dir', tmp_path / 'teacher', '--cfg-options', *options)
    run_tool('train.py', configs['distiller'], '--work-dir', tmp_path / 'student', '--cfg-options', *options,
             f'teacher_checkpoint={tmp_path / "teacher/best_student.pth"}')
    log = [json.loads(line) for file in (tmp_path / 'student').glob('*/vis_data/scalars.json') for line in file.open()]
    steps = [entry for entry in log if 'loss' in entry]
    assert steps and all(entry[f'loss_{name}'] > 0 for entry in steps for name in ('fit', 'cwd', 'cls', 'bbox'))
    assert steps[-1]['loss_fit'] < steps[0]['loss_fit']
    run_tool('test.py', configs['narrow'], tmp_path / 'student/best_student.pth', '--work-dir', tmp_path / 'test',
             '--out', tmp_path / 'scores.json', '--cfg-options', *options)  # plain mmdet reads the student's weights
    scores = json.loads((tmp_path / 'scores.json').read_text())['metrics']
    assert scores['pascal_voc/mAP'] == pytest.approx(log[-1]['pascal_voc/mAP']) and scores['pascal_voc/mAP'] > 0.2
