_base_ = [
    '../_base_/datasets/falcon_sft.py',
    '../_base_/models/falcon_pretrained.py',
    '../_base_/schedules/falcon_sft.py',
]
