"""`owl runkey`: the configurations of a stand, from the command line. `db.cli.forms` says what --json prints."""
