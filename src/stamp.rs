//! Times. Serde for them: RFC 3339 for people (JSON), whole milliseconds since 1970 for the store's rows, where a text would take five times the room.
//!
//! Use as `#[serde(with = "crate::stamp")]`. Binary forms lose what is below the millisecond; the store's writer stamps no finer.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() { at.serialize(serializer) } else { at.as_millisecond().serialize(serializer) }
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    if deserializer.is_human_readable() {
        return Timestamp::deserialize(deserializer);
    }
    Timestamp::from_millisecond(i64::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// So long after `at`, or the last moment there is.
pub fn later(at: Timestamp, wait: SignedDuration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// The same for times that may be absent.
pub mod option {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Timestamp};

    #[derive(Serialize, Deserialize)]
    struct Stamp(#[serde(with = "super")] Timestamp);

    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(Stamp).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<Stamp>::deserialize(deserializer)?.map(|stamp| stamp.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Both(#[serde(with = "crate::stamp")] Timestamp, #[serde(with = "crate::stamp::option")] Option<Timestamp>);

    #[test]
    fn text_for_people_and_milliseconds_for_rows() {
        let at: Timestamp = "2026-11-23T04:41:00.123Z".parse().unwrap();
        let both = Both(at, Some(at));
        let json = serde_json::to_string(&both).unwrap();
        assert_eq!(json, r#"["2026-11-23T04:41:00.123Z","2026-11-23T04:41:00.123Z"]"#);
        assert_eq!(serde_json::from_str::<Both>(&json).unwrap(), both);
        let bytes = postcard::to_stdvec(&both).unwrap();
        assert!(bytes.len() <= 13, "{}", bytes.len());
        assert_eq!(postcard::from_bytes::<Both>(&bytes).unwrap(), both);
    }
}
