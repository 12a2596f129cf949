"""Alarms over Kafka as Phoebus speaks it: topics, records, and the bridge between them and the alarm tree."""
