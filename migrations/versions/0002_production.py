"""When events are due; search on PostgreSQL."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Words are found in their inflections (stemmed) and as they begin (as they stand), without accents and with
# the owner as one word more, so that a search costs what its owner's messages cost and not what everybody's do.
# There are no stop words: who looks for "who" wants it. normalize() needs version 13 and UTF-8.
FULL_TEXT = (
    "CREATE TEXT SEARCH DICTIONARY parley_stem (TEMPLATE = snowball, LANGUAGE = english)",
    "CREATE TEXT SEARCH CONFIGURATION parley (COPY = simple)",
    """
    ALTER TEXT SEARCH CONFIGURATION parley
    ALTER MAPPING FOR asciiword, word, numword, asciihword, hword, numhword, hword_asciipart, hword_part, hword_numpart
    WITH parley_stem
    """,
    r"""
    CREATE FUNCTION parley_words(owner text, content text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT to_tsvector('simple'::regconfig, 'owner' || md5(owner))
            || to_tsvector('simple'::regconfig, plain) || to_tsvector('{schema}.parley'::regconfig, plain)
        FROM (SELECT regexp_replace(
            regexp_replace(normalize(lower(content), NFKD), '[\u0300-\u036f]', '', 'g'),
            '[^[:alnum:]\u0080-\U0010FFFF]+', ' ', 'g'
        )) AS text(plain)
    $$
    """,
    "CREATE INDEX ix_messages_words ON messages USING gin (parley_words(owner, content))",
)


def upgrade() -> None:
    op.add_column("outbox", sa.Column("recorded_at", sa.DateTime(timezone=True)))
    op.add_column("outbox", sa.Column("due_at", sa.DateTime(timezone=True)))
    op.create_index("ix_outbox_recorded_at", "outbox", ["recorded_at"])
    if op.get_bind().dialect.name == "postgresql":
        # Indexes are made, and later checked, without the session's search path.
        schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
        for statement in FULL_TEXT:
            op.execute(sa.text(statement.replace("{schema}", schema).replace(":", r"\:")))


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP INDEX ix_messages_words")
        op.execute("DROP FUNCTION parley_words")
        op.execute("DROP TEXT SEARCH CONFIGURATION parley")
        op.execute("DROP TEXT SEARCH DICTIONARY parley_stem")
    op.drop_index("ix_outbox_recorded_at", "outbox")
    with op.batch_alter_table("outbox") as outbox:
        outbox.drop_column("due_at")
        outbox.drop_column("recorded_at")
