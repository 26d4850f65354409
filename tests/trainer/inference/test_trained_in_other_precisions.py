"""A model computes in float32 whatever it was trained in, so that its exports run on every CPU."""

import json
import shutil
from pathlib import Path

import pytest
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2

from trainer.inference.evaluating import evaluation
from trainer.inference.exports import saved_model

CLOSER = ["decode.views=[0.9,1.0]", "decode.closer=true"]


@pytest.fixture
def trained(request: pytest.FixtureRequest, tiny_model: Path, tmp_path: Path) -> Path:
    """Return a work folder like that of `tiny_model`, but trained in another precision."""
    shutil.copytree(tiny_model.parent / "run", tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps({**config, "precision": request.param}))
    return tmp_path / "run"


@pytest.mark.parametrize("trained", ["mixed_bfloat16"], indirect=True)
def test_an_export_computes_in_float32(trained: Path, tmp_path: Path):
    saved_model.export(str(trained), str(tmp_path / "model"))
    graph = saved_model_pb2.SavedModel.FromString((tmp_path / "model" / "saved_model.pb").read_bytes())
    functions = graph.meta_graphs[0].graph_def.library.function
    types = {node.attr["T"].type for function in functions for node in function.node_def if "T" in node.attr}
    assert types_pb2.DT_FLOAT in types
    assert not types & {types_pb2.DT_BFLOAT16, types_pb2.DT_HALF}


@pytest.mark.parametrize("trained", ["mixed_bfloat16"], indirect=True)
def test_all_ways_of_looking_at_an_image_work(trained: Path, tiny_model: Path, tiny_dataset: Path):
    in_float32 = shutil.copytree(tiny_model.parent / "run", trained.parent / "in_float32")
    calibrations = [
        evaluation.evaluate(str(folder), [str(tiny_dataset)], "train", settings=CLOSER, allow_seen=True)["calibration"]
        for folder in (trained, in_float32)
    ]
    assert calibrations[0] == calibrations[1]
