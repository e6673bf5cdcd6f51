"""The host: processor, memory, disks, network, units."""

from aistack.mixin.dashboards.frame import DAY, DISKS, instance, of_job, showing
from aistack.mixin.dashboards.model import Dashboard, Query, Row, Words, rising
from aistack.mixin.dashboards.panels import bars, graph, stat, states, table
from aistack.mixin.dashboards.promql import age, chosen, counted_in, per_second

_JOB = "aistack-node"
_WIRES = 'device!~"lo|veth.*|docker.*|br-.*"'
_OURS = (
    'name=~"(aistack|postgresql|qdrant|redis|nginx|prometheus|alertmanager|grafana|loki|alloy)'
    '.*[.]service"'
)
_IDLE = 'mode="idle"'
_FAILED = 'state="failed"'
_RUNNING = f'state="active",type!="oneshot",{_OURS}'
_TIMERS = 'name=~"aistack.*"'
_RUNS: Words = ((1, "active", "green"), (0, "not active", "red"))
_BUSY = f"1 - avg(rate({chosen('node_cpu_seconds_total', _IDLE)}[$__rate_interval]))"
_MEMORY = f"1 - {chosen('node_memory_MemAvailable_bytes')} / {chosen('node_memory_MemTotal_bytes')}"
_FILLED = (
    f"1 - {chosen('node_filesystem_avail_bytes', DISKS)}"
    f" / {chosen('node_filesystem_size_bytes', DISKS)}"
)
_INODES = (
    f"1 - {chosen('node_filesystem_files_free', DISKS)}"
    f" / ({chosen('node_filesystem_files', DISKS)} > 0)"
)

_NOW = Row(
    "Now",
    (
        stat(
            "Processor",
            "Share of all processors that is at work.",
            "percentunit",
            _BUSY,
            steps=rising(0.8, 0.95),
        ),
        stat(
            "Memory",
            "Share of memory that cannot be had without taking it from someone.",
            "percentunit",
            f"max({_MEMORY})",
            steps=rising(0.85, 0.95),
        ),
        stat(
            "Fullest disk",
            "Share of the fullest file system that is used.",
            "percentunit",
            f"max({_FILLED})",
            steps=rising(0.8, 0.9),
        ),
        stat(
            "Load",
            "Processes that run or wait to, for each processor, over 5 minutes.",
            "none",
            f"max({chosen('node_load5')} / on (instance) "
            f"count by (instance) ({chosen('node_cpu_seconds_total', _IDLE)}))",
            steps=rising(1.5, 4),
        ),
        stat(
            "Failed units",
            "Units of systemd that failed and were not started since.",
            "short",
            f"sum({chosen('node_systemd_unit_state', _FAILED)})",
            steps=rising(1, 3),
        ),
        stat(
            "Up since",
            "Time since the host was started.",
            "s",
            age("node_boot_time_seconds"),
        ),
    ),
)

_WORK = Row(
    "Processor and memory",
    (
        graph(
            "Processor by mode",
            "Processors at work, by what for. A high iowait means that disks are waited for.",
            "short",
            Query(
                per_second("node_cpu_seconds_total", by="mode", where='mode!="idle"'), "{{mode}}"
            ),
            stacked=True,
        ),
        graph(
            "Load over time",
            "Processes that run or wait to, over 1, 5 and 15 minutes.",
            "short",
            *(Query(f"max({chosen(f'node_load{span}')})", f"{span} min") for span in (1, 5, 15)),
        ),
        graph(
            "Memory in use",
            "Bytes by what they are for. Caches are given back where somebody needs them.",
            "bytes",
            Query(
                f"sum({chosen('node_memory_MemTotal_bytes')}"
                f" - {chosen('node_memory_MemAvailable_bytes')})",
                "in use",
            ),
            Query(
                f"sum({chosen('node_memory_Cached_bytes')}"
                f" + {chosen('node_memory_Buffers_bytes')})",
                "caches",
            ),
            Query(
                f"sum({chosen('node_memory_SwapTotal_bytes')}"
                f" - {chosen('node_memory_SwapFree_bytes')})",
                "swap",
            ),
        ),
        graph(
            "Processes",
            "Processes that run, and those that wait for a disk.",
            "short",
            Query(f"sum({chosen('node_procs_running')})", "run"),
            Query(f"sum({chosen('node_procs_blocked')})", "wait for a disk"),
        ),
        graph(
            "Open files",
            "Share of the file handles that the kernel gives out.",
            "percentunit",
            Query(
                f"max({chosen('node_filefd_allocated')} / {chosen('node_filefd_maximum')})", "open"
            ),
            steps=rising(0.7, 0.9),
        ),
        graph(
            "Clock",
            "How far the clock seems to be from that of others.",
            "s",
            Query(f"max(abs({chosen('node_timex_offset_seconds')}))", "offset"),
            steps=rising(0.05, 0.5),
        ),
    ),
)

