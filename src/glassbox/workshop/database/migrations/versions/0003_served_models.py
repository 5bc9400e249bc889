"""Served models, what people may ask of them, and what they have asked."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "deployments",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("engine", sa.String(length=16), nullable=False),
        sa.Column("wanted", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("threads", sa.Integer(), nullable=True),
        sa.Column("memory", sa.BigInteger(), nullable=True),
        sa.Column("unload_after", sa.Integer(), nullable=True),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployments")),
        sa.UniqueConstraint("name", name=op.f("uq_deployments_name")),
    )
    op.create_table(
        "deployment_versions",
        sa.Column("deployment", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("artifact", sa.String(length=32), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("by", sa.String(length=32), nullable=False),
        sa.Column("problem", sa.String(length=1000), nullable=True),
        sa.Column("card", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["deployment"], ["deployments.id"], name=op.f("fk_deployment_versions_deployment"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("deployment", "number", name=op.f("pk_deployment_versions")),
    )
    op.create_table(
        "limits",
        sa.Column("person", sa.String(length=32), nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("tokens_per_day", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_limits")),
    )
    op.create_table(
        "usage_days",
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("user", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=80), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("first_token_seconds", sa.Double(), nullable=False),
        sa.Column("streamed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "user", "key", "model", name=op.f("pk_usage_days")),
    )
    with op.batch_alter_table("usage_days", schema=None) as batch_op:
        batch_op.create_index("ix_usage_days_key_day", ["key", "day"], unique=False)
        batch_op.create_index("ix_usage_days_user_day", ["user", "day"], unique=False)

    op.create_table(
        "model_requests",
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("user", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=80), nullable=False),
        sa.Column("endpoint", sa.String(length=32), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("first_token_seconds", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("row", name=op.f("pk_model_requests")),
    )
    with op.batch_alter_table("model_requests", schema=None) as batch_op:
        batch_op.create_index("ix_model_requests_key_time", ["key", "time"], unique=False)
        batch_op.create_index(batch_op.f("ix_model_requests_time"), ["time"], unique=False)
        batch_op.create_index("ix_model_requests_user_time", ["user", "time"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("model_requests", schema=None) as batch_op:
        batch_op.drop_index("ix_model_requests_user_time")
        batch_op.drop_index(batch_op.f("ix_model_requests_time"))
        batch_op.drop_index("ix_model_requests_key_time")

    op.drop_table("model_requests")
    with op.batch_alter_table("usage_days", schema=None) as batch_op:
        batch_op.drop_index("ix_usage_days_user_day")
        batch_op.drop_index("ix_usage_days_key_day")

    op.drop_table("usage_days")
    op.drop_table("limits")
    op.drop_table("deployment_versions")
    op.drop_table("deployments")
