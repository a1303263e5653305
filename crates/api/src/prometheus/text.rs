//! The text format 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::io::Write;

/// What an answer in this format says of itself.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Type {
    /// A running total.
    Counter,
    /// A level.
    Gauge,
    /// Anything else.
    Untyped,
}

impl Type {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Untyped => "untyped",
        }
    }
}

/// Families and their samples, line by line.
#[derive(Debug, Default)]
pub(super) struct Text(Vec<u8>);

impl Text {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Begins a family: all samples until the next one are of it.
    pub(super) fn family(&mut self, name: &str, kind: Type, help: &str) {
        let Self(text) = self;
        text.extend_from_slice(b"# HELP ");
        text.extend_from_slice(name.as_bytes());
        text.push(b' ');
        escape(help, false, text);
        text.extend_from_slice(b"\n# TYPE ");
        text.extend_from_slice(name.as_bytes());
        text.push(b' ');
        text.extend_from_slice(kind.name().as_bytes());
        text.push(b'\n');
    }

    /// A sample of the family of this name; `labels` as [`label`] wrote them.
    pub(super) fn sample(&mut self, name: &str, labels: &[u8], value: f64) {
        self.begin(name, labels);
        number(value, &mut self.0);
        self.0.push(b'\n');
    }

    /// The same, exact where a float would not be.
    pub(super) fn count(&mut self, name: &str, labels: &[u8], value: u64) {
        self.begin(name, labels);
        self.0.extend_from_slice(value.to_string().as_bytes());
        self.0.push(b'\n');
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn begin(&mut self, name: &str, labels: &[u8]) {
        let Self(text) = self;
        text.extend_from_slice(name.as_bytes());
        if !labels.is_empty() {
            text.push(b'{');
            text.extend_from_slice(labels);
            text.push(b'}');
        }
        text.push(b' ');
    }
}

/// Appends `name="value"`, after a comma if there is something already; an empty value, which is
/// the same to Prometheus as no label at all, is left out. The name is one that
/// [`super::names::label`] gave.
pub(super) fn label(name: &str, value: &str, to: &mut Vec<u8>) {
    if value.is_empty() {
        return;
    }
    if !to.is_empty() {
        to.push(b',');
    }
    to.extend_from_slice(name.as_bytes());
    to.extend_from_slice(b"=\"");
    escape(value, true, to);
    to.push(b'"');
}

fn escape(text: &str, quotes: bool, to: &mut Vec<u8>) {
    if !text.bytes().any(|byte| matches!(byte, b'\\' | b'\n' | b'"')) {
        to.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        match byte {
            b'\\' => to.extend_from_slice(b"\\\\"),
            b'\n' => to.extend_from_slice(b"\\n"),
            b'"' if quotes => to.extend_from_slice(b"\\\""),
            byte => to.push(byte),
        }
    }
}

fn number(value: f64, to: &mut Vec<u8>) {
    // Up to here every whole number is a float of its own.
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    let written = if value.is_nan() {
        to.write_all(b"NaN")
    } else if value.is_infinite() {
        to.write_all(if value > 0.0 { b"+Inf" } else { b"-Inf" })
    } else if value.fract() == 0.0 && value.abs() <= WHOLE {
        write!(to, "{}", value as i64)
    } else {
        // The shortest text that is read as the same number, with an exponent where it is long.
        write!(to, "{value:?}")
    };
    // A `Vec` takes everything.
    let _ = written;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Text)) -> String {
        let mut text = Text::default();
        write(&mut text);
        String::from_utf8(text.into_bytes()).unwrap()
    }

    #[test]
    fn what_would_end_a_line_or_a_value_is_escaped() {
        let help = written(|text| text.family("a", Type::Counter, "one\ntwo \\ \"three\""));
        assert_eq!(help, "# HELP a one\\ntwo \\\\ \"three\"\n# TYPE a counter\n");

        let mut labels = Vec::new();
        label("x", "quote \" slash \\ line\nend", &mut labels);
        label("empty", "", &mut labels);
        label("y", "ü\r\t\0", &mut labels);
        let sample = written(|text| text.sample("a", &labels, 1.0));
        assert_eq!(sample, "a{x=\"quote \\\" slash \\\\ line\\nend\",y=\"ü\r\t\0\"} 1\n");
    }

    #[test]
    fn a_number_is_read_back_as_the_same_number() {
        for (value, text) in [
            (0.0, "0"),
            (-3.0, "-3"),
            (0.1, "0.1"),
            (1e15, "1000000000000000"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (1e300, "1e300"),
            (-2.5e-9, "-2.5e-9"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            let sample = written(|to| to.sample("a", b"", value));
            assert_eq!(sample, format!("a {text}\n"));
            assert_eq!(text.parse::<f64>().unwrap(), value);
        }
        assert_eq!(written(|to| to.sample("a", b"", f64::NAN)), "a NaN\n");
        assert_eq!(written(|to| to.count("a", b"", u64::MAX)), format!("a {}\n", u64::MAX));
    }
}
