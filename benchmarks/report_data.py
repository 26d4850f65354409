"""How much longer `evaluate` takes for what only the report needs: see `--help`.

One evaluation of a work folder, in which the parts are timed: reading the images; their sizes, boxes and sharpness; and
where the model looked in the images that the report shows. Each is done twice, and the first time, which builds graphs,
is shown, too.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

from trainer.inference.evaluating import evaluation, image_facts
from trainer.inference.predictor import Predictor


def timed(owner: Any, name: str, seconds: dict[str, float]) -> None:
    """Replace a function by one that adds the seconds that it takes."""
    inner: Callable[..., Any] = getattr(owner, name)

    def outer(*args: Any, **named: Any) -> Any:
        begin = time.perf_counter()
        try:
            return inner(*args, **named)
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - begin

    setattr(owner, name, outer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--data", required=True, nargs="+")
    parser.add_argument("--split", default="validation")
    args = parser.parse_args()
    seconds: dict[str, float] = {}
    for owner, name in ((Predictor, "answers"), (image_facts, "of"), (Predictor, "attention_to")):
        timed(owner, name, seconds)
    print(f"{'':<8}{'whole, s':>10}{'reading':>10}{'facts':>10}{'attention':>10}{'for the report':>16}")
    for turn in ("first", "second"):
        seconds.clear()
        begin = time.perf_counter()
        evaluation.evaluate(args.workdir, args.data, args.split, allow_seen=True)
        whole = time.perf_counter() - begin
        parts = [seconds.get(name, 0.0) for name in ("answers", "of", "attention_to")]
        share = f"{100 * (parts[1] + parts[2]) / (whole - parts[1] - parts[2]):.1f} %"
        print(f"{turn:<8}{whole:>10.1f}" + "".join(f"{part:>10.2f}" for part in parts) + f"{share:>16}", flush=True)


if __name__ == "__main__":
    main()
