"""Grafana dashboards and Prometheus rules: the files, and how they are written to a directory.

The dashboards are made by tools/dashboards.
"""
