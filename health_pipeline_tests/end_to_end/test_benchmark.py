"""The benchmark at a size that shows that it works, and that its hand-written peer computes what the pipeline computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.compare import differing_rows
from benchmarks.data.sizes import Dataset, Size
from benchmarks.measuring.stages import StageClock
from benchmarks.peers.handwritten import PEER_SCHEMA, run_handwritten
from benchmarks.report import markdown
from benchmarks.runner import COMMAND, FLOOR, PIPELINE, SQL, Options, deployment, measured
from health_pipeline.embedded import EmbeddedServer
from health_pipeline_tests.support.databases import execute

DATASET = Dataset(Size("TINY", tenants=20, users=400, events=24_000), days=40)


def test_the_hand_written_sql_gives_the_rows_of_the_pipeline(server: EmbeddedServer, tmp_path: Path) -> None:
    # The whole command is what other tests run.
    options = Options(tmp_path, repeats=1, skipped=frozenset({COMMAND}))
    with deployment(server.url("postgres"), DATASET, 10, options) as plan:
        result = measured(plan, DATASET, options, lambda _: None)
        assert result.differing == {SQL: dict.fromkeys(result.differing[SQL], 0)}
        night = replace(plan, first=plan.last)
        run_handwritten(night, StageClock(lambda: 0.0))
        assert differing_rows(night, PEER_SCHEMA) == result.differing[SQL]
        # The comparison sees a single cell.
        execute(
            plan.source, "UPDATE peer.usage_metrics SET api_calls = api_calls + 1 WHERE tenant_id LIKE 'ten_00000000'"
        )
        assert differing_rows(night, PEER_SCHEMA) == {**result.differing[SQL], "usage_metrics": 1}
    rows = result.runs[PIPELINE][0].rows
    assert rows["feature_adoption"] == 14 * rows["usage_metrics"] > 14 * 10 * 10
    for peer in (FLOOR, SQL):
        written = {name: count for name, count in result.runs[peer][0].rows.items() if name != "rows read"}
        assert written.items() < rows.items()
    stages = result.runs[PIPELINE][0].stages
    assert {"read", "check rows", "compute", "validate", "write", "migrate", "asset checks", "Dagster"} == set(stages)
    assert "| TINY | 40 days | 10 |" in markdown(server.url("postgres"), [result])
