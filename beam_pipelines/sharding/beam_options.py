"""Parse Beam's own options, which every pipeline passes on."""

import argparse
import io
import logging
from collections.abc import Sequence
from contextlib import redirect_stderr

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, StandardOptions, TestOptions

from trainer.cli import UserError

# DirectRunner would try to download the Prism engine at each start.
LOCAL_RUNNER = "FnApiRunner"


def parse(beam_args: Sequence[str]) -> PipelineOptions:
    """Parse Beam's options from the arguments that a command did not recognise.

    Raises:
      UserError: Beam does not recognise one either, has no such runner, or the runner rejects a value.
    """
    # Beam would log its own warning about unknown options before the error below names them.
    logging.getLogger("apache_beam.options.pipeline_options").setLevel(logging.ERROR)
    printed = io.StringIO()
    try:
        with redirect_stderr(printed):
            options = PipelineOptions(list(beam_args))
            options.get_all_options()  # parses them
    except SystemExit as error:  # as Beam's parser ends the process after some hundred lines of usage
        reason = printed.getvalue().strip().rpartition("error: ")[2]
        raise UserError(f"{reason} (see --help)") from error
    standard = options.view_as(StandardOptions)
    standard.runner = standard.runner or LOCAL_RUNNER
    try:
        beam.Pipeline(options=options)  # loads the runner and so its options, and validates their values
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"--runner {standard.runner}: {' '.join(str(error).split())}") from error
    parsers: list[argparse.ArgumentParser] = []
    options.get_all_options(add_extra_args_fn=parsers.append)
    unknown = parsers[0].parse_known_args(list(beam_args))[1]
    if unknown:
        raise UserError(f"unknown option {unknown[0]}: neither this command nor Beam has it (see --help)")
    if options.view_as(TestOptions).dry_run and not standard.runner.endswith("DataflowRunner"):
        raise UserError(f"--dry_run: {standard.runner} does not support it and would write; use DataflowRunner")
    options.view_as(SetupOptions).save_main_session = False
    return options
