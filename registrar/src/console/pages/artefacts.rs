//! What a device, its MASA and its CA sent, decoded: folded away until somebody wants to read it.

use maud::{Markup, html};

use crate::console::Console;
use crate::decoded;
use crate::store::StoreError;
use crate::store::model::{Id, VoucherState};

/// Of how many enrollments and certificates the newest are shown.
const NEWEST: usize = 5;

/// One artefact.
struct Artefact {
    /// What it is, for people and as the identifier of its element.
    title: String,
    name: String,
    octets: Vec<u8>,
}

impl Artefact {
    fn new(title: impl Into<String>, name: impl Into<String>, octets: &[u8]) -> Self {
        Self { title: title.into(), name: name.into(), octets: octets.to_vec() }
    }
}

/// The artefacts of a device, if it has any. `device`: its identifier, as the store gave it.
///
/// # Errors
/// If the store fails.
pub(super) async fn section(console: &Console, device: &str) -> Result<Markup, StoreError> {
    let artefacts = artefacts(console, &Id::from_stored(device.to_owned())).await?;
    Ok(html! {
        @if !artefacts.is_empty() {
            section aria-labelledby="artefacts" {
                h2 #artefacts { "Artefacts" }
                @for artefact in &artefacts { (folded(artefact)) }
            }
        }
    })
}

async fn artefacts(console: &Console, device: &Id) -> Result<Vec<Artefact>, StoreError> {
    let store = console.service.store();
    let mut all = Vec::new();
    if let Some(exchange) = store.latest_voucher_exchange(device).await? {
        all.push(Artefact::new("Voucher request of the device", "asked", &exchange.pledge_request));
        let ours = &exchange.registrar_request;
        all.push(Artefact::new("Voucher request to the MASA", "forwarded", ours));
        if let Some(voucher) = voucher(&exchange.state) {
            all.push(Artefact::new("Voucher", "voucher", voucher));
        }
        if let Some(log) = exchange.audit.as_ref().and_then(|audit| audit.log.as_ref()) {
            all.push(Artefact::new("Audit log of the MASA", "audit-log", log));
        }
    }
    for enrollment in store.enrollments_of(device).await?.iter().rev().take(NEWEST) {
        let title = format!("CSR for {}", enrollment.name);
        all.push(Artefact::new(title, format!("csr-{}", enrollment.id), &enrollment.csr));
    }
    for issued in store.certificates_of(device).await?.iter().rev().take(NEWEST) {
        let title = format!("Certificate {} of {}", issued.serial, issued.issuer);
        let name = format!("certificate-{}", issued.fingerprint);
        all.push(Artefact::new(title, name, &issued.certificate));
    }
    Ok(all)
}

fn voucher(state: &VoucherState) -> Option<&[u8]> {
    match state {
        VoucherState::Issued { voucher } | VoucherState::Accepted { voucher } => Some(voucher),
        VoucherState::Asked | VoucherState::Rejected { .. } | VoucherState::Failed { .. } => None,
    }
}

/// A name of its own lets it stay open when the page asks for itself again.
fn folded(artefact: &Artefact) -> Markup {
    let text = decoded::text(&artefact.octets, &artefact.title);
    html! {
        details id=(artefact.name) {
            summary { (artefact.title) ", " (artefact.octets.len()) " octets" }
            @match text {
                Some(text) => pre tabindex="0" { (text) },
                None => p { "It cannot be read." },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_said_to_be_so_and_hostile_text_is_text() {
        let shown = folded(&Artefact::new("CSR for <script>", "csr-1", b"garbage")).into_string();
        assert!(shown.contains("It cannot be read."), "{shown}");
        assert!(shown.contains("CSR for &lt;script&gt;, 7 octets"), "{shown}");
    }

    #[test]
    fn an_audit_log_of_a_hostile_masa_is_text() {
        let log = br#"{"version":"1","events":[{"date":"2026-01-01T00:00:00Z","domainID":"BduJhdHPpfhQLyponf48JzXSGZ8=","nonce":"<img src=x onerror=alert(1)>","assertion":"logged"}],"truncation":{"nonced duplicates":"0","nonceless duplicates":"0","arbitrary":"0"}}"#;
        let shown = folded(&Artefact::new("Audit log", "audit-log", log)).into_string();
        assert!(!shown.contains("<img") && shown.contains("&lt;img src=x"), "{shown}");
    }
}
