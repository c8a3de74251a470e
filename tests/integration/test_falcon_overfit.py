"""One model learns 14 real samples by heart, one of each task, from annotations to scores."""

import json

import pytest

from commands import ROOT
from rstoolbox.datasets.falcon import Record, write_records
from rstoolbox.datasets.falcon.converters import CONVERTERS

# Of each task the score that one would look at first.
SCORES = {
    'IMG_CLS': 'accuracy', 'IMG_VQA': 'accuracy', 'IMG_CT': 'accuracy', 'IMG_CAP': 'BLEU-4',
    'IMG_CAP_DETAILED': 'BLEU-4', 'REG_CLS_HBB': 'accuracy', 'REG_CLS_OBB': 'accuracy', 'REG_CAP': 'BLEU-4',
    'REG_DET_HBB': 'AP50', 'REG_DET_OBB': 'AP50', 'REG_VG': 'mIoU', 'PIX_CLS': 'accuracy', 'PIX_SEG': 'mIoU',
    'PIX_CHG': 'mIoU'}


def of_task(records, task, fits=lambda record: True):
    """The shortest record of a task that fits and does not say that there is nothing."""
    return min((record for record in records if record.task == task and 'not exist' not in record.answer
                and fits(record)), key=lambda record: len(record.prompt + record.answer))


@pytest.fixture
def records(shared):
    """14 records, one of each task, and the folder that their images lie under."""
    data = shared('data')

    def convert(kind, source, images, *arguments, **options):
        return list(CONVERTERS[kind](data / source, data / images, *arguments, root=data, **options))

    coco = convert('coco', 'nwpu_vhr10_subset/annotations/instances_val.json', 'nwpu_vhr10_subset/images')
    dota = convert('dota', 'dota_obb_samples/labelTxt', 'dota_obb_samples/images')
    captions = convert('captions', 'caption_samples/captions.json', 'caption_samples')
    scenes = convert('scenes', 'nwpu_resisc45_subset', 'nwpu_resisc45_subset')
    questions = convert('rsvqa', 'rsvqa_samples/lr/LR_split_test_questions.json', 'rsvqa_samples/lr/Images_LR')
    masks = convert('masks', 'segmentation_samples/loveda/ann_dir', 'segmentation_samples/loveda/img_dir',
                    {2: 'building', 4: 'water', 7: 'agriculture'}, tasks=['PIX_SEG'])
    changes = convert('change', 'change_detection_samples/levir_cd/label', 'change_detection_samples/levir_cd')
    box = of_task(coco, 'REG_DET_HBB', lambda record: record.answer.count('<box>') == 1)
    region, words = box.answer, f'the only {box.category} of the picture'
    chosen = [
        of_task(scenes, 'IMG_CLS'), of_task(questions, 'IMG_VQA'), of_task(masks, 'PIX_SEG'),
        of_task(changes, 'PIX_CHG'), *(of_task(captions, task) for task in ('IMG_CAP', 'IMG_CAP_DETAILED')),
        *(of_task(coco, task) for task in ('IMG_CT', 'REG_CLS_HBB', 'PIX_CLS')),
        of_task(coco, 'REG_DET_HBB', lambda record: record.answer.count('<box>') > 1),
        *(of_task(dota, task) for task in ('REG_CLS_OBB', 'REG_DET_OBB')),
        Record(box.images, [], 'REG_VG', f'Detect an area that matches the description.\n{words}\n'
               'Use horizontal bounding boxes.', region),
        Record(box.images, [], 'REG_CAP', f'Describe the {region} in this image.', words)]
    assert {record.task for record in chosen} == set(SCORES) and len(chosen) == 14
    return chosen, data


def test_fourteen_real_samples_are_learnt_by_heart(records, run_tool, tmp_path):
    chosen, images = records
    write_records(chosen, tmp_path / 'records.jsonl')
    config = tmp_path / 'by_heart.py'
    part = f"dict(_delete_=True, type='FalconSFT', records=r'{tmp_path}/records.jsonl', image_root=r'{images}')"
    config.write_text(
        f"_base_ = r'{ROOT}/configs/falcon/tiny_mini.py'\n"
        + ''.join(f'{split}_dataset = {part}\n' for split in ('train', 'val', 'test'))
        + 'batch_size = 14\nmax_epochs = 100\nwarmup_iters = 20\ncheckpoint_interval = 100\nweight_decay = 0.\n')
    run_tool('train.py', config, '--work-dir', tmp_path / 'run', '--cfg-options', 'num_workers=0')
    run_tool('test.py', config, tmp_path / 'run/falcon.pth', '--out', tmp_path / 'out.json', '--cfg-options',
             'num_workers=0')
    reached = json.loads((tmp_path / 'out.json').read_text())['metrics']
    # The best that the true answers themselves could have is 100.
    assert {f'{task}/{name}' for task, name in SCORES.items() if reached[f'{task}/{name}'] < 95} == set()
