"""The names of alarm severities and statuses, by their Channel Access numbers."""

SEVERITY_NAMES = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
STATUS_NAMES = (
    *("NO_ALARM", "READ", "WRITE", "HIHI", "HIGH", "LOLO", "LOW", "STATE", "COS", "COMM", "TIMEOUT", "HWLIMIT", "CALC"),
    *("SCAN", "LINK", "SOFT", "BAD_SUB", "UDF", "DISABLE", "SIMM", "READ_ACCESS", "WRITE_ACCESS"),
)
