"""Matching: published choices, a plain loop, ties, several labels, bad input."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from rstoolbox.models.sembridge import matching
from rstoolbox.models.sembridge.matching import match_by_divergence, match_by_similarity

LOGIT_CASES = ('n12_m30_c10_k10', 'n25_m60_c15_k15', 'n40_m100_c10_k3', 'x_extreme', 'x_one_per_class', 'x_weak')


@pytest.fixture
def golden(shared):
    return np.load(shared('golden/sembridge/matching.npz'))


@pytest.mark.parametrize('case', LOGIT_CASES)
def test_divergence_chooses_what_the_published_matching_chose(golden, case):
    part = {key.split('/')[-1]: golden[key] for key in golden.files if key.startswith(f'{case}/')}
    found = match_by_divergence(part['student_logits'], part['student_class'], part['gallery_logits'],
                                part['gallery_class']).numpy()
    assert np.array_equal(found, part['index_min_kl_own_f64'])
    sure = ~part['near_tie']
    assert np.array_equal(found[sure], part['index_min_kl'][sure])


@pytest.mark.parametrize('case', ['n20_m50_d256_k10', 'n15_m24_d32_k3'])
def test_similarity_chooses_what_the_published_matching_chose(golden, case):
    part = {key.split('/')[-1]: golden[key] for key in golden.files if key.startswith(f'cosine/{case}/')}
    found = match_by_similarity(torch.from_numpy(part['student_embedding']), torch.from_numpy(part['student_class']),
                                torch.from_numpy(part['gallery_embedding']), torch.from_numpy(part['gallery_class']))
    assert np.array_equal(found.numpy(), part['index_top1'])


def assert_nearest(found, student, student_labels, gallery, member, score):
    """What is found has the least score of its class, and of equal ones it is the first."""
    for row, label, chosen in zip(student, student_labels.tolist(), found.tolist(), strict=True):
        scores = torch.stack([score(row, other) if carries else torch.tensor(torch.inf).double()
                              for other, carries in zip(gallery, member[:, label].tolist(), strict=True)])
        assert scores[chosen] <= scores.min() + 1e-9
        equal = [index for index, other in enumerate(gallery) if torch.equal(other, gallery[chosen])]
        assert chosen == min(index for index in equal if member[index, label])


def divergence(student, teacher):
    teacher, student = F.log_softmax(teacher / 2, 0), F.log_softmax(student / 2, 0)
    return (teacher.exp() * (teacher - student)).sum()


def binary_divergence(student, teacher):
    """The sum over classes, each there or not."""
    student, teacher = student / 2, teacher / 2
    return (teacher.sigmoid() * (teacher - student) + F.softplus(student) - F.softplus(teacher)).sum()


def negative_cosine(student, teacher):
    return -F.cosine_similarity(student, teacher, dim=0)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), students=st.integers(1, 9), gallery=st.integers(4, 25), classes=st.integers(1, 4),
       width=st.integers(2, 6), scale=st.sampled_from([0.1, 3., 200.]), twins=st.booleans(), multi=st.booleans(),
       blocks=st.sampled_from([(1, 1), (7, 3), (2**18, 2**12)]))
def test_both_matchings_equal_a_loop(seed, students, gallery, classes, width, scale, twins, multi, blocks):
    random = torch.Generator().manual_seed(seed)
    student = scale * torch.randn(students, width, generator=random, dtype=torch.float64)
    teacher = scale * torch.randn(gallery, width, generator=random, dtype=torch.float64)
    if twins:
        teacher = teacher[torch.randint(0, 3, (gallery,), generator=random)]
    labels = torch.arange(gallery) % classes
    member = F.one_hot(labels, classes)
    if multi:
        member = member | (torch.rand(gallery, classes, generator=random) < 0.3).long()
    given_labels = member if multi else labels
    student_labels = torch.randint(0, classes, (students,), generator=random)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(matching.SCORES_PER_BLOCK, 'cpu', blocks[0])
        patch.setitem(matching.GALLERY_ROWS_PER_BLOCK, 'cpu', blocks[1])
        by_divergence = match_by_divergence(student, student_labels, teacher, given_labels, tau=2.)
        by_binary = match_by_divergence(student, student_labels, teacher, given_labels, tau=2., multi_label=True)
        by_similarity = match_by_similarity(student, student_labels, teacher, given_labels)
    assert_nearest(by_binary, student, student_labels, teacher, member, binary_divergence)
    assert_nearest(by_divergence, student, student_labels, teacher, member, divergence)
    assert_nearest(by_similarity, student, student_labels, teacher, member, negative_cosine)
    assert by_divergence.dtype == torch.int64


def test_equal_gallery_rows_give_the_lowest_index_over_many_blocks():
    teacher = torch.randn(1, 10).expand(9001, 10).contiguous()
    found = match_by_divergence(torch.randn(50, 10), torch.zeros(50, dtype=torch.long), teacher,
                                torch.zeros(9001, dtype=torch.long))
    assert found.eq(0).all()


def test_memory_mapped_gallery_gives_the_same(tmp_path):
    teacher, labels = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32), np.arange(40) % 4
    np.save(tmp_path / 'logits.npy', teacher)
    mapped = np.load(tmp_path / 'logits.npy', mmap_mode='r')
    student = torch.randn(9, 6)
    assert torch.equal(match_by_divergence(student, np.arange(9) % 4, mapped, labels),
                       match_by_divergence(student, np.arange(9) % 4, torch.from_numpy(teacher), labels))


def test_no_students_need_no_gallery():
    nobody = torch.zeros(0, dtype=torch.long)
    assert match_by_divergence(torch.zeros(0, 4), nobody, torch.zeros(2, 4), [0, 1]).shape == (0,)


@pytest.mark.parametrize(('change', 'message'), [
    (dict(student_labels=torch.tensor([0, 1, 7])), 'Class 7 has 1 student sample'),
    (dict(student_labels=torch.tensor([0, -1, 1])), 'Class -1 has 1 student sample'),
    (dict(gallery_labels=torch.tensor([[1, 0], [1, 0], [0, 0], [1, 0]])), 'Class 1 has 1 student sample'),
    (dict(student_labels=torch.tensor([0, 1])), '3 rows of student logits but 2 student labels'),
    (dict(gallery_labels=torch.tensor([0, 1])), '4 rows of gallery logits but 2 gallery labels'),
    (dict(student_logits=torch.full((3, 5), torch.nan)), 'student_logits holds NaN or infinity in row 0'),
    (dict(gallery_logits=torch.tensor([[0.] * 5] * 2 + [[torch.nan] * 5] + [[0.] * 5])), 'NaN or infinity in row 2'),
    (dict(gallery_logits=torch.zeros(4, 3)), 'same width'),
    (dict(student_labels=torch.tensor([0., 1., 0.])), 'must be integers'),
    (dict(student_logits=torch.zeros(3)), r'two dimensions .*\(3,\)|torch.Size'),
    (dict(tau=0.), 'tau must be above 0'),
])
def test_bad_input_is_named(change, message):
    arguments = dict(student_logits=torch.zeros(3, 5), student_labels=torch.tensor([0, 1, 0]),
                     gallery_logits=torch.zeros(4, 5), gallery_labels=torch.tensor([0, 1, 0, 1]))
    with pytest.raises(ValueError, match=message):
        match_by_divergence(**{**arguments, **change})
