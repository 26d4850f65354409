"""The sample of the table that every run of the tests takes."""

import itertools
from dataclasses import dataclass
from types import SimpleNamespace

from tests.faults.sampling import sampled

COMMANDS, SITUATIONS = ["train", "score", "draw"], ["missing", "empty", "pipe", "folder", "link"]


@dataclass(eq=False)
class FakeItem:
    """What `sampled` asks a pytest item for."""

    nodeid: str
    params: dict[str, object]

    @property
    def callspec(self) -> SimpleNamespace:
        return SimpleNamespace(params=self.params)


def test_each_test_meets_each_of_its_commands_and_each_situation_occurs() -> None:
    table = [
        FakeItem(f"{test}[{module}-{bad}]", {"module": module, "bad": bad})
        for test, module, bad in itertools.product(["reads", "writes"], COMMANDS, SITUATIONS)
    ]
    sample = sampled(table)
    met = {(case.nodeid.partition("[")[0], case.params["module"]) for case in sample}
    assert met == set(itertools.product(["reads", "writes"], COMMANDS))
    assert {case.params["bad"] for case in sample} == set(SITUATIONS)
    assert len(sample) < len(table) / 3
    assert [case in sample for case in table] == [case in sampled(table) for case in table]
