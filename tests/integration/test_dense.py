"""A segmentor and the one that learns from it, as a user would type it."""

import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('mmseg', reason="mmseg is not installed: pip install -e '.[dense]'")


@pytest.fixture
def options(tmp_path):
    """Of a training on two small images of two classes, left and right."""
    random = np.random.default_rng(0)
    truth = np.repeat([[1, 2]], 32, axis=1)[:, :64].repeat(64, axis=0).astype(np.uint8)
    for part in ('train', 'val'):
        for number in range(2):
            image = random.integers(0, 60, (64, 64, 3)) + 150 * (truth == 2)[..., None]
            for folder, pixels in (('img_dir', image.astype(np.uint8)), ('ann_dir', truth)):
                path = tmp_path / 'loveda' / folder / part / f'{number}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return [f'data_root={tmp_path / "loveda"}', 'num_workers=0', 'batch_size=2', 'max_epochs=2', 'crop=32',
            'train_pipeline.2.scale=(64,64)', 'train_cfg.val_interval=1', 'fcn_r50.backbone.base_channels=16',
            'fcn_r50.backbone.stem_channels=16', 'fcn_r50.decode_head.in_channels=512']


def test_a_segmentor_is_trained_teaches_and_is_tested(run_tool, options, tmp_path):
    run_tool('train.py', 'configs/dense/fcn_r50_loveda.py', '--work-dir', tmp_path / 'teacher',
             '--cfg-options', *options)
    run_tool('train.py', 'configs/dense/cwd_r50_r18_loveda.py', '--work-dir', tmp_path / 'student', '--cfg-options',
             *options, f'teacher_checkpoint={tmp_path / "teacher/best_student.pth"}')
    log = [json.loads(line) for file in (tmp_path / 'student').glob('*/vis_data/scalars.json') for line in file.open()]
    assert all(entry['loss_cwd'] > 0 and entry['decode.loss_ce'] > 0 for entry in log if 'loss' in entry)
    scores = []
    for config in ('cwd_r50_r18_loveda', 'fcn_r18_loveda'):  # plain mmseg reads the student's weights
        run_tool('test.py', f'configs/dense/{config}.py', tmp_path / 'student/best_student.pth', '--work-dir',
                 tmp_path / config, '--out', tmp_path / f'{config}.json', '--cfg-options', *options)
        scores.append(json.loads((tmp_path / f'{config}.json').read_text())['metrics'])
    assert scores[0] == scores[1] and scores[0]['aAcc'] > 0
    done = run_tool('test.py', 'configs/dense/fcn_r18_loveda.py', tmp_path / 'student/best_student.pth', '--show-dir',
                    tmp_path / 'show', '--cfg-options', *options, check=False)
    assert done.returncode and 'SegDataSample, without class. Leave --show-dir out' in done.stderr
