# Low-rank matrices at the attention of the text's encoder and decoder of the base geometry.
_base_ = './large_lora_sft.py'

pretrained = 'work_dirs/florence2_base'
model = dict(gradient_checkpointing=False)
