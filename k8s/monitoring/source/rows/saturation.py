"""How full the pods are, and how they make their batches."""

from levels import rising
from panels import About, heat, lines
from queries import mean, rate, series

SATURATION = (
    lines(
        "Photos in flight",
        "none",
        {
            "in flight, {{instance}}": series("in_flight_photos"),
            "waiting at the door, {{instance}}": series("waiting_requests"),
            "of these in the queue, {{instance}}": series("queued_photos"),
            "permits of a pod": f"max({series('capacity_photos')})",
        },
        About(
            "The photos that each pod holds, and the requests that wait unread at its door.",
            "a few in flight, none at the door.",
            "photos that wait at the door for minutes mean too few pods; see the runbook of "
            "ClassifierSaturated.",
        ),
    ),
    lines(
        "Share of the capacity in use",
        "percentunit",
        {
            "photos, {{instance}}": f"{series('in_flight_photos')} / {series('capacity_photos')}",
            "bytes, {{instance}}": f"{series('in_flight_bytes')} / {series('capacity_bytes')}",
        },
        About(
            "How full each pod is, of photos and of bytes of uploads.",
            "below 25 %; above that the autoscaler adds pods.",
            "above 80 % ClassifierSaturated fires. Bytes alone: uploads are large or slow.",
        ),
        rising(doubtful=0.25, bad=0.8),
    ),
    lines(
        "Photos answered, and possible throughput",
        "reqps",
        {
            "answered": rate("outcomes_total", 'reason="ok"'),
            "possible": f"sum({series('photos_per_second')})",
        },
        About(
            "The answers per second, and how many all pods could give.",
            "answered is below 60 % of possible, so nobody waits long.",
            "as the two come close, add pods. If possible has fallen, look for throttling.",
        ),
    ),
)
BATCHES = (
    heat(
        "Distribution of the batch size",
        "none",
        "batch_photos",
        About(
            "How many photos the workers compute at once; darker is more.",
            "1 while the load is low, more under load.",
            "large batches all day long mean that photos always wait: add pods.",
        ),
    ),
    lines(
        "Mean and largest allowed batch size",
        "none",
        {"mean": mean("batch_photos"), "largest": f"max({series('max_batch_photos')})"},
        About(
            "The mean size of a batch, and the largest one that the service allows itself.",
            "the mean is near 1 on quiet days. The largest follows from measured times.",
            "a mean near the largest means full pods; see the row Saturation.",
        ),
    ),
    lines(
        "Padding: empty rows computed per photo",
        "percentunit",
        {"padding": f"{rate('padding_rows_total')} / {rate('batch_photos_sum')}"},
        About(
            "The share of work for nothing: a batch is filled up to a size that is warmed up.",
            "0 to 30 %.",
            "more is no fault, but costs CPU: CLASSIFIER_MAX_BATCH_SIZE fixes the size.",
        ),
    ),
)
