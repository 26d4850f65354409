"""Follow a run on the terminal: its chief's log, a live table of its Pods, and its result."""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial

from rich.console import Console
from rich.live import Live
from rich.table import Table

from k8s import Object, diagnose, run
from k8s.client import PAUSE, Cluster, NotFound, NotStarted
from k8s.outage import Outage, outlast
from k8s.run import Snapshot
from trainer.cli import UserError

LOOK_SECONDS = 5.0  # the longest interval between requests; a change of a Pod triggers one at once
LAST_LINES_SECONDS = 15.0


def table(name: str, snapshot: Snapshot) -> Table:
    """Return a table of each Pod's state, restarts, age and node."""
    shown = Table(title=f"run {name}: {snapshot.result() or 'under way'}", title_justify="left")
    for column in ("Pod", "state", "restarts", "age", "node"):
        shown.add_column(column, overflow="fold")
    for job, index in snapshot.places():
        pods = snapshot.of(job, index)
        newest = pods[-1]
        where = f"{job}-{index}" if index else newest["metadata"]["name"]
        node = newest["spec"].get("nodeName", "")
        shown.add_row(where, diagnose.state(newest), str(diagnose.restarts(pods)), _age(newest), node)
    return shown


def _age(pod: Object) -> str:
    created = pod["metadata"].get("creationTimestamp")
    if not created:
        return ""
    since = datetime.now(timezone.utc) - datetime.fromisoformat(created.replace("Z", "+00:00"))
    return str(since).split(".")[0]


def follow(cluster: Cluster, name: str, console: Console, *, give_up: float) -> int:
    """Show a run until it is over; return its exit status (0 complete, 2 user error, 1 failed).

    Args:
      console: without markup; a terminal shows a live table below the log; otherwise each change of state is a line.
      give_up: seconds that an outage of the API server, or a problem which only people can solve, may last.
    Raises:
      UserError: such a problem lasted longer (the run is kept), or somebody has removed the run.
      Outage: an outage lasted longer.
    """
    log, warn = _Log(cluster, console.print), partial(console.print, style="yellow")
    with Live(
        console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as live:
        states: dict[str, str] = {}
        problems = _Problems(warn, give_up)
        while True:
            snapshot = outlast(partial(run.look, cluster, name), name, warn, seconds=give_up, pause=PAUSE)
            if not snapshot.jobs and not snapshot.job_sets:
                raise UserError(f"run {name} no longer exists: somebody has removed it")
            log.chief = snapshot.chief()
            if console.is_terminal:
                live.update(table(name, snapshot), refresh=True)
            else:
                states = _changes(snapshot, states, console)
            problems.tell(snapshot)
            if snapshot.result() is not None:
                break
            cluster.wait_for_change(name, snapshot.version, LOOK_SECONDS)
        log.finish()
    console.print(table(name, snapshot))
    return snapshot.exit_status()


def _changes(snapshot: Snapshot, before: dict[str, str], console: Console) -> dict[str, str]:
    states = {pod["metadata"]["name"]: diagnose.state(pod) for pod in snapshot.newest_of_all()}
    for name, state in states.items():
        if before.get(name) != state:
            console.print(f"{name}: {state}")
    return states


class _Problems:
    """Prints each problem once, and gives up on one that lasts, even if its message changes, as those of kubelet do."""

    def __init__(self, warn: Callable[[str], None], give_up: float) -> None:
        self.warn, self.give_up = warn, give_up
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    def tell(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        problems = snapshot.problems()
        self._since = {about: self._since.get(about, now) for about in problems}
        for about, line in problems.items():
            if line not in self._told:
                self.warn(line)
            self._told.add(line)
            if now - self._since[about] > self.give_up and snapshot.result() is None:
                raise UserError(
                    f"{line}; this has lasted {self.give_up:.0f} s; the run is kept, repeat the command to follow it"
                )


class _Log:
    """Prints the chief's log in a thread, each line once, across restarts of the chief and broken connections."""

    def __init__(self, cluster: Cluster, show: Callable[[str], None]) -> None:
        self.cluster, self.show = cluster, show
        self.chief: Object | None = None  # updated by the main thread
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait for the last lines."""
        self._until = time.monotonic() + LAST_LINES_SECONDS
        self._over.set()
        self._thread.join(LAST_LINES_SECONDS)

    def _work(self) -> None:
        pod, since, told = "", "", ""
        read_to_its_end = False
        while True:
            last_round, refused = self._over.is_set(), False
            chief = self.chief
            if chief and chief["metadata"]["name"] != pod:
                pod, since, read_to_its_end = chief["metadata"]["name"], "", False
            if chief and not read_to_its_end and chief["status"].get("phase") not in (None, "Pending"):
                ended = chief["status"]["phase"] in ("Succeeded", "Failed")
                try:
                    for moment, text in self.cluster.log(pod, follow=not ended, since=since or None):
                        if moment > since:  # a resumed stream repeats the last lines
                            since = moment
                            self.show(text)
                    read_to_its_end = ended
                except NotFound:  # the Pod is gone, and its log with it
                    read_to_its_end = True
                except NotStarted:
                    pass
                except (UserError, Outage) as error:
                    refused = True
                    if str(error) != told:
                        told = str(error)
                        self.show(f"log not available: {told}")
            if not last_round:
                self._over.wait(0.5)
            elif refused and time.monotonic() < self._until:
                time.sleep(0.5)
            else:
                return
