"""Site files that come with owlshift (data only)."""
