"""How a channel is doing by the hour, who removed a post, and the sealed words that were masked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

COUNTERS = ("hour", "oks", "failures", "oks_before", "failures_before")


def upgrade() -> None:
    """Add the counters of channels, who removed a post, and the table of originals."""
    op.add_column("channel", sa.Column("lag", sa.BigInteger(), nullable=True))
    for name in COUNTERS:
        op.add_column("channel", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("post", sa.Column("removed_by", sa.Text(), nullable=True))
    op.add_column("tombstone", sa.Column("by", sa.Text(), nullable=True))
    op.create_table(
        "original",
        sa.Column(
            "post_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["post_id"], ["post.id"], name=op.f("fk_original_post_id")),
        sa.PrimaryKeyConstraint("post_id", name=op.f("pk_original")),
    )
    op.create_index("ix_original_at", "original", ["at"], unique=False)
