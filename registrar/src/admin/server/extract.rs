//! Bodies, queries and paths as values; what cannot be read is a problem like any other.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;

use crate::admin::problem::{Kind, MEDIA_TYPE, Problem};

/// When to try again after a failure of the store, in seconds.
const STORE_RETRY_SECS: u32 = 10;
/// When to try again after too many failed attempts, in seconds.
const ATTEMPT_RETRY_SECS: u32 = 60;

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        match self.known_kind() {
            Some(Kind::Unavailable) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(STORE_RETRY_SECS));
            }
            Some(Kind::TooMany) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(ATTEMPT_RETRY_SECS));
            }
            Some(Kind::Unauthenticated) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        // A problem is made of texts and numbers, which always become JSON.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        (status, headers, body).into_response()
    }
}

/// A JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(unreadable_body(&rejection)),
        }
    }
}

fn unreadable_body(rejection: &JsonRejection) -> Problem {
    let (kind, hint) = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => (Kind::TooLarge, "send less at once"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            (Kind::MediaType, "send JSON with 'Content-Type: application/json'")
        }
        _ => (Kind::Invalid, "/openapi.json says what this path takes"),
    };
    Problem::new(kind, rejection.body_text(), hint)
}

/// The query of a request's URL.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|axum::extract::Query(value)| Self(value)).map_err(|rejection: QueryRejection| {
            let hint = "/openapi.json says what this path takes";
            Problem::invalid(rejection.body_text(), hint)
        })
    }
}

/// The variable part of a path.
pub(super) struct Path(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(text)| Self(text)).map_err(|rejection| {
            Problem::invalid(rejection.body_text(), "write the path in UTF-8, percent-encoded")
        })
    }
}

pub(super) async fn unknown_path() -> Problem {
    Problem::new(Kind::NotFound, "nothing is served at this path", "/openapi.json lists all paths")
}

pub(super) async fn unknown_method() -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        "this path takes another method",
        "/openapi.json says which",
    )
}
