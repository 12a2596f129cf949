"""Retrieval: the archive over HTTP, in the words of the Archiver Appliance.

A process of its own that reads the store's files and nothing else, so that no query, however heavy, can cost a sample.

    app.py        the URL space: routes, CORS; data.py and bpl.py: the handlers; replies.py: answers and refusals
    query.py      a query string -> what is asked (times, PV and operator); everything a stranger can get wrong
    bodies.py     the body of a POST: lists of names
    resolve.py    names -> PVs: protocols, `.VAL`, aliases, fields
    limits.py     how many samples an answer would hold, before it is made
    source.py     what is asked -> batches of samples, by the appliance's rules (first at or before `from`, …)
    ahead.py      hundreds of PVs read at once, for an answer on many
    at_time.py    the newest samples of many PVs at one time
    catalogue.py  patterns and metadata: the answers of the bpl calls
    operators/    binned statistics and thinning; fields_of.py: fields of PVs; gaps.py notes.py: lost connections
    formats.py    the formats by extension: pb.py (`.raw`) text.py (`.json .qw .csv .txt`) jplot.py mat.py svg.py; whole
                  blocks, no Python object per value
    stream.py     an iterator of bytes -> an HTTP answer in bounded memory
    workers.py    threads, and whose turn it is
    mounts.py     retrieval, management and the page of one archive as one application
    guard.py      bounds of connections, heads and bodies; accesslog.py: a line for each request
    server.py     sockets, signals, the `ready` line
"""
