"""Metrics of others that rules, alerts and dashboards ask for, by the job that has them.

The names hold for the exporters of Debian 12 and for those of nixpkgs. A name that is not here, nor
in the contract of ours, is a mistake that would show nothing and say nothing.
"""

from collections.abc import Mapping

OF_EVERY_TARGET = frozenset(
    "up scrape_duration_seconds scrape_samples_post_metric_relabeling scrape_series_added".split()
)
"""Prometheus adds them to what it scrapes."""

OF_ALERTS = frozenset({"ALERTS"})
"""Prometheus makes it of its alerts; it has no job of its own."""

FOREIGN: Mapping[str, frozenset[str]] = {
    "aistack-alertmanager": frozenset(
        """
        alertmanager_alerts alertmanager_config_last_reload_successful
        alertmanager_notifications_failed_total alertmanager_notifications_total
        """.split()
    ),
    "aistack-alloy": frozenset(
        """
        alloy_component_controller_running_components alloy_config_last_load_successful
        loki_source_journal_target_lines_total loki_write_dropped_entries_total
        """.split()
    ),
    "aistack-balancer": frozenset(
        """
        haproxy_backend_active_servers haproxy_backend_connection_errors_total
        haproxy_backend_current_queue haproxy_backend_http_responses_total
        haproxy_backend_redispatch_warnings_total haproxy_backend_response_errors_total
        haproxy_backend_retry_warnings_total haproxy_process_current_connections
        haproxy_process_max_connections haproxy_server_check_failures_total
        haproxy_server_check_up_down_total haproxy_server_http_responses_total
        haproxy_server_response_time_average_seconds haproxy_server_status
        """.split()
    ),
    "aistack-blackbox": frozenset(
        """
        probe_duration_seconds probe_http_duration_seconds probe_http_status_code
        probe_ssl_earliest_cert_expiry probe_success
        """.split()
    ),
    "aistack-grafana": frozenset(
        """
        grafana_http_request_duration_seconds_count
        """.split()
    ),
    "aistack-loki": frozenset(
        """
        loki_discarded_samples_total loki_distributor_bytes_received_total
        loki_request_duration_seconds_count
        """.split()
    ),
    "aistack-nginx": frozenset(
        """
        nginx_connections_accepted nginx_connections_active nginx_connections_handled
        nginx_connections_reading nginx_connections_waiting nginx_connections_writing
        nginx_http_requests_total nginx_up
        """.split()
    ),
    "aistack-node": frozenset(
        """
        node_boot_time_seconds node_cpu_seconds_total node_disk_io_time_seconds_total
        node_disk_read_bytes_total node_disk_read_time_seconds_total
        node_disk_reads_completed_total node_disk_write_time_seconds_total
        node_disk_writes_completed_total node_disk_written_bytes_total node_filefd_allocated
        node_filefd_maximum node_filesystem_avail_bytes node_filesystem_device_error
        node_filesystem_files node_filesystem_files_free node_filesystem_readonly
        node_filesystem_size_bytes node_load1 node_load15 node_load5 node_memory_Buffers_bytes
        node_memory_Cached_bytes node_memory_MemAvailable_bytes node_memory_MemTotal_bytes
        node_memory_SwapFree_bytes node_memory_SwapTotal_bytes node_network_receive_bytes_total
        node_network_receive_drop_total node_network_receive_errs_total
        node_network_transmit_bytes_total node_network_transmit_drop_total
        node_network_transmit_errs_total node_pressure_io_stalled_seconds_total
        node_pressure_memory_stalled_seconds_total node_procs_blocked node_procs_running
        node_scrape_collector_success node_systemd_service_restart_total
        node_systemd_timer_last_trigger_seconds node_systemd_unit_state node_systemd_units
        node_timex_maxerror_seconds node_timex_offset_seconds node_timex_sync_status
        node_vmstat_oom_kill
        """.split()
    ),
    "aistack-postgres": frozenset(
        """
        pg_database_size_bytes pg_database_wraparound_age_datfrozenxid_seconds
        pg_exporter_last_scrape_error pg_locks_count pg_replication_slots_active
        pg_replication_slots_pg_wal_lsn_diff pg_scrape_collector_success
        pg_settings_max_connections pg_stat_activity_count pg_stat_activity_max_tx_duration
        pg_stat_archiver_archived_count pg_stat_archiver_failed_count pg_stat_database_blks_hit
        pg_stat_database_blks_read pg_stat_database_conflicts pg_stat_database_deadlocks
        pg_stat_database_numbackends pg_stat_database_temp_bytes pg_stat_database_tup_deleted
        pg_stat_database_tup_fetched pg_stat_database_tup_inserted pg_stat_database_tup_returned
        pg_stat_database_tup_updated pg_stat_database_xact_commit pg_stat_database_xact_rollback
        pg_stat_user_tables_autovacuum_count pg_stat_user_tables_n_dead_tup
        pg_stat_user_tables_n_live_tup pg_stat_user_tables_seq_scan pg_up
        """.split()
    ),
    "aistack-prometheus": frozenset(
        """
        process_max_fds process_open_fds process_resident_memory_bytes
        prometheus_config_last_reload_successful prometheus_http_request_duration_seconds_bucket
        prometheus_notifications_alertmanagers_discovered prometheus_notifications_dropped_total
        prometheus_rule_evaluation_failures_total prometheus_rule_group_iterations_missed_total
        prometheus_rule_group_last_duration_seconds prometheus_tsdb_compactions_failed_total
        prometheus_tsdb_head_samples_appended_total prometheus_tsdb_head_series
        prometheus_tsdb_storage_blocks_bytes prometheus_tsdb_wal_corruptions_total
        """.split()
    ),
    "aistack-qdrant": frozenset(
        """
        app_status_recovery_mode collection_dead_replicas collection_points
        collection_running_optimizations collection_update_queue_length collection_vectors
        collections_total collections_vector_total memory_resident_bytes process_max_fds
        process_open_fds process_open_mmaps rest_responses_avg_duration_seconds
        rest_responses_duration_seconds_bucket rest_responses_max_duration_seconds
        rest_responses_total snapshot_created_total snapshot_creation_running
        snapshot_recovery_running system_max_mmaps
        """.split()
    ),
    "aistack-redis": frozenset(
        """
        redis_blocked_clients redis_commands_duration_seconds_total redis_commands_total
        redis_connected_clients redis_db_keys redis_evicted_keys_total redis_expired_keys_total
        redis_keyspace_hits_total redis_keyspace_misses_total redis_memory_max_bytes
        redis_memory_used_bytes redis_memory_used_rss_bytes redis_net_input_bytes_total
        redis_net_output_bytes_total redis_rdb_last_bgsave_status
        redis_rdb_last_save_timestamp_seconds redis_rejected_connections_total
        redis_slowlog_length redis_up redis_uptime_in_seconds
        """.split()
    ),
}
