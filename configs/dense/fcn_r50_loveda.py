_base_ = [
    '../_base_/datasets/loveda.py',
    '../_base_/models/fcn.py',
    '../_base_/schedules/segmentation.py',
]
model = '${fcn_r50}'
