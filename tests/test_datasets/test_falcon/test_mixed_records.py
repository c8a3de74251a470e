"""Several sets of records as one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rstoolbox.datasets.falcon import ImageGroupSampler, MixedRecords, Record, write_records
from rstoolbox.registry import DATASETS


@pytest.fixture(scope='module')
def parts(tmp_path_factory):
    """Configs of two data sets: three records of two images, and a record of another image with a name of theirs."""
    configs = []
    for number, names in enumerate((['a.png', 'b.png', 'a.png'], ['a.png'])):
        root = tmp_path_factory.mktemp('part')
        for name in set(names):
            Image.new('RGB', (8, 6), (number, len(names), ord(name[0]))).save(root / name)
        write_records([Record([name], [], 'IMG_CT', 'Count.', f'{"1" * (place + 1)}.')
                       for place, name in enumerate(names)], root / 'records.jsonl')
        configs.append(dict(type='FalconSFT', records=root / 'records.jsonl', image_root=root))
    return configs


@settings(deadline=None)
@given(st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_every_record_comes_as_often_as_its_part(parts, repeats):
    mixed = DATASETS.build(dict(type='MixedRecords', parts=parts, repeats=list(repeats)))
    alone = [DATASETS.build(part) for part in parts]
    ids = [mixed[place]['data_samples'].sample_id for place in range(len(mixed))]
    assert sorted(ids) == sorted(f'{number}.{row + 1}' for number, (part, times) in enumerate(zip(alone, repeats), 1)
                                 for row in range(len(part)) for _ in range(times))
    for place, name in enumerate(ids):
        number, row = map(int, name.split('.'))
        item, own = mixed[place], alone[number - 1][row - 1]
        assert np.array_equal(item['inputs'], own['inputs'])
        assert item['data_samples'].answer == own['data_samples'].answer
        assert mixed.answer_lengths[place] == alone[number - 1].answer_lengths[row - 1]


def test_records_of_an_image_have_one_key_within_a_repetition(parts):
    mixed = MixedRecords(parts, [2, 1])
    assert len(np.unique(mixed.image_keys)) == 5  # two images twice, and another of the same name
    for start in (0, 3):
        keys = mixed.image_keys[start:start + 3]
        assert keys[0] == keys[2] != keys[1]


def test_the_sampler_groups_the_images_of_a_mixture(parts):
    mixed = MixedRecords(parts)
    sampler = ImageGroupSampler(mixed, batch_size=4, group=2, seed=0)
    order = list(sampler)
    assert sorted(order) == [0, 1, 2, 3]
    assert abs(order.index(0) - order.index(2)) == 1  # both about the first part's a.png


@pytest.mark.parametrize('repeats', [[1], [0, 1], [1.5, 1], 2, 'ab'])
def test_repeats_that_do_not_fit_are_refused(parts, repeats):
    with pytest.raises(ValueError, match=r'for each how many times it comes, 1 or more; got 2 parts and repeats='):
        MixedRecords(parts, repeats)


def test_no_part_and_a_part_without_records_are_refused(parts, tmp_path):
    with pytest.raises(ValueError, match='one data set or more'):
        MixedRecords([])
    with pytest.raises(TypeError, match='part 2 is a list, which holds no instruction records'):
        MixedRecords([parts[0], [1, 2]])
