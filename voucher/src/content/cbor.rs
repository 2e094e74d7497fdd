//! An artefact's content as CBOR: SIDs or names as keys, deltas inside the container (RFC 9254).
//!
//! Hostile CBOR is cheap to write and dear to hold, so its items are counted before any is kept.

use ciborium::Value as Item;
use ciborium_ll::{Decoder, Header};

use super::{
    ContentError, Leaf, Leaves, MEMBERS, Module, Type, VALUE_CHARACTERS, Value, check_idevid_issuer,
};
use crate::artefact::{Assertion, Nonce, Timestamp};
use crate::encoding::{Quirk, Strictness};

/// The most data items of one message, at every level.
const ITEMS: usize = 512;
/// The deepest nesting.
const DEPTH: usize = 16;
/// The tag of a key that is a whole SID, not a delta (RFC 9254 §3.2).
const SID_TAG: u64 = 47;

/// Reads one data item, if it is small enough and nothing follows it.
pub(crate) fn parse(octets: &[u8]) -> Result<Item, ContentError> {
    scan(octets).map_err(ContentError::Cbor)?;
    let mut rest = octets;
    let item = ciborium::de::from_reader_with_recursion_limit(&mut rest, DEPTH)
        .map_err(|_| ContentError::Cbor("it is malformed"))?;
    if !rest.is_empty() {
        return Err(ContentError::TrailingOctets);
    }
    match repeated_key(&item) {
        Some(key) => Err(repeated(key)),
        None => Ok(item),
    }
}

fn repeated(key: &Item) -> ContentError {
    let text = key.as_text().map_or_else(|| format!("{key:?}"), str::to_owned);
    ContentError::Repeated { member: text.chars().take(VALUE_CHARACTERS).collect() }
}

/// A key that stands twice in one map, at any depth (RFC 8949 §5.6).
pub(crate) fn repeated_key(item: &Item) -> Option<&Item> {
    // The items and their depth were counted before.
    match item {
        Item::Array(items) => items.iter().find_map(repeated_key),
        Item::Tag(_, item) => repeated_key(item),
        Item::Map(pairs) => {
            let earlier = |at: usize| pairs.get(..at).unwrap_or_default();
            let is_repeated =
                |at: usize, key: &Item| earlier(at).iter().any(|(before, _)| before == key);
            let here = pairs.iter().enumerate().find(|(at, (key, _))| is_repeated(*at, key));
            here.map(|(_, (key, _))| key).or_else(|| {
                pairs
                    .iter()
                    .find_map(|(key, value)| repeated_key(key).or_else(|| repeated_key(value)))
            })
        }
        _ => None,
    }
}

/// Reads the leaves of a module that are legal; the others are ignored.
pub(crate) fn read(
    content: &[u8],
    module: Module,
    legal: &[Leaf],
    strictness: Strictness,
    forgiven: &mut Vec<Quirk>,
) -> Result<Leaves, ContentError> {
    let Item::Map(mut roots) = parse(content)? else {
        return Err(ContentError::Cbor("it is no map"));
    };
    let mut container = |module: Module| {
        let is_own =
            |key: &Item| *key == Item::from(module.sid()) || key.as_text() == Some(module.root());
        let position = roots.iter().position(|(key, _)| is_own(key))?;
        let found = roots.swap_remove(position).1;
        Some((found, roots.iter().any(|(key, _)| is_own(key))))
    };
    let (container, in_module, is_repeated) = match (container(module), strictness) {
        (Some((item, is_repeated)), _) => (item, module, is_repeated),
        (None, Strictness::Lenient) => {
            let other = module.other();
            let (item, is_repeated) =
                container(other).ok_or(ContentError::Root { expected: module.root() })?;
            forgiven.push(Quirk::ForeignRoot);
            (item, other, is_repeated)
        }
        (None, Strictness::Standard) => {
            return Err(ContentError::Root { expected: module.root() });
        }
    };
    if is_repeated {
        return Err(ContentError::Repeated { member: in_module.root().to_owned() });
    }
    let Item::Map(members) = container else {
        return Err(ContentError::Cbor("the container is no map"));
    };
    leaves(members, in_module, legal, strictness, forgiven)
}

fn leaves(
    members: Vec<(Item, Item)>,
    module: Module,
    legal: &[Leaf],
    strictness: Strictness,
    forgiven: &mut Vec<Quirk>,
) -> Result<Leaves, ContentError> {
    if members.len() > MEMBERS {
        return Err(ContentError::TooManyMembers);
    }
    let mut leaves = Leaves::default();
    for (key, item) in members {
        // One leaf may stand there under two keys, a number and a name.
        if let Some(leaf) = leaf(&key, module).filter(|leaf| legal.contains(leaf)) {
            leaves.add(leaf, value(leaf, item, strictness, forgiven)?)?;
        }
    }
    Ok(leaves)
}

/// The leaf of a key: a delta, a whole SID under tag 47, or a name.
fn leaf(key: &Item, module: Module) -> Option<Leaf> {
    match key {
        Item::Integer(delta) => Leaf::by_delta(u64::try_from(*delta).ok()?, module),
        Item::Tag(SID_TAG, sid) => {
            let sid = u64::try_from(sid.as_integer()?).ok()?;
            Leaf::by_delta(sid.checked_sub(module.sid())?, module)
        }
        Item::Text(name) => Leaf::by_name(name),
        _ => None,
    }
}

