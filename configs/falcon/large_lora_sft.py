# Low-rank matrices at the attention of the decoder; everything else stays as it is and out of the checkpoints.
_base_ = './large_sft.py'

learning_rate = 1e-4
model = dict(lora=dict(r=8, lora_alpha=16, use_rslora=True))
