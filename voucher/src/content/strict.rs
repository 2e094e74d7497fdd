//! The first look at JSON: one object, no member twice at any depth, a bounded depth, nothing after the end.
//!
//! A typed reader passes over members that it does not know, with all that is in them. Another reader may know them,
//! and where a member stands twice the two might see two values, so both get none (RFC 8259 §4, RFC 7493 §2.3).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::ContentError;

/// The deepest nesting of objects and lists.
const DEPTH: usize = 32;
/// How much of a member's name an error repeats, in characters.
const NAME_CHARACTERS: usize = 60;

/// Checks that `content` is one such object.
pub(super) fn check(content: &[u8]) -> Result<(), ContentError> {
    let mut refusal = None;
    let mut json = serde_json::Deserializer::from_slice(content);
    let look = Look { levels: DEPTH, refusal: &mut refusal };
    let looked = look.deserialize(&mut json);
    match (refusal, looked) {
        (Some(refusal), _) => Err(refusal),
        (None, Err(error)) => Err(ContentError::Json(error)),
        (None, Ok(())) => json.end().map_err(|_| ContentError::TrailingOctets),
    }
}

/// Looks at a value, and keeps nothing of it but the names of the objects that are open.
struct Look<'a> {
    /// How many levels may still open.
    levels: usize,
    /// Why the content is refused, since an error of serde is nothing but text.
    refusal: &'a mut Option<ContentError>,
}

impl Look<'_> {
    /// Opens an object or a list.
    fn open<E: serde::de::Error>(&mut self) -> Result<(), E> {
        let Some(levels) = self.levels.checked_sub(1) else {
            return Err(self.refuse(ContentError::Depth));
        };
        self.levels = levels;
        Ok(())
    }

    fn refuse<E: serde::de::Error>(&mut self, refusal: ContentError) -> E {
        let error = E::custom(&refusal);
        *self.refusal = Some(refusal);
        error
    }

    fn inside(&mut self) -> Look<'_> {
        Look { levels: self.levels, refusal: self.refusal }
    }
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.open()?;
        while list.next_element_seed(self.inside())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.open()?;
        let mut names = BTreeSet::new();
        while let Some(Name(name)) = map.next_key()? {
            if names.contains(&name) {
                let member = name.chars().take(NAME_CHARACTERS).collect();
                return Err(self.refuse(ContentError::Repeated { member }));
            }
            names.insert(name);
            map.next_value_seed(self.inside())?;
        }
        Ok(())
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}
