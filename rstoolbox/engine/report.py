"""What an experiment leaves for people: a table, a summary and pictures in its work dir."""

from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from torch.utils.data import DataLoader

from rstoolbox.models.loading import load_classifier
from rstoolbox.models.sembridge.gallery import Gallery
from rstoolbox.registry import DATASETS, MODELS
from rstoolbox.structures import MatchTable, write_json
from rstoolbox.visualization import MatchedPair, plot_confusion_matrix, plot_curves, plot_matched_pairs, plot_tsne

from .testing import METRICS, student_config

TITLES = dict(accuracy='Accuracy', precision='Precision', recall='Recall', f1='F1')


def write_report(experiment, results):
    """Write ``summary.json``, ``summary.md`` and ``pictures/*.png`` of a finished experiment.

    Args:
        experiment (Experiment): With its stages and rows done.
        results (dict[str, dict]): For each row its ``metrics`` and ``report``.
    """
    work_dir = Path(experiment.work_dir)
    write_json({name: result['metrics'] for name, result in results.items()}, work_dir / 'summary.json')
    table = markdown_table(results)
    (work_dir / 'summary.md').write_text(table)
    print_log(f'Test split, percent (macro averages):\n\n{table}', logger='current')
    pictures = work_dir / 'pictures'
    pictures.mkdir(exist_ok=True)
    for name, result in results.items():
        report = result['report']
        if report.get('task') != 'single':
            print_log(f'No confusion matrix of {name}: it is drawn for one class an image', logger='current')
            continue
        plot_confusion_matrix(report['confusion_matrix'], report['classes'], pictures / f'confusion_{name}.png',
                              title=f'{name}, test split')
    plot_curves({name: sorted(stage.folder.glob('*/vis_data/scalars.json')) for name, stage in experiment.rows.items()},
                pictures / 'curves.png', title='Students')
    main = experiment.rows[list(experiment.rows)[-1]]
    dataset = DATASETS.build(main.config().train_dataloader.dataset)
    if getattr(dataset, 'match_table', None) is not None and dataset.student.gt_labels.ndim == 1:
        _plot_pairs(main, dataset, pictures / 'matched_pairs.png')
        galleries = 'gallery' in (experiment.cfg.get('artifacts') or {})
        if galleries and 'none' in experiment.rows and dataset.teacher.gt_labels.ndim == 1:
            _plot_embeddings(experiment, main, dataset, pictures / 'tsne.png')
    print_log(f'Pictures are in {pictures}', logger='current')


def markdown_table(results):
    """The rows' metrics as a Markdown table."""
    lines = ['| Row | ' + ' | '.join(TITLES[key] for key in METRICS) + ' |', '|---|' + '---:|' * len(METRICS)]
    lines += [f'| {name} | ' + ' | '.join(f'{result["metrics"][key]:.2f}' for key in METRICS) + ' |'
              for name, result in results.items()]
    return '\n'.join(lines) + '\n'


def _plot_pairs(stage, dataset, out):
    """One student image of each class with its first and its last match."""
    tables = sorted((stage.folder / 'matches').glob('epoch_*.json'))
    first, last = (MatchTable.load(tables[0]), MatchTable.load(tables[-1])) if tables else (dataset.match_table,) * 2
    student, teacher = _plain(dataset.student), _plain(dataset.teacher)
    pairs = []
    for label in np.unique(dataset.student.gt_labels):
        row = int(np.flatnonzero(dataset.student.gt_labels == label)[0])
        images = [_image(teacher, table.indices[row]) for table in (first, last)]
        pairs.append(MatchedPair(
            class_name=dataset.metainfo['classes'][label],
            student_image=_image(student, row), student_id=first.student_ids[row],
            first_image=images[0], first_id=first.teacher_ids[first.indices[row]],
            last_image=images[1], last_id=last.teacher_ids[last.indices[row]], bands=dataset.teacher.bands))
    plot_matched_pairs(pairs, out)


def _plain(dataset):
    """The data set with a pipeline that only loads."""
    dataset.pipeline.transforms = [step for step in dataset.pipeline.transforms
                                   if type(step).__name__ in ('LoadRaster', 'ToReflectance')]
    return dataset


def _image(dataset, row):
    return dataset.pipeline(dataset.get_data_info(int(row)))['img']


def _plot_embeddings(experiment, main, dataset, out):
    """Test images as the student without transfer and the distilled one see them, among the teacher's samples."""
    gallery = Gallery.open(experiment.cfg.artifacts.gallery)
    (before, labels), (after, _) = (_outputs(stage) for stage in (experiment.rows['none'], main))
    # Embeddings are in one space only where they are of one width; what classes they stand for can always be compared.
    same = before['embedding'].shape[1] == after['embedding'].shape[1] == gallery['embedding'].shape[1]
    kind = 'embedding' if same else 'logits'
    plot_tsne({'before: without transfer': (before[kind], gallery[kind]),
               f'after: {main.name}': (after[kind], gallery[kind])},
              labels, gallery.labels, dataset.metainfo['classes'], out)


@torch.no_grad()
def _outputs(stage):
    """Embedding and logits of the test images, with their labels."""
    config = student_config(stage.config())
    model = MODELS.build(config.model)
    load_classifier(model, stage.artifact, 'student')
    model.eval()
    data = DATASETS.build(config.test_dataloader.dataset)
    outputs = dict(embedding=[], logits=[])
    for batch in DataLoader(data, 128, collate_fn=pseudo_collate):
        features = model.extract_feat(model.data_preprocessor(batch, False)['inputs'])
        outputs['embedding'].append(features[-1].flatten(1).cpu())
        outputs['logits'].append(model.head(features).cpu())
    return {name: torch.cat(values).numpy() for name, values in outputs.items()}, data.gt_labels
