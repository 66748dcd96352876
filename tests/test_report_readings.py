"""A run as a table: its rows are the record's numbers."""

from tests.records import make_record
from tracer.report.readings import COLUMNS, reading_rows


def test_each_row_is_a_token_of_the_record():
    record, _ = make_record()
    rows = list(reading_rows(record))
    wanted = 0
    for name, intervention in record.interventions.items():
        for prompt, trial in intervention.trials.items():
            baseline = record.prompts[prompt].baseline
            clean = {each.id: each for each in (*baseline.tokens.values(), *baseline.top)}
            for dose, found in [
                (None, trial.reading),
                *((d.factor, d.reading) for d in trial.doses),
            ]:
                mine = {
                    row["token_id"]: row
                    for row in rows
                    if (row["intervention"], row["prompt"], row["dose"]) == (name, prompt, dose)
                }
                read = {each.id: each for each in (*found.tokens.values(), *found.top)}
                assert mine.keys() == read.keys()
                wanted += len(read)
                for number, token in read.items():
                    row, before = mine[number], clean.get(number)
                    assert tuple(row) == COLUMNS
                    assert row["held_out"] == record.prompts[prompt].held_out
                    assert (row["token"], row["logit"]) == (token.token, token.logit)
                    assert (row["probability"], row["rank"]) == (token.probability, token.rank)
                    assert row["clean_logit"] == (before.logit if before else None)
                    assert row["clean_rank"] == (before.rank if before else None)
    assert len(rows) == wanted > 0
