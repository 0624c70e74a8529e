//! The two streams: data on stdout, talk on stderr. A reader who goes away (`| head`) is no error.

use std::io::{self, ErrorKind, IsTerminal as _, Write};

use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::envelope::Report;
use crate::cli::exit::Exit;

/// How the caller wants to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// One JSON document instead of text.
    pub json: bool,
    /// No talk: data and errors only.
    pub quiet: bool,
}

impl Manner {
    /// Writes the answer and says how the program ends.
    #[must_use]
    pub fn deliver(self, report: &Report) -> Exit {
        if report.is_silent() {
            return report.exit;
        }
        let written = write(report, self.json, &mut io::stdout().lock(), &mut io::stderr().lock());
        match written {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => report.exit.worse(Exit::Environment),
            _ => report.exit,
        }
    }

    /// A progress line, shown on a terminal only and gone when it ends.
    #[must_use]
    pub fn progress(self) -> Progress {
        let hidden = self.quiet || self.json || !io::stderr().is_terminal();
        let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        Progress(
            bar.with_style(ProgressStyle::with_template("{spinner} {msg}").unwrap_or(ProgressStyle::default_spinner())),
        )
    }
}

/// A line on stderr that says how far the work is.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Replaces the line.
    pub fn say(&self, line: impl Into<std::borrow::Cow<'static, str>>) {
        self.0.set_message(line);
        self.0.tick();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn write(report: &Report, json: bool, out: &mut impl Write, err: &mut impl Write) -> io::Result<()> {
    if json {
        writeln!(out, "{}", report.document())?;
        return out.flush();
    }
    if !report.text.is_empty() {
        writeln!(out, "{}", harmless(&report.text))?;
        out.flush()?;
    }
    match &report.error {
        Some(failure) => {
            writeln!(err, "error: {}\n    fix: {}", harmless(&failure.message), harmless(&failure.remedy))
        }
        None => Ok(()),
    }
}

/// Upstream words may carry escape sequences; a terminal must not obey them.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// A table without lines: it reads aloud, wraps nowhere and needs no colour. Columns marked `#` hold numbers.
#[must_use]
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(head.iter().map(|name| name.trim_start_matches('#')));
    for row in rows {
        table.add_row(row.iter().map(Cell::new));
    }
    for (column, name) in table.column_iter_mut().zip(head) {
        column.set_padding((0, 2));
        column.set_cell_alignment(if name.starts_with('#') { CellAlignment::Right } else { CellAlignment::Left });
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// A number with its thousands apart: `1,234,567`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 source`, `2 sources`.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::envelope::Failure;

    fn failing() -> Report {
        Report {
            text: "data".to_owned(),
            ..Report::failed("sync", Failure::new(Exit::Environment, "unreachable", "down\u{1b}[2J", "wait"))
        }
    }

    #[test]
    fn data_goes_to_stdout_and_talk_to_stderr() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        write(&failing(), false, &mut out, &mut err).expect("written");
        assert_eq!(String::from_utf8_lossy(&out), "data\n");
        assert_eq!(String::from_utf8_lossy(&err), "error: down\u{fffd}[2J\n    fix: wait\n");
    }

    #[test]
    fn json_is_exactly_one_document() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        write(&failing(), true, &mut out, &mut err).expect("written");
        let document: serde_json::Value = serde_json::from_slice(&out).expect("one document");
        assert_eq!(document["error"]["code"], "unreachable");
        assert!(err.is_empty());
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
