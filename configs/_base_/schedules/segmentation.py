# SGD with polynomial decay, as mmseg's recipes, counted in epochs.
_base_ = '../default_runtime.py'

batch_size = 8
max_epochs = 100
learning_rate = 0.01
checkpoint_interval = 1

collate = dict(type='pseudo_collate')
selection = dict(metric='mIoU')
val_dataloader = dict(batch_size=1)
test_dataloader = dict(batch_size=1)
train_cfg = dict(by_epoch=True, max_epochs='${max_epochs}', val_interval=5)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr='${learning_rate}', momentum=0.9, weight_decay=0.0005))
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end='${max_epochs}', by_epoch=True,
         convert_to_iter_based=True)
]
