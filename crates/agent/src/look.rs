//! `weir status` and `weir cardinality`: what a running agent says of itself, for people.

pub(crate) mod cardinality;
pub(crate) mod status;

mod ask;
mod table;

use std::io::{self, Write, stderr, stdout};
use std::process::ExitCode;

use api::Endpoint;
use clap::Args;
use serde_json::Value;

/// Whom to ask, and how to show it.
#[derive(Debug, Args)]
pub(crate) struct Whom {
    /// Where the agent's HTTP is: HOST:PORT, or unix:PATH; what its `[http] listen` or --http says
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8126", value_parser = address)]
    http: Endpoint,
    /// Print the agent's JSON as it is
    #[arg(long)]
    json: bool,
}

fn address(text: &str) -> Result<Endpoint, String> {
    let bare = text.strip_prefix("http://").map_or(text, |rest| rest.trim_end_matches('/'));
    bare.parse().map_err(|error: api::ApiError| error.to_string())
}

/// Exit status where nothing could be shown.
const NO_ANSWER: u8 = 2;

impl Whom {
    /// Asks, and shows the answer; `show` makes of it what is to be printed.
    fn show(&self, path: &str, show: impl FnOnce(&Value) -> (String, ExitCode)) -> ExitCode {
        let (text, exit) = match ask::get(&self.http, path) {
            Ok((body, value)) => {
                let (text, exit) = show(&value);
                (if self.json { body + "\n" } else { text }, exit)
            }
            Err(error) => {
                let _ = writeln!(stderr().lock(), "weir: {error}");
                return ExitCode::from(NO_ANSWER);
            }
        };
        match stdout().lock().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let _ = writeln!(stderr().lock(), "weir: cannot write: {error}");
                ExitCode::from(NO_ANSWER)
            }
            // A reader that closed the pipe has seen enough.
            Ok(()) | Err(_) => exit,
        }
    }
}

/// A number of an answer; 0 where there is none.
fn number(of: &Value, path: &str) -> u64 {
    of.pointer(path).and_then(Value::as_u64).unwrap_or_default()
}

/// A text of an answer, fit for a terminal: clients may have named containers as they like.
fn text(of: &Value, path: &str) -> String {
    let text = of.pointer(path).and_then(Value::as_str).unwrap_or_default();
    plain(text)
}

fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    plain
}

fn list<'a>(of: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    of.pointer(path).and_then(Value::as_array).into_iter().flatten()
}

/// Which source that is, in words.
fn source(of: &Value) -> String {
    let (container, listener) = (text(of, "/container_id"), text(of, "/listener"));
    match (container.is_empty(), listener.is_empty()) {
        (false, true) => format!("container {container}"),
        (false, false) => format!("container {container} of {listener}"),
        (true, _) => listener,
    }
}

/// A number with its thousands apart, as people read it.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_fit_for_a_terminal() {
        for (number, expected) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")]
        {
            assert_eq!(grouped(number), expected);
        }
        assert_eq!(plain("a\x1b[31m\nü"), "a\\u{1b}[31m\\nü");
        for (given, expected) in [
            ("127.0.0.1:1", "tcp://127.0.0.1:1"),
            ("http://h:1/", "tcp://h:1"),
            ("tcp://h:1", "tcp://h:1"),
            ("unix:/s", "unix:/s"),
        ] {
            assert_eq!(address(given).unwrap().to_string(), expected);
        }
        assert!(address("8126").is_err());
    }
}
