# Records of your own, in any of the forms that tools/dataset_converters/make_record_store.py reads.
# image_root holds the images at the paths that the records name.
records = dict(train='data/falcon/train.arrow', val='data/falcon/val.jsonl', test='data/falcon/test.jsonl')
image_root = 'data/falcon'
reword = True  # each prompt in one of the wordings of its task, drawn anew each time
train_dataset = dict(type='FalconSFT', records='${records.train}', image_root='${image_root}', reword='${reword}')
val_dataset = dict(type='FalconSFT', records='${records.val}', image_root='${image_root}')
test_dataset = dict(type='FalconSFT', records='${records.test}', image_root='${image_root}')
