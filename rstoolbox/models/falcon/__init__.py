"""Falcon: a vision-language model around transformers' Florence-2."""

from .falcon import Falcon
from .generation import GeneratedText
from .preprocessor import FalconPreprocessor
from .tokenizer import load_tokenizer, train_tokenizer

__all__ = ['Falcon', 'FalconPreprocessor', 'GeneratedText', 'load_tokenizer', 'train_tokenizer']
