//! Filling documents from JSON by the rules of Go: a name fits in any case, null changes nothing, what is unknown is ignored or refused.

use super::parse::{Kind, Node, SyntaxError, parse};
use serde::ser::SerializeMap;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Whether a field that a document does not have is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// `json: unknown field "…"`
    Strict,
    /// It is ignored.
    Lax,
}

/// An error that ends the reading at once: that of a type with rules of its own. Others are kept, and the rest is still read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abort(pub String);

/// The way to the field that is read, and the first error.
#[derive(Debug)]
pub struct Reader {
    strictness: Strictness,
    /// The document that is read, by its Go name, and the fields on the way to here.
    document: &'static str,
    path: Vec<&'static str>,
    error: Option<String>,
}

/// A type that a document may have as a field.
pub trait Field {
    /// Takes the value of `node`. `go` is the name of the type in Go, which errors show.
    ///
    /// # Errors
    /// Only such as end the reading.
    fn read(&mut self, node: &Node<'_>, go: &str, reader: &mut Reader) -> Result<(), Abort>;
}

/// A type with named fields.
pub trait Document {
    /// Takes the value of a field by its name in JSON, and says whether there is such a field.
    ///
    /// # Errors
    /// Only such as end the reading.
    fn read_field(&mut self, name: &str, node: &Node<'_>, reader: &mut Reader) -> Result<bool, Abort>;

    /// Writes its fields, also among those of a document that embeds it.
    ///
    /// # Errors
    /// Those of the serializer.
    fn write_fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;
}

/// An embedded pointer: without it, its fields are not there.
impl<D: Document + Default> Document for Option<D> {
    fn read_field(&mut self, name: &str, node: &Node<'_>, reader: &mut Reader) -> Result<bool, Abort> {
        let was_there = self.is_some();
        let is_known = self.get_or_insert_default().read_field(name, node, reader)?;
        if !was_there && !is_known {
            *self = None;
        }
        Ok(is_known)
    }

    fn write_fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        self.as_ref().map_or(Ok(()), |document| document.write_fields(map))
    }
}

impl Reader {
    /// A reader at the root.
    pub fn new(strictness: Strictness) -> Self {
        Self { strictness, document: "", path: Vec::new(), error: None }
    }

    /// The first error, if there was one.
    pub fn error(self) -> Option<String> {
        self.error
    }

    fn keep(&mut self, error: String) {
        self.error.get_or_insert(error);
    }

    /// The error of a value of the wrong type: `value` as Go names what stands in the text.
    pub(super) fn mismatched(&self, value: &str, go: &str) -> String {
        if self.path.is_empty() {
            return format!("json: cannot unmarshal {value} into Go value of type {go}");
        }
        let path = self.path.join(".");
        format!("json: cannot unmarshal {value} into Go struct field {}.{path} of type {go}", self.document)
    }

    /// Notes a value of the wrong type.
    pub fn mismatch(&mut self, value: &str, go: &str) {
        let error = self.mismatched(value, go);
        self.keep(error);
    }

    /// Reads the fields of an object into a document, whose type is `go` in Go and has the short name `name`.
    ///
    /// # Errors
    /// That of a field.
    pub fn fields<D: Document>(
        &mut self,
        node: &Node<'_>,
        go: &str,
        name: &'static str,
        document: &mut D,
    ) -> Result<(), Abort> {
        let fields = match &node.kind {
            Kind::Object(fields) => fields,
            Kind::Null => return Ok(()),
            other => {
                self.mismatch(name_of(other), go);
                return Ok(());
            }
        };
        let outer = std::mem::replace(&mut self.document, name);
        for (name, value) in fields {
            if !document.read_field(name, value, self)? && self.strictness == Strictness::Strict {
                self.keep(format!("json: unknown field {}", quoted(name)));
            }
        }
        self.document = outer;
        Ok(())
    }

    /// Reads a field into a document that stands among the fields of another one, if it has it. Go names it on the way.
    ///
    /// # Errors
    /// That of the field.
    pub fn embedded<D: Document>(
        &mut self,
        go: &'static str,
        document: &mut D,
        name: &str,
        node: &Node<'_>,
    ) -> Result<bool, Abort> {
        self.path.push(go);
        let result = document.read_field(name, node, self);
        self.path.pop();
        result
    }

