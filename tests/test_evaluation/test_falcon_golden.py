"""The scores of 29 files of predictions, against the published evaluator and against trusted libraries."""

import json

import numpy as np
import pytest

from rstoolbox.evaluation import boxes, caption, masks, read_dump, released_boxes, score_records

CLASSIFICATION = ('IMG_CLS', 'PIX_CLS', 'REG_CLS_HBB', 'REG_CLS_OBB', 'edge_cls_all_right', 'edge_cls_one_unknown')
DETECTION = ('REG_DET_HBB', 'REG_DET_HBB_text', 'REG_DET_OBB', 'REG_DET_OBB_text', 'edge_hbb_no_ground_truth',
             'edge_hbb_ranking', 'edge_obb_no_ground_truth', 'edge_obb_self_crossing_prediction')
HBB = ('REG_DET_HBB', 'REG_DET_HBB_text', 'edge_hbb_ranking')
GROUNDING = ('REG_VG', 'REG_VG_text', 'edge_vg_malformed_text')
CAPTIONS = ('IMG_CAP', 'IMG_CAP_DETAILED', 'REG_CAP')
SEGMENTATION = ('PIX_SEG', 'PIX_SEG_flat', 'edge_seg_empty_predictions')
CHANGE = ('PIX_CHG', 'PIX_CHG_flat')


@pytest.fixture
def golden(shared):
    def load(name, variant):
        expected = json.loads(shared(f'golden/falcon_eval/{name}.expected.json').read_text())
        _, report = score_records(read_dump(shared(f'golden/falcon_eval/{name}.json')), variant)
        (task, entry), = report.items()
        assert task == expected['task'] and entry['num_samples'] == expected['records']
        if variant == 'sound':
            return entry, expected['corrected']
        return entry, expected['as_released'].get('evaluator', {}) | expected['as_released'].get('parts', {})
    return load


