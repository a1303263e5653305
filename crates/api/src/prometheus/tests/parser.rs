//! The text format 0.0.4 read strictly: whatever Prometheus might not take is an error.

use std::collections::{BTreeMap, BTreeSet};

/// Type and samples of each family.
pub(in crate::prometheus) type Families = BTreeMap<String, Family>;

#[derive(Debug, Default, PartialEq)]
pub(in crate::prometheus) struct Family {
    pub(in crate::prometheus) kind: String,
    pub(in crate::prometheus) samples: Vec<(BTreeMap<String, String>, f64)>,
}

/// Reads all of it, or says which line is wrong.
pub(in crate::prometheus) fn parse(text: &str) -> Result<Families, String> {
    let mut families = Families::new();
    let mut current = String::new();
    let mut helped = BTreeSet::new();
    if text.is_empty() {
        return Ok(families);
    }
    let body = text.strip_suffix('\n').ok_or("the last line has no end")?;
    for line in body.split('\n') {
        let wrong = |why: &str| format!("{why}: {line:?}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
            check_name(name).map_err(wrong)?;
            unescape(help, "\\n").map_err(wrong)?;
            if !helped.insert(name.to_owned()) || families.contains_key(name) {
                return Err(wrong("help in the wrong place"));
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
            check_name(name).map_err(wrong)?;
            if !["counter", "gauge", "untyped"].contains(&kind) || !helped.contains(name) {
                return Err(wrong("no such type, or no help before it"));
            }
            let family = Family { kind: kind.to_owned(), samples: Vec::new() };
            if families.insert(name.to_owned(), family).is_some() {
                return Err(wrong("a family in two places"));
            }
            name.clone_into(&mut current);
        } else {
            let (name, labels, value) = sample(line).map_err(wrong)?;
            if name != current {
                return Err(wrong("a sample outside of its family"));
            }
            let family = families.get_mut(name).ok_or_else(|| wrong("no type"))?;
            if family.samples.iter().any(|(other, _)| *other == labels) {
                return Err(wrong("the same sample twice"));
            }
            family.samples.push((labels, value));
        }
    }
    Ok(families)
}

fn sample(line: &str) -> Result<(&str, BTreeMap<String, String>, f64), &'static str> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(end);
    check_name(name)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => self::labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.strip_prefix(' ').ok_or("no blank before the value")?;
    let number = match value {
        "NaN" => f64::NAN,
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        digits if digits.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            digits.parse().map_err(|_| "no number")?
        }
        _ => return Err("no number"),
    };
    Ok((name, labels, number))
}

fn labels(mut rest: &str) -> Result<(BTreeMap<String, String>, &str), &'static str> {
    let mut labels = BTreeMap::new();
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("no label")?;
        check_name(name)?;
        if name.starts_with("__") {
            return Err("a reserved label");
        }
        let mut escaped = false;
        let end = after.find(|c| {
            let is_end = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            is_end
        });
        let (value, after) = after.split_at(end.ok_or("no end of a label")?);
        let value = unescape(value, "\\n\"")?;
        if value.is_empty() || labels.insert(name.to_owned(), value).is_some() {
            return Err("an empty label, or one twice");
        }
        rest = match after[1..].strip_prefix(',') {
            Some(more) => more,
            None => return Ok((labels, after[1..].strip_prefix('}').ok_or("no end of labels")?)),
        };
    }
}

fn unescape(text: &str, allowed: &str) -> Result<String, &'static str> {
    let (mut plain, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        let escaped = (c == '\\').then(|| chars.next().filter(|c| allowed.contains(*c)));
        plain.push(match escaped {
            None => c,
            Some(Some('n')) => '\n',
            Some(Some(c)) => c,
            Some(None) => return Err("a wrong escape"),
        });
    }
    Ok(plain)
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let begins_well = name.starts_with(|c: char| !c.is_ascii_digit());
    if is_word && begins_well { Ok(()) } else { Err("no name") }
}

#[test]
fn the_parser_is_strict() {
    let good = "# HELP a b\\\\\\n\n# TYPE a gauge\na{x=\"\\\"\\n\\\\\",y=\"1\"} 1e-9\na -2\n";
    assert_eq!(parse(good).unwrap()["a"].samples.len(), 2);
    for bad in [
        "# HELP a b\n# TYPE a gauge\na 1",
        "# TYPE a gauge\na 1\n",
        "a 1\n",
        "# HELP a b\n# TYPE a gauge\nb 1\n",
        "# HELP a b\n# TYPE a gauge\na 1\na 1\n",
        "# HELP a b\n# TYPE a gauge\na{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 1\n",
        "# HELP a b\n# TYPE a gauge\na{x=\"1\",x=\"2\"} 1\n",
        "# HELP a b\n# TYPE a gauge\na{x=\"\"} 1\n",
        "# HELP a b\n# TYPE a gauge\na{x=\"\\t\"} 1\n",
        "# HELP a b\n# TYPE a gauge\na{__name__=\"x\"} 1\n",
        "# HELP a b\n# TYPE a gauge\na{} 1\n",
        "# HELP a b\n# TYPE a gauge\na inf\n",
        "# HELP a b\n# TYPE a gauge\na  1\n",
        "# HELP a b\n# TYPE a gauge\na 1 2\n",
        "# HELP 5a b\n# TYPE 5a gauge\n5a 1\n",
        "# HELP a b\n# TYPE a gauge\na 1\n# HELP b b\n# TYPE b gauge\nb 1\na{x=\"1\"} 1\n",
        "# HELP a b\n# TYPE a gauge\na 1\n# HELP a b\n# TYPE a gauge\n",
        "# HELP a b\n# TYPE a gauge\na 1\n\n",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
