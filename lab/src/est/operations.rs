//! What a person wants of an EST server, each from the first connection to the last answer (RFC 7030 §4).

use brski_est::client::{EstServer, Generated, Issued, KeyDelivery, Renewal};
use brski_est::csr_attributes::CsrPlan;
use brski_est::path::Operation;
use brski_est::renewal_info::CertificateId;
use brski_est::server_keygen::DecryptionKey;
use rustls_pki_types::CertificateDer;

use super::client::{Client, ClientError};
use super::request::CsrMaker;

/// Fetches the CA certificates, in the order sent.
///
/// # Errors
/// [`ClientError`].
pub async fn ca_certs(client: &mut Client) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let operation = Operation::CaCerts;
    let request = |server: &EstServer, _: Option<&_>| Ok(server.ca_certs());
    let told = client.ask(operation, request, EstServer::read_ca_certs).await?;
    told.ok_or(ClientError::NotOffered { operation })
}

/// Asks what to put into a CSR; an empty plan where the server has nothing to say.
///
/// # Errors
/// [`ClientError`].
pub async fn csr_attrs(client: &mut Client) -> Result<CsrPlan, ClientError> {
    let request = |server: &EstServer, _: Option<&_>| Ok(server.csr_attrs());
    let told = client.ask(Operation::CsrAttrs, request, EstServer::read_csr_attrs).await?;
    Ok(told.unwrap_or_else(CsrPlan::empty))
}

/// Enrolls or, by [`Operation::SimpleReenroll`], renews.
///
/// # Errors
/// [`ClientError`].
pub async fn enroll(
    client: &mut Client,
    operation: Operation,
    mut maker: CsrMaker<'_>,
) -> Result<Issued, ClientError> {
    let spki = maker.spki_der();
    let told = client
        .ask(
            operation,
            |server, binding| maker.request(server, operation, binding),
            |server, response, now| server.read_enrolled(response, &spki, now),
        )
        .await?;
    told.ok_or(ClientError::NotOffered { operation })
}

/// Has the server make a key, encrypted for `recipient` where there is one.
///
/// # Errors
/// [`ClientError`].
pub async fn generate(
    client: &mut Client,
    mut maker: CsrMaker<'_>,
    recipient: Option<&DecryptionKey>,
) -> Result<Generated, ClientError> {
    let operation = Operation::ServerKeygen;
    let expected = || recipient.map_or(KeyDelivery::Plain, KeyDelivery::Encrypted);
    let told = client
        .ask(
            operation,
            |server, binding| maker.request(server, operation, binding),
            |server, response, now| server.read_generated(response, expected(), now),
        )
        .await?;
    told.ok_or(ClientError::NotOffered { operation })
}

/// Asks when to renew a certificate.
///
/// # Errors
/// [`ClientError`].
pub async fn renewal_info(
    client: &mut Client,
    certificate: &CertificateId,
) -> Result<Renewal, ClientError> {
    let operation = Operation::RenewalInfo;
    let request = |server: &EstServer, _: Option<&_>| Ok(server.renewal_info(certificate));
    let told = client.ask(operation, request, EstServer::read_renewal_info).await?;
    told.ok_or(ClientError::NotOffered { operation })
}
