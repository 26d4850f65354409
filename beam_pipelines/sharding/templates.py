"""Templates of Dataflow: the command only describes the job, and ends before Dataflow runs it.

A Flex Template is launched so: Dataflow runs the command with --template_location, and then the job that it described.
The command's claim to the output stays, so that the job may write there until another command takes the output over,
which it can after a minute, since nobody renews the claim.
"""

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, StandardOptions

from trainer.cli import UserError


class Described(SystemExit):
    """Raised, with exit status 0, once the description of a job is written: nothing was run."""


def is_asked_for(options: PipelineOptions) -> bool:
    """Return whether Beam's options ask for a template instead of a job."""
    location = options.view_as(GoogleCloudOptions).template_location
    return bool(location) and options.view_as(StandardOptions).runner.endswith("DataflowRunner")


def refuse(options: PipelineOptions, what: str, *, given: bool) -> None:
    """Raise UserError if an option is given that needs the command after the job, and a template is asked for."""
    if given and is_asked_for(options):
        raise UserError(f"{what} cannot be combined with --template_location: it needs this command after the job")
