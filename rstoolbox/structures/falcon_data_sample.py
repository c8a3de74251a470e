"""One instruction with its image, the true answer and the model's."""

from mmengine.structures import BaseDataElement

from .answer import Answer


class FalconDataSample(BaseDataElement):
    """A record of a vision-language task as it travels from the data set through the model to metrics and pictures.

    Meta information, set by ``metainfo=dict(...)``: ``sample_id`` (str), ``img_path`` (str; of a pair both, with a
    blank between), ``task`` (a tag such as 'REG_DET_HBB'), ``image_size`` ((width, height) in pixels of the image that
    coordinates refer to), ``category`` (the class asked for, where there is one) and ``classes`` (the only class names
    that a constrained model may answer with, where they are given).

    Data: ``prompt`` (str), ``answer`` (str, the true answer as text), ``gt_answer`` and ``pred_answer``.
    """

    @property
    def gt_answer(self):
        """Answer: The truth, structured."""
        return self._gt_answer

    @gt_answer.setter
    def gt_answer(self, value):
        self.set_field(value, '_gt_answer', dtype=Answer)

    @property
    def pred_answer(self):
        """Answer: What the model said, structured, with its confidence."""
        return self._pred_answer

    @pred_answer.setter
    def pred_answer(self, value):
        self.set_field(value, '_pred_answer', dtype=Answer)
