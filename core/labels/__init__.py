"""What people say of units: append-only events in one database, outside the bundles, and what follows from them.

events.py      one event: who said what of which end of which unit, and what they saw
tables.py      the table that they lie in; migrations/, migrate.py: how it came to be, by Alembic
connect.py     SQLite or PostgreSQL, and their errors as advice
database.py    the events on disk: added, read, never changed
fold.py        events folded in order, undone ones left out: what stands
ledger.py      what stands of one bundle, kept up to date
agreement.py   how far annotators agree
files.py       export and import (rows.py: one row of a file); report.py: one HTML file of a bundle's labels
"""
