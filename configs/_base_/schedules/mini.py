# A short recipe for the embedded data set: minutes on two cores.
_base_ = './s2s.py'

max_epochs = 14
teacher_epochs = 10
matcher_epochs = 10
matcher_batch_size = 32
matching = dict(start=4, interval=4)

train_cfg = dict(val_interval=2)
