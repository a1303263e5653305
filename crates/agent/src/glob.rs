//! Patterns of names, as in file names.

/// Whether all of a text is as a pattern has it: `*` is any text, `?` one character, all else
/// itself.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern_left, mut left) = (pattern.chars(), text.chars());
    // Behind the last `*`, and the text that it has not taken in yet.
    let mut star: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let text_before = left.clone();
        match (pattern_left.next(), left.next()) {
            (Some('*'), _) => {
                left = text_before;
                star = Some((pattern_left.clone(), left.clone()));
            }
            (None, None) => return true,
            (Some('?'), Some(_)) => {}
            (Some(one), Some(other)) if one == other => {}
            // The last `*` takes in one more; if it has all there is, nothing helps.
            (Some(_) | None, _) => match &mut star {
                Some((behind, rest)) => {
                    if rest.next().is_none() {
                        return false;
                    }
                    (pattern_left, left) = (behind.clone(), rest.clone());
                }
                None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text_and_a_question_mark_one_character() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "a.b", true),
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a.*", "a.", true),
            ("a.*", "a", false),
            ("*.time", "http.get.time", true),
            ("*.time", "http.get.times", false),
            ("http.*.time", "http.time", false),
            ("http.*.time", "http.a.time.b.time", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("?", "é", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("*?", "", false),
            ("**", "a", true),
            ("A", "a", false),
            ("[a]", "[a]", true),
            ("[a]", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        // No pattern takes long.
        assert!(!matches(&"*a".repeat(100), &"a".repeat(99)));
        assert!(!matches(&format!("{}b", "*a".repeat(100)), &"a".repeat(1024)));
    }
}
