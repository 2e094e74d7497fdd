//! Around every request of the pledge-facing side: its span, and its count.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use brski_est::path::Operation;
use brski_voucher::path;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, debug, debug_span};

use crate::observe::metrics::Metrics;
use crate::observe::metrics::labels::{Endpoint, Outcome};

/// Measures a request. Its peer and correlation are entered into the span once they are known.
pub async fn measure(
    State(metrics): State<Arc<Metrics>>,
    request: Request,
    next: Next,
) -> Response {
    let endpoint = endpoint(request.uri().path());
    let span = debug_span!(
        "request",
        otel.kind = "server",
        endpoint = endpoint.as_str(),
        peer = Empty,
        correlation = Empty,
        status = Empty,
    );
    let since = Instant::now();
    let pending = metrics.request(endpoint);
    let response = next.run(request).instrument(span.clone()).await;
    span.record("status", response.status().as_u16());
    debug!(parent: &span, took = ?since.elapsed(), "answered");
    pending.answered(response.status(), response.extensions().get::<Outcome>().copied());
    response
}

/// What a path asks for, as one of a few words, whatever the path is.
fn endpoint(path: &str) -> Endpoint {
    match path {
        path::REQUEST_VOUCHER => return Endpoint::RequestVoucher,
        path::VOUCHER_STATUS => return Endpoint::VoucherStatus,
        path::ENROLL_STATUS => return Endpoint::EnrollStatus,
        _ => {}
    }
    match brski_est::path::Request::parse(path).map(|request| request.operation()) {
        Ok(Operation::CaCerts) => Endpoint::CaCerts,
        Ok(Operation::CsrAttrs) => Endpoint::CsrAttrs,
        Ok(Operation::SimpleEnroll) => Endpoint::SimpleEnroll,
        Ok(Operation::SimpleReenroll) => Endpoint::SimpleReenroll,
        Ok(Operation::RenewalInfo) => Endpoint::RenewalInfo,
        Ok(Operation::ServerKeygen) => Endpoint::ServerKeygen,
        _ => Endpoint::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_of_a_few_words() {
        for (path, word) in [
            ("/.well-known/brski/requestvoucher", "requestvoucher"),
            ("/.well-known/brski/voucher_status", "voucher_status"),
            ("/.well-known/brski/enrollstatus", "enrollstatus"),
            ("/.well-known/est/cacerts", "cacerts"),
            ("/.well-known/est/some-label/csrattrs", "csrattrs"),
            ("/.well-known/est/simpleenroll", "simpleenroll"),
            ("/.well-known/est/simplereenroll", "simplereenroll"),
            ("/.well-known/est/renewal-info/aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE", "renewal_info"),
            ("/.well-known/est/serverkeygen", "serverkeygen"),
            ("/.well-known/est/fullcmc", "other"),
            ("/.well-known/est/a/b/cacerts", "other"),
            ("/metrics", "other"),
            ("/\u{1b}[31m", "other"),
            ("", "other"),
        ] {
            assert_eq!(endpoint(path).as_str(), word, "{path}");
        }
    }
}
