"""Records in groups of one image and batches of similar length."""

import math
from itertools import count, islice
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rstoolbox.datasets.falcon import FalconSFT, Record, RecordStore, write_records
from rstoolbox.registry import DATA_SAMPLERS

RECORDS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 50)), min_size=1, max_size=120)


def build(records, rank=0, processes=1, **arguments):
    images, lengths = np.array(records).T
    where = f'{DATA_SAMPLERS.get("ImageGroupSampler").__module__}.get_dist_info'
    with patch(where, return_value=(rank, processes)):
        return DATA_SAMPLERS.build(dict(type='ImageGroupSampler', seed=3, **arguments, dataset=SimpleNamespace(
            image_keys=images, answer_lengths=lengths)))


def batches(sampler):
    order = list(sampler)
    return [order[start:start + sampler.batch_size] for start in range(0, len(order), sampler.batch_size)]


@settings(deadline=None)
@given(RECORDS, st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
def test_every_record_once_an_epoch_and_groups_whole(records, batch_size, group, processes):
    samplers = [build(records, rank, processes, batch_size=batch_size, group=group) for rank in range(processes)]
    shares = [list(sampler) for sampler in samplers]
    assert {len(share) for share in shares} == {len(samplers[0])} == {math.ceil(len(records) / processes)}
    drawn = np.bincount(np.concatenate(shares), minlength=len(records))
    # What fills the last process up is drawn again; nothing else is.
    assert drawn.min() >= 1 and drawn.sum() - len(records) == -len(records) % processes
    images = np.array(records)[:, 0]
    groups = sum(math.ceil(count / group) for count in np.bincount(images))
    all_batches = [batch for sampler in samplers for batch in batches(sampler)]
    # A group is encoded once, and once more for each border of a batch that it lies across.
    assert sum(len(set(images[batch])) for batch in all_batches) <= groups + len(all_batches) + processes - 1


@settings(deadline=None)
@given(RECORDS, st.integers(0, 5))
def test_an_epoch_follows_from_its_number_alone(records, epoch):
    running, resumed = (build(records, batch_size=4) for _ in range(2))
    for number in range(epoch + 1):
        running.set_epoch(number)
        order = list(running)
    resumed.set_epoch(epoch)
    assert list(resumed) == order


@settings(deadline=None)
@given(RECORDS, st.integers(0, 30), st.integers(1, 5), st.integers(1, 2))
def test_a_run_that_counts_steps_goes_on_where_it_stopped(records, taken, batch_size, processes):
    def steps(sampler):  # as mmengine's loop of iterations draws them
        for epoch in count():
            if epoch:
                sampler.set_epoch(epoch)
            yield from batches(sampler)

    for rank in range(processes):
        running, resumed = (build(records, rank, processes, batch_size=batch_size) for _ in range(2))
        resumed.skip(taken * batch_size)
        assert list(islice(steps(resumed), 5)) == list(islice(steps(running), taken, taken + 5))


def test_epochs_and_seeds_differ_and_batches_mix_images():
    records = [(number // 8, number % 8) for number in range(400)]
    sampler = build(records, batch_size=32)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append(tuple(sampler))
        assert min(len({index // 8 for index in batch}) for batch in batches(sampler)[:-1]) >= 4
    assert len(set(orders)) == 3


def test_answers_of_a_batch_are_of_similar_length_at_all_processes():
    random = np.random.default_rng(0)
    lengths = np.where(random.random(2000) < 0.2, 50, 5)
    records = list(zip(np.arange(2000) // 20, lengths))
    samplers = [build(records, rank, 2, batch_size=32) for rank in range(2)]
    longest = np.array([[lengths[batch].max() for batch in batches(sampler)] for sampler in samplers])
    # In random order every batch would hold a long answer (all but one in a thousand).
    assert 0.2 < (longest == 50).mean() < 0.6
    assert (longest[0] == longest[1]).mean() > 0.9
    # Long and short batches take turns: neither half of an epoch has all the long ones.
    first, second = np.array_split(longest[0] == 50, 2)
    assert first.any() and second.any()


def test_without_a_window_every_batch_is_alike():
    lengths = np.where(np.arange(2000) % 20 < 4, 50, 5)
    records = list(zip(np.arange(2000) // 20, lengths))
    longest = [lengths[batch].max() for batch in batches(build(records, batch_size=32, group=4, window=0))]
    assert np.mean(np.array(longest) == 50) > 0.95
    assert any(len(set(lengths[batch])) > 1 for batch in batches(build(records, batch_size=4, group=4, window=0)))


def test_lengths_and_images_of_files_and_stores_are_those_of_the_items(tmp_path):
    records = [Record(images=[name], task='IMG_CAP', prompt='Describe the image.', answer=answer)
               for name, answer in (('a.png', 'Grün.'), ('b.png', 'No.'), ('a.png', 'A ship.'))]
    RecordStore.create(records, tmp_path / 'records.arrow')
    write_records(records, tmp_path / 'records.json')
    for name in ('records.json', 'records.arrow'):
        assert FalconSFT(tmp_path / name).answer_lengths.tolist() == [6, 3, 7]
        chosen = FalconSFT(tmp_path / name, indices=[2, 0])
        assert chosen.answer_lengths.tolist() == [7, 6]
        assert len(set(chosen.image_keys)) == 1


@pytest.mark.parametrize('arguments', [dict(group=0), dict(batch_size=0), dict(window=-1), dict(shuffle=False)])
def test_bad_arguments_are_explained(arguments):
    with pytest.raises(ValueError, match='at least one record .*, got .*DefaultSampler'):
        build([(0, 1)], **{'batch_size': 2, **arguments})
