"""The model card as a hub reads it."""

import pytest
from ruamel.yaml import YAML

from genzoo_rwae.report.card import Card, CardPart, DataFacts, escape_markdown, model_card
from genzoo_rwae.report.figures import figures_of

HOSTILE = "a|b\n---\nlicense: mit\n# x [y](javascript:z) <script>1</script> `c` https://e.org *d*"


def front_matter(card: str) -> dict[str, object]:
    return YAML(typ="safe").load(card.split("---\n")[1])


def rows(card: str, heading: str) -> list[str]:
    section = card.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("|")]


def test_front_matter_is_what_the_hub_reads() -> None:
    matter = front_matter(model_card(Card("tiny", tags=("video", "genzoo-rwae"))))
    assert matter["license"] == "unknown"
    assert matter["library_name"] == "genzoo-rwae"
    assert matter["tags"] == ["sequence-modeling", "disentanglement", "genzoo-rwae", "video"]


def test_given_license_is_named() -> None:
    assert front_matter(model_card(Card("tiny", license="apache-2.0")))["license"] == "apache-2.0"


def test_hostile_texts_change_neither_front_matter_nor_tables() -> None:
    parts = (CardPart(HOSTILE, HOSTILE, HOSTILE, HOSTILE, (HOSTILE, HOSTILE)),)
    figures = figures_of({HOSTILE: {HOSTILE: {"value": 1.0, "note": HOSTILE}}})
    data = DataFacts(HOSTILE, (3, 8, 8), 4, {HOSTILE: 2}, ((HOSTILE, 2, HOSTILE),), HOSTILE)
    card = Card(
        HOSTILE,
        HOSTILE,
        parts,
        data,
        figures,
        {HOSTILE: HOSTILE},
        "genzoo ```",
        HOSTILE,
        (HOSTILE,),
    )
    text = model_card(card)
    matter = front_matter(text)
    assert set(matter) == {"license", "library_name", "tags"}
    assert matter["license"] == HOSTILE
    body = text.split("---\n", 2)[2]
    assert "<script" not in body
    assert "](javascript" not in body.replace("\\](javascript", "")
    assert " https://e" not in body
    for heading, columns in (("Parts", 4), ("Figures", 5)):
        for row in rows(text, heading):
            assert row.replace("\\|", "").count("|") == columns + 1
    assert "````sh\ngenzoo ```\n````" in text


@pytest.mark.parametrize("opening", ["# a", "- a", "1. a", "12) a", "+ a", "> a", "=== a"])
def test_a_text_never_opens_a_block(opening) -> None:
    assert escape_markdown(opening)[0] in "&\\"


def test_plain_words_stay_as_they_are() -> None:
    text = "The mmd (unbiased), 3.5 x sliced-w2: fine!"
    assert escape_markdown(text) == text


def test_figures_stand_with_chance_and_what_is_better() -> None:
    figure = {"value": 0.5, "chance": 0.25, "good": "higher"}
    text = model_card(Card("tiny", figures=figures_of({"probes": {"action": figure}})))
    assert rows(text, "Figures")[-1] == "| probes / action | 0.5 | chance 0.25 | higher |  |"


def test_limits_speak_of_the_figures_that_are_there() -> None:
    probes = model_card(Card("tiny", figures=figures_of({"probes": {"action": 0.5}})))
    assert "Linear probes" in probes
    assert "blind to identity" not in probes
    for group, said in (
        ("swap", "blind to identity"),
        ("fix-motion", "blind to identity"),
        ("fix-content", "shows on its samples"),
        ("judge", "errors and preferences of its own"),
        ("unconditional", "not whether one sample is plausible"),
    ):
        figures = figures_of({group: {"prior-means": {"action": 0.5}}})
        assert said in model_card(Card("tiny", figures=figures)), group
        assert said not in probes


def test_nothing_measured_is_said() -> None:
    assert "Not measured yet" in model_card(Card("tiny"))


def test_paper_is_linked_by_a_true_number_only() -> None:
    def linked(number: str) -> bool:
        part = CardPart("cost", "cost", "mse", "", ("Title", number))
        return "https://arxiv.org/abs/" in model_card(Card("tiny", parts=(part,)))

    assert linked("2101.07496")
    assert linked("2101.07496v2")
    assert not linked("2101.07496) [x](y")
