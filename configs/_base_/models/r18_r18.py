# ResNet-18 teacher on multispectral images, ResNet-18 student on RGB images.
_base_ = './nets.py'

teacher_net = 'resnet18'
student_net = 'resnet18'
