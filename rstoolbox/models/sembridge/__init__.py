"""SemBridge: matcher (SSM), gallery, matching (SFM), transport, CORAL and alignment (SKA)."""

from .alignment import SKA
from .coral import coral_loss
from .gallery import Gallery, GalleryError, hash_of_weights
from .matcher import MatcherPreprocessor, SceneMatcher
from .matching import match_by_divergence, match_by_similarity
from .shortlist import match_in_shortlist, shortlist_by_similarity
from .transport import sinkhorn

__all__ = ['SKA', 'Gallery', 'GalleryError', 'MatcherPreprocessor', 'SceneMatcher', 'coral_loss', 'hash_of_weights',
           'match_by_divergence', 'match_by_similarity', 'match_in_shortlist', 'shortlist_by_similarity', 'sinkhorn']
