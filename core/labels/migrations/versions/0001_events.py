"""The table of events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "events",
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
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("confidence", sa.Float),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("automatic", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("undoes", sa.String(32)),
        sa.Column("queue", sa.String(200), nullable=False),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.UniqueConstraint("key", name="events_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("events_bundle", "events", ["bundle", "seq"])
    op.create_index("events_unit", "events", ["address", "seq"])
    op.create_index("events_annotator", "events", ["annotator", "at"])


def downgrade() -> None:
    op.drop_table("events")
