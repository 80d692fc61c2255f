//! CONNECT and INFO of each kind with anything in any of their fields: what is written is read as the same. A field that is added is looked
//! at too, since all are filled by what serde knows of them.

use super::json;
use crate::{gateway, info, leaf, route};
use serde::de::value::{Error, StrDeserializer, StringDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use std::fmt::Debug;

/// What a text is made of: what JSON escapes, what some escape, and what is no ASCII.
const TEXTS: [&str; 8] = ["", "a", "foo.*.>", "\"", "\\u0041", "<&>", "\r\n\u{0}", "é\u{2028}🦀"];

/// Fills whatever is asked for.
struct Any<'r>(&'r mut u64);

impl Any<'_> {
    fn below(&mut self, end: u64) -> u64 {
        *self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*self.0 >> 33) % end
    }

    fn text(&mut self) -> String {
        (0..self.below(3)).map(|_| TEXTS[self.below(8) as usize]).collect()
    }

    /// The ends of the range, and what is between.
    fn number(&mut self, most: u64) -> u64 {
        [0, 1, most, most / 2][self.below(4) as usize]
    }
}

impl<'de> Deserializer<'de> for Any<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        panic!("a field of a type that was none yet")
    }

    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.below(2) == 1)
    }

    fn deserialize_u8<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(self.number(u8::MAX.into()))
    }

    fn deserialize_u16<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(self.number(u16::MAX.into()))
    }

    fn deserialize_u32<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(self.number(u32::MAX.into()))
    }

    fn deserialize_u64<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(self.number(u64::MAX))
    }

    fn deserialize_i64<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let number = self.number(i64::MAX as u64) as i64;
        visitor.visit_i64(if self.below(2) == 0 { number } else { -number })
    }

    fn deserialize_i32<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(self.number(i32::MAX as u64) as i64)
    }

    fn deserialize_string<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let text: StringDeserializer<Error> = self.text().into_deserializer();
        text.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        if self.below(2) == 0 { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let left = self.below(3);
        visitor.visit_seq(Several { left, names: &[], any: self })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Several { left: names.len() as u64, names, any: self })
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 f64 char str bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct map enum
        identifier ignored_any
    }
}

/// So many more values, with names if they are fields.
struct Several<'r> {
    left: u64,
    names: &'static [&'static str],
    any: Any<'r>,
}

impl<'de> SeqAccess<'de> for Several<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(Any(self.any.0)).map(Some)
    }
}

impl<'de> MapAccess<'de> for Several<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((name, rest)) = self.names.split_first() else { return Ok(None) };
        self.names = rest;
        let name: StrDeserializer<'_, Error> = (*name).into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(Any(self.any.0))
    }
}

fn check<T: DeserializeOwned + Debug + Default + PartialEq>(verb: &str, encode: impl Fn(&T, &mut Vec<u8>)) {
    let mut random = 1;
    let mut written = Vec::new();
    for _ in 0..2000 {
        let document = T::deserialize(Any(&mut random)).expect("all fields are filled");
        written.clear();
        encode(&document, &mut written);
        let text = String::from_utf8(written.clone()).expect("a line is UTF-8");
        let json = text.strip_prefix(verb).expect("the verb").trim_end_matches([' ', '\r', '\n']);
        assert!(!json.contains(['\r', '\n']), "it is one line: {json}");
        assert_eq!(json::read(json.as_bytes()).as_ref(), Ok(&document), "{json}");
    }
}

#[test]
fn each_document_is_read_as_it_was_written_whatever_is_in_it() {
    check("INFO ", info::Info::encode);
    check("INFO ", route::Info::encode);
    check("CONNECT ", route::Connect::encode);
    check("INFO ", gateway::Info::encode);
    check("CONNECT ", gateway::Connect::encode);
    check("INFO ", leaf::Info::encode);
    check("CONNECT ", leaf::Connect::encode);
}
