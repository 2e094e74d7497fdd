//! Real clients of the field: strongSwan's pki, curl with OpenSSL's CSRs, Python's requests.

use std::path::{Path, PathBuf};

use brski_tests::est::make_credential;
use brski_tests::programs;
use brski_tests::site::{self, TestSite, edit, json};
use brski_voucher::certificate::Certificate;

use crate::{assert_success, run};

/// strongSwan's pki with its private key and what it trusts, in the site's folder.
struct StrongSwan<'a> {
    pki: PathBuf,
    site: &'a TestSite,
    folder: &'a Path,
}

impl<'a> StrongSwan<'a> {
    /// `version`: of TLS, as its configuration writes it.
    fn new(pki: PathBuf, site: &'a TestSite, version: &str) -> anyhow::Result<Self> {
        let folder = site.folder.path();
        let settings =
            format!("libtls {{\n  version_min = {version}\n  version_max = {version}\n}}\n");
        std::fs::write(folder.join("strongswan.conf"), settings)?;
        Ok(Self { pki, site, folder })
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let arguments = arguments.iter().map(|each| (*each).to_owned()).collect();
        let output = run(self.pki.clone(), arguments, self.folder).await?;
        assert_success(&output);
        Ok(output.stdout)
    }

    /// Makes a key and a CSR for a name, in `LABEL.key` and `LABEL.csr`.
    async fn request(&self, label: &str) -> anyhow::Result<()> {
        let (key, csr) = (format!("{label}.key"), format!("{label}.csr"));
        let made = self.run(&["--gen", "--type", "ecdsa", "--size", "256"]).await?;
        std::fs::write(self.folder.join(&key), made)?;
        let name = format!("{label}.iot.lab.example");
        let subject = format!("CN={name}");
        let arguments = ["--req", "--type", "priv", "--in", &key, "--dn", &subject, "--san", &name];
        std::fs::write(self.folder.join(&csr), self.run(&arguments).await?)?;
        Ok(())
    }

    /// Enrolls with what `request` made and these options, and gives the certificate.
    async fn enroll(&self, label: &str, options: &[&str]) -> anyhow::Result<Certificate> {
        let url = format!("https://localhost:{}", self.site.lab.registrar.address().port());
        let anchor = self.site.site().folder().join("domain-ca.pem").display().to_string();
        let device_ca = self.site.site().folder().join("device-ca.pem").display().to_string();
        let csr = format!("{label}.csr");
        let fixed = [
            "--est",
            "--url",
            &url,
            "--in",
            &csr,
            "--cacert",
            &anchor,
            "--cacert",
            &device_ca,
            "--interval",
            "1",
            "--maxpolltime",
            "60",
        ];
        let arguments: Vec<&str> = fixed.iter().chain(options).copied().collect();
        Ok(Certificate::from_der(&self.run(&arguments).await?)?)
    }
}

async fn strongswan_enrolls_and_renews(version: &str) -> anyhow::Result<()> {
    let Some(pki) = programs::outside("pki", "strongswan-pki") else {
        return Ok(());
    };
    let site = site::local().await?;
    let swan = StrongSwan::new(pki, &site, version)?;
    let secret = make_credential(&site, "swan", &[]).await?;
    swan.request("swan").await?;
    let first = swan.enroll("swan", &["--userpass", &format!("swan:{secret}")]).await?;
    assert_eq!(first.dns_names(), ["swan.iot.lab.example"]);
    std::fs::write(site.folder.path().join("swan.crt"), first.der())?;
    // With --cert it asks simplereenroll, over TLS with that certificate.
    let second = swan.enroll("swan", &["--cert", "swan.crt", "--key", "swan.key"]).await?;
    assert_eq!(second.dns_names(), ["swan.iot.lab.example"]);
    assert_ne!(first.serial(), second.serial(), "another certificate");
    Ok(())
}

#[tokio::test]
async fn strongswan_enrolls_and_renews_over_tls_1_2() -> anyhow::Result<()> {
    strongswan_enrolls_and_renews("1.2").await
}

#[tokio::test]
async fn strongswan_enrolls_and_renews_over_tls_1_3() -> anyhow::Result<()> {
    strongswan_enrolls_and_renews("1.3").await
}

#[tokio::test]
async fn strongswan_polls_through_a_202_with_a_credential_for_one_use() -> anyhow::Result<()> {
    let Some(pki) = programs::outside("pki", "strongswan-pki") else {
        return Ok(());
    };
    let Some(site) = site::with_acme().await? else {
        return Ok(());
    };
    // Nothing is held: the first answer comes before any CA can have issued.
    edit(site.site().folder(), "hold_secs = 10", "hold_secs = 0")?;
    site.site().command::<&str>("reload", &[]).await?;
    let swan = StrongSwan::new(pki, &site, "1.2")?;
    let secret = make_credential(&site, "patient", &["--uses", "1"]).await?;
    swan.request("patient").await?;
    let certificate = swan.enroll("patient", &["--userpass", &format!("patient:{secret}")]).await?;
    assert_eq!(certificate.dns_names(), ["patient.iot.lab.example"]);
    let credentials = json(site.site(), "credential list", &[]).await?;
    assert_eq!(credentials[0]["used"], 1);
    assert_eq!(site.pebble_counts()?, (1, 1), "one order, however often it polled");
    Ok(())
}

