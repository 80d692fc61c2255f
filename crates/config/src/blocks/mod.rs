//! One declaration a key: a file per block, a line or two per key.
//!
//! [`block!`] makes of each declaration the field with its type and default, its reader, its row in the table of keys
//! (names, status, docs) and its rule for a reload. A new block is a new file, a row of [`crate::docs`], and a field of
//! [`crate::Options`].

pub mod access;
pub mod account;
pub mod authorization;
pub mod clients;
pub mod cluster;
pub mod compression;
pub mod features;
pub mod gateway;
pub mod http;
pub mod jetstream;
pub mod keys;
pub mod lame_duck;
pub mod leaf_remote;
pub mod leafnodes;
pub mod limits;
pub mod log;
pub mod mapping;
pub mod mqtt;
pub mod mqtt_sn;
pub mod mqtt_sn_dtls;
pub mod ocsp;
pub mod operator;
pub mod permissions;
pub mod rate_limits;
pub(crate) mod reader;
pub mod repeated;
pub mod resolver;
pub mod resolver_tls;
pub(crate) mod rule;
pub mod server;
pub mod server_url;
pub mod sharing;
pub mod staples;
pub mod tls;
pub mod usage;
pub mod user;
pub mod websocket;

/// Declares a block of the configuration, or a part of the top level (`in ""`).
///
/// ```text
/// /// What the block is.
/// pub struct NAME in "KIND OF BLOCK" {
///     /// More about the field, where the key's sentence is not enough.
///     FIELD: TYPE = DEFAULT,
///         KEY | "ALIAS": "The sentence of the docs.", READ READER, RULE;
///     FIELD: TYPE = DEFAULT;
/// }
/// also {
///     KEY | "ALIAS": STATUS, "The sentence of the docs.";
/// }
/// ```
///
/// A field without a key is filled by hand, and `also` has the keys without a field of their own, such as those that are
/// refused; `first` has such keys that the docs show before the others. READ says what the READER is:
///
/// - `read`: from a value to a field, or an error.
/// - `noting`: the same, where the reader can note doubts about the value.
/// - `or_default`: the same, and the zero of the type means the default.
/// - `block`: from a value to a field in any case, with the errors noted: a block in the block.
/// - `by_hand`: `()`; the key is read where it can be seen together with others.
///
/// RULE is a [`Rule`](rule::Rule).
macro_rules! block {
    (
        $(#[$meta:meta])*
        pub struct $Struct:ident in $block:literal {
            $(
                $(#[$more:meta])*
                $field:ident: $type:ty = $default:expr
                    $(, $key:ident $(| $alias:literal)*: $text:literal, $how:ident $reader:expr, $rule:expr)?;
            )*
        }
        $(first {
            $($first:ident $(| $first_alias:literal)*: $first_status:expr, $first_text:literal;)*
        })?
        $(also {
            $($also:ident $(| $also_alias:literal)*: $status:expr, $also_text:literal;)*
        })?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $Struct {
            $($(#[doc = $text])? $(#[$more])* pub $field: $type,)*
        }

        impl Default for $Struct {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $Struct {
            /// The rows of its keys.
            pub(crate) const KEYS: &'static [$crate::blocks::keys::Key] = &[
                $($($crate::blocks::keys::Key {
                    block: $block,
                    name: stringify!($first),
                    aliases: &[$($first_alias),*],
                    status: $first_status,
                    doc: $first_text,
                },)*)?
                $($($crate::blocks::keys::Key {
                    block: $block,
                    name: stringify!($key),
                    aliases: &[$($alias),*],
                    status: {
                        const RULE: $crate::blocks::rule::Rule<$type> = $rule;
                        RULE.status()
                    },
                    doc: $text,
                },)?)*
                $($($crate::blocks::keys::Key {
                    block: $block,
                    name: stringify!($also),
                    aliases: &[$($also_alias),*],
                    status: $status,
                    doc: $also_text,
                },)*)?
            ];

            /// Reads the keys that have a reader.
            #[allow(dead_code, unused_variables)] // Some blocks are read by hand altogether.
            pub(crate) fn read(
                &mut self,
                block: &$crate::blocks::reader::Block<'_>,
                notes: &mut $crate::blocks::reader::Notes,
            ) {
                $($($crate::blocks::block!(@read $how $reader, block, stringify!($key), &mut self.$field, notes);)?)*
            }

            /// Notes what a reload from `old` to `new` changes.
            #[allow(dead_code)] // Some blocks are compared as a whole, by the block around them.
            pub(crate) fn compare(old: &Self, new: &Self, out: &mut Vec<$crate::blocks::rule::Difference>) {
                $($({
                    const RULE: $crate::blocks::rule::Rule<$type> = $rule;
                    RULE.compare(stringify!($key), &old.$field, &new.$field, out);
                })?)*
            }
        }
    };
    (@read read $reader:expr, $block:ident, $key:expr, $slot:expr, $notes:ident) => {
        $block.set($key, $slot, &mut $notes.errors, $reader)
    };
    (@read or_default $reader:expr, $block:ident, $key:expr, $slot:expr, $notes:ident) => {
        $block.set_or_default($key, $slot, $notes, $reader)
    };
    (@read noting $reader:expr, $block:ident, $key:expr, $slot:expr, $notes:ident) => {
        $block.set_noting($key, $slot, $notes, $reader)
    };
    (@read block $reader:expr, $block:ident, $key:expr, $slot:expr, $notes:ident) => {
        $block.set_block($key, $slot, $notes, $reader)
    };
    (@read by_hand $reader:expr, $block:ident, $key:expr, $slot:expr, $notes:ident) => {};
}
pub(crate) use block;
