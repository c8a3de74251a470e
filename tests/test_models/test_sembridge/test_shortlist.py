import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rstoolbox.models.sembridge.matching import match_by_divergence, match_by_similarity
from rstoolbox.models.sembridge.shortlist import match_in_shortlist, shortlist_by_similarity


def _samples(seed, students=20, gallery=40, classes=3):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.arange(classes), torch.randint(classes, (students - classes,), generator=generator)])
    others = torch.randint(classes, (gallery - classes,), generator=generator)
    gallery_labels = torch.cat([torch.arange(classes), others])
    return (torch.randn(students, 8, generator=generator), labels, torch.randn(gallery, 8, generator=generator),
            gallery_labels)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 50))
def test_a_list_is_sorted_of_its_class_and_begins_with_the_match(seed, size):
    student, labels, gallery, gallery_labels = _samples(seed)
    lists = shortlist_by_similarity(student, labels, gallery, gallery_labels, size)
    assert lists.shape == (20, size)
    assert torch.equal(lists[:, 0], match_by_similarity(student, labels, gallery, gallery_labels))
    assert torch.equal(gallery_labels[lists], labels[:, None].expand(-1, size))
    cosine = torch.nn.functional.cosine_similarity(student[:, None].double(), gallery[lists].double(), dim=2)
    assert (cosine.diff(dim=1) < 1e-9).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_with_whole_classes_on_the_lists_it_is_the_match_by_divergence(seed, multi_label):
    student, labels, gallery, gallery_labels = _samples(seed)
    lists = shortlist_by_similarity(student, labels, gallery, gallery_labels, len(gallery))
    assert torch.equal(match_in_shortlist(student, lists, gallery, tau=2., multi_label=multi_label),
                       match_by_divergence(student, labels, gallery, gallery_labels, tau=2., multi_label=multi_label))


def test_wrong_input_is_named():
    student, labels, gallery, gallery_labels = _samples(0)
    with pytest.raises(ValueError, match='size=0'):
        shortlist_by_similarity(student, labels, gallery, gallery_labels, 0)
    with pytest.raises(ValueError, match='Class 3 has'):
        shortlist_by_similarity(student, labels.clamp(min=3), gallery, gallery_labels, 2)
    lists = shortlist_by_similarity(student, labels, gallery, gallery_labels, 2)
    with pytest.raises(ValueError, match=r'\(20, 2\) for 19 students'):
        match_in_shortlist(student[1:], lists, gallery)
    with pytest.raises(ValueError, match='NaN'):
        match_in_shortlist(student * float('nan'), lists, gallery)
