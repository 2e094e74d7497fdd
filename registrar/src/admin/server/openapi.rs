//! The description of the API (OpenAPI 3.1), made from the same routes that are served.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::routes;
use crate::admin::actor::Role;
use crate::admin::problem::{MEDIA_TYPE, Problem};

/// The document as it is served.
#[derive(Clone)]
pub(super) struct Document(String);

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Registrar admin API",
        description = "See and change what the registrar knows. Errors are problem details (RFC 9457); \
                       lists come in pages; each change leaves an event with who made it."
    ),
    modifiers(&Problems, &Security),
    components(schemas(Problem)),
)]
struct Description;

/// How a client of the TLS listener says who it is.
struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        let certificate =
            SecurityScheme::MutualTls { description: None, deprecated: None, extensions: None };
        components.add_security_scheme("certificate", certificate);
        document.security = Some(vec![
            utoipa::openapi::SecurityRequirement::new::<_, _, &str>("token", []),
            utoipa::openapi::SecurityRequirement::new::<_, _, &str>("certificate", []),
        ]);
    }
}

/// The problems that any operation may answer with.
struct Problems;

impl Problems {
    const ANSWERS: [(&'static str, &'static str); 11] = [
        ("400", "The request is wrong"),
        ("401", "Nobody known asks"),
        ("403", "The role does not allow it"),
        ("404", "There is no such thing"),
        ("405", "The path takes another method"),
        ("409", "It contradicts what is there, or fits more than one thing"),
        ("413", "The body is too long"),
        ("415", "The body is not JSON"),
        ("429", "Too many failed attempts"),
        ("502", "The CA does not do it"),
        ("503", "The store or the daemon is away; try later"),
    ];
}

impl Modify for Problems {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for path in document.paths.paths.values_mut() {
            for operation in [&mut path.get, &mut path.post].into_iter().flatten() {
                for (status, description) in Self::ANSWERS {
                    let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
                    let response = ResponseBuilder::new()
                        .description(description)
                        .content(MEDIA_TYPE, Content::new(Some(schema)))
                        .build();
                    operation.responses.responses.insert(status.to_owned(), response.into());
                }
            }
        }
    }
}

/// Writes the document once.
pub(super) fn document() -> Document {
    let mut document = Description::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    for role in Role::ALL {
        document.merge(routes::described(role));
    }
    Problems.modify(&mut document);
    // The document is made of texts, which always become JSON.
    Document(document.to_json().unwrap_or_default())
}
