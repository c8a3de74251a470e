"""Pictures, each written by a plain function as PNG."""

from .bars import plot_bars
from .class_map import draw_class_map
from .confusion import plot_confusion_matrix
from .curves import plot_curves
from .pairs import MatchedPair, false_colour, plot_matched_pairs, stretch
from .prediction import draw_prediction
from .tsne import plot_tsne

__all__ = ['MatchedPair', 'draw_class_map', 'draw_prediction', 'false_colour', 'plot_bars', 'plot_confusion_matrix',
           'plot_curves', 'plot_matched_pairs', 'plot_tsne', 'stretch']
