"""A description of a database's schema, made of the catalogue alone, for comparing two ways of building it."""

from typing import Any

import asyncpg

# Everything of ours: outside the system's schemas, and not a member of an extension.
_OURS = """n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = {oid} AND d.classid = '{catalogue}'::regclass
                    AND d.deptype = 'e')"""

_RELATIONS = _OURS.format(oid="c.oid", catalogue="pg_class")
_ROUTINES = _OURS.format(oid="p.oid", catalogue="pg_proc")
_TYPES = _OURS.format(oid="t.oid", catalogue="pg_type")

_QUERIES = {
    "extensions": "SELECT extname, extversion FROM pg_extension",
    "schemas": "SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname !~ '^pg_'",
    "relations": f"""SELECT n.nspname, c.relname, c.relkind::text, c.relpersistence::text, c.relispartition,
        c.relrowsecurity, c.reloptions::text, c.relacl::text, pg_get_partkeydef(c.oid),
        pg_get_expr(c.relpartbound, c.oid), obj_description(c.oid, 'pg_class')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_RELATIONS}""",
    "columns": f"""SELECT n.nspname, c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
        a.attnotnull, a.attidentity::text, a.attgenerated::text, a.attcollation::regcollation::text,
        pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attnum > 0 AND NOT a.attisdropped AND {_RELATIONS}""",
    "constraints": f"""SELECT n.nspname, c.relname, k.conname, k.contype::text, k.convalidated,
        pg_get_constraintdef(k.oid)
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_RELATIONS}""",
    "indexes": f"""SELECT n.nspname, c.relname, pg_get_indexdef(i.indexrelid), i.indisvalid
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_RELATIONS}""",
    "triggers": f"""SELECT n.nspname, c.relname, pg_get_triggerdef(t.oid), t.tgenabled::text
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT t.tgisinternal AND {_RELATIONS}""",
    "views": f"""SELECT n.nspname, c.relname, pg_get_viewdef(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('v', 'm') AND {_RELATIONS}""",
    "sequences": f"""SELECT n.nspname, c.relname, s.seqtypid::regtype::text, s.seqstart, s.seqincrement,
        s.seqmax, s.seqmin, s.seqcache, s.seqcycle
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_RELATIONS}""",
    "routines": f"""SELECT n.nspname, pg_get_functiondef(p.oid), p.proacl::text
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.prokind IN ('f', 'p') AND {_ROUTINES}""",
    "types": f"""SELECT n.nspname, t.typname, t.typtype::text, t.typnotnull, t.typdefault,
        format_type(nullif(t.typbasetype, 0), t.typtypmod),
        (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
        (SELECT array_agg(pg_get_constraintdef(k.oid) ORDER BY k.conname) FROM pg_constraint k
         WHERE k.contypid = t.oid)
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE t.typtype IN ('e', 'd', 'r', 'm') AND {_TYPES}""",
    "policies": "SELECT schemaname, tablename, policyname, cmd, qual, with_check FROM pg_policies",
}


async def describe(conn: asyncpg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Rows by kind of object, sorted: two databases with equal descriptions have the same schema."""
    return {
        kind: sorted((tuple(row) for row in await conn.fetch(query)), key=repr)
        for kind, query in _QUERIES.items()
    }
