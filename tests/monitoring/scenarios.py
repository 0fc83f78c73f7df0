"""Good days and bad days as series in promtool's notation, with one value per minute."""

from dataclasses import dataclass, field

Series = dict[str, str]

FOREVER = 1700  # minutes


def series(name: str, labels: str = "") -> str:
    """Return the name of a series as one pod has it."""
    return f'{name}{{job="photo-classifier",instance="a"{labels and ","}{labels}}}'


def always(value: float) -> str:
    return f"{value}x{FOREVER}"


def grows(each_minute: float) -> str:
    return f"0+{each_minute}x{FOREVER}"


def predict(status: int) -> str:
    return series(
        "classifier_http_requests_total", f'dialect="own",route="/predict",status="{status}"'
    )


def outcome(reason: str) -> str:
    return series("classifier_outcomes_total", f'reason="{reason}"')


def of_key(name: str, labels: str = "") -> str:
    return series(f"classifier_key_{name}_total", f'key="8d8d07b2"{labels and ","}{labels}')


def restarts(reason: str) -> str:
    return series("classifier_worker_restarts_total", f'reason="{reason}"')


KEY_BUSY = of_key("refused", 'reason="key_busy"')
STARTED = series("process_start_time_seconds")
READY, UP = series("classifier_ready"), series("up")
QUICK = series("classifier_stage_duration_seconds_bucket", 'stage="total",le="0.5"')
ANSWERED = series("classifier_stage_duration_seconds_count", 'stage="total"')
INSIDE, INSIDE_BYTES = series("classifier_in_flight_photos"), series("classifier_in_flight_bytes")
WORKERS_UP, HOPELESS = series("classifier_workers_up"), series("classifier_hopeless")
WRONG = series("classifier_canaries_total", 'result="wrong"')
GOLDEN = series("classifier_golden_ok")
PROMPT = series("classifier_event_loop_lag_seconds_bucket", 'le="0.01"')
UNSURE = series("classifier_top1_score_ratio_bucket", 'le="0.5"')
SURE = series("classifier_top1_score_ratio_bucket", 'le="+Inf"')
SCORES = series("classifier_top1_score_ratio_count")

HEALTHY: dict[str, str] = {
    READY: always(1),
    UP: always(1),
    STARTED: always(1),
    predict(200): grows(600),
    outcome("ok"): grows(600),
    outcome("overloaded"): always(0),
    of_key("requests"): grows(300),
    KEY_BUSY: always(0),
    predict(500): always(0),
    QUICK: grows(600),
    ANSWERED: grows(600),
    INSIDE: always(4),
    INSIDE_BYTES: always(4e6),
    series("classifier_capacity_photos"): always(64),
    series("classifier_capacity_bytes"): always(64e6),
    restarts("crash"): always(0),
    restarts("hang"): always(0),
    restarts("recycle"): grows(1),
    WORKERS_UP: always(2),
    series("classifier_workers"): always(2),
    HOPELESS: always(0),
    series("classifier_canaries_total", 'result="ok"'): grows(2),
    WRONG: always(0),
    GOLDEN: always(1),
    PROMPT: grows(600),
    series("classifier_event_loop_lag_seconds_bucket", 'le="1.0"'): grows(600),
    series("classifier_event_loop_lag_seconds_bucket", 'le="+Inf"'): grows(600),
    UNSURE: grows(200),
    SURE: grows(600),
    SCORES: grows(600),
}


