"""What is sent and in which order, what is never sent, and what the record says where the API and we differ."""

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from billing_pipeline.config import HttpSettings
from billing_pipeline.errors import RecordsDisagree, SourceError, StorageError
from billing_pipeline.periods import PARIS
from billing_pipeline.rebilling.api import CustomerInvoicing
from billing_pipeline.rebilling.credit import make_credit_note
from billing_pipeline.rebilling.sequence import Finalization
from billing_pipeline.sources.authorization import BearerKey
from billing_pipeline.sources.http import HttpClient
from billing_pipeline.sources.http_answer import OutcomeUnknown
from billing_pipeline.storage.connections import connect
from billing_pipeline_tests.rebilling.world import CUSTOMERS, KEY, SERVICES, Boundaries, Crash, World, plans, service

ONE = {"CUST-A": plans()["CUST-A"]}


def requests(world: World) -> list[str]:
    return [f"{method} {target.removeprefix('/v2/billing')}" for method, target in world.app.state.requests]


def test_the_sequence_is_the_seeds(world: World) -> None:
    world.run(ONE)
    (invoice,) = world.finalized("CUST-A")
    identifier = invoice.identifier
    assert requests(world) == [
        "POST /invoice/org-cust-a",
        f"PATCH /{identifier}/lines",
        f"PATCH /invoice/{identifier}/general-informations",
        f"PATCH /invoice/{identifier}/timeline",
        f"GET /{identifier}",
        f"PATCH /{identifier}/finalize",
        f"GET /{identifier}",
        f"GET /{identifier}/download?locale=fr",
    ]
    assert (invoice.emitted_at, invoice.payment_delay) == (1712527200, "thirty_days")
    world.check_done(ONE)


def test_a_second_run_asks_nothing_and_changes_nothing(world: World) -> None:
    world.run(plans())
    rows, journal = world.rows(), world.journal.read_bytes()
    world.app.state.requests.clear()
    world.run(plans())
    assert (world.rows(), world.journal.read_bytes()) == (rows, journal)
    assert requests(world) == []


def test_a_second_run_of_drafts_only_reads_them(world: World) -> None:
    world.run(ONE, finalize=False)
    journal = world.journal.read_bytes()
    assert world.rows()["CUST-A"]["state"] == "DRAFT"
    world.app.state.requests.clear()
    world.run(ONE, finalize=False)
    assert {one.split()[0] for one in requests(world)} == {"GET"}
    assert world.journal.read_bytes() == journal


def test_a_finalized_invoice_is_not_touched_when_the_period_changes_but_the_change_is_told(world: World) -> None:
    world.run(ONE)
    world.app.state.requests.clear()
    changed = plans((*SERVICES, service(7, "CUST-A", "10.00")))
    world.run({"CUST-A": changed["CUST-A"]})
    row = world.rows()["CUST-A"]
    assert requests(world) == []
    assert row["state"] == "FINALIZED"
    assert "would be invoiced today" in row["state_detail"]
    world.run(ONE)
    assert world.rows()["CUST-A"]["state_detail"] is None


def test_a_draft_follows_the_inventory_until_it_is_finalized(world: World) -> None:
    world.run(ONE, finalize=False)
    changed = {"CUST-A": plans((*SERVICES, service(7, "CUST-A", "10.00")))["CUST-A"]}
    world.run(changed)
    world.check_done(changed)
    assert len(world.documents("CUST-A")) == 1


def test_an_invoice_is_dated_on_the_day_it_is_finalized_and_not_on_the_drafts(world: World) -> None:
    world.run(ONE, finalize=False)
    world.now += dt.timedelta(days=3, hours=13)  # 22:30 UTC on the 11th is the 12th in Paris
    world.run(ONE)
    (invoice,) = world.finalized("CUST-A")
    assert dt.datetime.fromtimestamp(invoice.emitted_at, PARIS).isoformat() == "2024-04-12T00:00:00+02:00"


def test_a_draft_of_a_customer_with_nothing_left_is_deleted_and_listed(world: World) -> None:
    world.run(ONE, finalize=False)
    (draft,) = world.documents("CUST-A")
    world.run({})
    row = world.rows()["CUST-A"]
    assert world.documents("CUST-A") == []
    assert (row["state"], row["orphaned_drafts"], row["total_ht"]) == ("PLANNED", [draft.identifier], 0)


def test_a_draft_made_for_another_invoicing_customer_is_not_filled(world: World) -> None:
    world.run(ONE, finalize=False)
    (draft,) = world.documents("CUST-A")
    moved = replace(CUSTOMERS["CUST-A"], invoicing_customer_id="org-moved")
    world.run({"CUST-A": replace(ONE["CUST-A"], customer=moved)})
    assert draft.identifier in world.app.state.invoicing.deleted
    (made,) = [one for one in world.app.state.invoicing.by_id.values() if one.state == "finalized"]
    assert made.customer_id == "org-moved"


