_base_ = [
    '../_base_/datasets/eurosat_eu.py',
    '../_base_/models/r18_r18.py',
    '../_base_/distillers/sembridge_controls.py',
    '../_base_/schedules/s2s.py',
]
