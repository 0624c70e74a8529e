//! Logs: one line an event, to stderr. Only events of this crate are written, because a library's may show what ours
//! never do: addresses in URLs, tokens in headers. Ours carry refs, ids, counts and redacted words.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, filter, fmt};

/// The variable that sets the filter by hand, in tracing's syntax: `debug`, `propsync::http=trace`.
pub const FILTER: &str = "PROPSYNC_LOG";

/// How much is said, from the flags `--quiet` and `-v`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// `--quiet`: errors.
    Quiet,
    /// Warnings too.
    Normal,
    /// `-v`: what is being done.
    Verbose,
    /// `-vv`: every decision.
    Debug,
    /// `-vvv`: everything.
    Trace,
}

impl Verbosity {
    /// The verbosity that the flags ask for.
    #[must_use]
    pub fn of(quiet: bool, verbose: u8) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Quiet,
            (false, 0) => Self::Normal,
            (false, 1) => Self::Verbose,
            (false, 2) => Self::Debug,
            (false, _) => Self::Trace,
        }
    }

    fn directive(self) -> &'static str {
        match self {
            Self::Quiet => "error",
            Self::Normal => "warn",
            Self::Verbose => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Starts writing logs to stderr, for the life of the process. `filter` overrides the verbosity.
/// Fails when the filter cannot be read; a second call changes nothing.
pub fn start(verbosity: Verbosity, filter: Option<&str>) -> Result<(), filter::ParseError> {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = subscriber(verbosity, filter, colour, std::io::stderr)?;
    // Only a second call can fail here, and the first one's subscriber serves as well.
    drop(tracing::subscriber::set_global_default(subscriber));
    Ok(())
}

fn subscriber<W>(
    verbosity: Verbosity,
    filter: Option<&str>,
    colour: bool,
    writer: W,
) -> Result<impl tracing::Subscriber + Send + Sync, filter::ParseError>
where
    W: for<'w> fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let level = EnvFilter::builder().parse(filter.unwrap_or(verbosity.directive()))?;
    let ours = filter::filter_fn(|meta| {
        let mut rooms = meta.target().split("::");
        rooms.next() == Some(env!("CARGO_CRATE_NAME"))
    });
    let lines = fmt::layer().with_ansi(colour).with_writer(writer).with_filter(ours);
    Ok(Registry::default().with(level).with(lines))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("a lock").write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(verbosity: Verbosity, filter: Option<&str>) -> String {
        let lines = Lines::default();
        let sink = lines.clone();
        let subscriber = subscriber(verbosity, filter, false, move || sink.clone()).expect("a filter");
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!("ours at error");
            tracing::info!("ours at info");
            tracing::error!(target: "hyper::client", "GET /contacts?email=someone");
            tracing::error!(target: "propsyncx", "a neighbour");
        });
        String::from_utf8(lines.0.lock().expect("a lock").clone()).expect("text")
    }

    #[test]
    fn only_our_own_events_are_written() {
        let all = written(Verbosity::Trace, Some("trace"));
        assert!(all.contains("ours at error") && all.contains("ours at info"), "{all}");
        assert!(!all.contains("GET") && !all.contains("neighbour"), "{all}");
    }

    #[test]
    fn the_filter_overrides_the_flags() {
        assert!(!written(Verbosity::of(false, 0), None).contains("at info"));
        assert!(written(Verbosity::of(false, 1), None).contains("at info"));
        assert!(!written(Verbosity::of(false, 3), Some("propsync=error")).contains("at info"));
    }
}
