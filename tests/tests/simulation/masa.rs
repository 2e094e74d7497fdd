//! What the MASAs answer.

use std::time::Duration;

use brski_registrar::masa::client::MasaAnswer;
use brski_registrar::masa::error::MasaError;
use brski_voucher::artefact::{Assertion, Binding, Nonce, RegistrarRequest};
use brski_voucher::certificate::Certificate;
use brski_voucher::idevid::SerialNumber;
use brski_voucher::trust::ValidityTime;
use brski_voucher::verify::Unverified;
use brski_voucher::{masa, media_type};
use bytes::Bytes;
use rustls_pki_types::UnixTime;

use super::op::Answer;
use super::site::{Maker, SITE};
use super::tally::Premise;
use super::world::World;

/// Has a MASA answer one of the calls that wait; whether there was one.
pub(super) fn answer(world: &World<'_>, call: usize, answer: Answer) -> Result<bool, String> {
    let mut calls = world.masas.0.lock().unwrap();
    let mut waiting: Vec<_> = calls.iter_mut().filter(|call| call.answer.is_some()).collect();
    if waiting.is_empty() {
        return Ok(false);
    }
    let place = call % waiting.len();
    let call = &mut waiting[place];
    let maker = SITE.makers.iter().find(|maker| call.host.starts_with(&maker.row.name));
    let maker = maker.ok_or_else(|| format!("nobody's MASA is at {}", call.host))?;
    let said = match answer {
        Answer::Lost => Err(MasaError::Timeout(Duration::from_secs(10))),
        Answer::Refuses => Ok(text(403, "sold to somebody else")),
        Answer::NotYet => Ok(MasaAnswer { retry_after_secs: Some(30), ..text(202, "") }),
        Answer::Away => Ok(text(503, "closed")),
        Answer::Voucher | Answer::WrongNonce | Answer::WrongSerial => {
            match call.operation.contains("requestvoucher") {
                true => Ok(voucher(maker, &call.body, answer, world.now().seconds())?),
                false => Ok(text(404, "no log")),
            }
        }
    };
    let is_heard = call.answer.take().is_some_and(|sender| sender.send(said).is_ok());
    if is_heard && matches!(answer, Answer::WrongNonce | Answer::WrongSerial) {
        world.tally.premise(Premise::VoucherWrong);
    }
    Ok(true)
}

fn text(status: u16, words: &'static str) -> MasaAnswer {
    MasaAnswer {
        status,
        content_type: "text/plain".to_owned(),
        retry_after_secs: None,
        body: Bytes::from_static(words.as_bytes()),
    }
}

fn voucher(maker: &Maker, body: &[u8], answer: Answer, now: i64) -> Result<MasaAnswer, String> {
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or(0)));
    let request = Unverified::<RegistrarRequest>::parse(body)
        .map_err(|error| error.to_string())?
        .verify_presented(ValidityTime::At(at))
        .map_err(|error| format!("the registrar's own request does not verify: {error}"))?;
    let pinned: &Certificate = request.signer_chain().last().unwrap_or_else(|| request.signer());
    let lifetime = Duration::from_secs(1200);
    let mut fields = masa::voucher_fields(&request, Assertion::Proximity, pinned, lifetime, at);
    match answer {
        Answer::WrongNonce => fields.binding = Binding::Nonce(Nonce::from_random([99; 16])),
        Answer::WrongSerial => {
            fields.serial_number = SerialNumber::parse("another").unwrap();
        }
        _ => {}
    }
    let signed = fields.sign(&maker.signer, &maker.chain, at).map_err(|error| error.to_string())?;
    Ok(MasaAnswer {
        status: 200,
        content_type: media_type::VOUCHER_CMS.to_owned(),
        retry_after_secs: None,
        body: signed.into(),
    })
}
