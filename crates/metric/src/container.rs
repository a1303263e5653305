use std::fmt;

use serde::{Deserialize, Serialize};

/// A registered container as the isolator and the state files write it: DC/OS's three keys, in
/// its order, host and port left out where they are not set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Container {
    /// The id that Mesos gave it: of a nested container only the last part.
    pub container_id: String,
    /// The host that the container is told to send to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub statsd_host: String,
    /// The UDP port that it is told to send to; 0 if there is none yet.
    #[serde(skip_serializing_if = "is_zero")]
    pub statsd_port: u16,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands out references
fn is_zero(port: &u16) -> bool {
    *port == 0
}

impl Container {
    /// Reads the first JSON value of `json` as dcos-telegraf did: keys in any case, the last of
    /// several counts, unknown ones are ignored, `null` is absent. The id is not checked.
    pub fn decode(json: &[u8]) -> Result<Self, ContainerError> {
        let mut values = serde_json::Deserializer::from_slice(json).into_iter::<Fields>();
        match values.next() {
            Some(Ok(Fields(container))) => Ok(container),
            Some(Err(error)) => Err(ContainerError::Json(error.to_string())),
            None => Err(ContainerError::Json("there is nothing to decode".to_owned())),
        }
    }
}

/// Why a container's description was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerError {
    /// It is not a JSON object of the three keys; says where.
    Json(String),
    /// The id is one that no container may have; says why.
    Id(&'static str),
}

impl fmt::Display for ContainerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "cannot decode a container: {error}"),
            Self::Id(error) => write!(f, "refused container id: {error}"),
        }
    }
}

impl std::error::Error for ContainerError {}

/// Whether a container may have this id: Mesos's own rule, and never one that could leave a
/// directory.
pub fn check_container_id(id: &str) -> Result<(), ContainerError> {
    if id.is_empty() {
        Err(ContainerError::Id("it is empty"))
    } else if id == "." || id == ".." {
        Err(ContainerError::Id("it is the name of a directory"))
    } else if id.len() > 255 {
        Err(ContainerError::Id("it is longer than 255 bytes"))
    } else if id.chars().any(|c| c == '/' || c == '\\' || c.is_control()) {
        Err(ContainerError::Id("it holds a slash, a backslash or a control character"))
    } else {
        Ok(())
    }
}

struct Fields(Container);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> serde::de::Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with container_id, and perhaps statsd_host and statsd_port")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut container =
            Container { container_id: String::new(), statsd_host: String::new(), statsd_port: 0 };
        while let Some(key) = map.next_key::<String>()? {
            match key.to_ascii_lowercase().as_str() {
                "container_id" => {
                    if let Some(id) = map.next_value()? {
                        container.container_id = id;
                    }
                }
                "statsd_host" => {
                    if let Some(host) = map.next_value()? {
                        container.statsd_host = host;
                    }
                }
                "statsd_port" => {
                    if let Some(port) = map.next_value()? {
                        container.statsd_port = port;
                    }
                }
                _ => {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
            }
        }
        Ok(Fields(container))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_read_as_go_reads_it() {
        let read = |json: &str| Container::decode(json.as_bytes());
        let whole =
            Container { container_id: "abc".into(), statsd_host: "h".into(), statsd_port: 43210 };
        let text = r#"{"container_id":"abc","statsd_host":"h","statsd_port":43210}"#;
        assert_eq!(serde_json::to_string(&whole).unwrap(), text);
        assert_eq!(read(text), Ok(whole.clone()));
        let loose = r#" {"CONTAINER_ID":"x","Container_Id":"abc","other":[{}],"statsd_PORT":43210,
            "statsd_host":"h","statsd_host":null} {"#;
        assert_eq!(read(loose), Ok(whole));
        let bare =
            Container { container_id: "abc".into(), statsd_host: String::new(), statsd_port: 0 };
        assert_eq!(read(r#"{"container_id":"abc"}"#), Ok(bare.clone()));
        assert_eq!(serde_json::to_string(&bare).unwrap(), r#"{"container_id":"abc"}"#);
    }

    #[test]
    fn what_go_cannot_decode_is_refused() {
        for json in [
            "",
            "null x",
            "[]",
            "3",
            "{",
            r#"{"container_id":3}"#,
            r#"{"container_id":"a","statsd_port":"8125"}"#,
            r#"{"container_id":"a","statsd_port":1.5}"#,
            r#"{"container_id":"a","statsd_port":65536}"#,
            r#"{"container_id":"a","statsd_port":-1}"#,
        ] {
            assert!(Container::decode(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn an_id_that_could_leave_its_directory_is_refused() {
        let long = "x".repeat(255);
        for good in ["a", "a b", "ü%", "...", "x.y_z-1", long.as_str()] {
            assert_eq!(check_container_id(good), Ok(()), "{good}");
        }
        let longer = "x".repeat(256);
        for bad in ["", ".", "..", "a/b", "a\\b", "a\nb", "a\u{7f}b", "\0", longer.as_str()] {
            assert!(check_container_id(bad).is_err(), "{bad:?}");
        }
    }
}
