"""Prediction: from a trained network and patches to probabilities."""

from sentinode.predict.forward import forward
from sentinode.predict.patches import predict, predict_set

__all__ = ["forward", "predict", "predict_set"]
