//! Media types are compared to the letter by one client in the field.

use brski_est::media_type;

#[test]
fn media_types_are_spelled_as_clients_compare_them() {
    assert_eq!(media_type::CA_CERTS, "application/pkcs7-mime");
    assert_eq!(media_type::CERTS_ONLY, "application/pkcs7-mime; smime-type=certs-only");
    assert_eq!(media_type::PKCS10, "application/pkcs10");
    assert_eq!(media_type::CSR_ATTRS, "application/csrattrs");
    assert_eq!(media_type::PKCS8, "application/pkcs8");
    assert_eq!(
        media_type::SERVER_GENERATED_KEY,
        "application/pkcs7-mime; smime-type=server-generated-key"
    );
}
