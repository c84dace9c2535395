//! Small documents, by collection and key.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::clock::Timestamp;
use crate::store::{Collection, Document, Draft, Span};

/// Made when it is first needed: files of the same layout that are older have no such table. Keys are compared byte
/// by byte, as SQLite does unless told otherwise.
const LAYOUT: &str = "
CREATE TABLE IF NOT EXISTS documents (collection TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL,
                                      body TEXT NOT NULL, PRIMARY KEY (collection, key)) WITHOUT ROWID";

/// Whether the table is there: who only reads makes none.
fn is_there(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'documents')")?
        .query_row([], |row| row.get(0))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document { key: row.get(0)?, version: row.get::<_, i64>(1)?.cast_unsigned(), body: row.get(2)? })
}

pub(super) fn one(db: &Connection, collection: Collection, key: &str) -> rusqlite::Result<Option<Document>> {
    if !is_there(db)? {
        return Ok(None);
    }
    db.prepare_cached("SELECT key, version, body FROM documents WHERE collection = ?1 AND key = ?2")?
        .query_row([collection.name(), key], read)
        .optional()
}

pub(super) fn span(db: &Connection, collection: Collection, span: &Span) -> rusqlite::Result<Vec<Document>> {
    if !is_there(db)? {
        return Ok(Vec::new());
    }
    let (side, order) = if span.newest_first { ("<", "DESC") } else { (">", "ASC") };
    let sql = format!(
        "SELECT key, version, body FROM documents
         WHERE collection = ?1 AND key >= ?2 AND key <= ?2 || char(1114111) AND substr(key, 1, length(?2)) = ?2
           AND (?3 IS NULL OR key {side} ?3)
         ORDER BY key {order} LIMIT ?4"
    );
    let limit = if span.limit == 0 { -1 } else { i64::try_from(span.limit).unwrap_or(-1) };
    let mut found = db.prepare_cached(&sql)?;
    found.query_map(params![collection.name(), span.prefix, span.after, limit], read)?.collect()
}

pub(super) fn write(db: &Connection, draft: &Draft, now: Timestamp) -> rusqlite::Result<Option<u64>> {
    db.execute_batch(LAYOUT)?;
    let found = one(db, draft.collection, &draft.key)?.map(|document| document.version);
    if !draft.expect.meets(found) {
        return Ok(None);
    }
    let (collection, key) = (draft.collection.name(), draft.key.as_str());
    let Some(body) = &draft.body else {
        db.prepare_cached("DELETE FROM documents WHERE collection = ?1 AND key = ?2")?.execute([collection, key])?;
        return Ok(Some(0));
    };
    let version = (found.unwrap_or(0).cast_signed() + 1).max(now.as_micros());
    db.prepare_cached("INSERT OR REPLACE INTO documents VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![collection, key, version, body])?;
    Ok(Some(version.cast_unsigned()))
}
