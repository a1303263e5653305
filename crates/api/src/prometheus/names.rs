//! Names as Prometheus takes them: those of DC/OS, letter case kept.

use std::borrow::Cow;

/// A metric's name: whatever is not an ASCII letter, a digit or `_` becomes `_`, and a digit at
/// the beginning gets a `_` before it.
pub(super) fn metric(name: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins_well = name.starts_with(|c: char| !c.is_ascii_digit());
    if begins_well && name.chars().all(is_plain) {
        return Cow::Borrowed(name);
    }
    let mut clean = String::with_capacity(name.len() + 1);
    if !begins_well {
        clean.push('_');
    }
    clean.extend(name.chars().map(|c| if is_plain(c) { c } else { '_' }));
    Cow::Owned(clean)
}

/// A label's name: as a metric's, but of several `_` at the beginning one is left, for such names
/// are Prometheus's own (`__name__`).
pub(super) fn label(name: &str) -> Cow<'_, str> {
    match metric(name) {
        Cow::Borrowed(clean) => Cow::Borrowed(one_underscore(clean)),
        Cow::Owned(clean) => Cow::Owned(one_underscore(&clean).to_owned()),
    }
}

fn one_underscore(name: &str) -> &str {
    let rest = name.trim_start_matches('_');
    let first = name.len() - rest.len();
    &name[first.saturating_sub(1)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_may_not_hold_becomes_an_underscore() {
        for (raw, clean) in [
            ("page_views", "page_views"),
            ("page.views", "page_views"),
            ("HTTP-requests/5xx", "HTTP_requests_5xx"),
            ("café:latency ms", "caf__latency_ms"),
            ("5xx", "_5xx"),
            (".5", "_5"),
            ("", "_"),
            ("a\nb\"c\0", "a_b_c_"),
            ("__name__", "__name__"),
        ] {
            assert_eq!(metric(raw), clean, "{raw:?}");
        }
    }

    #[test]
    fn no_label_has_a_name_that_prometheus_keeps_for_itself() {
        for (raw, clean) in [
            ("task_name", "task_name"),
            ("_private", "_private"),
            ("__name__", "_name__"),
            ("..name", "_name"),
            ("5", "_5"),
            ("__5", "_5"),
            ("___", "_"),
            ("", "_"),
        ] {
            assert_eq!(label(raw), clean, "{raw:?}");
        }
    }
}
