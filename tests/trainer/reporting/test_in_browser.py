"""The report in headless Chromium: it fits every width, shows its images, and filters them."""

from collections.abc import Iterator

import pytest

from beam_pipelines import synthesize
from tests import chromium
from tests.trainer.reporting.pages import answers, evaluated, keys_of, page_of, trained

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.PROGRAM is None, reason="Chromium is not installed"),
]
WIDTHS = (280, 320, 390, 480, 768, 780, 830, 1024, 1100, 1280)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    folder = tmp_path_factory.mktemp("report")
    args = ["--count", "60", "--seed", "3", "--num-shards", "1", "--output", str(folder / "data")]
    assert synthesize.main(args) == 0
    keys, labels = keys_of(folder / "data")
    rows = answers(60, wrong=40, keys=keys, labels=labels)
    for i, row in enumerate(rows):
        row["attention"] = [[[0, 255], [128, 0]]] * len(row["candidates"][0])
        row["sharpness"] = 1000.0 * i  # groups have long names
    trained(folder / "run", data=[str(folder / "data")])
    evaluated(folder / "run", rows, data=[str(folder / "data")])
    page_of(folder / "report.html", "--workdir", folder / "run")
    with chromium.browser(folder / "profile") as browser:
        yield browser.open((folder / "report.html").as_uri())


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(opened: chromium.Page, width: int) -> None:
    opened.do("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    wider = """[...document.querySelectorAll("main *")].filter((one) => !one.closest(".wide, svg")
        && one.getBoundingClientRect().right > document.documentElement.clientWidth)
        .map((one) => one.outerHTML.slice(0, 80))"""
    assert opened.run(wider) == []
    assert opened.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_it_is_accessible(opened: chromium.Page) -> None:
    assert opened.barriers() == []


def test_each_card_and_each_look_shows_an_image(opened: chromium.Page) -> None:
    shown = """[...document.querySelectorAll(".card .image, .looks svg")].filter((svg) => svg.getClientRects().length)
        .map((svg) => svg.querySelector("use").getBoundingClientRect()).map((box) => box.width * box.height)"""
    areas = opened.run(shown)
    assert len(areas) > 3 * 12 * 2
    assert min(areas) > 100
    assert opened.run('document.querySelector("svg.images").getBoundingClientRect().height') == 0


def test_the_filter_hides_what_does_not_pass(opened: chromium.Page) -> None:
    opened.run("document.querySelector('form.filter [name=length]').value = 1")
    opened.run("document.querySelector('form.filter').dispatchEvent(new Event('input'))")
    lengths = """[...document.querySelectorAll("#incorrect .card:not([hidden])")].map((card) => card.dataset.length)"""
    assert set(opened.run(lengths)) == {"1"}
    assert opened.run('document.querySelector(".filter output").textContent').endswith("of 80 images")
