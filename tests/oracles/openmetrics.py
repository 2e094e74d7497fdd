"""Reads an exposition in the text format of OpenMetrics and prints how many samples it holds.

usage: openmetrics.py FILE

By other hands than the project's own: prometheus-client. Exits 1 if anything in it is not OpenMetrics.
"""

import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

with open(sys.argv[1], encoding="utf-8", newline="") as file:
    families = list(text_string_to_metric_families(file.read()))
print(sum(len(family.samples) for family in families))
