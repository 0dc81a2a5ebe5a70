"""What a network looked at: maps of patches, scores of these maps, filters and feature maps."""

from sentinode.explain.choosing import PICKS, Pick, list_names, read_list
from sentinode.explain.explaining import PAGE, Explained, How, explain
from sentinode.explain.fields import Field, fields_of
from sentinode.explain.layers import Chosen, choose_layer
from sentinode.explain.methods import CAMS, METHODS, Direction, Explainer, Method
from sentinode.explain.regions import MaskedPatches, cut_regions

__all__ = [
    "CAMS",
    "METHODS",
    "PAGE",
    "PICKS",
    "Chosen",
    "Direction",
    "Explained",
    "Explainer",
    "Field",
    "How",
    "MaskedPatches",
    "Method",
    "Pick",
    "choose_layer",
    "cut_regions",
    "explain",
    "fields_of",
    "list_names",
    "read_list",
]
