"""A Dagster webserver's GraphQL, as its own pages use it: launch a partition, look at a run."""

import time
from typing import Any, Self

import httpx

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
  }
}"""
_RUN = "query Run($id: ID!) { runOrError(runId: $id) { __typename ... on Run { status tags { key value } } } }"
_LOCATION = """
{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus
    locationOrLoadError { __typename ... on PythonError { message } } } } } }"""
# One look into each of Dagster's storages that a launch writes to.
_LOOK = "{ assetsOrError { __typename } runsOrError(limit: 1) { ... on Runs { results { runId } } } }"
# A webserver keeps connections open: after its database was restarted it answers 500 once for each that is dead.
_DEAD_CONNECTIONS = 10
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


class Webserver:
    def __init__(self, base_url: str) -> None:
        self._client = httpx.Client(base_url=base_url, timeout=60)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of the answer; a query is asked again as a person reloads a page, a mutation never."""
        for _ in range(1 if query.lstrip().startswith("mutation") else _DEAD_CONNECTIONS):
            answer = self._client.post("/graphql", json={"query": query, "variables": variables})
            if answer.status_code != httpx.codes.INTERNAL_SERVER_ERROR:
                break
            time.sleep(1)
        assert answer.is_success, f"HTTP {answer.status_code}: {answer.text[:500]}"
        told = answer.json()
        assert not told.get("errors"), told["errors"]
        data: dict[str, Any] = told["data"]
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def location(self) -> tuple[str, str | None]:
        """The name of the one code location, and why it did not load."""
        (entry,) = self.ask(_LOCATION)["workspaceOrError"]["locationEntries"]
        return entry["name"], entry["locationOrLoadError"].get("message")

    def try_to_launch(self, operator: str, period: str) -> dict[str, Any]:
        """The answer to launching job monthly_billing for one partition, whatever it is."""
        tags = {"dagster/partition": f"{operator}|{period}", "dagster/partition/operator": operator,
                "dagster/partition/period": period}  # fmt: skip
        selector = {
            "repositoryName": "__repository__", "repositoryLocationName": "billing_pipeline", "jobName": "monthly_billing",
        }  # fmt: skip
        params = {
            "selector": selector,
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer: dict[str, Any] = self.ask(_LAUNCH, params=params)["launchRun"]
        return answer

    def launch(self, operator: str, period: str) -> str:
        """The id of the new run."""
        self.ask(_LOOK)
        answer = self.try_to_launch(operator, period)
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def status(self, run_id: str) -> str:
        return str(self.ask(_RUN, id=run_id)["runOrError"]["status"])

    def wait(self, run_id: str, timeout_s: float = 180) -> str:
        """The status a run ends with."""
        deadline = time.monotonic() + timeout_s
        while (status := self.status(run_id)) not in ENDED:
            assert time.monotonic() < deadline, f"run {run_id} is {status} after {timeout_s} s"
            time.sleep(0.5)
        return status
