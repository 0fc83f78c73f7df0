"""The workers, and the processes with their memory and CPU."""

from levels import rising
from panels import About, lines
from queries import increase, process, quantile, rate, series

SERVER_CPU = f"rate({process('cpu_seconds_total')}[$__rate_interval])"
# Without a limit there are no periods.
PERIODS = f"clamp_min({rate('cfs_periods_total', by='instance')}, 1e-9)"

WORKERS = (
    lines(
        "Workers that are up and configured",
        "none",
        {
            "up": f"sum({series('workers_up')})",
            "configured": f"sum({series('workers')})",
            "hopeless pods": f"sum({series('hopeless')})",
        },
        About(
            "The workers with a loaded model, those that the pods should have, and the pods that "
            "only a restart can help.",
            "up equals configured, and no pod is hopeless.",
            "see the runbooks of ClassifierWorkersMissing and ClassifierHopeless.",
        ),
    ),
    lines(
        "Workers replaced, by reason",
        "none",
        {"{{reason}}": increase("worker_restarts_total", by="reason")},
        About(
            "Workers that ended and got a successor.",
            "none, or recycle now and then.",
            "crash, hang or canary: see the runbook of ClassifierWorkerCrashLoop or "
            "ClassifierCanaryWrong.",
        ),
    ),
    lines(
        "Time of a batch by its size",
        "s",
        {"{{size}}": f"max by (size) ({series('measured_batch_seconds')})"},
        About(
            "The time that a batch of each size has taken lately; the service chooses the largest "
            "batch by it.",
            "about 0.01 s a photo on a CPU.",
            "if all sizes became slower, other programs use the CPU, or it is throttled.",
        ),
    ),
)
PROCESSES = (
    lines(
        "Resident memory of each process",
        "bytes",
        {
            "server, {{instance}}": process("resident_memory_bytes"),
            "worker {{worker}}, {{instance}}": series("worker_resident_memory_bytes"),
        },
        About(
            "The memory of the server and of each worker; workers share a part of theirs.",
            "server below 0.2 GB, a worker 0.3 to 0.5 GB, both level for days.",
            "a worker that grows: set CLASSIFIER_RECYCLE_ABOVE_BYTES; see the runbook of "
            "ClassifierWorkerCrashLoop.",
        ),
    ),
    lines(
        "Cores that the server's process uses",
        "none",
        {"{{instance}}": SERVER_CPU},
        About(
            "The CPU of the process that speaks HTTP. It has one thread, so 1 is its limit.",
            "about 0.001 for each photo a second.",
            "near 1, a pod cannot serve more: add pods, not workers.",
        ),
        rising(doubtful=0.7, bad=0.95),
    ),
    lines(
        "Event loop lag, 99th percentile",
        "s",
        {"{{instance}}": quantile(0.99, "event_loop_lag_seconds", by="instance")},
        About(
            "How late the server's process wakes up; every client waits as long.",
            "below 10 ms.",
            "above 0.25 s see the runbook of ClassifierEventLoopStalls: the CPU is throttled.",
        ),
        rising(doubtful=0.1, bad=0.25),
    ),
    lines(
        "Cores that all processes use, by task",
        "none",
        {
            "servers": f"sum({SERVER_CPU})",
            "{{process}}s": rate("child_cpu_seconds_total", by="process"),
        },
        About(
            "The CPU of all chosen pods: servers, workers, which compute the network, and "
            "decoders, which read the files.",
            "workers most of it, decoders a fifth of them, servers a tenth.",
            "together near the pods' limits: add pods. Decoders near the workers: the photos are "
            "large.",
        ),
    ),
    lines(
        "Time at the CPU limit",
        "percentunit",
        {
            "{{instance}}": f"{rate('cfs_throttled_periods_total', by='instance')} / {PERIODS}",
        },
        About(
            "The share of the periods, of 0.1 s each, in which the kernel stopped a pod because it "
            "had used up its CPU limit.",
            "below 5 %.",
            "every answer waits for such stops: raise the CPU limit, or set CLASSIFIER_WORKERS to "
            "the whole cores of the limit. See ClassifierSlowFast.",
        ),
        rising(doubtful=0.05, bad=0.25),
    ),
    lines(
        "Decoders replaced, by reason",
        "none",
        {"{{reason}}": increase("decoder_restarts_total", by="reason")},
        About(
            "Decoder processes that ended and got a successor.",
            "none, or a few for broken or huge files.",
            "many of time, memory or crash: one client sends files that attack the decoder; find "
            "it by “Photos by API key” and by the log.",
        ),
    ),
)
