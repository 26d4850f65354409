import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.cli import UserError
from trainer.cluster.environment import Task, read_task

POD = {"CLUSTER_NAME": "run7", "CLUSTER_SERVICE": "svc", "CLUSTER_ROLE": "worker", "CLUSTER_WORKERS": "2"}


def test_without_anything_a_process_is_alone() -> None:
    task = read_task({})
    assert (task.role, task.strategy, task.is_chief) == ("alone", "single", True)


def test_a_pod_of_synchronous_workers() -> None:
    task = read_task({**POD, "JOB_COMPLETION_INDEX": "1"})
    assert task.jobs == {"worker": ("run7-worker-0.svc:2222", "run7-worker-1.svc:2222")}
    assert (str(task), task.strategy, task.is_chief) == ("worker 1", "multi-worker", False)
    assert read_task(POD).is_chief
    assert read_task({**POD, "CLUSTER_WORKERS": "1"}).role == "alone"


def test_a_pod_with_parameter_servers() -> None:
    pod = {**POD, "CLUSTER_SERVERS": "2", "CLUSTER_PORT": "9000"}
    task = read_task({**pod, "CLUSTER_ROLE": "ps", "JOB_COMPLETION_INDEX": "1"})
    assert task.address == "run7-ps-1.svc:9000"
    assert {job: len(addresses) for job, addresses in task.jobs.items()} == {"chief": 1, "worker": 2, "ps": 2}
    assert (task.strategy, task.is_chief) == ("parameter-server", False)
    assert read_task({**pod, "CLUSTER_ROLE": "chief"}).is_chief
    assert not read_task(pod).is_chief
    evaluator = read_task({**pod, "CLUSTER_ROLE": "evaluator"})
    assert (str(evaluator), evaluator.is_chief, "evaluator" in evaluator.jobs) == ("evaluator", False, False)


def test_a_pod_of_a_job_set() -> None:
    task = read_task({**POD, "CLUSTER_JOB_INDEX": "0", "JOB_COMPLETION_INDEX": "1"})
    assert task.jobs == {"worker": ("run7-worker-0-0.svc:2222", "run7-worker-0-1.svc:2222")}


def test_tf_config_wins() -> None:
    cluster = {"chief": ["a:1"], "worker": ["b:1"], "ps": ["c:1"]}
    config = {"cluster": cluster, "task": {"type": "ps", "index": 0}}
    task = read_task({**POD, "TF_CONFIG": json.dumps(config)})
    assert (task.role, task.address) == ("ps", "c:1")
    assert task.tf_config() == config
    alone = {"cluster": {"worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}
    assert read_task({"TF_CONFIG": json.dumps(alone)}) == Task()


@given(
    workers=st.integers(1, 50),
    servers=st.integers(0, 9),
    role=st.sampled_from(["chief", "worker", "ps"]),
    data=st.data(),
)
def test_a_pod_and_its_tf_config_agree(workers: int, servers: int, role: str, data: st.DataObject) -> None:
    counts = {"chief": 1, "worker": workers, "ps": servers} if servers else {"worker": workers}
    role = role if role in counts else "worker"
    index = data.draw(st.integers(0, counts[role] - 1))
    pod = {**POD, "CLUSTER_ROLE": role, "CLUSTER_WORKERS": str(workers), "CLUSTER_SERVERS": str(servers)}
    task = read_task({**pod, "JOB_COMPLETION_INDEX": str(index)})
    assert task == (Task() if workers == 1 and not servers else read_task({"TF_CONFIG": json.dumps(task.tf_config())}))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"CLUSTER_NAME": ""}, "CLUSTER_NAME is missing"),
        ({"CLUSTER_SERVICE": "a/b"}, "CLUSTER_SERVICE=a/b"),
        ({"CLUSTER_ROLE": "king"}, "CLUSTER_ROLE=king"),
        ({"CLUSTER_ROLE": "chief"}, "CLUSTER_ROLE=chief"),
        ({"CLUSTER_WORKERS": ""}, "CLUSTER_WORKERS is missing"),
        ({"CLUSTER_WORKERS": "0"}, "CLUSTER_WORKERS=0"),
        ({"CLUSTER_SERVERS": "two"}, "CLUSTER_SERVERS=two"),
        ({"CLUSTER_PORT": "123456"}, "CLUSTER_PORT=123456"),
        ({"JOB_COMPLETION_INDEX": "2"}, "JOB_COMPLETION_INDEX=2"),
    ],
)
def test_a_wrong_pod_variable_is_named(change: dict[str, str], names: str) -> None:
    with pytest.raises(UserError, match=r"expected .*; set it in the Pod's manifest") as caught:
        read_task({**POD, **change})
    assert str(caught.value).startswith(names)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1", "b:1"]}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"king": ["a:1", "b:1"]}, "task": {"type": "king", "index": 0}}',
        '{"cluster": {"ps": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_wrong_tf_config_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="TF_CONFIG"):
        read_task({"TF_CONFIG": text})