#[tokio::test]
async fn curl_sends_openssl_csrs_in_every_form() -> anyhow::Result<()> {
    let (Some(curl), Some(openssl)) =
        (programs::outside("curl", "curl"), programs::outside("openssl", "openssl"))
    else {
        return Ok(());
    };
    let site = site::local().await?;
    let folder = site.folder.path();
    let secret = make_credential(&site, "curl", &["--uses", "1"]).await?;
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let make = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout curl.key \
                -subj /CN=curl.iot.lab.example -addext subjectAltName=DNS:curl.iot.lab.example \
                -out curl.pem";
    assert_success(&run(openssl.clone(), words(make), folder).await?);
    assert_success(
        &run(openssl.clone(), words("req -in curl.pem -outform DER -out curl.der"), folder).await?,
    );
    assert_success(
        &run(openssl.clone(), words("base64 -in curl.der -out folded.b64"), folder).await?,
    );
    assert_success(&run(openssl, words("base64 -A -in curl.der -out line.b64"), folder).await?);
    let folded = std::fs::read_to_string(folder.join("folded.b64"))?;
    std::fs::write(folder.join("crlf.b64"), folded.replace('\n', "\r\n"))?;
    let url = format!(
        "https://localhost:{}/.well-known/est/simpleenroll",
        site.lab.registrar.address().port()
    );
    let anchor = site.site().folder().join("domain-ca.pem").display().to_string();
    let mut issued = Vec::new();
    for (file, more) in [
        ("folded.b64", &["-H", "Content-Transfer-Encoding: base64"][..]),
        ("line.b64", &[]),
        ("crlf.b64", &["-H", "Content-Transfer-Encoding: 8bit"]),
        ("curl.pem", &[]),
        ("curl.der", &["-H", "Content-Transfer-Encoding: binary"]),
        ("line.b64", &["-H", "Transfer-Encoding: chunked"]),
    ] {
        let fixed = [
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--cacert",
            &anchor,
            "--user",
            &format!("curl:{secret}"),
            "--header",
            "Content-Type: application/pkcs10",
            "--data-binary",
            &format!("@{file}"),
            &url,
        ]
        .map(str::to_owned);
        let more = more.iter().map(|each| (*each).to_owned());
        let output = run(curl.clone(), fixed.into_iter().chain(more).collect(), folder).await?;
        assert_success(&output);
        issued.push(brski_est::transfer::decode(&output.stdout)?);
    }
    issued.dedup();
    assert_eq!(issued.len(), 1, "one CSR in six forms is one enrollment");
    Ok(())
}

/// What a Python program would do; it shares no code with this project.
const PYTHON: &str = r#"
import base64, sys
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

url, anchor, name, secret = sys.argv[1:]
session = requests.Session()
session.trust_env = False
session.verify = anchor
cas = session.get(url + "/cacerts")
assert cas.status_code == 200 and cas.headers["Content-Type"] == "application/pkcs7-mime", cas.headers
roots = pkcs7.load_der_pkcs7_certificates(base64.b64decode(cas.text))
key = ec.generate_private_key(ec.SECP256R1())
csr = (
    x509.CertificateSigningRequestBuilder()
    .subject_name(x509.Name([]))
    .add_extension(x509.SubjectAlternativeName([x509.DNSName(name + ".iot.lab.example")]), False)
    .sign(key, hashes.SHA256())
)
body = base64.encodebytes(csr.public_bytes(serialization.Encoding.DER))
headers = {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"}
answer = session.post(url + "/simpleenroll", data=body, headers=headers, auth=(name, secret))
assert answer.status_code == 200, answer.text
assert answer.headers["Content-Type"] == "application/pkcs7-mime; smime-type=certs-only"
[leaf] = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.text))
assert leaf.public_key() == key.public_key()
[root] = [each for each in roots if each.subject == leaf.issuer]
leaf.verify_directly_issued_by(root)
# And renews over TLS with what it got.
with open("leaf.pem", "wb") as file:
    file.write(leaf.public_bytes(serialization.Encoding.PEM))
    file.write(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
session.cert = "leaf.pem"
session.close()
renewed = session.post(url + "/simplereenroll", data=body, headers=headers)
assert renewed.status_code == 200, renewed.text
[second] = pkcs7.load_der_pkcs7_certificates(base64.b64decode(renewed.text))
assert second.serial_number != leaf.serial_number
print("ok")
"#;

#[tokio::test]
async fn a_python_client_enrolls_and_renews() -> anyhow::Result<()> {
    let Some(python) = programs::python() else {
        return Ok(());
    };
    let site = site::local().await?;
    let folder = site.folder.path();
    std::fs::write(folder.join("client.py"), PYTHON)?;
    let secret = make_credential(&site, "python", &[]).await?;
    let port = site.lab.registrar.address().port();
    let anchor = site.site().folder().join("domain-ca.pem").display().to_string();
    let arguments = [
        "client.py".to_owned(),
        format!("https://localhost:{port}/.well-known/est"),
        anchor,
        "python".to_owned(),
        secret,
    ];
    let output = run(python, arguments.to_vec(), folder).await?;
    assert_success(&output);
    Ok(())
}
