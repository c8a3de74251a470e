"""Feature taps bring what any module puts out to one form."""

import copy

import pytest
import torch
from torch import nn

from rstoolbox.models import FeatureTaps


class Parts(nn.Module):
    """Puts out what it is told to, part by part."""

    def __init__(self, **values):
        super().__init__()
        self.values = values
        for name in values:
            setattr(self, name, nn.Identity())

    def forward(self):
        for name, value in self.values.items():
            getattr(self, name)(value)


def tap(name, value):
    network = Parts(part=value)
    taps = FeatureTaps(network, [name], {name: 'part'}, 'student')
    with taps.recording() as outputs:
        network()
    return outputs[name]


MAP = torch.arange(48.).reshape(2, 3, 2, 4)


@pytest.mark.parametrize(('name', 'value', 'shape'), [
    ('logits', torch.zeros(2, 5), (2, 5)),
    ('logits', (torch.zeros(2, 5),), (2, 5)),
    ('embedding', torch.zeros(2, 7, 1, 1), (2, 7)),
    ('embedding', (torch.zeros(2, 3), [torch.zeros(2, 7)]), (2, 7)),
    ('embedding', torch.zeros(1, 7), (1, 7)),
    ('tokens', torch.zeros(2, 9, 7), (2, 9, 7)),
    ('tokens', (torch.zeros(2, 3, 8, 8), MAP), (2, 8, 3)),
])
def test_value_is_brought_to_the_form_of_its_name(name, value, shape):
    assert tap(name, value).shape == shape


def test_tokens_of_a_map_are_its_positions_row_by_row():
    tokens = tap('tokens', MAP)
    assert torch.equal(tokens[1, 4 * 1 + 2], MAP[1, :, 1, 2])


def test_maps_are_a_list_from_shallow_to_deep():
    maps = tap('feats', (torch.zeros(2, 3, 8, 8), MAP))
    assert [tuple(map_.shape) for map_ in maps] == [(2, 3, 8, 8), (2, 3, 2, 4)]
    assert len(tap('feats', MAP)) == 1


@pytest.mark.parametrize(('name', 'value', 'given'), [
    ('logits', MAP, r'\(2, 3, 2, 4\)'), ('embedding', MAP, r'\(2, 3, 2, 4\)'),
    ('feats', torch.zeros(2, 5), r'\(2, 5\)'), ('tokens', torch.zeros(2, 5), r'\(2, 5\)'), ('logits', 'text', 'str'),
    ('embedding', (), 'tuple')])
def test_value_of_no_such_form_is_refused(name, value, given):
    with pytest.raises(ValueError, match=f"the tap {name}='part' of the student gives {given}, expected"):
        tap(name, value)


def test_unknown_paths_and_outputs_are_named_with_the_nearest():
    network = Parts(backbone=MAP, neck=torch.zeros(2, 3), head=torch.zeros(2, 5))
    with pytest.raises(ValueError, match="the teacher has no module 'haed' to tap; nearest: head"):
        FeatureTaps(network, ['logits'], dict(logits='haed'), 'teacher')
    with pytest.raises(ValueError, match='taps of the student name logit; outputs are logits'):
        FeatureTaps(network, ['logits'], dict(logit='head'), 'student')


def test_a_module_that_does_not_run_is_named():
    network = Parts(part=MAP)
    network.idle = nn.Identity()
    taps = FeatureTaps(network, ['feats'], dict(feats='idle'), 'student')
    with pytest.raises(ValueError, match="'idle' of the student takes no part"), taps.recording():
        network()


def test_nothing_is_kept_outside_of_a_recording_nor_after_an_error():
    network = Parts(backbone=MAP, neck=torch.zeros(2, 3), head=torch.zeros(2, 5))
    taps = FeatureTaps(network, ['logits', 'embedding', 'tokens', 'feats'])
    network()
    with pytest.raises(TypeError), taps.recording():
        network('one argument too many')
    assert taps._seen is None
    with taps.recording() as outputs:
        network()
    assert set(outputs) == {'logits', 'embedding', 'tokens', 'feats'}


def test_a_copy_records_for_itself():
    network = Parts(head=torch.zeros(2, 5))
    network.taps = FeatureTaps(network, ['logits'])
    twin = copy.deepcopy(network)
    twin.values['head'] = torch.ones(2, 5)
    with twin.taps.recording() as outputs:
        twin()
    assert outputs['logits'].sum() == 10


def test_embedding_of_a_network_without_neck_is_the_backbones():
    network = Parts(backbone=(torch.zeros(2, 7),))
    network.neck = None
    assert FeatureTaps(network, ['embedding']).paths == dict(embedding='backbone')
