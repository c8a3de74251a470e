# Low-rank matrices at the attention of the text's encoder and decoder; all else stays as it is and out of checkpoints.
_base_ = './large_sft.py'

learning_rate = 1e-4
model = dict(lora=dict(r=8, lora_alpha=16, use_rslora=True))
