"""Asks a photo classifier what is in your photos."""

from photo_classifier.answers import Answer, Image, Model, Prediction
from photo_classifier.client import AsyncClassifier, Classifier
from photo_classifier.errors import (
    Busy,
    ClassifierError,
    KeyRefused,
    PhotoRefused,
    Unreachable,
)
from photo_classifier.photos import Photo

__all__ = [
    "Answer",
    "AsyncClassifier",
    "Busy",
    "Classifier",
    "ClassifierError",
    "Image",
    "KeyRefused",
    "Model",
    "Photo",
    "PhotoRefused",
    "Prediction",
    "Unreachable",
]
