//! What `/openapi.json` says beyond its routes: what this is, how one signs in, and that anything may be a problem.

use std::collections::BTreeMap;

use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContactBuilder, Content, InfoBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder,
    ServerBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use crate::http::asked;
use crate::http::problem::{Document, Wrong};

/// What is refused on any route: nobody signed in, too many requests, the store away.
const ANY: &str = "The request is refused, or cannot be answered: `code` says why";

/// Whether a body can be left out: it can when nothing in it is required.
fn is_needed(schema: &RefOr<Schema>, all: &BTreeMap<String, RefOr<Schema>>) -> bool {
    match schema {
        RefOr::Ref(named) => {
            let name = named.ref_location.rsplit('/').next().unwrap_or_default();
            all.get(name).is_none_or(|schema| is_needed(schema, all))
        }
        RefOr::T(Schema::Object(object)) => object.properties.is_empty() || !object.required.is_empty(),
        RefOr::T(_) => true,
    }
}

/// The name of an operation, for programs that are made from the document: no two may have the same. `Look at a job` is
/// `look_at_job`.
fn id(summary: &str) -> String {
    let short = summary.split([',', ':']).next().unwrap_or_default().to_lowercase();
    short.split(' ').filter(|word| !["a", "the"].contains(word)).collect::<Vec<_>>().join("_")
}

/// The document as whoever asks for it is to read it: its addresses are below where we are.
pub(in crate::http) fn here(document: &OpenApi) -> OpenApi {
    let mut document = document.clone();
    document.servers = Some(vec![ServerBuilder::new().url(asked::address("/")).build()]);
    document
}

/// The document of these routes, made whole.
pub(in crate::http) fn finish(mut document: OpenApi) -> OpenApi {
    document.info = InfoBuilder::new()
        .title("Cronclave")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Any replica answers any request. Times are RFC 3339 in UTC, spans are in seconds, errors are \
             `application/problem+json` (RFC 9457). While the store is away, what is read is what was last known, \
             with `stale_since`; what changes anything gets 503.",
        ))
        .contact(Some(ContactBuilder::new().name(Some("Cronclave")).build()))
        .build();
    document.servers = Some(vec![ServerBuilder::new().url("/").build()]);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token of the cluster")).build();
    let mut components = document.components.take().unwrap_or_else(|| ComponentsBuilder::new().build());
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    components.schemas.insert("Problem".to_owned(), Document::schema());
    components.schemas.insert(Wrong::name().into_owned(), Wrong::schema());
    let schemas = components.schemas.clone();
    document.components = Some(components);
    let nobody: [String; 0] = [];
    document.security = Some(vec![SecurityRequirement::default(), SecurityRequirement::new("token", nobody)]);
    for item in document.paths.paths.values_mut() {
        let all = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in all.into_iter().flatten() {
            operation.operation_id = operation.summary.as_deref().map(id);
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                let needs = |content: &RefOr<Content>| match content {
                    RefOr::T(content) => content.schema.as_ref().is_none_or(|schema| is_needed(schema, &schemas)),
                    RefOr::Ref(_) => true,
                };
                body.required = Some(if body.content.values().any(needs) { Required::True } else { Required::False });
            }
            let problem = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
            let response = ResponseBuilder::new().description(ANY).content("application/problem+json", problem).build();
            operation.responses.responses.insert("default".to_owned(), RefOr::T(response));
        }
    }
    document
}
