"""Grafana dashboards and Prometheus rules: the files, and the code that makes the dashboards.

`ksmtrace.dashboards.made` needs grafana-foundation-sdk, which an installed ksmtrace does not: it has the files.
"""
