//! The macros that declare documents and the names of choices.

/// Declares a document: each field with its name in JSON, whether it is written when it is empty (`always`, `omitempty`), and its type in Go, which
/// errors show. Documents that it embeds, whose fields stand among its own, come first, with `embed`. Makes the struct, reads and writes it, and lists
/// its own names in `FIELDS`.
#[macro_export]
macro_rules! document {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident = $go:literal {
            $( embed $(#[$embed_doc:meta])* pub $embed:ident: $embed_type:ty, $embed_go:literal; )*
            $( $(#[$doc:meta])* pub $field:ident: $type:ty, $json:literal $omission:ident $go_type:literal; )*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $name { $( $(#[$embed_doc])* pub $embed: $embed_type, )* $( $(#[$doc])* pub $field: $type, )* }

        impl $name {
            /// The names of its fields in JSON, in the official order.
            pub const FIELDS: &'static [&'static str] = &[$($json),*];
            /// The name of the type in Go, which errors show.
            pub const GO: &'static str = concat!("server.", $go);
        }

        impl $crate::json::Document for $name {
            #[allow(clippy::too_many_lines, reason = "one branch a field")]
            fn read_field(
                &mut self,
                name: &str,
                node: &$crate::json::Node<'_>,
                reader: &mut $crate::json::Reader,
            ) -> Result<bool, $crate::json::Abort> {
                $( if reader.embedded($embed_go, &mut self.$embed, name, node)? {
                    return Ok(true);
                } )*
                $( if name.eq_ignore_ascii_case($json) {
                    reader.field($json, &mut self.$field, node, $go_type)?;
                    return Ok(true);
                } )*
                let _ = (name, node, reader);
                Ok(false)
            }

            fn write_fields<M: serde::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                $( $crate::json::Document::write_fields(&self.$embed, map)?; )*
                $( $crate::json::document!(@write $omission, self.$field, map, $json); )*
                let _ = map;
                Ok(())
            }
        }

        impl $crate::json::Field for $name {
            fn read(
                &mut self,
                node: &$crate::json::Node<'_>,
                go: &str,
                reader: &mut $crate::json::Reader,
            ) -> Result<(), $crate::json::Abort> {
                reader.fields(node, go, $go, self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                $crate::json::Document::write_fields(self, &mut map)?;
                serde::ser::SerializeMap::end(map)
            }
        }
    };
    (@write always, $value:expr, $map:ident, $json:literal) => { $map.serialize_entry($json, &$value)?; };
    (@write omitempty, $value:expr, $map:ident, $json:literal) => {
        if !$crate::json::Empty::is_empty(&$value) { $map.serialize_entry($json, &$value)?; }
    };
}
pub use document;

/// Declares a choice by its names in JSON; the first is what stands there when nothing is said. Behind `|` stand other names that are read. `$refusal`
/// is a function of [`super::refusal`], which words the error of a name that is none.
macro_rules! names {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident, $refusal:ident {
            $( $(#[$doc:meta])* $variant:ident = $json:literal $(| $alias:literal)* ),* $(,)?
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[$doc])* $variant, )* }

        impl $name {
            /// All, in the official order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name in JSON.
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $json, )* }
            }

            /// The choice of a name in JSON.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|choice| choice.name() == name)
            }
        }

        impl Default for $name {
            fn default() -> Self { Self::ALL[0] }
        }

        impl $crate::json::Empty for $name {
            fn is_empty(&self) -> bool { *self == Self::default() }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl $crate::json::Field for $name {
            fn read(
                &mut self,
                node: &$crate::json::Node<'_>,
                _: &str,
                reader: &mut $crate::json::Reader,
            ) -> Result<(), $crate::json::Abort> {
                // Official servers compare the bytes of the value with a quoted name; no name has escapes.
                let name = $crate::json::refusal::spelled(node, stringify!($refusal));
                *self = match name.as_deref() {
                    $( Some($json $(| $alias)*) => Self::$variant, )*
                    _ => return Err($crate::json::Abort($crate::json::refusal::$refusal(node, reader))),
                };
                Ok(())
            }
        }
    };
}
pub(crate) use names;
