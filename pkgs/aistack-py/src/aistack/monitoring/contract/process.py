"""Metrics of the processes of a service."""

from aistack.monitoring.contract.spec import CounterSpec, GaugeSpec, Label, Part

BUILD = GaugeSpec(
    "aistack_build_info",
    "1; its labels tell what runs",
    (
        Label("version", bound="one at a time"),
        Label("generation", bound="one at a time; empty where the host is no NixOS"),
    ),
    of_workers="livemax",
)
CPU = CounterSpec("aistack_process_cpu_seconds_total", "Processor time of all workers")
MEMORY = GaugeSpec(
    "aistack_process_resident_memory_bytes", "Memory of all workers", of_workers="livesum"
)
FILES = GaugeSpec(
    "aistack_process_open_fds", "Open files of the worker that has most", of_workers="livemax"
)
MOST_FILES = GaugeSpec(
    "aistack_process_max_fds", "Open files that a worker may have", of_workers="livemin"
)
LOOP_LAG = GaugeSpec(
    "aistack_event_loop_lag_seconds",
    "How late the event loop was at worst in the last seconds, of the worker that was latest",
    of_workers="livemax",
)
CLOCK_STEPS = CounterSpec(
    "aistack_clock_steps_total",
    "How often the clock was set by over a second, or the machine slept; each worker counts",
)

PART = Part(
    "Processes",
    "Of the service that is scraped, all its workers together; taken every five seconds.",
    (BUILD, CPU, MEMORY, FILES, MOST_FILES, LOOP_LAG, CLOCK_STEPS),
)
