"""PyDM screens. A screen knows PV names only; which ones, it is told by macros.

`registry` lists the screens, `cli` opens them (`owl screens`), `parts` holds what several screens are made of, and
`owlshift.qss` is the one place where colours and sizes are said. Importing this package imports no Qt.
"""
