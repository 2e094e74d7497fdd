//! Devices that enroll with a credential, the uses of one, and whose a key is.

use brski_registrar::store::model::{
    Credential, Device, DeviceState, Identity, IssuedCertificate, KnownDevice, Millis, SeenIdevid,
    Sha256,
};
use brski_registrar::store::{Change, Conflict, Store, StoreError};
use rustls_pki_types::CertificateDer;

use super::place::Place;
use super::rows::{device, enrollment, id, manufacturer};

fn credential(uses: u32) -> Credential {
    Credential {
        name: "printer".into(),
        secret: Sha256([9; 32]),
        profile: "default".into(),
        uses,
        used: 0,
        created_at: Millis(1),
        expires_at: None,
        revoked_at: None,
    }
}

fn printer(number: u8, name: &str) -> KnownDevice {
    let device = Device {
        id: id(number),
        name: Some(name.into()),
        profile: "default".into(),
        site: None,
        state: DeviceState::Admitted,
        created_at: Millis(1),
        updated_at: Millis(1),
    };
    KnownDevice { device, identity: Identity::Credential { name: "printer".into() } }
}

fn spend() -> Change {
    Change::SpendCredential { name: "printer".into() }
}

async fn conflict(store: &dyn Store, changes: Vec<Change>) -> Conflict {
    match store.commit(changes, vec![]).await {
        Err(StoreError::Conflict(conflict)) => conflict,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn a_credential_is_spent_as_often_as_it_may(place: Place) {
    let store = place.open("node").await;
    assert_eq!(conflict(&*store, vec![spend()]).await, Conflict::CredentialSpent);
    store.commit(vec![Change::AddCredential(credential(2))], vec![]).await.unwrap();
    let known = printer(60, "printer.example.org");
    store.commit(vec![Change::AddDevice(known.clone()), spend()], vec![]).await.unwrap();
    store.commit(vec![spend()], vec![]).await.unwrap();
    assert_eq!(store.credential("printer").await.unwrap().unwrap().used, 2);
    // What fails together with the spending is undone with it.
    let another = printer(61, "another.example.org");
    let changes = vec![Change::AddDevice(another), spend()];
    assert_eq!(conflict(&*store, changes).await, Conflict::CredentialDevice("printer".into()));
    assert_eq!(conflict(&*store, vec![spend()]).await, Conflict::CredentialSpent);
    assert_eq!(store.device_by_credential("printer").await.unwrap(), Some(known));
    assert_eq!(store.device_by_credential("nobody").await.unwrap(), None);
    assert_eq!(store.credential("nobody").await.unwrap(), None);
}

pub(super) async fn a_revoked_credential_is_not_spent(place: Place) {
    let store = place.open("node").await;
    let revoke = Change::RevokeCredential { name: "printer".into(), at: Millis(2) };
    store.commit(vec![Change::AddCredential(credential(2)), revoke], vec![]).await.unwrap();
    assert_eq!(conflict(&*store, vec![spend()]).await, Conflict::CredentialSpent);
}

pub(super) async fn the_other_holder_of_a_key_is_found(place: Place) {
    let store = place.open("node").await;
    let certificate = IssuedCertificate {
        fingerprint: Sha256([1; 32]),
        device: id(10),
        enrollment: id(30),
        issuer: "ca".into(),
        authority: None,
        certificate: CertificateDer::from(vec![1]),
        serial: "0a".into(),
        spki: Sha256([6; 32]),
        not_before: Millis(1),
        not_after: Millis(2),
        revoked_at: None,
        created_at: Millis(3),
    };
    let mut wanted = enrollment(30, 1);
    wanted.replaces = Some(Sha256([5; 32]));
    let changes = vec![
        Change::AddManufacturer(manufacturer()),
        Change::AddDevice(device(10, "a.example.org", "S1")),
        Change::AddDevice(device(11, "b.example.org", "S2")),
        Change::ApproveEnrollment(wanted.clone()),
        Change::AddCertificate(certificate.clone()),
    ];
    store.commit(changes, vec![]).await.unwrap();
    assert_eq!(store.enrollment(&id(30)).await.unwrap(), Some(wanted));
    let holder = |spki: Sha256, device: u8| {
        let store = &store;
        async move { store.other_holder(&spki, &id(device)).await.unwrap() }
    };
    assert_eq!(holder(Sha256([6; 32]), 10).await, None, "its own");
    assert_eq!(holder(Sha256([6; 32]), 11).await, Some(id(10)), "a certificate's");
    let SeenIdevid { spki, .. } = device(10, "", "").identity.seen().unwrap().clone();
    assert_eq!(holder(spki, 11).await, Some(id(10)), "an IDevID's");
    assert_eq!(holder(Sha256([0; 32]), 11).await, None);
    assert_eq!(store.certificates_by_serial("0a").await.unwrap(), [certificate]);
    assert_eq!(store.certificates_by_serial("0b").await.unwrap(), []);
}
