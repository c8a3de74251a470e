# A Falcon of about two million parameters that learns on a CPU; coordinates are tokens of their own.
tokenizer = '{{fileDirname}}/falcon_tiny_tokenizer'
image_size = 96
model = dict(
    type='Falcon', geometry='tiny', tokenizer='${tokenizer}', image_size='${image_size}', max_positions=256,
    cell_loss=5., constrain=True, generation=dict(num_beams=1, max_new_tokens=200))
