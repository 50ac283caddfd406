"""The page as a browser makes it, and what comes of clicking."""

import re
from collections.abc import Iterator

import pytest

from genzoo_rwae.explore import page as page_module
from genzoo_rwae.explore.cards import cards
from genzoo_rwae.report.figures import figures_of

pytestmark = pytest.mark.slow
PATIENCE = 120_000  # milliseconds: machines that test many things at once are slow
FIGURES = figures_of({"probes": {"who": {"value": 0.875, "chance": 0.125}}})


@pytest.fixture
def chromium(browser) -> Iterator:
    """Opens pages; `asked` are the addresses that they asked for."""
    driver = pytest.importorskip("playwright.sync_api", reason="clicking takes playwright")
    with driver.sync_playwright() as started:
        launched = started.chromium.launch(
            executable_path=browser, args=["--no-sandbox", "--disable-gpu"]
        )

        def show(address, **options):
            shown = launched.new_context(**options).new_page()
            shown.set_default_timeout(PATIENCE)
            shown.asked, shown.said = [], []
            shown.on("request", lambda request: shown.asked.append(request.url))
            shown.on("console", lambda message: shown.said.append(message.text))
            shown.goto(address)
            shown.wait_for_selector("#swapped img")
            return shown

        yield show
        launched.close()


def pictures(html: str) -> list[str]:
    return re.findall(r'src="(data:image/[^"]+)"', html)


def wait_for(shown, where: str, wanted: str) -> None:
    """Wait until the pictures of a part of the page are those of this HTML."""
    shown.wait_for_function(
        """([where, wanted]) => {
            const found = [...document.querySelectorAll(`#${where} img`)].map(each => each.src);
            return JSON.stringify(found) === JSON.stringify(wanted);
        }""",
        arg=[where, pictures(wanted)],
    )


def test_clicks_swap_move_and_sample_and_ask_nothing_elsewhere(serve, chromium, exploration):
    def made(clips) -> str:
        return cards(clips, exploration.data)

    offered = exploration.offered_N
    address = serve(exploration, name="tiny", about="a run", figures=FIGURES)
    shown = chromium(address)
    assert shown.title() == "tiny"
    assert "0.875" in shown.locator(".figures").inner_text()
    wait_for(shown, "swapped", made(exploration.swap(offered[0], offered[-1])))

    choosers = shown.locator(".chooser:visible")
    choosers.nth(0).locator("button.thumbnail-item").nth(2).click()
    wait_for(shown, "swapped", made(exploration.swap(offered[2], offered[-1])))
    assert shown.locator(".place input:visible").nth(0).input_value() == str(offered[2])
    shown.locator(".place input:visible").nth(1).fill("5")
    wait_for(shown, "swapped", made(exploration.swap(offered[2], 5)))
    shown.get_by_role("button", name="Exchange the two").click()
    wait_for(shown, "swapped", made(exploration.swap(5, offered[2])))
    shown.locator(".action:visible").get_by_label("2").check()
    wait_for(shown, "swapped", made(exploration.swap(5, offered[2], 2)))
    shown.locator(".place input:visible").nth(0).fill("100000")
    shown.wait_for_selector("#swapped .said >> text=sequence 100000: this split has")

    shown.get_by_role("tab", name="Move").click()
    still = made(exploration.move(offered[0], [0.0] * 4, [0.0] * 2))
    wait_for(shown, "moved", still)
    shown.locator("#static-2 input[type=range]").fill("2.5")
    wait_for(shown, "moved", made(exploration.move(offered[0], [0, 2.5, 0, 0], [0.0] * 2)))
    shown.locator("#dynamic-1 input[type=range]").fill("-1")
    wait_for(shown, "moved", made(exploration.move(offered[0], [0, 2.5, 0, 0], [-1.0, 0])))
    shown.get_by_role("button", name="Back to where it was").click()
    wait_for(shown, "moved", still)

    shown.get_by_role("tab", name="Sample").click()
    wait_for(shown, "sampled", made(exploration.sample(6, 4, 0)))
    shown.get_by_role("button", name="Draw anew").click()
    wait_for(shown, "sampled", made(exploration.sample(6, 4, 1)))
    shown.locator(".action:visible").get_by_label("1").check()
    wait_for(shown, "sampled", made(exploration.sample(6, 4, 1, 1)))
    shown.locator("#steps input[type=range]").fill("9")
    wait_for(shown, "sampled", made(exploration.sample(6, 9, 1, 1)))

    assert [url for url in shown.asked if not url.startswith((address, "data:"))] == []
    assert [text for text in shown.said if "Content Security Policy" in text] == []


def test_hostile_names_are_text_and_data_of_sound_are_heard(listener, serve, chromium, named):
    name = listener.hostile + "{{ document.title = 'owned' }}${document.title = 'owned'}"
    figure = {"value": name, "chance": name, "note": name, "good": name, "baselines": {name: name}}
    address = serve(
        named(name), name=name, about=name, problem=name,
        figures=figures_of({name: {name: figure}}),
    )  # fmt: skip
    # the policy would hide what is not escaped
    shown = chromium(address, bypass_csp=True)
    shown.wait_for_function(
        "[...document.querySelectorAll('#swapped audio')].every(each => each.duration > 0)"
    )
    assert shown.locator("#swapped audio").count() == 3
    shown.locator(".place input:visible").nth(0).fill("5")
    shown.wait_for_selector("#swapped >> text=5: 0")
    shown.locator(".place input:visible").nth(0).fill("100000")
    shown.wait_for_selector("#swapped .said")
    assert listener.asked == []
    assert shown.evaluate("document.body.dataset.owned") is None
    assert shown.title().split() == name.split()
    assert shown.locator(".heading h1").inner_text().split() == name.split()
    assert [url for url in shown.asked if not url.startswith((address, "data:"))] == []


def test_the_policy_lets_nothing_be_loaded_from_elsewhere(
    listener, serve, chromium, exploration, monkeypatch
):
    planted = listener.hostile.replace("<base", "<i")  # which would lead the page itself astray
    monkeypatch.setattr(page_module, "figures_table", lambda *_: planted)
    address = serve(exploration, name="tiny")
    chromium(address).wait_for_timeout(1_000)
    assert listener.asked == []
    chromium(address, bypass_csp=True).wait_for_timeout(1_000)  # without it, it does what it says
    assert "/img" in listener.asked
