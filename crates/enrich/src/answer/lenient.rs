use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

// Far more than one agent runs, and a bound on what a wrong answer costs.
const ENTRIES: usize = 100_000;

/// A value, or its default where it is of another shape: one odd field costs nothing else.
#[derive(Default)]
pub(super) struct Lenient<T>(pub(super) T);

impl<'de, T: DeserializeOwned + Default> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(raw.get()).unwrap_or_default()))
    }
}

/// The elements that are of the right shape, read one by one.
pub(super) struct Entries<T> {
    pub(super) read: Vec<T>,
    /// How many were of another shape, or too many.
    pub(super) unread: usize,
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self { read: Vec::new(), unread: 0 }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for EntriesVisitor<T> {
    type Value = Entries<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut entries = Entries::default();
        while let Some(raw) = seq.next_element::<&RawValue>()? {
            match serde_json::from_str(raw.get()) {
                Ok(entry) if entries.read.len() < ENTRIES => entries.read.push(entry),
                _ => entries.unread += 1,
            }
        }
        Ok(entries)
    }
}

/// The numbers of an object, by their names.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) read: BTreeMap<String, f64>,
    /// How many values were none, or too many.
    pub(crate) unread: usize,
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NumbersVisitor)
    }
}

struct NumbersVisitor;

impl<'de> Visitor<'de> for NumbersVisitor {
    type Value = Numbers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut numbers = Numbers::default();
        while let Some(name) = map.next_key::<String>()? {
            let value: &RawValue = map.next_value()?;
            match serde_json::from_str(value.get()) {
                Ok(number) if numbers.read.len() < ENTRIES => {
                    numbers.read.insert(name, number);
                }
                _ => numbers.unread += 1,
            }
        }
        Ok(numbers)
    }
}
