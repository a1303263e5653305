use metric::{Dimensions, Source};
use serde::{Deserialize, Serialize};

/// The longest that a UDP datagram over IPv4 carries, in bytes.
pub(crate) const LONGEST: usize = 65_507;

/// How a relayed line says which container it is of. The forms are those of DC/OS's metrics module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Annotation {
    /// Not at all: every byte as it was received.
    None,
    /// Before the name: `FRAMEWORK.EXECUTOR.CONTAINER.`, or `unknown_container.`.
    KeyPrefix,
    /// As `DogStatsD` tags: `framework_id:…,executor_id:…,container_id:…`, or `unknown_container`.
    TagDatadog,
}

impl Annotation {
    /// What is written into each line of a source of which this is known.
    ///
    /// An id that is not known yet is left out of the tags; in the prefix, where each has its
    /// place, `unknown_framework` or `unknown_executor` stands for it. What would end a name or a
    /// tag, or the line, is written as `_`.
    pub(crate) fn mark(self, source: &Source, dimensions: &Dimensions) -> Vec<u8> {
        let container = source.container_id().map_or(&*dimensions.container_id, |id| id);
        let Dimensions { framework_id: framework, executor_id: executor, .. } = dimensions;
        let mark = match self {
            Self::None => String::new(),
            Self::KeyPrefix if container.is_empty() => "unknown_container.".to_owned(),
            Self::KeyPrefix => {
                let part = |id: &str, unknown: &str| match id {
                    "" => unknown.to_owned(),
                    id => replace(id, &['.', ':', '|', '@', '#']),
                };
                let framework = part(framework, "unknown_framework");
                let executor = part(executor, "unknown_executor");
                format!("{framework}.{executor}.{}.", part(container, ""))
            }
            Self::TagDatadog if container.is_empty() => "unknown_container".to_owned(),
            Self::TagDatadog => {
                let tags = [
                    ("framework_id", &**framework),
                    ("executor_id", executor),
                    ("container_id", container),
                ];
                let known = tags.into_iter().filter(|(_, id)| !id.is_empty());
                let written = known.map(|(key, id)| format!("{key}:{}", replace(id, &['|', ','])));
                written.collect::<Vec<_>>().join(",")
            }
        };
        mark.into_bytes()
    }

    /// Writes a line with its source's mark. One that would then be longer than any datagram is
    /// written as it is.
    // Runs once per relayed line.
    pub(crate) fn write(self, mark: &[u8], line: &[u8], to: &mut Vec<u8>) {
        match self {
            Self::None => to.extend_from_slice(line),
            // Two bytes are the most that come between.
            _ if line.len() + mark.len() + 2 > LONGEST => to.extend_from_slice(line),
            Self::KeyPrefix => {
                to.extend_from_slice(mark);
                to.extend_from_slice(line);
            }
            Self::TagDatadog => write_tagged(mark, line, to),
        }
    }
}

/// Puts tags at the end of the line's first section of tags, or makes one at the line's end.
fn write_tagged(tags: &[u8], line: &[u8], to: &mut Vec<u8>) {
    let Some(section) = line.windows(2).position(|two| two == b"|#") else {
        to.extend_from_slice(line);
        to.extend_from_slice(b"|#");
        to.extend_from_slice(tags);
        return;
    };
    let after = &line[section + 2..];
    let length = after.iter().position(|byte| *byte == b'|').unwrap_or(after.len());
    let (head, rest) = line.split_at(section + 2 + length);
    to.extend_from_slice(head);
    if !head.ends_with(b",") && !head.ends_with(b"#") {
        to.push(b',');
    }
    to.extend_from_slice(tags);
    to.extend_from_slice(rest);
}

fn replace(id: &str, ends: &[char]) -> String {
    let kept = |c: char| if c.is_control() || ends.contains(&c) { '_' } else { c };
    id.chars().map(kept).collect()
}

#[cfg(test)]
mod tests {
    use metric::{Origin, ReadAs};

    use super::*;

    fn source(origin: Origin) -> std::sync::Arc<Source> {
        Source::new(origin, ReadAs::default())
    }

    fn container(id: &str) -> std::sync::Arc<Source> {
        source(Origin::Container { container_id: id.into() })
    }

    fn dimensions(framework: &str, executor: &str) -> Dimensions {
        Dimensions {
            framework_id: framework.to_owned(),
            executor_id: executor.to_owned(),
            ..Dimensions::default()
        }
    }

