//! Asks a MASA, again and again within a limit while it cannot be reached or fails.

use std::time::Duration;

use brski_voucher::encoding::Encoding;
use brski_voucher::idevid::MasaUrl;
use brski_voucher::media_type;
use bytes::Bytes;
use tokio::time::Instant;

use crate::http::app::App;
use crate::masa::client::{MasaAnswer, MasaRequest, Operation};
use crate::masa::error::{MasaError, Remedy};
use crate::store::model::Manufacturer;

/// How long the registrar waits before it asks a MASA again, at first.
const MASA_PAUSE: Duration = Duration::from_millis(250);

/// What a MASA is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    /// Where it lives.
    pub(crate) url: &'a MasaUrl,
    /// Its manufacturer.
    pub(crate) manufacturer: &'a Manufacturer,
    /// What for.
    pub(crate) operation: Operation,
    /// How the request is encoded.
    pub(crate) encoding: Encoding,
    /// The request.
    pub(crate) body: &'a [u8],
}

/// Asks a MASA; again within `hold` while that may help.
pub(crate) async fn ask(
    app: &App,
    question: Question<'_>,
    hold: Duration,
) -> Result<MasaAnswer, MasaError> {
    let media_type = question.manufacturer.masa.dialect.media_type(question.encoding);
    let call = MasaRequest {
        url: question.url,
        manufacturer: question.manufacturer,
        operation: question.operation,
        media_type,
        accept: match question.operation {
            Operation::RequestVoucher => media_type,
            Operation::RequestAuditLog => media_type::JSON,
        },
        body: Bytes::copy_from_slice(question.body),
    };
    let deadline = Instant::now() + hold;
    let mut pause = MASA_PAUSE;
    loop {
        let outcome = app.masa.call(call.clone()).await;
        let may_help = match &outcome {
            Ok(answer) => answer.status >= 500,
            Err(error) => error.remedy() == Remedy::Time,
        };
        if !may_help || Instant::now() + pause >= deadline {
            return outcome;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = app.stopped() => return outcome,
        }
        pause *= 2;
    }
}