def _near(found, expected, scale=100):
    if expected is None or expected == -1:
        assert found is None
    else:
        assert found == pytest.approx(scale * expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize('name', CLASSIFICATION)
def test_single_label_classification(golden, name):
    entry, expected = golden(name, 'sound')
    expected = expected['single_label']
    _near(entry['metrics']['accuracy'], expected['accuracy'])
    _near(entry['metrics']['weighted_f1'], expected['weighted_f1'])
    for key in ('precision', 'recall', 'f1'):
        _near(entry['metrics'][key], expected[f'macro_{key}'])
        for label, values in expected['per_class'].items():
            _near(entry['per_class'][label][key], values[key])
    assert {label: values['support'] for label, values in entry['per_class'].items()} \
        == {label: values['support'] for label, values in expected['per_class'].items()}


@pytest.mark.parametrize('name', [*CLASSIFICATION, 'IMG_CLS_multilabel'])
def test_classification_as_released(golden, name):
    entry, expected = golden(name, 'as_released')
    for key in ('accuracy', 'precision', 'recall', 'f1'):
        _near(entry['metrics'][key], expected[key])
    if isinstance(expected['micro'], dict):
        assert entry['per_class'].keys() == expected['micro'].keys()
        for label, values in expected['micro'].items():
            for key, published in (('precision', 'Precision'), ('recall', 'Recall'), ('f1', 'F1-score')):
                _near(entry['per_class'][label][key], values[published])


def test_multi_label_classification(golden):
    entry, expected = golden('IMG_CLS_multilabel', 'sound')
    expected = expected['multi_label']
    _near(entry['metrics']['accuracy'], expected['exact_match'])
    _near(entry['metrics']['jaccard'], expected['samples_jaccard'])
    _near(entry['metrics']['samples_f1'], expected['samples_f1'])
    for key in ('precision', 'recall', 'f1'):
        _near(entry['metrics'][key], expected[f'macro_{key}_over_ground_truth_labels'])
    assert list(entry['per_class']) == expected['labels']


@pytest.mark.parametrize('name', ['IMG_VQA', 'edge_vqa_decimal_merge', 'IMG_CT'])
def test_questions_and_counts(golden, name):
    entry, expected = golden(name, 'sound')
    (expected,) = expected.values()
    _near(entry['metrics']['accuracy'], expected['accuracy'])
    _near(entry['metrics']['weighted_f1'], expected['weighted_f1'])
    if name == 'IMG_CT':
        _near(entry['metrics']['numeric_accuracy'], expected['numeric_accuracy'])
        _near(entry['metrics']['MAE'], expected['mae_readable'], scale=1)
        _near(entry['metrics']['RMSE'], expected['rmse_readable'], scale=1)
        assert entry['readable_pairs'] == expected['readable_pairs']
    released, expected = golden(name, 'as_released')
    for key in ('accuracy', 'f1'):
        _near(released['metrics'][key], expected[key])


@pytest.mark.parametrize('name', DETECTION)
def test_detection_by_voc(golden, name):
    entry, expected = golden(name, 'sound')
    expected = expected['detection']
    assert entry['ranked_by'] == 'confidence'
    assert (entry['num_truths'], entry['num_predictions']) == (expected['n_ground_truth'], expected['n_predictions'])
    for threshold, pooled in expected['pooled_ap'].items():
        found = entry['thresholds'][float(threshold)]
        _near(found['pooled_AP'], pooled)
        _near(found['AP'], expected['mean_class_ap'][threshold])
        for key in ('precision', 'recall', 'f1'):
            _near(found[key], expected[key][threshold])
    if 'HBB' not in name and 'hbb' not in name:
        for label, value in expected['class_ap_at_0.5'].items():
            _near(entry['per_class'][label]['AP50'], value)
        _near(entry['metrics']['AP50'], expected['mean_class_ap']['0.5'])


@pytest.mark.parametrize('name', HBB)
def test_horizontal_boxes_by_coco(golden, name):
    entry, expected = golden(name, 'sound')
    for key, published in (('AP', 'AP_50_95'), ('AP50', 'AP_50'), ('AP75', 'AP_75')):
        _near(entry['metrics'][key], expected['coco'][published])
    assert len(entry['areas']) == 3
    for area, value in entry['areas'].items():
        _near(value, expected['coco'][f'AP_{area}'])


def test_horizontal_boxes_as_released(golden):
    for name in HBB:
        entry, expected = golden(name, 'as_released')
        _near(entry['metrics']['mAP@0.5'], expected['mAP@0.5'], scale=1)


@pytest.mark.parametrize('name', ['REG_DET_OBB', 'REG_DET_OBB_text', 'edge_obb_self_crossing_prediction', *GROUNDING])
def test_quads_and_grounding_as_released(golden, name):
    entry, expected = golden(name, 'as_released')
    assert len(expected) == 45
    for key, value in expected.items():
        kind, threshold = key.split('@')
        _near(entry['thresholds'][float(threshold)][kind], value, scale=1)
    _near(entry['metrics']['mAP@0.5'], expected['mAP@0.5'], scale=1)


@pytest.mark.parametrize('name', ['edge_hbb_no_ground_truth', 'edge_obb_no_ground_truth', 'PIX_SEG', 'PIX_CHG'])
def test_where_the_published_evaluator_stops_there_is_no_number_but_the_reason(golden, name):
    entry, expected = golden(name, 'as_released')
    assert 'raises' in expected
    assert entry['metrics'] == {} and 'published evaluator stops' in entry['not_scored']


@pytest.mark.parametrize('name', GROUNDING)
def test_grounding(golden, name):
    entry, expected = golden(name, 'sound')
    expected = expected['grounding']
    for threshold, value in entry['Acc'].items():
        _near(value, expected[f'acc@{threshold}'])
    _near(entry['metrics']['mIoU'], expected['mean_iou'])
    assert entry['metrics']['cIoU'] == pytest.approx(100 * expected['cumulative_iou'], rel=1e-6)
    assert entry['num_predictions'] == expected['n'] - expected['no_readable_box']


@pytest.mark.parametrize('name', CAPTIONS)
def test_captions(golden, name):
    entry, expected = golden(name, 'sound')
    if entry['tokenizer'] != 'ptb':
        pytest.skip('needs Java')
    expected = expected['captions']
    _captions_agree(entry['metrics'], expected.get('ptb_tokens_all_references_grouped',
                                                   expected['ptb_tokens_one_reference']))


@pytest.mark.parametrize('name', CAPTIONS)
def test_captions_without_java_are_split_at_blanks(shared, monkeypatch, name):
    monkeypatch.setenv('PATH', '')
    records = list(read_dump(shared(f'golden/falcon_eval/{name}.json')))
    for record in records:
        record.image_id = None  # one reference each
    scalars, details = caption.score_captions(records)
    expected = json.loads(shared(f'golden/falcon_eval/{name}.expected.json').read_text())['corrected']['captions']
    assert details['tokenizer'] == 'blanks' and 'METEOR' not in scalars
    _captions_agree(scalars, {key: value for key, value in expected['whitespace_tokens_one_reference'].items()
                              if key != 'meteor_java_1_5'})


def _captions_agree(found, expected):
    names = {**{f'bleu_{order}': f'BLEU-{order}' for order in range(1, 5)}, 'rouge_l': 'ROUGE-L', 'cider': 'CIDEr',
             'meteor_java_1_5': 'METEOR'}
    shared_names = expected.keys() & names.keys()
    assert shared_names >= names.keys() - {'meteor_java_1_5'}
    for key in shared_names:
        _near(found[names[key]], expected[key])


@pytest.mark.parametrize('name', CAPTIONS)
def test_captions_as_released(golden, name):
    entry, expected = golden(name, 'as_released')
    for kind, values in expected['rouge'].items():
        for letter, value in values.items():
            _near(entry['metrics'][f'{kind.upper()}/{letter}'], value)
    expected = expected['coco_metrics_x100']
    for order, value in enumerate(expected['Bleu'], 1):
        _near(entry['metrics'][f'BLEU-{order}'], value, scale=1)
    _near(entry['metrics']['ROUGE-L'], expected['ROUGE_L'], scale=1)
    _near(entry['metrics']['CIDEr'], expected['CIDEr'], scale=1)


@pytest.mark.parametrize('name', [*SEGMENTATION, *CHANGE])
def test_masks(golden, name):
    entry, expected = golden(name, 'sound')
    pairs = [('', expected['segmentation'])] if name not in CHANGE else [
        ('', expected['folded_to_one_frame']), ('canvas_', expected['canvas'])]
    for prefix, values in pairs:
        for key, published in (('mIoU', 'miou_over_all_both_empty_is_1'), ('mDice', 'mdice_over_all_both_empty_is_1'),
                               ('mIoU_present', 'miou_over_non_empty_ground_truth'), ('cIoU', 'pooled_iou'),
                               ('mDice_present', 'mdice_over_non_empty_ground_truth'), ('cDice', 'pooled_dice')):
            _near(entry['metrics'][prefix + key], values[published])


@pytest.mark.parametrize('name', ['PIX_SEG_flat', 'PIX_CHG_flat', 'edge_seg_empty_predictions'])
def test_masks_as_released(golden, name):
    entry, expected = golden(name, 'as_released')
    _near(entry['metrics']['mIoU'], expected['miou'])
    _near(entry['metrics']['mDice'], expected['mdice'])


def test_overlaps_curves_and_masks(shared):
    content = json.loads(shared('golden/falcon_eval/primitives.json').read_text())
    for pair in content['box_pairs']:
        first, second = np.array([pair['a']]), np.array([pair['b']])
        _near(boxes.box_iou(first, second)[0, 0], pair['plain_iou'], scale=1)
        _near(released_boxes.released_iou(first, second)[0, 0], pair['released_vg_iou'], scale=1)
    for pair in content['quad_pairs']:
        _near(boxes.quad_iou([pair['a']], [pair['b']])[0, 0], pair['shapely_iou_invalid_is_0'], scale=1)
    for curve in content['ap_curves']:
        found = boxes.average_precision(curve['true_positive_flags_in_rank_order'], curve['n_ground_truth'])
        _near(found, curve['own_all_point_ap'], scale=1)
    for pair in content['mask_pairs']:
        first, second = np.array(pair['a']), np.array(pair['b'])
        iou, dice = masks.iou_and_dice((first & second).sum(), first.sum(), second.sum())
        _near(iou, pair['iou'], scale=1)
        _near(dice, pair['dice'], scale=1)
