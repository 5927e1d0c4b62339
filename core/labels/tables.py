"""The tables of labels. Changes go through a migration (`core/labels/migrations`); a test compares the two."""

import sqlalchemy as sa

METADATA = sa.MetaData()

EVENTS = sa.Table(
    "events",
    METADATA,
    # SQLite numbers rows itself only where the column is INTEGER; AUTOINCREMENT, so that no number comes twice
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("key", sa.String(32), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("annotator", sa.String(80), nullable=False),
    sa.Column("bundle", sa.String(80), nullable=False),
    sa.Column("model", sa.String(64), nullable=False),
    sa.Column("address", sa.String(160), nullable=False),
    sa.Column("end", sa.String(1), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("tags", sa.Text, nullable=False),  # a JSON list
    sa.Column("confidence", sa.Float),
    sa.Column("evidence", sa.Text, nullable=False),  # a JSON object
    sa.Column("automatic", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("undoes", sa.String(32)),
    sa.Column("queue", sa.String(200), nullable=False),
    sa.Column("blind", sa.Boolean, nullable=False),
    sa.UniqueConstraint("key", name="events_key"),
    sa.Index("events_bundle", "bundle", "seq"),  # what is new of a bundle, however much is said of others
    sa.Index("events_unit", "address", "seq"),  # a unit's history, here and in other bundles
    sa.Index("events_annotator", "annotator", "at"),  # what somebody said last
    sqlite_autoincrement=True,
)
