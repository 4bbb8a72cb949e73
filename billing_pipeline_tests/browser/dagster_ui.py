"""Dagster 1.13's pages as a person uses them: by roles, labels and words. Knows no table of ours."""

import re
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

# Two cores may be shared with everything else that is being tested.
PATIENCE_S = 600
JOB_PAGE = "/locations/billing_pipeline/jobs/monthly_billing"
_RUN_LINK = "a[starts-with(@href, '/runs/')]"


class DagsterUi:
    """One browser page on one webserver; every step leaves a numbered screenshot in `screenshots`."""

    def __init__(self, page: Page, base_url: str, screenshots: Path) -> None:
        self.page = page
        self._base_url = base_url
        self._screenshots = screenshots
        self._count = 0

    def open(self, path: str) -> None:
        self.page.goto(self._base_url + path)

    def picture(self, name: str) -> None:
        self._count += 1
        self.page.screenshot(path=self._screenshots / f"{self._count:02d}-{name}.png")

    def text(self) -> str:
        return self.page.locator("body").inner_text()

    def open_asset_graph(self, group: str) -> None:
        """The lineage of everything, with one group unfolded."""
        self.open("/asset-groups")
        # The group stands in the sidebar and, as the last one, in the graph.
        expect(self.page.get_by_role("button", name="Materialize all")).to_be_enabled()
        self.page.get_by_text(group, exact=True).filter(visible=True).last.click()

    def launch_backfill(self, period: str, operators: int) -> str:
        """Materialize all assets of the job for one period of all operators; returns the backfill's page."""
        self.open(JOB_PAGE)
        self.page.get_by_role("button", name="Materialize all").click()
        dialog = self.page.get_by_role("dialog").filter(has_text="Launch runs")
        chosen = dialog.get_by_text(f"{operators} partitions", exact=True)

        def choose() -> str | None:
            months = dialog.get_by_placeholder("ex: 2024-01")
            months.fill(period)
            months.press("Enter")
            # The first of the two selections is the operators'; clicked before they are loaded it chooses none.
            dialog.get_by_role("button", name="All", exact=True).first.click()
            return period if chosen.is_visible() else None

        self._until(choose, f"{operators} partitions are chosen")
        self.picture("launch")
        known = self._backfills()
        dialog.get_by_role("button", name="Launch backfill").click()
        expect(dialog).to_be_hidden()
        return self._until(lambda: self._new_backfill(known), "the backfill is listed")

    def _backfills(self) -> set[str]:
        """The pages of all backfills; looked up in a tab of its own, so that a dialog stays open."""
        with self.page.context.new_page() as tab:
            tab.goto(f"{self._base_url}/runs?view=backfills")
            expect(tab.get_by_role("button", name=re.compile("Actions|Materialize|Filter")).first).to_be_visible()
            tab.wait_for_timeout(1500)
            return {str(link.get_attribute("href")) for link in tab.locator("a[href^='/runs/b/']").all()}

    def _new_backfill(self, known: set[str]) -> str | None:
        return next(iter(self._backfills() - known), None)

    def wait_for_backfill(self, backfill: str) -> str:
        """The status it ends with."""
        self.open(f"{backfill}?tab=runs")
        ended = re.compile(r"^(Completed|Succeeded|Success|Failed|Canceled)$")

        def status() -> str | None:
            shown = self.page.get_by_text("Status", exact=True).first.locator("xpath=..").inner_text().splitlines()
            return next((line for line in shown if ended.match(line)), None)

        return self._until(status, "the backfill has ended")

    def runs(self, backfill: str, partitions: list[str]) -> dict[str, str]:
        """Partition → the status its row shows on the backfill's page."""
        self.open(f"{backfill}?tab=runs")
        return {name: self._run_row(name).inner_text() for name in partitions}

    def _run_row(self, partition: str) -> Locator:
        """The smallest part of the list that holds the partition's tag and the button that opens its run."""
        tag = self.page.get_by_text(partition).first
        return tag.locator(f"xpath=ancestor::*[.//{_RUN_LINK}[normalize-space()='View']][1]")

    def open_run(self, partition: str) -> None:
        """From the list of runs to the run of a partition."""
        self._run_row(partition).locator(f"xpath=.//{_RUN_LINK}").first.click()
        expect(self.page.get_by_role("button", name="View tags and config")).to_be_visible()

    def re_execute(self) -> None:
        """Run the shown run again, whole; ends on the page of the new one."""
        before = self.page.url
        self.page.get_by_role("button", name="Re-execute all").click()
        self.page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
        self._until(lambda: self.page.url if self.page.url != before else None, "the new run is shown")

    def wait_for_run(self) -> str:
        """The status the shown run ends with."""
        ended = re.compile(r"^(Success|Failure|Canceled)$")
        return self._until(
            lambda: next((line for line in self.text().splitlines() if ended.match(line.strip())), None),
            "the run has ended",
        )

    def open_partition(self, asset: str, partition: str) -> None:
        """An asset's page at one partition, with what its latest materialization says."""
        self.open(f"/assets/{asset}?partition={partition.replace('|', '%7C')}&view=partitions")
        expect(self.page.get_by_text("Latest materialization", exact=True)).to_be_visible()

    def figures(self) -> dict[str, str]:
        """The rows of the summary's table, as they are shown: figure → value."""
        expect(self.page.get_by_text("figure", exact=True).first).to_be_visible()
        # A table's cells come with a tab between them in what a person would copy from the page.
        rows = [line.split("\t") for line in self.text().splitlines()]
        return {row[0].strip(): row[1].strip() for row in rows if len(row) == 2 and row[0].strip()}

    def _until(self, look: Callable[[], str | None], what: str) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while (found := look()) is None:
            assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}\n{self.text()[-1500:]}"
            self.page.wait_for_timeout(1000)
        return found