def test_a_draft_somebody_deleted_there_is_listed_and_made_anew(world: World) -> None:
    world.run(ONE, finalize=False)
    (draft,) = world.documents("CUST-A")
    world.app.state.invoicing.delete(draft)
    world.run(ONE)
    world.check_done(ONE)
    assert world.rows()["CUST-A"]["orphaned_drafts"] == [draft.identifier]


class FinalizedMeanwhile(CustomerInvoicing):
    """Somebody finalizes the draft in the API's own pages just before we delete it."""

    world: World

    def delete(self, invoicing_id: str) -> None:
        documents = self.world.app.state.invoicing
        documents.finalize(documents.by_id[invoicing_id])
        super().delete(invoicing_id)


def test_a_draft_finalized_just_before_it_is_deleted_is_not_replaced(world: World) -> None:
    world.run(ONE, finalize=False)
    moved = replace(ONE["CUST-A"], customer=replace(CUSTOMERS["CUST-A"], invoicing_customer_id="org-moved"))
    api = FinalizedMeanwhile(world.settings, KEY)
    api.world = world
    with world.calling() as sequence, pytest.raises(SourceError, match="has just been finalized"):
        replace(sequence, api=api).invoice("CUST-A", moved, Finalization("marie"))
    api.close()
    world.run({"CUST-A": moved})
    (invoice,) = [one for one in world.app.state.invoicing.by_id.values() if one.state == "finalized"]
    assert invoice.customer_id == "org-cust-a"
    assert world.rows()["CUST-A"]["number"] == invoice.number
    assert world.rows()["CUST-A"]["orphaned_drafts"] == []


def test_a_number_that_comes_later_ends_the_review(world: World) -> None:
    world.run(ONE, finalize=False)
    (draft,) = world.documents("CUST-A")
    finalized = world.app.state.invoicing.finalize(draft)
    number, finalized.number = finalized.number, None
    world.run(ONE)
    assert "has no number" in world.rows()["CUST-A"]["state_detail"]
    hidden = world.app.state.invoicing.by_id.pop(draft.identifier)
    world.run(ONE)  # with another account's key: nothing takes its place
    assert world.rows()["CUST-A"]["invoicing_id"] == draft.identifier
    assert world.documents("CUST-A") == []
    world.app.state.invoicing.by_id[draft.identifier] = hidden
    finalized.number = number
    world.run(ONE)
    world.check_done(ONE)


def test_a_creation_whose_answer_is_lost_leaves_a_draft_that_is_listed(world: World) -> None:
    world.disturbed.on = {"POST /v2/billing/invoice/org": ("answer_lost", 1)}
    world.run(ONE)
    (told,) = world.rows()["CUST-A"]["orphaned_drafts"]
    assert told.startswith("id unknown, asked for 2024-04-08T09:30")
    assert len(world.documents("CUST-A")) == 2
    world.check_done(ONE)


def test_a_finalization_lost_with_its_document_is_for_a_person(world: World) -> None:
    """Another account's key knows none of our documents: making new ones would invoice everybody twice."""
    world.run(ONE, finalize=False)
    world.disturbed.on = {"/finalize": ("answer_lost", 1)}
    # Two reads, four boundaries of the intent; the seventh is behind the read that would have settled it.
    with pytest.raises(Crash):
        world.run(ONE, boundaries=Boundaries(7))
    assert len(world.finalized("CUST-A")) == 1
    (invoice,) = world.documents("CUST-A")
    world.disturbed.clear()
    hidden = world.app.state.invoicing.by_id.pop(invoice.identifier)
    world.run(ONE)
    row = world.rows()["CUST-A"]
    assert row["state"] == "NEEDS_REVIEW"
    assert invoice.identifier in row["state_detail"]
    assert world.documents("CUST-A") == []
    world.app.state.invoicing.by_id[invoice.identifier] = hidden  # the right key again
    world.run(ONE)
    world.check_done(ONE)


def test_a_total_that_is_not_ours_needs_review_and_is_not_finalized(world: World) -> None:
    world.run(ONE, finalize=False)
    (draft,) = world.documents("CUST-A")
    draft.lines[0] = {**draft.lines[0], "unitPrice": 1}
    world.run(ONE)
    row = world.rows()["CUST-A"]
    assert (row["state"], world.finalized("CUST-A")) == ("NEEDS_REVIEW", [])
    assert "its total HT is" in row["state_detail"]


