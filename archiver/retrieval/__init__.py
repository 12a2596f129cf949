"""Retrieval: the archive over HTTP, in the words of the Archiver Appliance.

A process of its own that reads the store's files and nothing else, so that no query, however heavy, can cost a sample.

    app.py        the URL space: routes, status codes, CORS
    query.py      a query string -> what is asked (times, PV and operator); everything a stranger can get wrong
    bodies.py     the body of a POST: lists of names
    source.py     what is asked -> batches of samples, by the appliance's rules (first at or before `from`, …)
    catalogue.py  names and metadata: the answers of the bpl calls
    operators.py  binned statistics and thinning
    pb.py text.py samples -> bytes: `.raw`, and `.json .qw .csv .txt`; whole blocks, no Python object per value
    stream.py     an iterator of bytes -> an HTTP answer in bounded memory
    server.py     sockets, signals, the `ready` line
"""
