//! `weir cardinality`: who has how many series, and why, as tables.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{Whom, grouped, list, number, source, table, text};

/// Series are what metrics cost, here and wherever they go. Shows the containers and listeners that
/// have most, the names and tag keys that make them so many, and a tag_rule for the configuration
/// that drops the worst.
///
/// Exit status: 0, or 2 if no agent answered or there is no such container.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // these texts are the program's help, not Markdown
pub(crate) struct Options {
    /// Only this container, at more length
    #[arg(long, value_name = "ID")]
    container: Option<String>,
    #[command(flatten)]
    whom: Whom,
}

/// So many sources are shown in detail.
const MOST_SOURCES: usize = 5;

/// Prints what series a running agent has.
pub(crate) fn run(options: &Options) -> ExitCode {
    let path = match &options.container {
        None => "/cardinality.json".to_owned(),
        Some(id) => format!("/cardinality.json?container={}", encoded(id)),
    };
    options.whom.show(&path, |cardinality| {
        let is_found =
            options.container.is_none() || list(cardinality, "/sources").next().is_some();
        let exit = if is_found { ExitCode::SUCCESS } else { ExitCode::from(super::NO_ANSWER) };
        (show(cardinality, is_found), exit)
    })
}

fn encoded(id: &str) -> String {
    let mut encoded = String::new();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}"); // writing to a String cannot fail
        }
    }
    encoded
}

fn show(cardinality: &Value, is_found: bool) -> String {
    let mut shown = format!(
        "{} series of {} in all\n",
        grouped(number(cardinality, "/series")),
        grouped(number(cardinality, "/limit")),
    );
    if !is_found {
        shown +=
            "\nthat container has no series: it has sent nothing of late, or is not known here\n";
        return shown;
    }
    if cardinality["complete"] == false {
        shown += "there was no time to look at all of them: names and tags are those of a part\n";
    }
    let sources: Vec<_> = list(cardinality, "/sources").collect();
    let heading = ["SERIES", "LIMIT", "REFUSED SAMPLES", "SOURCE"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(heading).chain(sources.iter().map(|of| row(of))).collect();
    shown.push('\n');
    shown += &table::of(&rows);
    for of in sources.iter().take(MOST_SOURCES).filter(|of| !of["details"].is_null()) {
        let _ = write!(shown, "\n{}\n", name(of)); // writing to a String cannot fail
        shown += &details(&of["details"]);
    }
    shown
}

fn row(of: &Value) -> Vec<String> {
    let limit = of["limit"].as_u64().map_or_else(|| "-".to_owned(), grouped);
    let refused = grouped(number(of, "/over_series_limit"));
    vec![grouped(number(of, "/series")), limit, refused, name(of)]
}

fn name(of: &Value) -> String {
    let (mut name, task_name) = (source(of), text(of, "/task_name"));
    if !task_name.is_empty() {
        let _ = write!(name, ", task {task_name}"); // writing to a String cannot fail
    }
    name
}

fn details(of: &Value) -> String {
    let heading = |cells: &[&str]| cells.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let mut rows = vec![heading(&["  SERIES", "NAME"])];
    for name in list(of, "/names") {
        rows.push(vec![grouped(number(name, "/series")), text(name, "/name")]);
    }
    let mut shown = table::of(&rows);
    let mut rows = vec![heading(&["  VALUES", "SERIES", "TAG KEY"])];
    for tag in list(of, "/tags") {
        let (values, series) = (number(tag, "/values"), number(tag, "/series"));
        rows.push(vec![grouped(values), grouped(series), text(tag, "/key")]);
    }
    if rows.len() > 1 {
        shown += &table::of(&rows);
    }
    if let Some(rule) = of["rule"].as_str() {
        // As it is: TOML's own escapes leave no control character.
        let _ = write!(shown, "  this rule drops most of them:\n\n{rule}"); // writing to a String cannot fail
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_largest_come_first_with_what_makes_them_large() {
        let source = |id: &str, limit: Value, details: Value| {
            json!({"source": "container", "container_id": id, "listener": null,
                "task_name": "cart", "series": 1_500, "limit": limit, "over_series_limit": 3,
                "details": details})
        };
        let details = json!({
            "names": [{"name": "http.time", "series": 1_400}, {"name": "cpu", "series": 100}],
            "tags": [{"key": "user", "values": 1_390, "series": 1_400}],
            "rule": "[[tag_rule]]\nmetric = \"http.time\"\n",
        });
        let cardinality = json!({"series": 3_000, "limit": 2_000_000, "complete": true,
            "sources": [source("a", json!(10_000), details), source("b", json!(null), json!(null))]});
        let expected = "\
3,000 series of 2,000,000 in all

SERIES   LIMIT  REFUSED SAMPLES  SOURCE
 1,500  10,000                3  container a, task cart
 1,500       -                3  container b, task cart

container a, task cart
  SERIES  NAME
   1,400  http.time
     100  cpu
  VALUES  SERIES  TAG KEY
   1,390   1,400  user
  this rule drops most of them:

[[tag_rule]]
metric = \"http.time\"
";
        assert_eq!(show(&cardinality, true), expected);
        assert!(show(&cardinality, false).contains("has no series"));
        assert_eq!(encoded("a b/ü"), "a%20b%2F%C3%BC");
    }
}
