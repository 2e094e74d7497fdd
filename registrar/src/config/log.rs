//! The section `[log]`: what is logged, as what, and where spans go.

use http::Uri;

use super::raw;
use super::reader::{Reader, nearest};

/// The levels, the quietest first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What is logged, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, or a filter such as `info,brski_registrar::masa=debug`.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
    /// The base URL of an OTLP collector that spans go to over HTTP.
    pub otlp_endpoint: Option<String>,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Reader {
    pub(super) fn log(&mut self, log: raw::Log) -> LogConfig {
        if let Err(reason) = is_filter(&log.level) {
            self.problem("log.level", reason);
        }
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let format = self.choose("log.format", &log.format, &formats).unwrap_or(LogFormat::Text);
        if let Some(endpoint) = &log.otlp_endpoint {
            if !cfg!(feature = "otlp") {
                let reason = "this program was built without OTLP: build it with \
                              'cargo build --release --features otlp', or leave the key out";
                self.problem("log.otlp_endpoint", reason.to_owned());
            } else if !is_web_address(endpoint) {
                let reason = format!(
                    "{endpoint:?} is no address of a collector, such as \"http://127.0.0.1:4318\""
                );
                self.problem("log.otlp_endpoint", reason);
            }
        }
        LogConfig { level: log.level, format, otlp_endpoint: log.otlp_endpoint }
    }
}

/// Whether a text is a level or a filter by module; a mistyped level would be read as the name of a module.
fn is_filter(text: &str) -> Result<(), String> {
    let is_one_word = !text.contains(['=', ',', '[', ':']);
    if is_one_word && !LEVELS.iter().any(|level| text.eq_ignore_ascii_case(level)) {
        let meant = nearest(text, LEVELS)
            .map_or_else(String::new, |level| format!("; did you mean {level:?}?"));
        return Err(format!("{text:?} is none of {}{meant}", LEVELS.join(", ")));
    }
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{text:?} is no filter: {error}")),
    }
}

fn is_web_address(text: &str) -> bool {
    text.parse::<Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_levels_and_filters_and_names_the_nearest_level() {
        for text in
            ["info", "DEBUG", "off", "info,brski_registrar=debug", "brski_registrar::http=trace"]
        {
            is_filter(text).unwrap();
        }
        let reason = is_filter("inof").unwrap_err();
        assert!(reason.contains("did you mean \"info\"?"), "{reason}");
        for text in ["", "a=b=c", "info,x=loud"] {
            is_filter(text).unwrap_err();
        }
    }
}
