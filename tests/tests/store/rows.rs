//! Rows to put into a store.

use acme_bridge::{
    AnswerKind, ChallengeAnswer, Csr, IssuerName, OrderId, OrderRecord, OrderTerms, Place,
};
use brski_registrar::store::model::{
    AuditTiming, Device, DeviceState, EndedIdevid, Enrollment, EnrollmentState, Entry, Event, Id,
    Identity, IdevidOptions, KnownDevice, Manufacturer, MasaClientCertificate, MasaOptions, Millis,
    SeenIdevid, SerialPlace, Sha256, Verdict, VoucherExchange, VoucherState,
};
use brski_voucher::encoding::Encoding;
use rustls_pki_types::CertificateDer;

pub(super) fn id(number: u8) -> Id {
    Id::from_random([number; 16])
}

pub(super) fn manufacturer() -> Manufacturer {
    Manufacturer {
        id: id(1),
        name: "pumps".into(),
        anchors: vec![CertificateDer::from(vec![1]), CertificateDer::from(vec![2])],
        masa_url: Some("masa.example.com".into()),
        masa_anchors: vec![CertificateDer::from(vec![3])],
        masa_hosts: vec!["b.example".into(), "a.example".into()],
        voucher_anchors: vec![],
        masa: MasaOptions {
            client: MasaClientCertificate::None,
            credential: Some("systemd:pumps".into()),
            audit_log: Some(AuditTiming::BeforeVoucher),
            ..MasaOptions::default()
        },
        idevid: IdevidOptions {
            serial: vec![
                SerialPlace::HardwareModuleName,
                SerialPlace::CommonName { pattern: "^SN '(.+)'$".into() },
            ],
            ended: EndedIdevid::Accepted,
        },
        entry: Entry::Voucher,
        created_at: Millis(7),
    }
}

pub(super) fn device(number: u8, name: &str, serial: &str) -> KnownDevice {
    KnownDevice {
        device: Device {
            id: id(number),
            name: Some(name.into()),
            profile: "default".into(),
            site: Some("hall 3".into()),
            state: DeviceState::Admitted,
            created_at: Millis(i64::from(number)),
            updated_at: Millis(i64::from(number)),
        },
        identity: Identity::Idevid {
            manufacturer: id(1),
            serial: serial.into(),
            seen: Some(SeenIdevid {
                spki: Sha256([number; 32]),
                certificate: CertificateDer::from(vec![number]),
            }),
        },
    }
}

pub(super) fn exchange(number: u8) -> VoucherExchange {
    VoucherExchange {
        id: id(number),
        request_sha256: Sha256([number; 32]),
        device: id(10),
        pledge_request: vec![1],
        encoding: Encoding::Cms,
        registrar_request: vec![2],
        state: VoucherState::Asked,
        audit: None,
        created_at: Millis(1),
        updated_at: Millis(i64::from(number)),
    }
}

pub(super) fn enrollment(number: u8, key: u8) -> Enrollment {
    Enrollment {
        id: id(number),
        device: id(10),
        profile: "default".into(),
        issuer: "ca".into(),
        name: "a.example.org".into(),
        key: Sha256([key; 32]),
        csr: vec![9],
        replaces: None,
        state: EnrollmentState::Approved,
        created_at: Millis(i64::from(number)),
        updated_at: Millis(i64::from(number)),
    }
}

pub(super) fn order(number: &str) -> OrderRecord {
    let csr = Csr { der: vec![1], names: vec!["a.example.org".into()], spki: vec![2] };
    let terms = OrderTerms {
        device: number.into(),
        replaces: Some("aki.serial".into()),
        fallback: Some(IssuerName::new("other")),
        require_eku: vec!["1.2.3".into(), "1.2.4".into()],
    };
    OrderRecord::new(OrderId::new(number), IssuerName::new("ca"), csr, terms, 100)
}

pub(super) fn event(kind: &'static str) -> Event {
    Event {
        time: Millis(5),
        kind,
        verdict: Verdict::Done,
        device: Some(id(10)),
        peer: "peer".into(),
        clause: "RFC",
        detail: "detail".into(),
        correlation: "c".into(),
    }
}

/// An answer of an order at `_acme-challenge.a`.
pub(super) fn answer(order: &str, value: &str, place: Place) -> ChallengeAnswer {
    ChallengeAnswer {
        order: OrderId::new(order),
        name: "a".into(),
        kind: AnswerKind::Txt,
        owner: "_acme-challenge.a".into(),
        value: value.into(),
        place,
    }
}
