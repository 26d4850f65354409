"""What a work folder tells the tasks that share it."""

import threading
from pathlib import Path

from trainer import config, experiments, workdir


def test_a_worker_waits_for_the_end_that_the_chief_tells(tmp_path: Path) -> None:
    wanted = experiments.find("smoke")
    telling = threading.Timer(0.2, workdir.finish, [str(tmp_path), wanted, 20])
    telling.start()
    assert workdir.wait_for_finish(str(tmp_path), wanted, 60)
    telling.join()
    longer = config.override(wanted, ["train.steps=40"])
    assert not workdir.wait_for_finish(str(tmp_path), longer, 0.0)
