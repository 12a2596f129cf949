"""The PVs of areas, of alarms and of the server itself, and what is put to them."""
