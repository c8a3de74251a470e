# The embedded records of all 14 tasks, made on first use.
data_root = 'data/mini_falcon'
train_dataset = dict(type='MiniFalcon', data_root='${data_root}', split='train', reword=False)
val_dataset = dict(type='MiniFalcon', data_root='${data_root}', split='val')
test_dataset = dict(type='MiniFalcon', data_root='${data_root}', split='test')
