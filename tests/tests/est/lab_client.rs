//! `brski-lab est`, the client half of EST, against the registrar and against servers that do other things.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use brski_est::csr::{Csr, GeneralName};
use brski_est::csr_attributes::{CsrAttributes, KeyTemplate, Linking};
use brski_est::server_keygen::{Boundary, GeneratedKey, KeyAnswerBody, KeyPart};
use brski_est::transfer::{self, Folding};
use brski_est::{certs_only, media_type};
use brski_lab::pki::{Authority, Manufacturer};
use brski_lab::process;
use brski_tests::est::{basic, make_credential};
use brski_tests::programs;
use brski_tests::scripted::{ScriptedServer, Seen};
use brski_tests::site::{self, TestSite, edit, json};
use brski_voucher::certificate::Certificate;
use http::Response;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::run;

/// The client's program, with what it is always told.
struct Lab {
    program: PathBuf,
    folder: PathBuf,
    url: String,
    anchor: String,
}

impl Lab {
    /// For the registrar of a site.
    fn of_site(site: &TestSite) -> anyhow::Result<Self> {
        let anchor = site.site().folder().join("domain-ca.pem").display().to_string();
        let url = format!("https://localhost:{}", site.lab.registrar.address().port());
        let folder = site.folder.path().to_owned();
        Ok(Self { program: programs::ours("brski-lab")?, folder, url, anchor })
    }

    /// For a scripted server whose CA is kept in the folder.
    fn of_script(server: &ScriptedServer, folder: &TempDir) -> anyhow::Result<Self> {
        let anchor = folder.path().join("ca.pem").display().to_string();
        let url = format!("https://{}", server.address);
        let folder = folder.path().to_owned();
        Ok(Self { program: programs::ours("brski-lab")?, folder, url, anchor })
    }

    async fn est(&self, command: &str, arguments: &[&str]) -> anyhow::Result<Output> {
        let fixed = ["est", command, "--url", &self.url, "--cacert", &self.anchor];
        let all = fixed.iter().chain(arguments).map(|each| (*each).to_owned()).collect();
        run(self.program.clone(), all, &self.folder).await
    }

