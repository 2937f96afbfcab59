"""The base of feature use"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feature_use_base",
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column("feature_key", sa.Text(), nullable=False, comment="The tracked feature."),
        sa.Column(
            "uses", sa.BigInteger(), nullable=False, comment="All uses before end(as_of), entitled or not. [events]"
        ),
        sa.Column("first_used_at", sa.DateTime(timezone=True), nullable=False, comment="The first of them. [UTC]"),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False, comment="The last of them. [UTC]"),
        sa.PrimaryKeyConstraint("tenant_id", "feature_key", name="feature_use_base_pkey"),
        schema="health",
        comment="All uses of a feature by a tenant before the end of a day, which nights go on from instead of reading them again.",
    )
    op.create_table(
        "feature_use_bases",
        sa.Column(
            "fingerprint",
            sa.Text(),
            nullable=False,
            comment="Hash of source, mapping, zone, tracked features and code: with another one it is of no use.",
        ),
        sa.Column("as_of", sa.Date(), nullable=False, comment="The day at whose end the uses were counted."),
        sa.Column(
            "computed_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="The clock of the run that counted them, from the whole history. [UTC]",
        ),
        sa.Column("run_id", sa.Text(), nullable=False, comment="The Dagster run."),
        sa.PrimaryKeyConstraint("fingerprint", name="feature_use_bases_pkey"),
        schema="health",
        comment="What feature_use_base was made from; at most one row.",
    )


def downgrade() -> None:
    op.drop_table("feature_use_bases", schema="health")
    op.drop_table("feature_use_base", schema="health")
