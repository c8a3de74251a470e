_base_ = [
    '../_base_/datasets/mini_falcon.py',
    '../_base_/models/falcon_tiny.py',
    '../_base_/schedules/falcon_mini.py',
]