_STORE = Row(
    "Disks",
    (
        bars(
            "File systems",
            "Share that is used.",
            "percentunit",
            Query(f"max by (mountpoint) ({_FILLED})", "{{mountpoint}}"),
            steps=rising(0.8, 0.9),
            most=1,
        ),
        graph(
            "Free space",
            "Bytes that programs can still write.",
            "bytes",
            Query(
                f"min by (mountpoint) ({chosen('node_filesystem_avail_bytes', DISKS)})",
                "{{mountpoint}}",
            ),
        ),
        bars(
            "Inodes",
            "Share of the inodes that is used; without any, no file can be made.",
            "percentunit",
            Query(f"max by (mountpoint) ({_INODES})", "{{mountpoint}}"),
            steps=rising(0.8, 0.9),
            most=1,
        ),
        graph(
            "Read and written",
            "Bytes a second by disk.",
            "Bps",
            Query(per_second("node_disk_read_bytes_total", by="device"), "{{device}} read"),
            Query(per_second("node_disk_written_bytes_total", by="device"), "{{device}} written"),
        ),
        graph(
            "Disks at work",
            "Share of the time in which a disk had something to do.",
            "percentunit",
            Query(per_second("node_disk_io_time_seconds_total", by="device"), "{{device}}"),
            steps=rising(0.8, 0.95),
        ),
        graph(
            "Time of an access",
            "How long a read or write takes on average.",
            "s",
            Query(
                f"{per_second('node_disk_read_time_seconds_total', by='device')}"
                f" / {per_second('node_disk_reads_completed_total', by='device')}",
                "{{device}} read",
            ),
            Query(
                f"{per_second('node_disk_write_time_seconds_total', by='device')}"
                f" / {per_second('node_disk_writes_completed_total', by='device')}",
                "{{device}} write",
            ),
        ),
    ),
)

_NETWORK = Row(
    "Network",
    (
        graph(
            "Received and sent",
            "Bytes a second by interface.",
            "Bps",
            Query(
                per_second("node_network_receive_bytes_total", by="device", where=_WIRES),
                "{{device}} received",
            ),
            Query(
                per_second("node_network_transmit_bytes_total", by="device", where=_WIRES),
                "{{device}} sent",
            ),
            width=12,
        ),
        graph(
            "Lost packets",
            "Packets a second with errors or thrown away, in both directions.",
            "pps",
            *(
                Query(per_second(f"node_network_{way}_{what}_total"), f"{way} {what}")
                for way in ("receive", "transmit")
                for what in ("errs", "drop")
            ),
            width=12,
        ),
    ),
)

_UNITS = Row(
    "Units",
    (
        states(
            "Our units",
            "Whether the services of the stack are active.",
            Query(
                f"max by (name) ({chosen('node_systemd_unit_state', _RUNNING)})",
                "{{name}}",
            ),
            _RUNS,
            width=24,
        ),
        table(
            "Units by state",
            "How many units of the host are in each state.",
            "short",
            Query(f"sum by (state) ({chosen('node_systemd_units')})"),
            width=8,
        ),
        graph(
            "Restarts",
            "Starts by systemd after a unit ended, in the last hour.",
            "short",
            Query(
                counted_in("1h", "node_systemd_service_restart_total", by="name", where=_OURS),
                "{{name}}",
            ),
        ),
        bars(
            "Timers",
            "Time since our timers last ran. Decades mean never.",
            "s",
            Query(
                age("node_systemd_timer_last_trigger_seconds", by="name", where=_TIMERS),
                "{{name}}",
            ),
            steps=rising(2 * DAY, 8 * DAY),
        ),
    ),
)

HOST = Dashboard(
    uid="aistack-host",
    title="aistack / Host",
    about="The machine below it all, and what systemd says of the services.",
    labels=of_job(_JOB),
    runbook="host.md",
    variables=(instance(_JOB),),
    annotations=showing(),
    rows=(_NOW, _WORK, _STORE, _NETWORK, _UNITS),
)