    /// Reads a field that is named `name` in the document.
    ///
    /// # Errors
    /// That of the field.
    pub fn field(
        &mut self,
        name: &'static str,
        field: &mut dyn Field,
        node: &Node<'_>,
        go: &str,
    ) -> Result<(), Abort> {
        self.path.push(name);
        let result = field.read(node, go, self);
        self.path.pop();
        result
    }
}

/// Reads all values that `text` holds into `document`, one over the other, as the official server does; none is no error.
///
/// # Errors
/// What is behind `invalid JSON: ` in the error of the API.
pub fn from_slice<T: Field>(
    text: &[u8],
    go: &str,
    strictness: Strictness,
    document: &mut T,
) -> Result<(), String> {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        if rest.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            return Ok(());
        }
        let (node, used) = parse(rest).map_err(|error| shown(&error, at))?;
        at += used;
        let mut reader = Reader::new(strictness);
        document.read(&node, go, &mut reader).map_err(|Abort(error)| error)?;
        if let Some(error) = reader.error() {
            return Err(error);
        }
    }
}

fn shown(error: &SyntaxError, before: usize) -> String {
    match error.offset() {
        None => "unexpected EOF".to_owned(),
        Some(offset) => format!("{error} at offset {}", before + offset),
    }
}

/// What Go calls a value in its errors.
pub(super) fn name_of(kind: &Kind<'_>) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::Bool(_) => "bool",
        Kind::Number(_) => "number",
        Kind::Text(_) => "string",
        Kind::Array(_) => "array",
        Kind::Object(_) => "object",
    }
}

/// A string as Go's `%q` prints it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl Field for String {
    fn read(&mut self, node: &Node<'_>, go: &str, reader: &mut Reader) -> Result<(), Abort> {
        match &node.kind {
            Kind::Text(text) => *self = text.clone().into_owned(),
            Kind::Null => {}
            other => reader.mismatch(name_of(other), go),
        }
        Ok(())
    }
}

impl Field for bool {
    fn read(&mut self, node: &Node<'_>, go: &str, reader: &mut Reader) -> Result<(), Abort> {
        match &node.kind {
            Kind::Bool(value) => *self = *value,
            Kind::Null => {}
            other => reader.mismatch(name_of(other), go),
        }
        Ok(())
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn read(&mut self, node: &Node<'_>, go: &str, reader: &mut Reader) -> Result<(), Abort> {
                match &node.kind {
                    Kind::Number(text) => match text.parse() {
                        Ok(value) => *self = value,
                        Err(_) => reader.mismatch(&format!("number {text}"), go),
                    },
                    Kind::Null => {}
                    other => reader.mismatch(name_of(other), go),
                }
                Ok(())
            }
        }
    )*};
}
integers!(i64, u64, i32, u32, u16, u8);

impl<T: Field + Default> Field for Vec<T> {
    fn read(&mut self, node: &Node<'_>, go: &str, reader: &mut Reader) -> Result<(), Abort> {
        match &node.kind {
            Kind::Array(values) => {
                self.clear();
                let go = go.strip_prefix("[]").unwrap_or(go);
                let go = go.strip_prefix('*').unwrap_or(go);
                for value in values {
                    let mut element = T::default();
                    element.read(value, go, reader)?;
                    self.push(element);
                }
            }
            Kind::Null => self.clear(),
            other => reader.mismatch(name_of(other), go),
        }
        Ok(())
    }
}

impl<T: Field + Default> Field for Option<T> {
    fn read(&mut self, node: &Node<'_>, go: &str, reader: &mut Reader) -> Result<(), Abort> {
        if node.kind == Kind::Null {
            *self = None;
            return Ok(());
        }
        self.get_or_insert_default().read(node, go, reader)
    }
}

impl<T: Field + Default> Field for BTreeMap<String, T> {
    fn read(&mut self, node: &Node<'_>, go: &str, reader: &mut Reader) -> Result<(), Abort> {
        match &node.kind {
            Kind::Object(fields) => {
                let go = go.strip_prefix("map[string]").unwrap_or(go);
                for (name, value) in fields {
                    let mut element = T::default();
                    element.read(value, go, reader)?;
                    self.insert(name.clone().into_owned(), element);
                }
            }
            Kind::Null => self.clear(),
            other => reader.mismatch(name_of(other), go),
        }
        Ok(())
    }
}

impl Field for Cow<'static, str> {
    fn read(&mut self, node: &Node<'_>, go: &str, reader: &mut Reader) -> Result<(), Abort> {
        let mut text = String::new();
        text.read(node, go, reader)?;
        *self = Cow::Owned(text);
        Ok(())
    }
}
