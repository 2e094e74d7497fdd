//! Health: on the metrics' own listener and on the admin listeners, while the store is away and while the daemon ends.

use std::time::Duration;

use anyhow::Context as _;
use brski_lab::process::until;
use brski_tests::admin::{over_socket, request};
use brski_tests::postgres::Cluster;
use brski_tests::site::edit;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::shown::{LIMIT, get, samples, showing};

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_on_the_admin_socket_too() -> anyhow::Result<()> {
    let site = showing(|_| Ok(Vec::new())).await?;
    let folder = site.site().folder();
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(get(site.site(), path).await?.0, 200, "{path}");
        let reply = over_socket(folder, request("GET", path, None, None)?).await?;
        assert_eq!(reply.status, 200, "{path}");
    }
    assert_eq!(get(site.site(), "/readyz").await?.2, "the registrar is ready\n");
    let elsewhere = get(site.site(), "/v1/devices").await;
    assert!(elsewhere.is_err() || elsewhere?.0 == 404, "the admin API is not there");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn not_ready_while_postgres_is_away() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let Some(mut cluster) = Cluster::start()? else {
        return Ok(());
    };
    let url = cluster.database()?;
    let site = showing(|folder| {
        let file = folder.join("postgres.url");
        std::fs::write(&file, &url)?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
        let store = "url_file = \"postgres.url\"\nnode = \"one\"";
        edit(folder, "path = \"registrar.db\"", store)?;
        Ok(Vec::new())
    })
    .await?;
    assert_eq!(get(site.site(), "/readyz").await?.0, 200);
    cluster.stop()?;
    let (status, _, text) = get(site.site(), "/readyz").await?;
    assert_eq!(status, 503, "{text}");
    assert!(text.starts_with("not ready: the store"), "{text}");
    assert_eq!(get(site.site(), "/healthz").await?.0, 200, "it lives all the same");
    let failures = "registrar_store_failures_total{operation=\"read\"}";
    assert!(samples(site.site()).await?[failures] >= 1.0);
    cluster.resume()?;
    let ready = until(LIMIT, async || match get(site.site(), "/readyz").await {
        Ok((200, ..)) => Some(()),
        _ => None,
    });
    ready.await.context("it is ready again")?;
    site.lab.registrar.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_ends_says_so_until_the_last_answer_is_given() -> anyhow::Result<()> {
    let site = showing(|_| Ok(Vec::new())).await?;
    let mut stream = tls(&site).await?;
    // A request whose body is awaited keeps its connection open.
    let head = "POST /.well-known/brski/requestvoucher HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\
                expect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await?;
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let open = "registrar_tls_connections_open{listener=\"est\"}";
    assert_eq!(samples(site.site()).await?[open], 1.0);
    let process = site.lab.registrar.process_id().context("it runs")?;
    let told = tokio::process::Command::new("kill").arg(process.to_string()).status().await?;
    assert!(told.success());
    let ending = until(LIMIT, async || match get(site.site(), "/readyz").await {
        Ok((503, _, text)) => Some(text),
        _ => None,
    });
    let text = ending.await.context("it says that it ends")?;
    assert_eq!(text, "not ready: the registrar is shutting down\n");
    stream.write_all(b"body").await?;
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await??;
    assert!(answer.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer));
    let gone = until(LIMIT, async || get(site.site(), "/readyz").await.is_err().then_some(()));
    gone.await.context("the listener ends last")?;
    Ok(())
}

/// A TLS connection of a client without a certificate.
async fn tls(
    site: &brski_tests::site::TestSite,
) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    use rustls::pki_types::pem::PemObject as _;

    let mut anchors = rustls::RootCertStore::empty();
    let root = site.site().folder().join("domain-ca.pem");
    anchors.add(rustls::pki_types::CertificateDer::from_pem_file(root)?)?;
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let configuration = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(anchors)
        .with_no_client_auth();
    let stream = TcpStream::connect(site.lab.registrar.address()).await?;
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(configuration));
    Ok(connector.connect(ServerName::try_from("localhost")?, stream).await?)
}
