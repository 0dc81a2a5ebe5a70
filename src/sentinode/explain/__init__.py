"""What a network looked at: maps of patches, scores of these maps, filters and feature maps."""

from sentinode.explain.choosing import PICKS, Pick, list_names, read_list
from sentinode.explain.explaining import PAGE, Explained, How, explain
from sentinode.explain.fields import Field, fields_of
from sentinode.explain.following import EXAMPLES_PAGE, follow
from sentinode.explain.inside import Inside, draw_inside
from sentinode.explain.layers import Chosen, choose_layer
from sentinode.explain.methods import CAMS, METHODS, Direction, Explainer, Method
from sentinode.explain.regions import MaskedPatches, cut_regions
from sentinode.explain.scoretable import write_scores
from sentinode.explain.scoring import SCORES, ScoredRun, score_run, tumour_patches

__all__ = [
    "CAMS",
    "EXAMPLES_PAGE",
    "METHODS",
    "PAGE",
    "PICKS",
    "SCORES",
    "Chosen",
    "Direction",
    "Explained",
    "Explainer",
    "Field",
    "How",
    "Inside",
    "MaskedPatches",
    "Method",
    "Pick",
    "ScoredRun",
    "choose_layer",
    "cut_regions",
    "draw_inside",
    "explain",
    "fields_of",
    "follow",
    "list_names",
    "read_list",
    "score_run",
    "tumour_patches",
    "write_scores",
]