def test_a_refused_line_is_told_in_one_line_and_mended_by_running_again(world: World) -> None:
    bad = replace(ONE["CUST-A"], customer=replace(CUSTOMERS["CUST-A"], vat_code="FR_850"))
    broken = replace(bad, lines=(replace(bad.lines[0], description=" "),))
    with pytest.raises(SourceError, match="HTTP 400, code invalid_parameter"):
        world.run({"CUST-A": broken})
    assert world.rows()["CUST-A"]["state"] == "NEEDS_REVIEW"
    world.run(ONE)
    world.check_done(ONE)


def test_a_foreign_currency_is_set_on_the_draft(world: World) -> None:
    dollars = {"CUST-A": replace(ONE["CUST-A"], currency="USD")}
    world.run(dollars)
    (invoice,) = world.finalized("CUST-A")
    assert invoice.currency == "USD"
    world.check_done(dollars)


@pytest.mark.parametrize("fault", ["rate_limit_seconds", "enums_as_numbers"])
def test_what_the_api_may_do_any_day_is_nothing_to_tell(world: World, fault: str) -> None:
    world.disturbed.on = {"POST": (fault, 1), "/finalize": (fault, 1), "GET": (fault, 9 if fault[0] == "e" else 1)}
    world.run(ONE)
    world.check_done(ONE)
    assert world.rows()["CUST-A"]["orphaned_drafts"] == []


def test_a_credit_note_is_made_once_whatever_its_answers_do(world: World) -> None:
    world.run(ONE)
    (invoice,) = world.finalized("CUST-A")
    for on in ({"/asset": ("answer_lost", 1)}, {"/finalize": ("answer_withheld", 1)}, {}, {}):
        world.disturbed.on = dict(on)
        with world.calling() as sequence:
            record = make_credit_note(sequence, "CUST-A", "marie")
    credits = world.documents("CUST-A", "asset")
    (credit,) = [one for one in credits if one.state == "finalized"]
    row = world.rows()["CUST-A"]
    assert (row["credit_note_number"], row["credit_note_id"], record.state) == (
        credit.number,
        credit.identifier,
        "FINALIZED",
    )
    assert (row["number"], len(row["orphaned_drafts"])) == (invoice.number, 1)
    assert (world.folder / "exports" / f"{credit.number}.pdf").is_file()
    world.run(ONE)
    assert len(world.finalized("CUST-A")) == 1


class DiesAfterFinalizing(CustomerInvoicing):
    def finalize(self, invoicing_id: str) -> None:
        super().finalize(invoicing_id)
        raise Crash


def test_a_credit_note_that_is_gone_for_good_can_be_given_up_like_an_invoice(world: World) -> None:
    world.run(ONE)
    api = DiesAfterFinalizing(world.settings, KEY)
    with world.calling() as sequence, pytest.raises(Crash):
        make_credit_note(replace(sequence, api=api), "CUST-A", "marie")
    api.close()
    (asset,) = world.documents("CUST-A", "asset")
    del world.app.state.invoicing.by_id[asset.identifier]
    with world.calling() as sequence:
        assert make_credit_note(sequence, "CUST-A", "marie").state == "NEEDS_REVIEW"
        assert sequence.give_up(world.rows()["CUST-A"]["invoicing_id"]) is None, "an invoice that is there stays"
        assert sequence.give_up(asset.identifier) == "CUST-A"
        record = make_credit_note(sequence, "CUST-A", "marie")
    (again,) = world.documents("CUST-A", "asset")
    assert (record.state, record.credit.invoicing_id, record.orphaned) == (
        "FINALIZED",
        again.identifier,
        [asset.identifier],
    )


def disagree(world: World) -> str:
    world.app.state.requests.clear()
    with pytest.raises(RecordsDisagree) as told:
        world.run(plans())
    assert requests(world) == []
    return str(told.value)


def test_nothing_is_created_while_the_table_was_restored_from_an_older_backup(world: World) -> None:
    world.run(ONE)
    with connect(world.url, autocommit=True) as connection:
        connection.execute("DELETE FROM rebilling.customer_invoice_events WHERE sequence > 4")
        connection.execute(
            "UPDATE rebilling.customer_invoices SET state = 'PLANNED', number = NULL, invoicing_id = NULL"
        )
    told = disagree(world)
    for part in ("CUST-A 2024-03", "FINALIZED INV-2024-001", "says PLANNED", "--mend-records"):
        assert part in told


def test_nothing_is_created_while_the_journal_is_gone_and_mending_writes_it_again(world: World) -> None:
    world.run(plans())
    whole = sorted(world.journal.read_text().splitlines())
    world.journal.unlink()
    assert "says nothing (0 events)" in disagree(world)
    with world.calling_unchecked() as books:
        assert books.mend() == sorted(plans())
    assert sorted(world.journal.read_text().splitlines()) == whole
    world.run(plans())
    world.check_done(plans())


