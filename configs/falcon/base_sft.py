# Florence-2's base geometry, a third as large: no layer need be computed twice to fit into memory.
_base_ = './large_sft.py'

pretrained = 'work_dirs/florence2_base'
model = dict(gradient_checkpointing=False)
