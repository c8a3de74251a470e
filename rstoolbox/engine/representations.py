"""What teacher and student of a finished experiment make of their samples, in spaces that both share."""

import copy

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from scipy.special import softmax
from torch.utils.data import DataLoader

from rstoolbox.datasets import UnpairedSceneDataset
from rstoolbox.models.loading import load_classifier, load_matcher
from rstoolbox.models.sembridge.gallery import Gallery
from rstoolbox.registry import DATASETS, MODELS
from rstoolbox.structures import tables_in

from .config import ConfigError, resolve
from .testing import student_config


class Representations:
    """Training samples of a finished experiment as its networks see them.

    Attributes:
        spaces (dict[str, dict]): ``matcher``, the embeddings of length 1 of the matcher's two networks, and
            ``classes``, the class probabilities of the teacher and of the trained student; in each three matrices of
            one width: ``teacher``, the multispectral samples; ``pseudo``, the pseudo-RGB of the same images, row by
            row, through the RGB network; ``student``, the RGB samples through it.
        teacher_labels, student_labels (ndarray): Class indices of the rows.
        classes (Sequence[str]): Class names.
        tables (dict[str, ndarray]): ``first match`` and, where the student was matched again, ``last match``: for every
            RGB sample its teacher sample's row.

    Args:
        experiment (Experiment): After its ``open()``.

    Raises:
        ConfigError: If a stage is not in the config, or its samples have several labels.
    """

    def __init__(self, experiment):
        absent = [name for name in ('matcher', 'gallery', 'match') if name not in experiment.stages]
        if absent:
            raise ConfigError(f"The experiment has no stage '{absent[0]}'. Representations are compared of one with "
                              'the stages matcher, gallery and match, such as configs/sembridge/r18_ms2rgb.py.')
        match = experiment.stages['match']
        teacher, student = match.datasets['teacher'], match.datasets['student']
        if teacher.gt_labels.ndim > 1 or student.gt_labels.ndim > 1:
            raise ConfigError('Representations are compared class by class, which takes samples of one label each.')
        self.teacher_labels, self.student_labels = teacher.gt_labels, student.gt_labels
        self.classes = teacher.metainfo['classes']
        self.tables = _tables(experiment, student, teacher)
        views = _with_views(experiment)
        embed_ms, embed_rgb = _matcher(match)
        classify = _student(list(experiment.rows.values())[-1])
        gallery = Gallery.open(experiment.stages['gallery'].artifact)
        place = {name: row for row, name in enumerate(gallery.ids)}
        logits = np.array(gallery['logits'])[[place[name] for name in teacher.sample_ids]]
        self.spaces = dict(
            matcher=dict(teacher=_run(embed_ms, views, 'ms'), pseudo=_run(embed_rgb, views, 'rgb'),
                         student=_run(embed_rgb, student)),
            classes=dict(teacher=softmax(logits, axis=1), pseudo=_run(classify, views, 'rgb'),
                         student=_run(classify, student)))


def _tables(experiment, student, teacher):
    """Rows of the teacher's samples by the first match and, of a student that was matched again, by its last."""
    main = list(experiment.rows.values())[-1]
    paths = {'first match': experiment.stages['match'].artifact}
    later = tables_in(main.folder / 'matches')
    if len(later) > 1:  # the first of them is the first match
        paths['last match'] = later[-1]
    pair = UnpairedSceneDataset(student, teacher, read_teacher=False)
    tables = {}
    for name, path in paths.items():
        pair.set_match_table(path)
        tables[name] = pair.match_table.indices
    return tables


def _with_views(experiment):
    """The teacher's samples with the pseudo-RGB beside each image, as the matcher learned from, without randomness."""
    steps = experiment.stages['matcher'].config().train_dataloader.dataset.pipeline
    pack = [step for step in steps if step['type'].rpartition('.')[2] == 'PackMatcherInputs']
    if not pack:
        raise ConfigError("The matcher's training pipeline has no PackMatcherInputs, which makes the pseudo-RGB; let "
                          'it end with one as ${matcher_pipeline} of the shipped data sets does.')
    dataset = copy.deepcopy(resolve(experiment.cfg).stages.match.teacher)
    dataset.pipeline = [*dataset.pipeline[:-1], pack[-1]]
    return DATASETS.build(dataset)


def _matcher(match):
    """Both embedding functions of the matcher that a match was made with."""
    matcher = MODELS.build(match.model)
    load_matcher(matcher, match.checkpoint)
    matcher.to(get_device()).eval()
    return matcher.embed_ms, matcher.embed_rgb


def _student(stage):
    """A function from RGB images to the class probabilities of the trained student."""
    model = MODELS.build(student_config(stage.config()).model)
    load_classifier(model, stage.artifact, 'student')
    model.to(get_device()).eval()

    def classify(images):
        features = model.extract_feat(model.data_preprocessor(dict(inputs=images), False)['inputs'])
        return model.head(features).softmax(dim=1)

    return classify


@torch.no_grad()
def _run(function, dataset, view=None):
    batches = DataLoader(dataset, 128, collate_fn=pseudo_collate)
    return torch.cat([function(batch['inputs'] if view is None else batch['inputs'][view]).float().cpu()
                      for batch in batches]).numpy()