    fn annotated(by: Annotation, source: &Source, dimensions: &Dimensions, line: &str) -> String {
        let mut written = Vec::new();
        by.write(&by.mark(source, dimensions), line.as_bytes(), &mut written);
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn each_way_of_annotating_writes_these_bytes() {
        let (known, ids) = (container("c.id"), dimensions("f.id", "e.id"));
        let nobody = source(Origin::Listener { listener: "udp://127.0.0.1:8125".into() });
        let tags = "framework_id:f.id,executor_id:e.id,container_id:c.id";
        for (by, line, of_known, of_nobody) in [
            (Annotation::None, "hello", "hello".to_owned(), "hello"),
            (
                Annotation::KeyPrefix,
                "hello",
                "f_id.e_id.c_id.hello".to_owned(),
                "unknown_container.hello",
            ),
            (Annotation::TagDatadog, "hello", format!("hello|#{tags}"), "hello|#unknown_container"),
            (
                Annotation::TagDatadog,
                "hello||",
                format!("hello|||#{tags}"),
                "hello|||#unknown_container",
            ),
            (
                Annotation::TagDatadog,
                "a:1|c|#t",
                format!("a:1|c|#t,{tags}"),
                "a:1|c|#t,unknown_container",
            ),
            (
                Annotation::TagDatadog,
                "a:1|#t|@0.5",
                format!("a:1|#t,{tags}|@0.5"),
                "a:1|#t,unknown_container|@0.5",
            ),
            (
                Annotation::TagDatadog,
                "a:1|c|#|T1",
                format!("a:1|c|#{tags}|T1"),
                "a:1|c|#unknown_container|T1",
            ),
            (Annotation::TagDatadog, "a:1|#", format!("a:1|#{tags}"), "a:1|#unknown_container"),
            (
                Annotation::TagDatadog,
                "a:1|#t,",
                format!("a:1|#t,{tags}"),
                "a:1|#t,unknown_container",
            ),
            (
                Annotation::TagDatadog,
                "a:1|#t|#u",
                format!("a:1|#t,{tags}|#u"),
                "a:1|#t,unknown_container|#u",
            ),
        ] {
            assert_eq!(annotated(by, &known, &ids, line), of_known);
            assert_eq!(annotated(by, &nobody, &ids, line), of_nobody, "{line}");
        }
    }

    #[test]
    fn what_is_not_known_yet_is_left_out_or_has_a_word_in_its_place() {
        let known = container("c.id");
        for (framework, executor, prefixed, tagged) in [
            ("", "", "unknown_framework.unknown_executor.c_id.a:1|c", "a:1|c|#container_id:c.id"),
            (
                "f.id",
                "",
                "f_id.unknown_executor.c_id.a:1|c",
                "a:1|c|#framework_id:f.id,container_id:c.id",
            ),
        ] {
            let ids = dimensions(framework, executor);
            assert_eq!(annotated(Annotation::KeyPrefix, &known, &ids, "a:1|c"), prefixed);
            assert_eq!(annotated(Annotation::TagDatadog, &known, &ids, "a:1|c"), tagged);
        }
    }

    #[test]
    fn an_id_cannot_end_a_name_or_a_tag_or_the_line() {
        let (known, ids) = (container("c:i@d"), dimensions("f\nx:1|c", "é,|#e"));
        assert_eq!(
            annotated(Annotation::KeyPrefix, &known, &ids, "a:1|c"),
            "f_x_1_c.é,__e.c_i_d.a:1|c"
        );
        assert_eq!(
            annotated(Annotation::TagDatadog, &known, &ids, "a:1|c"),
            "a:1|c|#framework_id:f_x:1_c,executor_id:é__#e,container_id:c:i@d"
        );
    }

    #[test]
    fn a_line_that_no_datagram_could_carry_with_its_mark_leaves_without_it() {
        let (known, ids) = (container("c"), Dimensions::default());
        for by in [Annotation::KeyPrefix, Annotation::TagDatadog] {
            let mark = by.mark(&known, &ids).len();
            let fits = "x".repeat(LONGEST - mark - 2);
            assert!(annotated(by, &known, &ids, &fits).len() > fits.len());
            let long = "x".repeat(LONGEST - mark - 1);
            assert_eq!(annotated(by, &known, &ids, &long), long);
        }
    }
}
