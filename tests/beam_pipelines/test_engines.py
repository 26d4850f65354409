"""The same commands on every engine that runs locally write the same bytes, and lose nothing.

The commands are forks; the engines' own servers and workers start as they do for a user.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from PIL import Image

from beam_pipelines import score
from beam_pipelines.sharding.outputs import MARKER_FILE
from tests.beam_pipelines.conftest import free_port
from tests.beam_pipelines.dataset.test_datasets import files, rejects
from tests.conftest import ROOT, Run
from trainer.data.formats.output_names import PREDICTIONS

pytestmark = pytest.mark.slow

DASK = "--runner=apache_beam.runners.dask.dask_runner.DaskRunner"
ENGINES = ("multi_threading", "multi_processing", "dask", "loopback", "external")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def beam_server(module: str, flag: str, log: Path) -> Iterator[str]:
    """Run one of Beam's servers on 127.0.0.1; yield its address."""
    port = free_port()
    # The worker pool starts a bare `python`.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "tests.beam_pipelines.loopback", module, flag, str(port)]
    with log.open("w") as out, subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out) as server:
        try:
            deadline = time.monotonic() + 60
            while not listens(port):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, f"{module} did not start"
                time.sleep(0.1)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    """Return the options that choose each engine."""
    from distributed import LocalCluster

    logs = tmp_path_factory.mktemp("logs")
    with ExitStack() as stack:
        job = stack.enter_context(
            beam_server("apache_beam.runners.portability.local_job_service_main", "--port", logs / "job")
        )
        pool = stack.enter_context(
            beam_server("apache_beam.runners.worker.worker_pool_main", "--service_port", logs / "pool")
        )
        dask = stack.enter_context(
            LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0")
        )
        portable = ["--runner=PortableRunner", f"--job_endpoint={job}"]
        yield {
            "multi_threading": ["--direct_running_mode=multi_threading", "--direct_num_workers=2"],
            "multi_processing": ["--direct_running_mode=multi_processing", "--direct_num_workers=2"],
            "dask": [DASK, f"--dask_client_address={dask.scheduler_address}"],
            "loopback": [*portable, "--environment_type=LOOPBACK"],
            "external": [*portable, "--environment_type=EXTERNAL", f"--environment_config={pool}"],
        }


SYNTHESIZE = ("--count", 60, "--seed", 3, "--num-shards", 5)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 labelled images; one is missing, and one has a label that is not a number."""
    folder = tmp_path_factory.mktemp("pictures") / "mine"
    folder.mkdir()
    for i in range(29):
        Image.new("RGB", (20 + i, 30), (i, 2 * i, 3 * i)).save(folder / f"{i}.png")
    rows = [f"{i}.png,{i if i != 7 else 'seven'}" for i in range(30)]
    (folder / "labels.csv").write_text("\n".join(["file,label", *rows]))
    return folder


def prepare_args(images: Path) -> tuple[object, ...]:
    return ("--format", "csv", "--input", images, "--num-shards", 3, "--split", "train:2,validation:1")


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory, forked: Run, images: Path) -> Path:
    """Return the outputs of both commands on the in-process runner."""
    out = tmp_path_factory.mktemp("in_process")
    forked("beam_pipelines.synthesize", *SYNTHESIZE, "--output", out / "synthesized")
    forked("beam_pipelines.prepare", *prepare_args(images), "--output", out / "prepared")
    return out


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_writes_the_same_bytes(
    engine: str, engines: dict[str, list[str]], in_process: Path, images: Path, tmp_path: Path, forked: Run
) -> None:
    synthesized, prepared = tmp_path / "synthesized", tmp_path / "prepared"
    done = forked("beam_pipelines.synthesize", *SYNTHESIZE, "--output", synthesized, *engines[engine])
    assert "INFO" not in done.stderr
    # Dask tells no seconds.
    assert ("seconds, make" in done.stdout) == (engine != "dask")
    assert len(files(synthesized)) == 5
    assert files(synthesized) == files(in_process / "synthesized")
    forked("beam_pipelines.prepare", *prepare_args(images), "--output", prepared, *engines[engine])
    assert len(files(prepared)) == 6
    assert files(prepared) == files(in_process / "prepared")
    assert (
        rejects(prepared)
        == rejects(in_process / "prepared")
        == {"mine/7.png": "label", "mine/29.png": "missing-picture"}
    )


@pytest.mark.parametrize("engine", ["multi_processing", "external"])
def test_scoring_writes_the_same_bytes(
    engine: str, engines: dict[str, list[str]], images: Path, tiny_model: Path, tmp_path: Path, forked: Run
) -> None:
    args = ("--model", tiny_model, "--input", images, "--num-shards", 3, "--batch-size", 4)
    assert score.main([*map(str, args), "--output", str(tmp_path / "in_process")]) == 0
    forked("beam_pipelines.score", *args, "--output", tmp_path / "out", *engines[engine])
    shards = sorted(path.name for path in (tmp_path / "out").glob("predictions-*"))
    assert len(shards) == 3
    for name in (*shards, PREDICTIONS.rejects):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "in_process" / name).read_bytes()


@pytest.mark.parametrize(("engine", "status"), [("dask", 2), ("external", 1)])  # the latter tells no more than words
def test_what_fails_in_a_worker_ends_the_command(
    engine: str, status: int, engines: dict[str, list[str]], tmp_path: Path, forked: Run
) -> None:
    too_long_for_a_temporary_file = "a" * 230
    args = ("--count", 4, "--split", too_long_for_a_temporary_file, "--output", tmp_path / "out", *engines[engine])
    done = forked("beam_pipelines.synthesize", *args, status=status)
    assert "File name too long" in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {MARKER_FILE}
