# The base geometry from random weights on one GPU: the embedded records, and records of your own beside them.
_base_ = [
    '../_base_/datasets/mini_falcon.py',
    '../_base_/models/falcon_tiny.py',
    '../_base_/schedules/falcon_sft.py',
]

records = dict(train='data/falcon/train.jsonl')
image_root = 'data/falcon'
repeats = [1, 2]  # how often an epoch the embedded records come, and your own
train_dataset = dict(
    _delete_=True, type='MixedRecords', repeats='${repeats}', parts=[
        dict(type='MiniFalcon', data_root='${data_root}', split='train', reword=True),
        dict(type='FalconSFT', records='${records.train}', image_root='${image_root}', reword=True)])

# Its tokens are those of the embedded records; tools/dataset_converters/train_tokenizer.py makes one of yours too.
tokenizer = '{{fileDirname}}/../_base_/models/falcon_tiny_tokenizer'
image_size = 384
model = dict(geometry='base', max_positions=1024)

batch_size = 128
num_workers = 8
max_iters = 4000
learning_rate = 2e-4
weight_decay = 0.05
checkpoint_interval = 1000
# New encoders learn as those of the tiny geometry do (_base_/schedules/falcon_mini.py).
train_dataloader = dict(sampler=dict(window=0))
val_dataloader = dict(batch_size='${batch_size}')
test_dataloader = dict(batch_size='${batch_size}')
optim_wrapper = dict(
    accumulative_counts=1, optimizer=dict(betas=(0.9, 0.98)),
    paramwise_cfg=dict(custom_keys={'vision_tower': dict(lr_mult=0.3)}, bypass_duplicate=True))
