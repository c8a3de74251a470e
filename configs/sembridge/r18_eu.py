_base_ = [
    '../_base_/datasets/eurosat_eu.py',
    '../_base_/models/r18_r18.py',
    '../_base_/distillers/sembridge.py',
    '../_base_/schedules/s2s.py',
]

# The control: a same-class teacher sample drawn anew every epoch.
rows = dict(
    kd_random={
        'model.losses': dict(kd=dict(type='KD', tau='${tau}', loss_weight=1.)), 'custom_hooks': [],
        'train_dataset.match': 'random', 'train_dataset.match_table': None})