fn value(
    leaf: Leaf,
    item: Item,
    strictness: Strictness,
    forgiven: &mut Vec<Quirk>,
) -> Result<Value, ContentError> {
    let member = leaf.name();
    let wrong = |expected| ContentError::Type { member, expected };
    match (leaf.kind(), item) {
        (Type::Assertion, Item::Integer(number)) => u64::try_from(number)
            .ok()
            .and_then(Assertion::from_number)
            .map(Value::Assertion)
            .ok_or_else(|| {
                ContentError::value(member, &i128::from(number).to_string(), "it is unknown")
            }),
        (Type::Assertion, _) => Err(wrong("an unsigned integer")),
        (Type::Date, Item::Text(text)) => Timestamp::parse(member, &text).map(Value::Date),
        (Type::Date | Type::Text, item) => match item {
            Item::Text(text) => Ok(Value::Text(text)),
            _ => Err(wrong("a text string")),
        },
        (Type::Flag, Item::Bool(flag)) => Ok(Value::Flag(flag)),
        (Type::Flag, _) => Err(wrong("a boolean")),
        (Type::Nonce, Item::Bytes(octets)) => Nonce::from_octets(octets).map(Value::Nonce),
        (Type::Octets, Item::Bytes(octets)) => Ok(Value::Octets(octets)),
        (Type::IdevidIssuer, Item::Bytes(octets)) => {
            check_idevid_issuer(&octets, strictness, forgiven)?;
            Ok(Value::Octets(octets))
        }
        (Type::Nonce | Type::Octets | Type::IdevidIssuer, _) => Err(wrong("a byte string")),
    }
}

/// Writes content of a module with SIDs and deltas, its leaves by ascending delta, as RFC 8949 §4.2 asks.
pub(crate) fn write(leaves: &Leaves, module: Module) -> Vec<u8> {
    let mut members: Vec<(u64, Item)> = leaves
        .iter()
        .filter_map(|(leaf, value)| Some((leaf.delta(module)?, written(value))))
        .collect();
    members.sort_by_key(|(delta, _)| *delta);
    let members = members.into_iter().map(|(delta, item)| (Item::from(delta), item)).collect();
    to_octets(&Item::Map(vec![(Item::from(module.sid()), Item::Map(members))]))
}

fn written(value: &Value) -> Item {
    match value {
        Value::Assertion(assertion) => Item::from(assertion.number()),
        Value::Date(date) => Item::from(date.as_str()),
        Value::Flag(flag) => Item::from(*flag),
        Value::Octets(octets) => Item::Bytes(octets.clone()),
        Value::Nonce(nonce) => Item::Bytes(nonce.to_octets()),
        Value::Text(text) => Item::from(text.as_str()),
    }
}

/// The octets of a data item.
pub(crate) fn to_octets(item: &Item) -> Vec<u8> {
    let mut octets = Vec::new();
    // Writing to memory fails never, and the item is of values that have an encoding.
    let _ = ciborium::into_writer(item, &mut octets);
    octets
}

/// Counts the items of what stands first in `octets`, without keeping one.
pub(crate) fn scan(octets: &[u8]) -> Result<(), &'static str> {
    const MALFORMED: &str = "it is malformed";
    const TOO_MANY: &str = "it has more than 512 items";

    let mut rest = octets;
    let mut decoder = Decoder::from(rest);
    // How many items each open array, map or tag still waits for; none: until a break.
    let mut open: Vec<Option<usize>> = vec![Some(1)];
    let mut items = 0_usize;
    while let Some(waiting) = open.last_mut() {
        match waiting {
            Some(0) => {
                open.pop();
                continue;
            }
            Some(count) => *count -= 1,
            None => {}
        }
        items += 1;
        if items > ITEMS {
            return Err(TOO_MANY);
        }
        match decoder.pull().map_err(|_| MALFORMED)? {
            Header::Array(count) => open.push(count),
            Header::Map(Some(pairs)) => open.push(Some(pairs.checked_mul(2).ok_or(TOO_MANY)?)),
            Header::Map(None) => open.push(None),
            Header::Tag(_) => open.push(Some(1)),
            Header::Break if open.last() == Some(&None) => {
                open.pop();
            }
            Header::Break | Header::Bytes(None) | Header::Text(None) => return Err(MALFORMED),
            Header::Bytes(Some(length)) | Header::Text(Some(length)) => {
                let end = decoder.offset().checked_add(length).ok_or(MALFORMED)?;
                rest = rest.get(end..).ok_or(MALFORMED)?;
                decoder = Decoder::from(rest);
            }
            Header::Positive(_) | Header::Negative(_) | Header::Float(_) | Header::Simple(_) => {}
        }
        if open.len() > DEPTH {
            return Err("it is nested too deeply");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{parse, scan};

    #[test]
    fn counts_items_before_it_keeps_any() {
        let wide = [&[0x99, 0xff, 0xff][..], &[0; 65535]].concat();
        assert_eq!(scan(&wide), Err("it has more than 512 items"));
        let deep = [0x81; 64];
        assert_eq!(scan(&deep), Err("it is nested too deeply"));
        // A map that claims 2^63 pairs.
        assert!(scan(&[0xbb, 0x80, 0, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(scan(&[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    }

    #[test]
    fn reads_one_item_and_nothing_after_it() {
        assert!(parse(&[0x82, 0x01, 0x41, 0xff]).is_ok());
        assert!(parse(&[0xa1, 0x01, 0x62, b'a', b'b']).is_ok());
        for octets in [&[0x01, 0x01][..], &[], &[0x82, 0x01], &[0x62, b'a'], &[0xff], &[0x5f, 0xff]]
        {
            assert!(parse(octets).is_err(), "{octets:02x?}");
        }
    }
}
