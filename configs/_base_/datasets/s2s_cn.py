# S2S-CN of SemBridge's benchmark: the 14 bands of Tiangong-2's wide-band imager over China, ten classes.
# As s2s_eu.py; the sensor's numbers are no calibrated reflectance, so look at ms_scale.
_base_ = './s2s_eu.py'

data_root = 'data/S2S-CN'
image_size = 128
ms_bands = ('B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B09', 'B10', 'B11', 'B12', 'B13', 'B14')
natural_colour = ('B07', 'B05', 'B03')
ms_source = dict(type='S2S_CN')
rgb_source = dict(type='S2S_CN')
