"""Check the places on a command line; Beam is imported only if one of them is a URL."""

from beam_pipelines import beam_import


def check(flag: str, path: str) -> None:
    """Raise UserError for a URL that Beam cannot read or list."""
    beam_import.import_beam()
    from beam_pipelines.sharding import places

    places.check(flag, path)


def check_local(flag: str, path: str) -> None:
    """Raise UserError for a path in a store."""
    beam_import.import_beam()
    from beam_pipelines.sharding import places

    places.check_local(flag, path)
