"""Makes dashboards/*.json with the builders of grafana-foundation-sdk: `make dashboards`.

An installed ksmtrace has the files and needs neither these modules nor the SDK.
"""