# This counter grows once in ten minutes.
SELDOM = " ".join(f"{count}x9" for count in range(FOREVER // 10))
QUIET = {predict(200): SELDOM, outcome("ok"): SELDOM, QUICK: SELDOM, ANSWERED: SELDOM}


@dataclass(frozen=True)
class Scenario:
    """A day on which some series differ from those of a healthy day.

    Attributes:
        name: the name of the test.
        different: the series that differ.
        minute: the minute at which the alerts are checked.
        fires: the alerts that fire then.
    """

    name: str
    different: Series
    minute: int
    fires: frozenset[str] = field(default_factory=frozenset)


def fires(alert: str, name: str, minute: int, different: Series) -> Scenario:
    return Scenario(name, different, minute, frozenset({alert}))


def _then(before: float, after: float, minute: int) -> str:
    """Return a counter whose growth per minute changes at `minute`."""
    return f"0+{before}x{minute} {before * minute + after}+{after}x{FOREVER - minute}"


DAY = 1440
SCENARIOS = (
    Scenario("a healthy day", {}, 1600),
    fires("ClassifierFailsFast", "one in eleven fails", 30, {predict(500): grows(60)}),
    fires("ClassifierFailsSlowly", "three in a thousand fail", 120, {predict(500): grows(2)}),
    Scenario("one failure in a quiet night", QUIET | {predict(500): f"0x20 1x{FOREVER}"}, 30),
    Scenario("the same, two hours later", QUIET | {predict(500): f"0x20 1x{FOREVER}"}, 150),
    Scenario("a few slow answers in a quiet night", QUIET | {QUICK: f"0x20 1x{FOREVER}"}, 150),
    Scenario(
        "two refusals in a quiet night",
        QUIET | {outcome("overloaded"): f"0x20 1x3 2x{FOREVER}"},
        27,
    ),
    fires("ClassifierSlowFast", "every second answer is slow", 30, {QUICK: grows(300)}),
    fires("ClassifierSlowSlowly", "one in sixty is slow", 120, {QUICK: grows(590)}),
    fires("ClassifierSaturated", "nearly full", 20, {INSIDE: always(60)}),
    fires("ClassifierSaturated", "nearly full of bytes", 20, {INSIDE_BYTES: always(60e6)}),
    Scenario("full for a moment", {INSIDE: f"4x10 64x1 4x{FOREVER}"}, 14),
    fires("ClassifierRefuses", "one in eleven is refused", 10, {outcome("overloaded"): grows(60)}),
    fires(
        "ClassifierKeyLimited",
        "a third of a key's photos is refused",
        25,
        {KEY_BUSY: grows(100), outcome("key_busy"): grows(100)},
    ),
    Scenario("a key's short burst is refused", {KEY_BUSY: f"0x10 100x{FOREVER}"}, 25),
    fires("ClassifierWorkerCrashLoop", "a crash a minute", 10, {restarts("crash"): grows(1)}),
    fires("ClassifierWorkerCrashLoop", "a hang a minute", 10, {restarts("hang"): grows(1)}),
    Scenario("one crash", {restarts("crash"): f"0x5 1x{FOREVER}"}, 10),
    fires("ClassifierRestarts", "a start every five minutes", 25, {STARTED: "1x5 2x5 3x5 4x20"}),
    Scenario("one new start", {STARTED: f"1x5 2x{FOREVER}"}, 25),
    fires("ClassifierWorkersMissing", "one of two workers", 10, {WORKERS_UP: always(1)}),
    fires("ClassifierHopeless", "no worker starts", 5, {HOPELESS: always(1)}),
    fires("ClassifierCanaryWrong", "a wrong canary", 10, {WRONG: f"0x5 1x{FOREVER}"}),
    fires("ClassifierCanaryWrong", "a wrong golden answer", 10, {GOLDEN: always(0)}),
    fires("ClassifierEventLoopStalls", "the loop wakes late", 20, {PROMPT: always(0)}),
    fires("ClassifierDrift", "less sure", DAY + 120, {UNSURE: _then(200, 500, DAY)}),
    Scenario(
        "less sure of five photos an hour",
        {UNSURE: _then(0.02, 0.08, DAY), SURE: grows(0.08), SCORES: grows(0.08)},
        DAY + 120,
    ),
    fires("ClassifierTargetDown", "not scraped", 10, {UP: always(0)}),
    fires("ClassifierAbsent", "no pod ready", 5, {READY: always(0)}),
    fires("ClassifierAbsent", "no pod at all", 5, {READY: f"_x{FOREVER}"}),
)
