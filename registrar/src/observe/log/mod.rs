//! The log: lines of text or of JSON on stderr, and spans to a collector where one is configured.
//!
//! Whatever a peer sent may stand in a line. In both formats it stays within its field of its line: text quotes and
//! escapes every value that is not plain, JSON escapes beyond what it must, so that no terminal obeys what it shows.

use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, Layered, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use self::json::Escaping;
use self::text::PlainFields;
#[cfg(feature = "otlp")]
use super::otlp;
use crate::config::{LogConfig, LogFormat};

mod json;
mod text;

/// Why there is no log.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LogError {
    /// The level is no filter.
    #[error("log.level {level:?} is no level and no filter")]
    Level {
        /// What is written.
        level: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The log was started before.
    #[error("the log was started before")]
    Started(#[source] tracing_subscriber::util::TryInitError),
    /// The level can be changed no more.
    #[error("the log is gone")]
    Gone(#[source] reload::Error),
    /// Spans cannot be exported.
    #[cfg(feature = "otlp")]
    #[error(transparent)]
    Otlp(#[from] otlp::OtlpError),
}

/// The running log.
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    #[cfg(feature = "otlp")]
    exporter: Option<otlp::Exporter>,
}

impl Log {
    /// Starts the log of this process, on stderr. Spans are exported from within a Tokio runtime.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn start(config: &LogConfig) -> Result<Self, LogError> {
        let (subscriber, filter) = subscriber(config, std::io::stderr)?;
        #[cfg(feature = "otlp")]
        {
            let exporter = config.otlp_endpoint.as_deref().map(otlp::Exporter::new).transpose()?;
            let layer = exporter.as_ref().map(otlp::Exporter::layer);
            subscriber.with(layer).try_init().map_err(LogError::Started)?;
            Ok(Self { filter, exporter })
        }
        #[cfg(not(feature = "otlp"))]
        {
            subscriber.try_init().map_err(LogError::Started)?;
            Ok(Self { filter })
        }
    }

    /// Changes what is logged from now on.
    ///
    /// # Errors
    /// [`LogError::Level`]; then everything stays as it was.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        self.filter.reload(filter(level)?).map_err(LogError::Gone)
    }

    /// Sends the spans that are left.
    pub async fn end(&self) {
        #[cfg(feature = "otlp")]
        if let Some(exporter) = &self.exporter {
            exporter.end().await;
        }
    }
}

/// An error with what is below it, which its own words leave out.
#[must_use]
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(below) = source {
        text.push_str(": ");
        text.push_str(&below.to_string());
        source = below.source();
    }
    text
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(level)
        .map_err(|source| LogError::Level { level: level.to_owned(), source })
}

type Lines = Layered<Box<dyn Layer<Registry> + Send + Sync>, Registry>;

/// What writes lines, and the way to change which.
fn subscriber<W>(
    config: &LogConfig,
    writer: W,
) -> Result<
    (
        impl Subscriber + Send + Sync + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
        reload::Handle<EnvFilter, Registry>,
    ),
    LogError,
