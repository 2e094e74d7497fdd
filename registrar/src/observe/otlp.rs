//! Spans to a collector: OTLP over HTTP in protobuf, in batches, with the daemon's own HTTP client.
//!
//! A collector that is away costs spans and nothing else. What `OTEL_EXPORTER_OTLP_HEADERS` says is sent along, as
//! the specification of OTLP exporters wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use thiserror::Error;
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, info, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::web::{Schemes, WebClient};

/// The name of the service that the spans are of.
const SERVICE: &str = "brski-registrar";
/// How long the collector may take for a batch.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why no spans can be exported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OtlpError {
    /// TLS cannot be set up on our side.
    #[error("no TLS client can be made: {0}")]
    Tls(#[from] rustls::Error),
    /// The exporter cannot be built.
    #[error("log.otlp_endpoint: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// There is nothing that could send them.
    #[error("spans are exported from within a Tokio runtime: {0}")]
    Runtime(#[from] tokio::runtime::TryCurrentError),
}

/// What sends spans.
pub struct Exporter {
    provider: SdkTracerProvider,
}

impl Exporter {
    /// Sends to the collector at this base URL, `http://127.0.0.1:4318`, say.
    ///
    /// # Errors
    /// [`OtlpError`].
    pub fn new(endpoint: &str) -> Result<Self, OtlpError> {
        let mut anchors = RootCertStore::empty();
        anchors.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let transport = Transport {
            client: WebClient::new(provider, anchors, Schemes::HttpToo, TIMEOUT)?,
            runtime: Handle::try_current()?,
            is_failing: AtomicBool::new(false),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(transport)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build()?;
        let provider = SdkTracerProvider::builder()
            .with_resource(Resource::builder().with_service_name(SERVICE).build())
            .with_batch_exporter(exporter)
            .build();
        Ok(Self { provider })
    }

    /// What takes spans from `tracing`: those of this program, whatever the log shows.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let ours = Targets::new()
            .with_target("brski_registrar", LevelFilter::DEBUG)
            .with_target("acme_bridge", LevelFilter::DEBUG);
        tracing_opentelemetry::layer()
            .with_location(false)
            .with_threads(false)
            .with_tracer(self.provider.tracer(SERVICE))
            .with_filter(ours)
    }

    /// Sends what is left.
    pub async fn end(&self) {
        let provider = self.provider.clone();
        // It blocks its thread until the last batch is sent.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        if let Ok(Err(error)) = ended {
            warn!(%error, "the last spans were not sent");
        }
    }
}

/// Sends batches on the daemon's runtime, since the exporter's own thread has none.
#[derive(Debug)]
struct Transport {
    client: WebClient,
    runtime: Handle,
    is_failing: AtomicBool,
}

#[async_trait]
impl HttpClient for Transport {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move { client.send(request).await }).await?;
        let is_failing = sent.as_ref().map_or(true, |answer| !answer.status().is_success());
        // Said once, not with each batch.
        if is_failing != self.is_failing.swap(is_failing, Ordering::Relaxed) {
            match &sent {
                Err(error) => warn!(%error, "spans are not sent to log.otlp_endpoint"),
                Ok(answer) if is_failing => {
                    warn!(status = %answer.status(), "spans are not taken at log.otlp_endpoint");
                }
                Ok(_) => info!("spans are sent to log.otlp_endpoint again"),
            }
        }
        Ok(sent?)
    }
}
