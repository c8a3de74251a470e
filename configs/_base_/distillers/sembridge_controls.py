# SemBridge with the two controls that tell where a gain comes from.
_base_ = './sembridge.py'

rows = dict(
    # A same-class teacher sample drawn anew every epoch: what matching is worth.
    kd_random={
        'model.start': None, 'model.losses': '${plain_kd}', 'custom_hooks': [],
        'train_dataset.match': 'random', 'train_dataset.match_table': None},
    # No transfer loss at all: what starting from the matcher's encoder is worth.
    start={'model.start': '${artifacts.matcher}', 'model.losses': {}, 'custom_hooks': []})
