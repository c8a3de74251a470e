# A Falcon or Florence-2 of any geometry, from a folder as tools/model_converters/falcon_from_original.py writes it.
pretrained = 'work_dirs/falcon_large'
image_size = 768
model = dict(
    type='Falcon', pretrained='${pretrained}', image_size='${image_size}', gradient_checkpointing=True, constrain=True,
    generation=dict(num_beams=3, max_new_tokens=1024))