def test_mending_fills_the_table_from_the_journal(world: World) -> None:
    world.run(plans())
    rows = world.rows()
    with connect(world.url, autocommit=True) as connection:
        connection.execute("DELETE FROM rebilling.customer_invoice_events WHERE sequence > 6")
        connection.execute("DELETE FROM rebilling.customer_invoices WHERE customer_id = 'CUST-B'")
    disagree(world)
    with world.calling_unchecked() as books:
        books.mend()
    assert world.rows() == rows
    world.check_done(plans())


def test_a_row_changed_by_hand_is_noticed(world: World) -> None:
    world.run(ONE)
    with connect(world.url, autocommit=True) as connection:
        connection.execute("UPDATE rebilling.customer_invoices SET state = 'DRAFT'")
    assert "FINALIZED INV-2024-001" in disagree(world)


def test_a_journal_line_changed_by_hand_is_named_and_not_mended(world: World) -> None:
    world.run(ONE)
    lines = world.journal.read_text().splitlines()
    lines[0] = lines[0].replace('"unit_price": 1999', '"unit_price": 1')
    world.journal.write_text("\n".join(lines) + "\n")
    assert "line 1 does not follow" in disagree(world)
    with world.calling_unchecked() as books, pytest.raises(RecordsDisagree):
        books.mend()


def test_an_event_changed_by_hand_in_the_table_is_not_mended_into_the_journal(world: World) -> None:
    world.run(ONE)
    world.journal.unlink()
    with connect(world.url, autocommit=True) as connection:
        connection.execute(
            "UPDATE rebilling.customer_invoice_events SET content = content || '{\"number\": \"INV-9\"}' WHERE event = 'found'"
        )
    with world.calling_unchecked() as books, pytest.raises(RecordsDisagree, match="from its backup"):
        books.mend()
    assert not world.journal.exists()


def test_two_at_once_do_not_both_work(world: World, new_world: Callable[[], World]) -> None:
    """On one folder the lock file keeps the second out, on two folders with one database the advisory lock does."""
    elsewhere = World(world.folder.parent / "elsewhere", world.url, world.settings.base_url, world.app, world.disturbed)
    with world.calling():
        for other in (world, elsewhere):
            with pytest.raises(StorageError, match="another rebill is at work"), other.calling(wait_s=0.2):
                pass
    world.run(ONE)
    world.check_done(ONE)


def test_the_journal_says_everything_and_no_secret(world: World) -> None:
    world.disturbed.on = {"/lines": ("server_error_burst", 1), "/finalize": ("answer_lost", 1)}
    world.run(plans())
    for path in (one for one in world.folder.rglob("*") if one.is_file()):
        assert KEY.encode() not in path.read_bytes(), path
    with connect(world.url) as connection:
        (stored,) = connection.execute(
            "SELECT string_agg(e::text, ' ') FROM rebilling.customer_invoice_events AS e"
        ).fetchone()
    assert KEY not in stored
    kinds = {json.loads(line)["event"] for line in world.journal.read_text().splitlines()}
    assert kinds == {"planned", "intent", "outcome", "found", "downloaded"}


@pytest.mark.parametrize("fault", ["answer_lost", "reset", "server_error_burst", "html_with_200", "silence"])
def test_what_must_not_be_repeated_is_asked_once_and_said_to_be_unknown(world: World, fault: str) -> None:
    settings = HttpSettings(read_timeout_s=0.2, attempts=4)
    world.disturbed.on = {"POST": (fault, 9)}
    with HttpClient(world.settings.base_url, authorization=BearerKey(KEY, "INVOICING"), settings=settings) as client:
        with pytest.raises(OutcomeUnknown):
            client.change("POST", "/v2/billing/invoice/org-a", repeatable=False)
        assert world.disturbed.count == 1
        world.disturbed.clear()
        world.disturbed.on = {"POST": ("rate_limit_seconds", 1)}
        _, made = client.change("POST", "/v2/billing/invoice/org-a", repeatable=False)
    assert (made["state"], world.disturbed.count) == ("draft", 2)


def test_a_connection_that_is_refused_has_changed_nothing(world: World) -> None:
    settings = HttpSettings(attempts=2)
    with (
        HttpClient("http://127.0.0.1:1", authorization=BearerKey(KEY, "INVOICING"), settings=settings) as client,
        pytest.raises(SourceError) as told,
    ):
        client.change("POST", "/v2/billing/invoice/org-a", repeatable=False)
    assert not isinstance(told.value, OutcomeUnknown)
    assert KEY not in str(told.value)