>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(&config.level)?);
    // The library would tell on stderr that a line cannot be written, and panic where stderr is what cannot be written.
    let layer = fmt::layer().with_target(false).with_ansi(false).log_internal_errors(false);
    let layer = match config.format {
        LogFormat::Text => {
            layer.fmt_fields(PlainFields).with_writer(writer).with_filter(filter).boxed()
        }
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(Escaping(writer))
            .with_filter(filter)
            .boxed(),
    };
    let subscriber: Lines = tracing_subscriber::registry().with(layer);
    Ok((subscriber, handle))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing::{debug, info, info_span};

    use super::*;
    use crate::observe::decision;
    use crate::store::model::{Event, Id, Millis, Verdict};

    /// What a line must not carry as it is: a new line that looks like one of ours, a colour, a bell, a quote, a CSI
    /// of one character, a change of direction.
    const HOSTILE: &str = "A\"B\\C\n2026-01-01T00:00:00Z  INFO decision kind=voucher-issued \
                           verdict=done\r\u{1b}[31mred\u{7}\u{9b}2J\u{202e}\u{2028}end";

    /// A writer into memory.
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Memory {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn logged(format: LogFormat, level: &str, work: impl FnOnce()) -> String {
        let memory = Memory::default();
        let config = LogConfig { level: level.into(), format, otlp_endpoint: None };
        let writer = {
            let memory = memory.clone();
            move || memory.clone()
        };
        let (subscriber, _) = subscriber(&config, writer).unwrap();
        tracing::subscriber::with_default(subscriber, work);
        memory.text()
    }

    fn event(text: &str) -> Event {
        Event {
            time: Millis(0),
            kind: "voucher-request-serial",
            verdict: Verdict::Refused,
            device: Some(Id::from_random([7; 16])),
            peer: format!("192.0.2.1:1 IDevID {text} of pumps"),
            clause: "RFC 8995 §5.5",
            detail: format!("serial number {text}"),
            correlation: "c1".into(),
        }
    }

    fn is_plain(text: &str) -> bool {
        text.chars().all(|each| each == '§' || (' '..='~').contains(&each))
    }

    #[test]
    fn a_decision_is_one_line_of_text_whatever_a_peer_sent() {
        let text = logged(LogFormat::Text, "info", || decision::tell(&event(HOSTILE)));
        let line = text.strip_suffix('\n').unwrap();
        assert!(is_plain(line), "{line}");
        let outside: String = line.replace("\\\"", "").split('"').step_by(2).collect();
        assert_eq!(outside.matches("kind=").count(), 1, "the others stand within quotes: {line}");
        let fields = "INFO decision kind=voucher-request-serial verdict=refused \
                      device=07070707070707070707070707070707 peer=\"192.0.2.1:1 IDevID A\\\"B\\\\C\\n2026";
        assert!(line.contains(fields), "{line}");
        assert!(line.contains("\\r\\u{1b}[31mred\\u{7}\\u{9b}2J\\u{202e}\\u{2028}end"), "{line}");
        assert!(line.ends_with(" correlation=c1"), "{line}");
    }

    #[test]
    fn a_decision_is_one_line_of_json_that_keeps_what_a_peer_sent() {
        let text = logged(LogFormat::Json, "info", || decision::tell(&event(HOSTILE)));
        let line = text.strip_suffix('\n').unwrap();
        assert!(is_plain(line), "{line}");
        let read: Value = serde_json::from_str(line).unwrap();
        assert_eq!(read["detail"], format!("serial number {HOSTILE}"));
        assert_eq!(read["peer"], format!("192.0.2.1:1 IDevID {HOSTILE} of pumps"));
        for (key, value) in [
            ("level", "INFO"),
            ("message", "decision"),
            ("kind", "voucher-request-serial"),
            ("verdict", "refused"),
            ("device", "07070707070707070707070707070707"),
            ("clause", "RFC 8995 §5.5"),
            ("correlation", "c1"),
        ] {
            assert_eq!(read[key], value, "{line}");
        }
        assert!(read["timestamp"].is_string());
    }

    #[test]
    fn values_that_display_themselves_and_spans_are_escaped_too() {
        let work = || {
            let span = info_span!("request", path = HOSTILE);
            let _inside = span.enter();
            info!(error = %HOSTILE, count = 3, "failed: {HOSTILE}");
        };
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, "info", work);
            let line = text.strip_suffix('\n').unwrap();
            assert!(is_plain(line), "{line}");
        }
        let text = logged(LogFormat::Text, "info", || info!(error = %"a=b", plain = %"c", "m"));
        assert!(text.ends_with("m error=\"a=b\" plain=c\n"), "{text}");
    }

    #[test]
    fn an_absent_device_is_left_out() {
        let event = Event { device: None, ..event("S") };
        let text = logged(LogFormat::Text, "info", || decision::tell(&event));
        assert!(!text.contains("device="), "{text}");
        let text = logged(LogFormat::Json, "info", || decision::tell(&event));
        assert!(!text.contains("device"), "{text}");
    }

    #[test]
    fn the_level_is_kept_and_changed() {
        let config =
            LogConfig { level: "warn".into(), format: LogFormat::Text, otlp_endpoint: None };
        let memory = Memory::default();
        let writer = {
            let memory = memory.clone();
            move || memory.clone()
        };
        let (subscriber, filter) = subscriber(&config, writer).unwrap();
        let log = Log {
            filter,
            #[cfg(feature = "otlp")]
            exporter: None,
        };
        tracing::subscriber::with_default(subscriber, || {
            info!("before");
            log.set_level("debug").unwrap();
            debug!("after");
            log.set_level("a=b=c").unwrap_err();
            debug!("still");
        });
        let text = memory.text();
        assert!(!text.contains("before"), "{text}");
        assert!(text.contains("DEBUG after") && text.contains("DEBUG still"), "{text}");
    }
}
