"""The matcher's metric: its loss and recall, in whatever batches and by however many processes."""

import json

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from commands import run_ranks
from rstoolbox.evaluation import MatcherMetric

# One of two processes, which validates its share.
RANK = """
import json, sys
import torch
import torch.distributed as dist
from mmengine.dataset import DefaultSampler
from torch.utils.data import DataLoader
from rstoolbox.evaluation import MatcherMetric

rank, batch_size, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
ms, rgb = torch.load(f'{folder}/embeddings.pt', weights_only=True)
metric = MatcherMetric()
rows = range(len(ms))
for batch in DataLoader(rows, batch_size, sampler=DefaultSampler(rows, shuffle=False)):
    metric.process(None, [dict(matcher_scale=9., ms_embedding=ms[row], rgb_embedding=rgb[row]) for row in batch])
found = metric.evaluate(len(ms))
if rank == 0:
    print(json.dumps(found))
dist.destroy_process_group()
"""


@pytest.fixture
def embeddings():
    """Both views of 301 scenes, which chance brings a little together."""
    random = torch.Generator().manual_seed(0)
    ms = torch.randn(301, 16, generator=random)
    rgb = ms + torch.randn(301, 16, generator=random)
    return [torch.nn.functional.normalize(side, dim=1) for side in (ms, rgb)]


def score(ms, rgb, batch_size):
    metric = MatcherMetric()
    samples = [dict(matcher_scale=9., ms_embedding=mine, rgb_embedding=theirs)
               for mine, theirs in zip(ms, rgb, strict=True)]
    for start in range(0, len(samples), batch_size):
        metric.process(None, samples[start:start + batch_size])
    return metric.evaluate(len(samples))


def test_the_loss_is_symmetric_info_nce_within_128_scenes_whatever_the_batches(embeddings):
    losses = []
    ms, rgb = (side.double().numpy() for side in embeddings)
    for part in (slice(0, 128), slice(128, 256), slice(256, 301)):
        logits = 9 * ms[part] @ rgb[part].T
        losses += list(-(np.diag(log_softmax(logits, axis=1)) + np.diag(log_softmax(logits, axis=0))) / 2)
    found = score(*embeddings, batch_size=7)
    assert found['loss'] == pytest.approx(np.mean(losses), rel=1e-5)
    assert found == score(*embeddings, batch_size=301)


def test_two_processes_find_what_one_finds(embeddings, tmp_path):
    torch.save(embeddings, tmp_path / 'embeddings.pt')
    outputs = run_ranks(RANK, 32, tmp_path)
    assert json.loads(outputs[0]) == score(*embeddings, batch_size=64)


def test_recall_counts_the_nearest_of_the_whole_split():
    eye = torch.eye(4)
    found = score(eye, torch.stack([eye[other] + 0.01 * row for row, other in enumerate([0, 1, 3, 3])]), 4)
    assert found['recall_ms_to_rgb'] == 75.


def test_another_model_is_named():
    with pytest.raises(ValueError, match='scores a SceneMatcher; this model gives samples with pred_label only'):
        MatcherMetric().process(None, [dict(pred_label=1)])
