//! The OpenAPI document is valid and says what the server does: schemathesis makes requests from it.

use std::process::Command;

use brski_tests::admin::{Gate, over_socket, request};
use brski_tests::{programs, site};

/// What is checked. Left out: acceptance of everything that the schema allows, since no schema can say what a PEM
/// file is or which profiles there are; and authentication, which the socket has none of (`access` tests it).
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,\
                      negative_data_rejection,missing_required_header,unsupported_method,\
                      allow_header_conformance,use_after_free,ensure_resource_availability";

#[tokio::test(flavor = "multi_thread")]
async fn the_server_does_what_its_description_says() -> anyhow::Result<()> {
    let Some(python) = programs::python() else {
        return Ok(());
    };
    let site = site::local().await?;
    let gate = Gate::open(site.site().folder()).await?;
    let folder = site.folder.path().to_owned();
    let output = tokio::task::spawn_blocking(move || {
        Command::new(python.with_file_name("st"))
            .current_dir(folder)
            .arg("run")
            .arg(format!("http://{}/openapi.json", gate.address))
            .args(["--checks", CHECKS, "--max-examples", "20", "--continue-on-failure"])
            // A connection that ends after a body was refused unread is opened again.
            .args(["--request-retries", "5"])
            // The same requests each time; nothing is kept between runs.
            .args(["--generation-deterministic", "--no-color"])
            .output()
    })
    .await??;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Tested: 32"), "every operation was tried: {text}");
    Ok(())
}

#[tokio::test]
async fn the_description_names_every_operation_and_its_role() -> anyhow::Result<()> {
    let site = site::local().await?;
    let document =
        over_socket(site.site().folder(), request("GET", "/openapi.json", None, None)?).await?.body;
    assert_eq!(document["openapi"], "3.1.0");
    for (path, method) in [
        ("/v1/devices", "get"),
        ("/v1/devices/{device}/retire", "post"),
        ("/v1/approvals/{approval}/grant", "post"),
        ("/v1/certificates/{fingerprint}/revoke", "post"),
        ("/v1/credentials", "post"),
        ("/v1/orders", "get"),
        ("/v1/orders/{order}", "get"),
        ("/v1/orders/{order}/retry", "post"),
        ("/v1/orders/{order}/cancel", "post"),
        ("/v1/accounts/{issuer}", "get"),
        ("/v1/accounts/{issuer}/rotate-key", "post"),
        ("/v1/accounts/{issuer}/deactivate", "post"),
        ("/v1/tail", "get"),
        ("/v1/verification", "post"),
        ("/v1/reload", "post"),
    ] {
        let operation = &document["paths"][path][method];
        assert!(operation["operationId"].is_string(), "{method} {path}");
        assert!(operation["responses"]["403"].is_object(), "{method} {path} may be forbidden");
    }
    Ok(())
}
