# The base geometry from random weights on one GPU: the embedded records, and records of your own beside them.
_base_ = [
    '../_base_/datasets/mini_falcon.py',
    '../_base_/models/falcon_tiny.py',
    '../_base_/schedules/falcon_mini.py',
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

batch_size = 64
num_workers = 8
learning_rate = 2e-4
warmup_iters = 500
train_dataloader = dict(num_workers='${num_workers}')
optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16')
