use std::fmt;

use apache_avro::Schema;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::short;

/// The most bytes of text that one record may become.
const LINE_BYTES: usize = 32 << 20;

/// The schema of a header, if this reader can follow it.
pub(super) fn schema(text: &str) -> Result<Schema, String> {
    if text.is_empty() {
        return Err("it has no schema".to_owned());
    }
    let schema =
        Schema::parse_str(text).map_err(|error| format!("its schema: {}", short(&error)))?;
    check(&schema)?;
    Ok(schema)
}

/// Refuses schemas that refer to themselves, for their objects may be of any depth, and types that
/// no schema of metrics has.
fn check(schema: &Schema) -> Result<(), String> {
    match schema {
        Schema::Null
        | Schema::Boolean
        | Schema::Int
        | Schema::Long
        | Schema::Float
        | Schema::Double
        | Schema::Bytes
        | Schema::String
        | Schema::Date
        | Schema::TimeMillis
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => Ok(()),
        Schema::Array(array) => check(&array.items),
        Schema::Map(map) => check(&map.types),
        Schema::Union(union) => union.variants().iter().try_for_each(check),
        Schema::Record(record) => record.fields.iter().try_for_each(|field| check(&field.schema)),
        Schema::Enum(_)
        | Schema::Fixed(_)
        | Schema::Decimal(_)
        | Schema::BigDecimal
        | Schema::Uuid(_)
        | Schema::Duration(_)
        | Schema::Ref { .. } => Err("its schema has a type that is not read here".to_owned()),
    }
}

/// An object as JSON, written while it is read: nothing of it is held but its text.
pub(super) struct Json(pub(super) String);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::new();
        Append(&mut text).deserialize(deserializer)?;
        Ok(Self(text))
    }
}

struct Append<'a>(&'a mut String);

impl Append<'_> {
    fn push<E: Error>(&mut self, text: &str) -> Result<(), E> {
        if self.0.len() + text.len() > LINE_BYTES {
            return Err(E::custom("a record is over 32 MiB as text"));
        }
        self.0.push_str(text);
        Ok(())
    }

    fn push_quoted<E: Error>(&mut self, text: &str) -> Result<(), E> {
        self.push(&serde_json::to_string(text).map_err(E::custom)?)
    }
}

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an Avro object")
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.push("null")
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.push(if value { "true" } else { "false" })
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        self.push(&value.to_string())
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        if value.is_nan() {
            self.push("\"NaN\"")
        } else if value.is_infinite() {
            self.push(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" })
        } else {
            self.push(&serde_json::to_string(&value).map_err(E::custom)?)
        }
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<(), E> {
        self.push_quoted(value)
    }

    fn visit_bytes<E: Error>(mut self, value: &[u8]) -> Result<(), E> {
        let text: String = value.iter().copied().map(char::from).collect();
        self.push_quoted(&text)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mut between = "[";
        loop {
            let empty = self.0.len();
            self.push(between)?;
            if items.next_element_seed(Append(self.0))?.is_none() {
                self.0.truncate(empty);
                break;
            }
            between = ",";
        }
        self.push(if between == "[" { "[]" } else { "]" })
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let mut between = "{";
        while let Some(Key(key)) = entries.next_key()? {
            self.push(between)?;
            self.push_quoted(&key)?;
            self.push(":")?;
            entries.next_value_seed(Append(self.0))?;
            between = ",";
        }
        self.push(if between == "{" { "{}" } else { "}" })
    }
}

/// The name of a field or the key of a map: the library hands the two over by different calls.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self(String::new()))
    }
}

impl Visitor<'_> for Key {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self, E> {
        Ok(Self(key.to_owned()))
    }

    fn visit_string<E: Error>(self, key: String) -> Result<Self, E> {
        Ok(Self(key))
    }
}
