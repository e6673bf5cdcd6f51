"""What Prometheus and Grafana are given: recording rules, alerts and dashboards, as files.

A *monitoring mixin* in their words. ``aistack mixin render DIR`` writes all; the NixOS module does
that when it builds a host.
"""
