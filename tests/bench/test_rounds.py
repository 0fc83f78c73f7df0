"""The efficiency and its medians, from rounds with known numbers."""

from load_data import result
from rich.console import Console

from app.bench.load.generator import LoadPlan, Result
from app.bench.measure.bulk import BulkRate
from app.bench.measure.runner import Measurement, ToolUse
from app.bench.measure.stats import Window, summarize
from app.bench.report.tables import costs
from app.bench.rounds import Round, medians
from app.host import granted_cores


def measurement(results: list[Result], plan: LoadPlan) -> Measurement:
    window = Window(0, 10)
    return Measurement(
        plan, window, results, summarize(results, window), None, ToolUse(0.2, 0.01), None
    )


def a_round(decode_ms: float, engine_ms: float, count: int) -> Round:
    engine = {1: 2 * engine_ms, 2: engine_ms, 4: 15, 8: 15}
    over = [result(9, status=429, reason="overloaded", took=0.004), *[result(8, took=1.5)] * 9]
    return Round(
        decode_ms,
        10 * decode_ms,
        engine,
        2 * engine_ms,
        BulkRate(per_s=count / 5, cpu_ms=2 * decode_ms + engine_ms),
        idle=measurement([result(1, took=0.021)], LoadPlan(concurrency=1)),
        peak=measurement([result(1)] * count, LoadPlan()),
        overload=measurement([*over, *[result(8)] * (count // 2)], LoadPlan(rate=count / 5)),
        probes_s=[0.001, 0.003],
    )


def test_efficiency_is_made_of_medians() -> None:
    document = medians([a_round(3, 7, 500), a_round(2, 8, 400), a_round(1, 20, 600)])
    assert document["right_per_s"] == 50
    # The medians are 2 ms for decoding and 8 ms for the engine.
    assert document["bound_per_s"] == 100 * granted_cores()
    assert document["busy_bound_per_s"] == round(1000 / 18 * granted_cores(), 1)
    assert document["plain_bound_per_s"] == round(1000 / 28 * granted_cores(), 1)
    assert document["efficiency"] == 0.5 / granted_cores()
    assert document["health_live_ms"]["max"] == 3


def test_bulk_has_its_share_of_the_bound() -> None:
    document = medians([a_round(3, 7, 500), a_round(2, 8, 400), a_round(1, 20, 600)])
    # 500 photos in 5 s, and 12, 13 or 22 ms for each.
    assert document["bulk_per_s"] == 100
    assert document["bulk_efficiency"] == round(1 / granted_cores(), 3)
    assert document["bulk_cpu_ms"] == 13
    assert document["bulk_cpu_share"] == round(10 / 13, 3)
    assert document["rounds"][1]["bulk"] == {"per_s": 80, "cpu_ms": 12}
    console = Console(record=True, width=100)
    console.print(costs(document | {"concurrency": 32}))
    text = console.export_text()
    assert f"100.0 images/s, {document['bulk_efficiency']:.2f} of the bound" in text
    assert "13.00 ms CPU per image" in text
    assert "0.77 of it for decode and best batch alone" in text


def test_one_client_and_twice_the_peak_in_medians() -> None:
    document = medians([a_round(3, 7, 500), a_round(2, 8, 400), a_round(1, 20, 600)])
    assert document["idle_ms"] == 21
    # 21 ms - 2 ms - 2 x 8 ms
    assert document["idle_beside_ms"] == 3
    assert document["overload_rate"] == 100
    # A late answer does not count as goodput.
    assert document["overload_goodput"] == 0.5
    assert document["overload_p99_ms"] == 1500
    assert document["overload_refusal_p99_ms"] == 4
    # The last request is due at 9 s, and the last answer comes at 9.5 s.
    assert document["overload_calm_after_s"] == 0.5
