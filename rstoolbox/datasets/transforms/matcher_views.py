"""Both views of a scene that the matcher learns from."""

from mmcv.transforms import BaseTransform, Compose
from mmpretrain.datasets import PackInputs

from rstoolbox.registry import TRANSFORMS

from .radiometry import PseudoRGB


@TRANSFORMS.register_module()
class PackMatcherInputs(BaseTransform):
    """Pack a multispectral image and the pseudo-RGB made of it: ``inputs=dict(ms=(C, H, W), rgb=(3, H, W))``.

    Transforms before it change both views alike; those given here change one view only, independently of the other.

    Required Keys: img, bands, sensor.

    Args:
        statistics (dict, optional): Of both sides, by which the pseudo-RGB looks like the pictures that it is to stand
            for, see :class:`PseudoRGB`.
        ms_transforms (Sequence[dict]): Further transforms of the multispectral view.
        rgb_transforms (Sequence[dict]): Further transforms of the pseudo-RGB view, such as a jitter of its colours.
        meta_keys (Sequence[str]): What is kept about the scene, where present.
    """

    def __init__(self, statistics=None, ms_transforms=(), rgb_transforms=(),
                 meta_keys=('sample_id', 'img_path', 'img_shape', 'bands')):
        self.pseudo_rgb = PseudoRGB(statistics)
        self.views = {side: Compose([TRANSFORMS.build(transform) for transform in transforms])
                      for side, transforms in dict(ms=ms_transforms, rgb=rgb_transforms).items()}
        self.pack = PackInputs(meta_keys=meta_keys)

    def transform(self, results):
        # Choosing bands copies the pixels, so the views share nothing that is changed in place.
        rgb = self.pseudo_rgb.transform(dict(results))
        packed = self.pack.transform(self.views['ms'](results))
        rgb = self.pack.transform(self.views['rgb'](rgb))
        return dict(inputs=dict(ms=packed['inputs'], rgb=rgb['inputs']), data_samples=packed['data_samples'])

    def __repr__(self):
        return f'PackMatcherInputs({self.pseudo_rgb}, ms={self.views["ms"]}, rgb={self.views["rgb"]})'
