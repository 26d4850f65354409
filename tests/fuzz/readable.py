"""Check whether the trainer can read a dataset: load and decode every record of every split."""

import sys

from trainer import cli


def main(argv: list[str] | None = None) -> int:
    """Print the number of images read; return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    import tensorflow as tf

    from trainer.cluster import environment
    from trainer.config import experiments
    from trainer.data.formats import dataset_info
    from trainer.data.pipeline import input_pipeline

    (folder,) = sys.argv[1:] if argv is None else argv
    environment.configure()
    total = 0
    for split, counted in dataset_info.read_info(folder).splits.items():
        if counted.records:
            images = input_pipeline.load([folder], split, experiments.find("smoke"))
            total += len(images)
            assert len(images) == counted.records
            tf.debugging.assert_equal(len(set(images.keys)), counted.records)
    print(total)


if __name__ == "__main__":
    sys.exit(main())
