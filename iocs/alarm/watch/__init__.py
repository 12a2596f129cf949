"""PVs over Channel Access: their severities, filters, the operating mode, and the catalogues of IOCs."""
