"""The table of every claim in the sources: whole, true to what is declared, and made anew."""

import pytest

from tests.bench.declared import DECLARED
from tests.studies.claims_of_sources import SOURCES, TABLE, published, sentences, table

IDS = {
    f"{name}.{claim.id}": claim.source or experiment.sources[0]
    for name, (_, experiment) in DECLARED.items()
    for claim in experiment.claims
}
DOCUMENTS = {source: name for name, source in SOURCES.items()}


@pytest.mark.parametrize("sentence", sentences(), ids=lambda s: f"{s.source}-{s.line}")
def test_a_sentence_is_decided_by_claims_that_there_are_or_says_why_not(sentence):
    assert bool(sentence.decided_by) != bool(sentence.why_not)
    assert set(sentence.decided_by) <= set(IDS)
    assert sentence.source in SOURCES


def test_every_claim_from_the_sources_has_a_row():
    decided = {claim for sentence in sentences() for claim in sentence.decided_by}
    own = {claim for claim, source in IDS.items() if source in DOCUMENTS}
    assert own - decided == set()


def test_the_committed_page_is_the_one_that_the_command_makes():
    assert TABLE.read_text(encoding="utf-8") == table(published())
