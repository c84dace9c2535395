//! What `/openapi.json` says beyond its routes: what this is, how one signs in, and that anything may be a problem.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContactBuilder, Content, InfoBuilder, OpenApi, Ref, RefOr, ResponseBuilder, ServerBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use crate::http::problem::{Document, Wrong};

/// What is refused on any route: nobody signed in, too many requests, the store away.
const ANY: &str = "The request is refused, or cannot be answered: `code` says why";

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
    document.components = Some(components);
    let nobody: [String; 0] = [];
    document.security = Some(vec![SecurityRequirement::default(), SecurityRequirement::new("token", nobody)]);
    for item in document.paths.paths.values_mut() {
        let all = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in all.into_iter().flatten() {
            let problem = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
            let response = ResponseBuilder::new().description(ANY).content("application/problem+json", problem).build();
            operation.responses.responses.insert("default".to_owned(), RefOr::T(response));
        }
    }
    document
}
