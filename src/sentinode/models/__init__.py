"""Networks: what they are made of, their weights on disk, and where they are computed."""

from sentinode.models.checkpoint import (
    SPEC_FILE,
    WEIGHTS_FILE,
    load_checkpoint,
    read_spec,
    save_checkpoint,
    state_of,
)
from sentinode.models.compute import (
    Compute,
    choose_compute,
    computes_bfloat16,
    deterministic,
    out_of_memory,
)
from sentinode.models.described import descriptive_name
from sentinode.models.folded import folded
from sentinode.models.join import join_runs
from sentinode.models.keras_import import import_keras
from sentinode.models.network import DenseNetwork, Network
from sentinode.models.registry import (
    ENCODER,
    block_network,
    flat_network,
    model_names,
    spec,
    spec_for,
)
from sentinode.models.run import (
    CONFIG_FILE,
    HISTORY_FILE,
    RECORD_FILE,
    STATE_FOLDER,
    Run,
    RunRecord,
    forget_run,
    read_record,
    record_weights,
    resolve_run,
)
from sentinode.models.sequential import SequentialNetwork, build_sequential
from sentinode.models.spec import ModelSpec, build, new_network
from sentinode.models.summary import LayerSummary, ModelSummary, has_unused_weights, summarise

__all__ = [
    "CONFIG_FILE",
    "ENCODER",
    "HISTORY_FILE",
    "RECORD_FILE",
    "SPEC_FILE",
    "STATE_FOLDER",
    "WEIGHTS_FILE",
    "Compute",
    "DenseNetwork",
    "LayerSummary",
    "ModelSpec",
    "ModelSummary",
    "Network",
    "Run",
    "RunRecord",
    "SequentialNetwork",
    "block_network",
    "build",
    "build_sequential",
    "choose_compute",
    "computes_bfloat16",
    "descriptive_name",
    "deterministic",
    "flat_network",
    "folded",
    "forget_run",
    "has_unused_weights",
    "import_keras",
    "join_runs",
    "load_checkpoint",
    "model_names",
    "new_network",
    "out_of_memory",
    "read_record",
    "read_spec",
    "record_weights",
    "resolve_run",
    "save_checkpoint",
    "spec",
    "spec_for",
    "state_of",
    "summarise",
]
