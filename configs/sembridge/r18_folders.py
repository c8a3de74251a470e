_base_ = [
    '../_base_/datasets/folders.py',
    '../_base_/models/r18_r18.py',
    '../_base_/distillers/sembridge.py',
    '../_base_/schedules/s2s.py',
]
