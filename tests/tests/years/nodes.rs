//! Two registrars on one PostgreSQL: what one renews or rotates, the other shows within seconds.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use brski_lab::pki::Manufacturer;
use brski_lab::pledge::Pledge;
use brski_lab::registrar::Site;
use brski_lab::{process, up};
use brski_tests::postgres::Cluster;
use brski_tests::programs;
use brski_tests::site::{edit, json};
use rustls_pki_types::CertificateDer;

/// Copies a registrar's folder, as an operator does who adds a node.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_nodes_show_what_one_of_them_renewed_or_rotated() -> anyhow::Result<()> {
    let Some(cluster) = Cluster::start()? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let (first_folder, second_folder) = (folder.path().join("first"), folder.path().join("second"));
    let program = programs::ours("registrar")?;
    let first = Site::new(&program, &first_folder)?;
    let listen = format!("127.0.0.1:{}", process::free_port()?);
    first.init(&["--domain", up::ZONE, "--listen", &listen]).await?;
    let url = first_folder.join("postgres.url");
    std::fs::write(&url, cluster.database()?)?;
    std::fs::set_permissions(&url, std::fs::Permissions::from_mode(0o600))?;
    let store = "url_file = \"postgres.url\"\nnode = \"first\"";
    edit(&first_folder, "path = \"registrar.db\"", store)?;
    copy(&first_folder, &second_folder)?;
    edit(&second_folder, "node = \"first\"", "node = \"second\"")?;
    let other = format!("127.0.0.1:{}", process::free_port()?);
    edit(&second_folder, &listen, &other)?;
    // The second one has no key of the domain CA: it follows all the same.
    std::fs::remove_file(second_folder.join("domain-ca.key"))?;
    let first = first.serve().await?;
    let second = Site::new(&program, &second_folder)?.serve().await?;

    let manufacturer = Manufacturer::new("lab-devices")?;
    let idevid = manufacturer.authority.idevid("ANYBODY", "https://localhost/")?;
    let pledge = Pledge::new(idevid, manufacturer.authority.certificate())?;
    let shown = async |address: SocketAddr| -> Vec<CertificateDer<'static>> {
        let connected = pledge.connect(address).await;
        connected.map(|(_, chain)| chain.certificates().to_vec()).unwrap_or_default()
    };
    let before = shown(first.address()).await;
    assert_eq!(shown(second.address()).await, before);
    let mut last = before;
    for command in ["identity renew", "ca rotate"] {
        first.site().command::<&str>(command, &[]).await?;
        let now = shown(first.address()).await;
        assert_ne!(now, last, "{command}");
        let same = process::until(Duration::from_secs(10), async || {
            (shown(second.address()).await == now).then_some(())
        });
        assert!(same.await.is_some(), "{command}: the other node still shows another one");
        last = now;
    }
    assert_eq!(last.len(), 2, "the certificate, and what leads to the earlier root");
    let identities = (
        json(first.site(), "identity show", &[]).await?,
        json(second.site(), "identity show", &[]).await?,
    );
    assert_eq!(identities.0, identities.1);
    Ok(())
}
