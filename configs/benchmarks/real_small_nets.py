# The methods and data of real.py on two of the paper's pairs (teacher first).
_base_ = './real.py'
pairs = dict(
    _delete_=True,
    shufflenet_shufflenet=dict(teacher_net='shufflenet_v2_x0_5', student_net='shufflenet_v2_x0_5'),
    mobilenet_shufflenet=dict(teacher_net='mobilenet_v2', student_net='shufflenet_v2_x0_5'))
# They need more and larger steps than ResNet-18: chosen on EU's validation split, without transfer. Within SemBridge
# they begin where the matcher's RGB encoder ended in both settings.
options = dict(
    {'model.start': '${artifacts.matcher}'},
    max_epochs=120, teacher_epochs=120, matcher_epochs=120, learning_rate=3e-3,
    matching=dict(start=24, interval=24, growth=3))
