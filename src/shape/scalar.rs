//! How the core's own words are described in an OpenAPI document.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::clock::Timestamp;
use crate::hook::To;
use crate::job::{HookName, JobName, Pattern, Shape};
use crate::lease::{Fence, RunId};
use crate::ledger::State;
use crate::record::Phase;
use crate::runner::Stream;

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> ObjectBuilder {
    text().enum_values(Some(words.into_iter().collect::<Vec<_>>()))
}

/// `describe!(Type, builder)` for each.
macro_rules! describe {
    ($($kind:ty => $schema:expr;)*) => {$(
        impl PartialSchema for $kind {
            fn schema() -> RefOr<Schema> {
                $schema.build().into()
            }
        }
        impl ToSchema for $kind {}
    )*};
}

describe! {
    Timestamp => text()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some("An instant in UTC, as RFC 3339 has it"));
    JobName => text().pattern(Some("^[a-z0-9][a-z0-9_-]{0,62}$")).description(Some("The name of a job"));
    HookName => text().pattern(Some("^[a-z0-9][a-z0-9_-]{0,62}$")).description(Some("The name of a hook"));
    Pattern => text().description(Some("A kind of event, or many: `run.failed`, `run.*`, `*`"));
    Shape => one_of(["standard", "slack", "discord"]).description(Some("What a hook is sent"));
    To => text().description(Some("Who is told: `hook/NAME`, `webhook/ID` or `ping/JOB`"));
    RunId => text()
        .format(Some(SchemaFormat::Custom("uuid".to_owned())))
        .description(Some("The id of a run, the same over all its attempts"));
    Fence => ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0))
        .description(Some("A fencing token: grows with every claim on a job"));
    State => one_of(State::ALL.map(State::word)).description(Some("Where a run stands, or what became of an occurrence"));
    Phase => one_of(["waiting", "claimed", "published", "running"]).description(Some("How far an open run is"));
    Stream => one_of(["stdout", "stderr"]).description(Some("Which of a program's two streams"));
}
