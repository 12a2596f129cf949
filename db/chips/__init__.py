"""Formats of front-end chips: chip files, connectivity, controllers and scans of YARR; pixel maps, their pictures."""
