//! Styles and scripts, inside the program.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

/// One file: its name, its media type, its text.
type Asset = (&'static str, &'static str, &'static str);

const SCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: [Asset; 5] = [
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ("console.css", "text/css; charset=utf-8", include_str!("assets/console.css")),
    ("console.js", SCRIPT, include_str!("assets/console.js")),
    // Vendored from the npm packages htmx.org 2.0.11 and htmx-ext-sse 2.2.4, with their licences beside them.
    ("htmx.min.js", SCRIPT, include_str!("assets/htmx/htmx.min.js")),
    ("sse.min.js", SCRIPT, include_str!("assets/htmx/sse.min.js")),
];

/// The address of a file: another one in each version of the program, so that browsers may keep it.
pub(super) fn address(name: &str) -> String {
    format!("/console/assets/{name}?{}", env!("CARGO_PKG_VERSION"))
}

pub(super) async fn serve(Path(name): Path<String>) -> Response {
    let Some((_, media_type, text)) = ASSETS.iter().find(|(each, ..)| *each == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600")),
    ];
    (headers, *text).into_response()
}