    /// What a command that succeeds prints with `--json`: one object alone.
    async fn json(&self, command: &str, arguments: &[&str]) -> anyhow::Result<Value> {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let output = self.est(command, &arguments).await?;
        crate::assert_success(&output);
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// What a command that fails says on stderr; it prints nothing on stdout.
    async fn refused(
        &self,
        command: &str,
        arguments: &[&str],
        code: i32,
    ) -> anyhow::Result<String> {
        let output = self.est(command, arguments).await?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert_eq!(output.stdout, b"", "results alone go to stdout");
        Ok(told)
    }

    /// Writes a secret as its owner alone may read it.
    fn secret(&self, name: &str, secret: &str) -> anyhow::Result<String> {
        let path = self.folder.join(name);
        std::fs::write(&path, format!("{secret}\n"))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(path.display().to_string())
    }

    fn certificate(&self, file: &str) -> anyhow::Result<Certificate> {
        let der = CertificateDer::from_pem_file(self.folder.join(file))?;
        Ok(Certificate::from_der(&der)?)
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_credential_enrolls_and_its_certificate_renews() -> anyhow::Result<()> {
    let site = site::local().await?;
    let lab = Lab::of_site(&site)?;
    let secret = make_credential(&site, "pump-1", &[]).await?;
    let secret = lab.secret("secret", &secret)?;
    let who = ["--user", "pump-1", "--secret-file", &secret];
    let told = lab.json("csrattrs", &who).await?;
    assert_eq!(told["source"], "template");
    assert_eq!(told["names"], serde_json::json!(["\"pump-1.iot.lab.example\""]));
    let strangers = lab.json("csrattrs", &[]).await?;
    assert_eq!(strangers["names"], serde_json::json!([]), "strangers are told no name");

    let issued = lab.json("enroll", &[&who[..], &["--out", "first"]].concat()).await?;
    assert_eq!(issued["names"], serde_json::json!(["pump-1.iot.lab.example"]));
    assert_eq!(mode(&lab.folder.join("first/key.pem")), 0o600);
    let first = lab.certificate("first/certificate.pem")?;
    assert_eq!(issued["pem"], std::fs::read_to_string(lab.folder.join("first/certificate.pem"))?);

    let own = ["--cert", "first/certificate.pem", "--key", "first/key.pem"];
    lab.json("reenroll", &[&own[..], &["--out", "second"]].concat()).await?;
    let second = lab.certificate("second/certificate.pem")?;
    assert_eq!(second.dns_names(), first.dns_names());
    assert_ne!(second.spki_der(), first.spki_der(), "a new key");
    let own = ["--cert", "second/certificate.pem", "--key", "second/key.pem"];
    let kept = [&own[..], &["--keep-key", "--out", "third"]].concat();
    lab.json("reenroll", &kept).await?;
    let third = lab.certificate("third/certificate.pem")?;
    assert_eq!(third.spki_der(), second.spki_der());
    assert_ne!(third.serial(), second.serial());
    assert!(!lab.folder.join("third/key.pem").exists(), "the key is where it was");

    let when = lab.json("renewal-info", &["--certificate", "third/certificate.pem"]).await?;
    assert_eq!(when["ask_again_secs"], 21600);
    assert!(when["start"].as_str() < when["end"].as_str(), "{when}");
    Ok(())
}

#[tokio::test]
async fn nothing_is_overwritten() -> anyhow::Result<()> {
    let site = site::local().await?;
    let lab = Lab::of_site(&site)?;
    std::fs::create_dir(lab.folder.join("full"))?;
    let file = lab.folder.join("full/certificate.pem");
    std::fs::write(&file, "precious")?;
    let told = lab.refused("enroll", &["--out", "full"], 1).await?;
    assert!(told.contains("nothing is overwritten"), "{told}");
    assert_eq!(std::fs::read_to_string(&file)?, "precious");
    std::fs::write(lab.folder.join("full/cacerts.pem"), "precious")?;
    let told = lab.refused("cacerts", &["--out", "full"], 1).await?;
    assert!(told.contains("cacerts.pem is there already"), "{told}");
    Ok(())
}

#[tokio::test]
async fn ca_certificates_are_printed_kept_and_told_with_their_fingerprints() -> anyhow::Result<()> {
    let site = site::local().await?;
    let lab = Lab::of_site(&site)?;
    let printed = lab.est("cacerts", &[]).await?;
    crate::assert_success(&printed);
    let all: Vec<_> = CertificateDer::pem_slice_iter(&printed.stdout).collect::<Result<_, _>>()?;
    assert_eq!(all.len(), 2, "the domain CA and the device CA");
    let told = lab.json("cacerts", &["--out", "cas"]).await?;
    assert_eq!(told["certificates"].as_array().map(Vec::len), Some(2));
    assert_eq!(std::fs::read(lab.folder.join("cas/cacerts.pem"))?, printed.stdout);
    // A stranger to the server has nothing but the fingerprints to go by.
    let any = ["est", "cacerts", "--url", &lab.url, "--danger-any-server"].map(str::to_owned);
    let output = run(lab.program.clone(), any.to_vec(), &lab.folder).await?;
    crate::assert_success(&output);
    let fingerprint = told["certificates"][0]["sha256"].as_str().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains(fingerprint));
    Ok(())
}

#[tokio::test]
async fn refusals_say_what_to_do() -> anyhow::Result<()> {
    let site = site::local().await?;
    let mut lab = Lab::of_site(&site)?;
    make_credential(&site, "pump-2", &[]).await?;
    let nobody = lab.refused("enroll", &["--name", "x.iot.lab.example", "--out", "a"], 1).await?;
    assert!(nobody.contains("Basic, \"EST\"") && nobody.contains("--secret-file"), "{nobody}");
    let wrong = lab.secret("wrong", "wrong")?;
    let told = lab
        .refused("enroll", &["--user", "pump-2", "--secret-file", &wrong, "--out", "b"], 1)
        .await?;
    assert!(told.contains("does not take the name \"pump-2\""), "{told}");
    assert!(!told.contains("wrong\n") && told.contains("--secret-file"), "{told}");
    std::fs::set_permissions(&wrong, std::fs::Permissions::from_mode(0o644))?;
    let open = ["--user", "pump-2", "--secret-file", &wrong, "--out", "b"];
    let told = lab.refused("enroll", &open, 1).await?;
    assert!(told.contains("chmod 600"), "{told}");
    let label = lab.refused("cacerts", &["--label", "no-such-label"], 1).await?;
    assert!(label.contains("404") && label.contains("--label"), "{label}");
    let not_offered =
        lab.refused("serverkeygen", &["--name", "x.iot.lab.example", "--out", "c"], 1).await?;
    assert!(not_offered.contains("serverkeygen"), "{not_offered}");
    // Another CA than the server's.
    let other = Authority::new("Other CA, LAB ONLY")?;
    let file = lab.folder.join("other.pem");
    std::fs::write(&file, other.pem())?;
    let anchor = std::mem::replace(&mut lab.anchor, file.display().to_string());
    let told = lab.refused("cacerts", &[], 1).await?;
    assert!(told.contains("UnknownIssuer") && told.contains("--cacert FILE"), "{told}");
    lab.anchor = anchor;
    // Nobody there.
    lab.url = format!("https://127.0.0.1:{}", process::free_port()?);
    let told = lab.refused("cacerts", &[], 1).await?;
    assert!(told.contains("cannot connect to 127.0.0.1:") && told.contains("--url"), "{told}");
    Ok(())
}

#[tokio::test]
async fn command_lines_that_make_no_sense_are_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let program = programs::ours("brski-lab")?;
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for (line, told) in [
        ("est cacerts", "--url"),
        ("est cacerts --url http://est.example", "https://"),
        ("est cacerts --url https://est.example/other", "path of the URL"),
        ("est cacerts --url https://est.example --label cacerts", "cannot be a label"),
        ("est enroll --url https://est.example --user me", "--secret-file"),
        ("est enroll --url https://est.example --cert a.pem", "--key"),
        ("est enroll --url https://est.example --key-type rsa-1024", "rsa-2048"),
        ("est enroll --url https://est.example --subject colour=red", "KIND is one of"),
        ("est reenroll --url https://est.example --out x", "--cert and --key"),
        ("est renewal-info --url https://est.example", "--certificate"),
        ("est serverkeygen --url https://est.example --encrypted", "--cert"),
        ("est cacerts --url https://est.example --danger-any-server --cacert a.pem", "--cacert"),
    ] {
        let output = run(program.clone(), words(line), folder.path()).await?;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {text}");
        assert!(text.contains(told), "{line}: {text}");
    }
    Ok(())
}

/// RFC 7030 §4.2.3: what waits for a person goes on with the same key.
#[tokio::test]
async fn a_waiting_enrollment_goes_on_later_with_its_key() -> anyhow::Result<()> {
    let site = site::local().await?;
    let lab = Lab::of_site(&site)?;
    let meters = Manufacturer::new("meters")?;
    let anchor = lab.folder.join("meters.pem");
    std::fs::write(&anchor, meters.authority.pem())?;
    let anchor = anchor.display().to_string();
    let arguments = ["--name", "meters", "--ca", &anchor, "--est-without-brski"];
    site.site().command("manufacturer add", &arguments).await?;
    let idevid = meters.authority.idevid("M-7", "https://masa.example")?;
    brski_lab::pki::write(&lab.folder, "idevid", &idevid)?;
    let enroll = [
        "--cert",
        "idevid.pem",
        "--key",
        "idevid.key",
        "--name",
        "m-7.iot.lab.example",
        "--out",
        "meter",
        "--wait-secs",
        "0",
    ];
    let told = lab.refused("enroll", &enroll, 75).await?;
    assert!(told.contains("come back in") && told.contains("same command again"), "{told}");
    let key = std::fs::read(lab.folder.join("meter/key.pem"))?;
    let waiting = json(site.site(), "approval list", &[]).await?;
    site.site().command("approval grant", &[waiting[0]["id"].as_str().unwrap()]).await?;
    let issued = lab.json("enroll", &enroll).await?;
    assert_eq!(issued["names"], serde_json::json!(["m-7.iot.lab.example"]));
    assert_eq!(std::fs::read(lab.folder.join("meter/key.pem"))?, key);
    Ok(())
}

/// RFC 7030 §3.5, RFC 9266.
#[tokio::test]
async fn a_csr_is_linked_to_its_session_where_the_server_asks_for_it() -> anyhow::Result<()> {
    let site = site::local().await?;
    let lab = Lab::of_site(&site)?;
    let secret = make_credential(&site, "linked", &[]).await?;
    let secret = lab.secret("secret", &secret)?;
    edit(site.site().folder(), "require_linking = false", "require_linking = true")?;
    site.site().command::<&str>("reload", &[]).await?;
    let who = ["--user", "linked", "--secret-file", &secret];
    assert_eq!(lab.json("csrattrs", &who).await?["challenge_password"], true);
    let issued = lab.json("enroll", &[&who[..], &["--out", "linked"]].concat()).await?;
    assert_eq!(issued["names"], serde_json::json!(["linked.iot.lab.example"]));
    Ok(())
}

/// A scripted server on the loopback interface, and the folder with its CA.
async fn scripted(
    listen: [u8; 4],
    script: impl Fn(usize, &Seen) -> Response<Vec<u8>> + Send + Sync + 'static,
) -> anyhow::Result<(ScriptedServer, TempDir)> {
    let authority = Authority::new("EST CA, LAB ONLY")?;
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("ca.pem"), authority.pem())?;
    let server = ScriptedServer::start(SocketAddr::from((listen, 0)), &authority, script).await?;
    Ok((server, folder))
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Response<Vec<u8>> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

fn not_found() -> Response<Vec<u8>> {
    answer(404, &[], "")
}

/// A certificate for the key of a CSR, and that of the CA above it.
fn issue(csr: &[u8]) -> [CertificateDer<'static>; 2] {
    let csr = Csr::parse(&transfer::decode_csr(csr).unwrap()).unwrap().prove().unwrap();
    let request = rcgen::CertificateSigningRequestParams::from_der(&csr.der().into()).unwrap();
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::CertifiedIssuer::self_signed(parameters, key).unwrap();
    [request.signed_by(&issuer).unwrap().der().clone(), issuer.der().clone()]
}

/// RFC 7030 §4.2.3: the request is repeated as it was; the chain may stand beside the certificate, in any order.
#[tokio::test]
async fn a_202_is_waited_for_over_a_new_connection() -> anyhow::Result<()> {
    let (server, folder) =
        scripted([127, 0, 0, 1], |before, seen| match (seen.path.as_str(), before) {
            ("/.well-known/est/simpleenroll", 1) => answer(202, &[("retry-after", "1")], ""),
            ("/.well-known/est/simpleenroll", _) => {
                let [own, above] = issue(&seen.body);
                let message = certs_only::encode(&[&above, &own]);
                answer(200, &[], transfer::encode(&message, Folding::WhenLong))
            }
            _ => not_found(),
        })
        .await?;
    let lab = Lab::of_script(&server, &folder)?;
    let enroll = [
        "--name",
        "a.example.org",
        "--subject",
        "CN=a.example.org",
        "--out",
        "a",
        "--key-type",
        "ec-p384",
    ];
    let issued = lab.json("enroll", &enroll).await?;
    assert_eq!(issued["names"], serde_json::json!(["a.example.org"]));
    assert!(issued["subject"].as_str().unwrap().contains("a.example.org"));
    let files: Vec<&str> =
        issued["files"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(files, ["a/certificate.pem", "a/chain.pem", "a/key.pem"]);
    let seen = server.seen();
    let connections: Vec<usize> = seen.iter().map(|each| each.connection).collect();
    assert_eq!(
        connections,
        [0, 0, 1],
        "csrattrs and the first try share one, the second has its own"
    );
    assert_eq!(seen[1].body, seen[2].body);
    Ok(())
}

/// RFC 7030 §3.2.3: the name and the secret are sent when the server asks, and by Digest where it knows that.
#[tokio::test]
async fn a_401_is_answered_by_the_better_scheme() -> anyhow::Result<()> {
    for (challenge, scheme) in [
        ("Basic realm=\"est\"", "Basic "),
        (
            "Basic realm=\"est\", Digest realm=\"est\", nonce=\"abc\", qop=\"auth\"",
            "Digest username=\"me\"",
        ),
    ] {
        let (server, folder) = scripted([127, 0, 0, 1], move |_, seen| {
            let is_known = seen.header("authorization").starts_with(scheme);
            match seen.path.as_str() {
                "/.well-known/est/simpleenroll" if is_known => answer(
                    200,
                    &[],
                    transfer::encode(&certs_only::encode(&[&issue(&seen.body)[0]]), Folding::Never),
                ),
                "/.well-known/est/simpleenroll" => {
                    answer(401, &[("www-authenticate", challenge)], "")
                }
                _ => not_found(),
            }
        })
        .await?;
        let lab = Lab::of_script(&server, &folder)?;
        let secret = lab.secret("secret", "s3cret")?;
        let enroll =
            ["--user", "me", "--secret-file", &secret, "--name", "a.example.org", "--out", "a"];
        lab.json("enroll", &enroll).await?;
        let clear = basic("me", "s3cret");
        assert!(server.seen().iter().any(|each| each.header("authorization").starts_with(scheme)));
        let is_clear = server.seen().iter().any(|each| {
            each.path.ends_with("simpleenroll") && each.header("authorization") == clear
        });
        assert_eq!(is_clear, scheme == "Basic ");
    }
    Ok(())
}

/// RFC 9908 §3.4, RFC 7030 §4.5.2.
#[tokio::test]
async fn the_csr_is_what_the_server_asks_for() -> anyhow::Result<()> {
    let attributes = CsrAttributes {
        dns_name: Some("given.example.org".into()),
        key: Some(KeyTemplate::Ed25519),
        linking: Linking::NotAsked,
    };
    for body in [attributes.to_der(), attributes.to_list_der()] {
        let (server, folder) = scripted([127, 0, 0, 1], move |_, seen| {
            match seen.path.as_str() {
                "/.well-known/est/plant/csrattrs" => {
                    answer(200, &[], transfer::encode(&body, Folding::Never))
                }
                "/.well-known/est/plant/simpleenroll" => {
                    // The standard's answer is one certificate; some send PEM.
                    let pem = brski_lab::pki::pem("CERTIFICATE", &issue(&seen.body)[0]);
                    answer(200, &[], pem)
                }
                _ => not_found(),
            }
        })
        .await?;
        let lab = Lab::of_script(&server, &folder)?;
        let enroll = ["--label", "plant", "--name", "wished.example.org", "--out", "a"];
        let output = lab.est("enroll", &enroll).await?;
        crate::assert_success(&output);
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("gives the name given.example.org")
        );
        let csr = Csr::parse(&transfer::decode_csr(&server.seen()[1].body)?)?;
        assert_eq!(csr.subject_alt_names()?, [GeneralName::Dns("given.example.org".into())]);
        assert_eq!(csr.key_algorithm().to_string(), "ed25519");
    }
    Ok(())
}

/// RFC 7030 §4.4.2.
#[tokio::test]
async fn a_key_of_the_server_is_kept_for_its_owner_alone() -> anyhow::Result<()> {
    let (server, folder) = scripted([127, 0, 0, 1], |_, seen| {
        if !seen.path.ends_with("serverkeygen") {
            return not_found();
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["a.example.org".into()]).unwrap();
        let own = parameters.self_signed(&key).unwrap();
        let part = KeyPart::Plain(GeneratedKey::from_pkcs8_der(key.serialized_der()));
        let boundary = Boundary::from_random([7; 16]);
        let body = KeyAnswerBody::new(&part, own.der(), &boundary, Folding::Never);
        answer(200, &[("content-type", body.content_type())], body.body())
    })
    .await?;
    let lab = Lab::of_script(&server, &folder)?;
    lab.json("serverkeygen", &["--name", "a.example.org", "--out", "made"]).await?;
    assert_eq!(mode(&lab.folder.join("made/key.pem")), 0o600);
    let key = rcgen::KeyPair::from_pem(&std::fs::read_to_string(lab.folder.join("made/key.pem"))?)?;
    let certificate = lab.certificate("made/certificate.pem")?;
    assert!(certificate.spki_der().ends_with(key.public_key_raw()));
    // A server that does not encrypt where it was asked to is not believed.
    let idevid = Authority::new("Maker CA, LAB ONLY")?.idevid("S-1", "masa.example")?;
    brski_lab::pki::write(&lab.folder, "idevid", &idevid)?;
    let encrypted =
        ["--cert", "idevid.pem", "--key", "idevid.key", "--encrypted", "--out", "other"];
    let told = lab.refused("serverkeygen", &encrypted, 1).await?;
    assert!(told.contains("serverkeygen") || told.contains("key identifier"), "{told}");
    assert!(!lab.folder.join("other/key.pem").exists());
    Ok(())
}

#[tokio::test]
async fn a_redirection_is_followed_within_the_server_and_told_otherwise() -> anyhow::Result<()> {
    let authority = Authority::new("EST CA, LAB ONLY")?;
    let body = transfer::encode(&certs_only::encode(&[authority.certificate()]), Folding::Never);
    let (server, folder) = scripted([127, 0, 0, 1], move |_, seen| match seen.path.as_str() {
        "/.well-known/est/cacerts" => answer(302, &[("location", "/moved")], ""),
        "/moved" => answer(200, &[("content-type", media_type::CA_CERTS)], body.clone()),
        "/.well-known/est/away/cacerts" => {
            answer(302, &[("location", "https://other.example/cacerts")], "")
        }
        path => answer(302, &[("location", path)], ""),
    })
    .await?;
    let lab = Lab::of_script(&server, &folder)?;
    lab.json("cacerts", &[]).await?;
    let told = lab.refused("cacerts", &["--label", "away"], 1).await?;
    assert!(told.contains("https://other.example/cacerts, which is not itself"), "{told}");
    let told = lab.refused("cacerts", &["--label", "round"], 1).await?;
    assert!(told.contains("redirected more than 3 times"), "{told}");
    Ok(())
}

/// RFC 7030 §3.6.1: the name in the URL counts, unless an explicit anchor vouches for a registration authority.
#[tokio::test]
async fn a_certificate_for_another_name_is_refused() -> anyhow::Result<()> {
    let (server, folder) = scripted([127, 0, 0, 2], |_, _| not_found()).await?;
    let lab = Lab::of_script(&server, &folder)?;
    let told = lab.refused("cacerts", &[], 1).await?;
    assert!(told.contains("use the name in --url"), "{told}");
    assert!(server.seen().is_empty());
    // The registrar's certificate has id-kp-cmcRA, and no name for this address.
    let site = site::prepared(|_| Ok(Vec::new())).await?;
    let mut lab = Lab::of_site(&site)?;
    lab.url = lab.url.replace("localhost", "127.0.0.1");
    lab.json("cacerts", &[]).await?;
    Ok(())
}

#[tokio::test]
async fn answers_that_are_none_are_refused_by_name() -> anyhow::Result<()> {
    let (server, folder) = scripted([127, 0, 0, 1], |_, seen| match seen.path.as_str() {
        "/.well-known/est/cacerts" => answer(200, &[], "<html>welcome</html>"),
        "/.well-known/est/simpleenroll" => answer(
            403,
            &[("content-type", "text/html")],
            "<h1>No\u{1b}[31m</h1>\n<p>the serial number is unknown</p>",
        ),
        _ => not_found(),
    })
    .await?;
    let lab = Lab::of_script(&server, &folder)?;
    let told = lab.refused("cacerts", &[], 1).await?;
    assert!(told.contains("cacerts: the server's answer cannot be read"), "{told}");
    let told = lab.refused("enroll", &["--out", "a"], 1).await?;
    assert!(
        told.contains("403 Forbidden: No") && told.contains("serial number is unknown"),
        "{told}"
    );
    assert!(!told.contains('\u{1b}'));
    Ok(())
}
