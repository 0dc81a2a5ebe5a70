"""Attribution: from a network and patches to one map each.

``gradcam`` (Selvaraju et al., 2017), ``occlusion`` (Zeiler and Fergus, 2014) and
``integrated-gradients`` (Sundararajan et al., 2017) are captum's. Of Grad-CAM's kin, which differ
only in how the gradient weighs the activations, the formula stands here: ``gradcam++``
(Chattopadhay et al., 2018), ``xgradcam`` (Fu et al., 2020), ``hirescam`` (Draelos and Carin,
2020) and ``layercam`` (Jiang et al., 2021).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final, get_args

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion
from scipy import ndimage
from torch import Tensor

from sentinode.data.loader import to_input
from sentinode.errors import InputError
from sentinode.explain.fields import place
from sentinode.explain.hooks import outputs_of
from sentinode.explain.layers import Chosen, choose_layer
from sentinode.metrics import FloatArray
from sentinode.models import Compute, ModelSpec, Network
from sentinode.types import UInt8Array

__all__ = ["CAMS", "METHODS", "Baseline", "Direction", "Explainer", "Method", "removed"]

Method = Literal[
    "gradcam",
    "gradcam++",
    "xgradcam",
    "hirescam",
    "layercam",
    "occlusion",
    "integrated-gradients",
]
METHODS: tuple[Method, ...] = get_args(Method)
CAMS: tuple[Method, ...] = METHODS[:5]
"""Methods that draw their map from a layer."""

Direction = Literal["tumour", "normal"]
Baseline = Literal["mean", "white", "blur"]

WINDOW, STRIDE = 16, 8  # px, of the occluding square
STEPS = 32  # of integrated gradients
SMOOTHING = 3.0  # px; gradients of single pixels are noise, a nucleus has a radius of about 4
BLUR = 8.0  # px
AT_ONCE = 16  # patches a batch


@final
@dataclass(frozen=True)
class Explainer:
    """Draws the maps of one network by one method.

    Attributes:
        network: In evaluation mode, on the device of ``compute``.
        spec: Of the network.
        compute: Device and threads; attribution is in float32.
        method: How.
        direction: The logit is explained for tumour, its negative for normal.
        layer: What the method draws from; None where it needs none.
        baseline: What "nothing" looks like to occlusion and integrated gradients: the patch's
            mean colour, white, or the patch blurred until no nucleus is left.
    """

    network: Network
    spec: ModelSpec
    compute: Compute
    method: Method
    direction: Direction
    layer: Chosen | None
    baseline: Baseline

    @classmethod
    def of(
        cls,
        network: Network,
        spec: ModelSpec,
        compute: Compute,
        method: Method = "gradcam",
        *,
        layer: str | None = None,
        direction: Direction = "tumour",
        baseline: Baseline = "mean",
    ) -> Explainer:
        """Settle the layer and place the network.

        Raises:
            InputError: The method needs a layer with positions and there is none, or a layer is
                named for a method that takes none.
        """
        if layer is not None and method not in CAMS:
            raise InputError(
                f"--layer is for {', '.join(CAMS)}; {method} looks at the network as a whole"
            )
        chosen = choose_layer(network, spec, layer) if method in CAMS else None
        compute.place(network)
        network.eval().requires_grad_(False)
        return cls(network, spec, compute, method, direction, chosen, baseline)

    def maps(self, patches: UInt8Array) -> FloatArray:
        """Return float64 (N, H, W): how much each pixel speaks for the direction.

        Args:
            patches: uint8 (N, H, W, 3), RGB, of the network's size.
        """
        parts = [
            self._batch(patches[start : start + AT_ONCE])
            for start in range(0, len(patches), AT_ONCE)
        ]
        return np.concatenate(parts) if parts else np.empty((0, *patches.shape[1:3]))

    def logits(self, patches: UInt8Array) -> FloatArray:
        """Return float64 (N,): the logit of the direction."""
        with torch.no_grad():
            parts = [
                self._score(self.inputs(patches[start : start + 4 * AT_ONCE])).cpu()
                for start in range(0, len(patches), 4 * AT_ONCE)
            ]
        return torch.cat(parts).double().numpy()

    def gradients(self, patches: UInt8Array) -> FloatArray:
        """Return float64 (N, H, W): the absolute gradient of the logit, summed over channels."""
        parts = []
        for start in range(0, len(patches), AT_ONCE):
            inputs = self.inputs(patches[start : start + AT_ONCE]).requires_grad_()
            (gradient,) = torch.autograd.grad(self._score(inputs).sum(), inputs)
            parts.append(gradient.abs().sum(1).cpu().double().numpy())
        return np.concatenate(parts)

    def inputs(self, patches: UInt8Array) -> Tensor:
        """Return the network's input, float32 (N, C, H, W)."""
        tensor = torch.from_numpy(np.array(patches))  # a copy: a packed set cannot be written to
        return to_input(tensor.to(self.compute.device), self.spec.preprocess)

    def _score(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(inputs)
        return logits if self.direction == "tumour" else -logits

    def _batch(self, patches: UInt8Array) -> FloatArray:
        inputs = self.inputs(patches)
        if self.layer is not None:
            return place(self._cam(inputs, self.layer.name), self.layer.field)
        nothing = self.inputs(removed(patches, self.baseline))
        if self.method == "occlusion":
            return self._occlusion(inputs, nothing)
        attribution = IntegratedGradients(self._score).attribute(
            inputs, nothing, n_steps=STEPS, internal_batch_size=4 * AT_ONCE
        )
        values = attribution.detach().sum(1).cpu().double().numpy()
        smoothed: FloatArray = ndimage.gaussian_filter(values, (0, SMOOTHING, SMOOTHING))
        return smoothed

    def _cam(self, inputs: Tensor, layer: str) -> Tensor:
        if self.method == "gradcam":
            module = self.network.get_submodule(layer)
            # a gradient has to reach the layer, though no weight is trained
            found: Tensor = LayerGradCam(self._score, module).attribute(inputs.requires_grad_())
            return found.detach().squeeze(1)
        with torch.enable_grad(), outputs_of(self.network, [layer]) as held:
            score = self._score(inputs.requires_grad_()).sum()
            activations = held[layer]
            (gradients,) = torch.autograd.grad(score, activations)
        return _WEIGHED[self.method](activations.detach(), gradients)

    def _occlusion(self, inputs: Tensor, nothing: Tensor) -> FloatArray:
        side, channels = inputs.shape[-1], inputs.shape[1]
        window = min(WINDOW, side)
        found = Occlusion(self._score).attribute(
            inputs,
            sliding_window_shapes=(channels, window, window),
            strides=(channels, min(STRIDE, window), min(STRIDE, window)),
            baselines=nothing,
            perturbations_per_eval=4,
        )
        # every channel of a pixel is occluded at once and has the same value
        return np.asarray(found[:, 0].detach().cpu(), np.float64)


def removed(patches: UInt8Array, baseline: Baseline) -> UInt8Array:
    """Return what patches look like with nothing in them: uint8 (N, H, W, 3).

    Args:
        patches: uint8 (N, H, W, 3), RGB.
        baseline: As of :class:`Explainer`.
    """
    if baseline == "white":
        return np.full_like(patches, 255)
    if baseline == "mean":
        mean = patches.mean((1, 2), keepdims=True).round().astype(np.uint8)
        return np.ascontiguousarray(np.broadcast_to(mean, patches.shape))
    smooth = ndimage.gaussian_filter(patches.astype(np.float32), (0, BLUR, BLUR, 0))
    blurred: UInt8Array = smooth.round().clip(0, 255).astype(np.uint8)
    return blurred


def _plus_plus(activations: Tensor, gradients: Tensor) -> Tensor:
    square, cube = gradients.square(), gradients.pow(3)
    below = 2 * square + activations.sum((2, 3), keepdim=True) * cube
    share = square / torch.where(below == 0, torch.ones_like(below), below)
    weights = (share * gradients.relu()).sum((2, 3), keepdim=True)
    return (weights * activations).sum(1)


def _axiom_based(activations: Tensor, gradients: Tensor) -> Tensor:
    total = activations.sum((2, 3), keepdim=True)
    safe = torch.where(total == 0, torch.ones_like(total), total)
    weights = (gradients * activations).sum((2, 3), keepdim=True) / safe
    return (weights * activations).sum(1)


_WEIGHED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gradcam++": _plus_plus,
    "xgradcam": _axiom_based,
    "hirescam": lambda activations, gradients: (gradients * activations).sum(1),
    "layercam": lambda activations, gradients: (gradients.relu() * activations).sum(1),
}
