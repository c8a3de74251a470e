_base_ = [
    '../_base_/datasets/mini_s2s.py',
    '../_base_/models/r18_r18.py',
    '../_base_/distillers/kd.py',
    '../_base_/schedules/mini.py',
]
