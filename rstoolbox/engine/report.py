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
from rstoolbox.structures import MatchTable, tables_in, write_json
from rstoolbox.structures.files import write_whole
from rstoolbox.visualization import MatchedPair, plot_confusion_matrix, plot_curves, plot_matched_pairs, plot_tsne

from .testing import student_config

TITLES = dict(accuracy='Accuracy', precision='Precision', recall='Recall', f1='F1')


def write_report(experiment, results):
    """Write ``summary.json``, ``summary.md`` and ``pictures/*.png`` of a finished experiment.

    Args:
        experiment (Experiment): With its stages and rows done.
        results (dict[str, dict]): For each row its ``metrics`` and ``report``.
    """
    work_dir = Path(experiment.work_dir)
    summary = {name: result['metrics'] for name, result in results.items()}
    write_json(summary, work_dir / 'summary.json')
    table = markdown_table(summary)
    write_whole(table.encode(), work_dir / 'summary.md')
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
    main = experiment.rows[list(experiment.rows)[-1]]
    config = main.config()
    measure = config.default_hooks.checkpoint.get('save_best')
    if isinstance(measure, str) and measure != 'auto':
        plot_curves({name: sorted(stage.folder.glob('*/vis_data/scalars.json'))
                     for name, stage in experiment.rows.items()},
                    pictures / 'curves.png', val_key=measure, title='Students')
    else:
        print_log('No curves: save_best of the checkpoint hook names no measure of the validation', logger='current')
    dataset = DATASETS.build(config.train_dataloader.dataset)
    if getattr(dataset, 'match_table', None) is not None and dataset.student.gt_labels.ndim == 1:
        _plot_pairs(main, dataset, pictures / 'matched_pairs.png')
        gallery = (experiment.cfg.get('artifacts') or {}).get('gallery')  # None where the teacher was in the loop
        if gallery and 'none' in experiment.rows and dataset.teacher.gt_labels.ndim == 1:
            _plot_embeddings(experiment, main, dataset, pictures / 'tsne.png')
    print_log(f'Pictures are in {pictures}', logger='current')


def markdown_table(summary):
    """The metrics of each row as a Markdown table, with a column for each metric that any row has."""
    keys = columns(summary)
    lines = ['| ' + ' | '.join(['Row', *(TITLES.get(key, key) for key in keys)]) + ' |', '|---|' + '---:|' * len(keys)]
    for name, metrics in summary.items():
        lines.append('| ' + ' | '.join([name, *(_cell(metrics.get(key)) for key in keys)]) + ' |')
    return '\n'.join(lines) + '\n'


def columns(summary):
    """The metrics that any row of a summary has: those of single-label classification first, then as they come."""
    found = list(dict.fromkeys(key for metrics in summary.values() for key in metrics))
    return [*(key for key in TITLES if key in found), *(key for key in found if key not in TITLES)]


def _cell(value):
    return f'{value:.2f}' if isinstance(value, (int, float)) else ''


def _plot_pairs(stage, dataset, out):
    """One student image of each class with its first and its last match."""
    tables = tables_in(stage.folder / 'matches')
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
    classes = list(dataset.metainfo['classes'])  # the gallery's, too
    (before, labels), (after, _) = (_outputs(stage, classes) for stage in (experiment.rows['none'], main))
    # Embeddings are in one space only where they are of one width; what classes they stand for can always be compared.
    same = before['embedding'].shape[1] == after['embedding'].shape[1] == gallery['embedding'].shape[1]
    kind = 'embedding' if same else 'logits'
    plot_tsne({'before: without transfer': (before[kind], gallery[kind]),
               f'after: {main.name}': (after[kind], gallery[kind])},
              labels, gallery.labels, classes, out)


@torch.no_grad()
def _outputs(stage, classes):
    """Embedding and logits of the test images with their labels, all in this order of the classes."""
    config = student_config(stage.config())
    model = MODELS.build(config.model)
    load_classifier(model, stage.artifact, 'student', classes=classes)
    model.eval()
    data = DATASETS.build(config.test_dataloader.dataset)
    outputs = dict(embedding=[], logits=[])
    for batch in DataLoader(data, 128, collate_fn=pseudo_collate):
        features = model.extract_feat(model.data_preprocessor(batch, False)['inputs'])
        outputs['embedding'].append(features[-1].flatten(1).cpu())
        outputs['logits'].append(model.head(features).cpu())
    labels = np.array([classes.index(name) for name in data.metainfo['classes']])[data.gt_labels]
    return {name: torch.cat(values).numpy() for name, values in outputs.items()}, labels
