# A short recipe for the embedded data set: minutes on two cores.
_base_ = '../default_runtime.py'

batch_size = 32
max_epochs = 14
teacher_epochs = 10
matcher_epochs = 10
matcher_batch_size = 32
learning_rate = 1e-3
weight_decay = 0.05
label_smoothing = 0.1
teacher_label_smoothing = 0.  # a teacher trained with it tells less about the classes that are near
checkpoint_interval = 5  # epochs that an interrupted run repeats at the most
matching = dict(start=4, interval=4, growth=1)

train_cfg = dict(by_epoch=True, max_epochs='${max_epochs}', val_interval=2)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr='${learning_rate}', weight_decay='${weight_decay}', fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=True, begin=0, end=2, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max='${max_epochs}', by_epoch=True, begin=0, end='${max_epochs}',
         convert_to_iter_based=True),
]
