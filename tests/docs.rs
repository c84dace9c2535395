//! What the documents say is what the program does.
#![allow(missing_docs, clippy::unwrap_used)]

use cronclave::config;

#[test]
fn the_reference_page_is_what_the_program_prints() {
    let page = include_str!("../docs/REFERENCE.md");
    assert!(page == config::reference(), "run: cargo run -- schema --docs > docs/REFERENCE.md");
}

#[test]
fn the_schema_beside_the_shipped_files_is_what_the_program_prints() {
    let schema = include_str!("../schedules/cronclave-1.schema.json");
    assert!(schema == config::schema_text(), "run: cargo run -- schema > schedules/cronclave-1.schema.json");
}
