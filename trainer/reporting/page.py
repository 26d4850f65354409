"""Write one self-contained HTML page about runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import tensorflow as tf

from trainer import cli
from trainer.files import replaceable, whole_file
from trainer.reporting import comparison, data, finding, predictions, provenance, reading, search, training
from trainer.reporting.report_images import Thumbnail
from trainer.reporting.section import Figure, Section, named_if_damaged
from trainer.workdir import files

TEMPLATES = Path(__file__).parent / "templates"


def report(workdir: str | None, predicted: str | None, output: str, compare: Sequence[str] = ()) -> None:
    """Write the page.

    Args:
      workdir: a work folder of trainer.train or of trainer.search, or None.
      predicted: an output folder of beam_pipelines.score, or None.
      output: the HTML file.
      compare: further work folders of trainer.train, to compare with each other and with `workdir`.
    Raises:
      UserError: nothing is given, a folder is missing or damaged, or the output exists and is not a report.
    """
    if not (workdir or predicted or compare):
        raise cli.UserError("nothing to report on: give --workdir, --predictions or --compare (see --help)")
    _check_output(output)
    figures, sections = _found(workdir, predicted, compare)
    values = {
        "title": _title(workdir, predicted, compare),
        "figures": figures,
        "sections": sections,
        "images": _images(sections),
        "css": (TEMPLATES / "report.css").read_text(encoding="utf-8"),
        "script": (TEMPLATES / "report.js").read_text(encoding="utf-8"),
    }
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    about = ", ".join(filter(None, (workdir, predicted, *compare)))
    with named_if_damaged(f"a file of {about}", "make it again, or report without it"):
        page = environment.get_template("report.html").render(values)
    tf.io.gfile.makedirs(output.rpartition("/")[0] or ".")
    whole_file.write(output, page.encode(errors="replace"))


def _images(sections: Sequence[Section]) -> list[Thumbnail]:
    """Return the images of all cards, each once."""
    cards = (card for section in sections for gallery in section.values.get("galleries", ()) for card in gallery.cards)
    found = {image.id: image for card in cards for image in (card.image, card.seen) if image.url}
    return list(found.values())


def _title(workdir: str | None, predicted: str | None, compare: Sequence[str]) -> str:
    if workdir and search.read(workdir) is not None:
        return f"Search: {workdir}"
    if workdir:
        return f"{files.read_config(workdir).experiment}: {workdir}"
    return f"Predictions: {predicted}" if predicted else f"Comparison of {len(compare)} runs"


def _found(workdir: str | None, predicted: str | None, compare: Sequence[str]) -> tuple[list[Figure], list[Section]]:
    """Return the headline figures and the sections, in the order of the page."""
    figures: list[Figure] = []
    sections: list[Section] = []
    ends: list[Section] = []
    config, trained, evaluation, scoring = None, list[Any](), None, None
    ranked = search.read(workdir) if workdir else None
    if workdir and ranked is not None:
        found, section = search.section(workdir, ranked)
        figures, sections = figures + found, [section]
    elif workdir:
        config, trained = files.read_config(workdir), files.read_starts(workdir)
        found, read = finding.sections(workdir) if config.model.finds else reading.sections(workdir, config)
        figures, sections = figures + found, [training.section(workdir, config), *read]
        ends.append(data.section(workdir, config, provenance.folder_of(trained[-1] if trained else None)))
        evaluation = whole_file.read_json(f"{workdir}/{files.EVALUATION_FILE}", advice=reading.AGAIN)
    if predicted:
        scoring, names = predictions.read(predicted)
        found, section = predictions.section(predicted, scoring, names)
        figures, sections = figures + found, [*sections, section]
    if compare:
        sections.append(comparison.section([*([workdir] if config and workdir else []), *compare]))
    about = ", ".join(filter(None, (workdir, predicted)))
    return figures, [*sections, *ends, provenance.section(config, trained, evaluation, scoring, about)]


def _check_output(output: str) -> None:
    if "://" not in output:
        replaceable.check_replaceable(output, "--output", replaceable.REPORT)
    elif (before := whole_file.read(output, advice="")) is not None:
        replaceable.check_header(before, output, "--output", replaceable.REPORT)
