//! Where account JWTs come from.

use super::block;
use super::keys::Status::Restarts;
use super::reader::{self, Block, Notes};
use super::rule::Rule::Within;
use crate::error::{ConfigError, Position};
use crate::language::{Kind, Value};
use std::path::PathBuf;
use std::time::Duration;

/// How long a token is waited for that must come from elsewhere. The official figure.
const TIMEOUT_DEFAULT: Duration = Duration::from_millis(1900);
/// How often a full resolver compares what it has with other servers. The official figure.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(60);
/// Tokens that a cache keeps. The official figure.
const CACHED_MAX: u64 = 1000;
/// How long a cache keeps a token. The official figure.
const TTL_DEFAULT: Duration = Duration::from_secs(2 * 60 * 60);

block! {
    /// The keys of a resolver; which of them it takes depends on its type.
    pub struct ResolverKeys in "resolver" {
        /// In upper case.
        kind: String = String::new(),
            type: "`full` keeps every JWT, `cache` those used lately, `memory` those that are preloaded.",
            read (|v| reader::text(v).map(|text| text.to_ascii_uppercase())), Within(Restarts);
        dir: Option<PathBuf> = None,
            dir: "Folder of the JWTs, one file an account.", read (reader::path), Within(Restarts);
        allow_delete: bool = false,
            allow_delete: "A request signed by the operator may delete JWTs.", read (reader::boolean), Within(Restarts);
        hard_delete: bool = false,
            hard_delete: "Deleted files are removed, not renamed.", read (reader::boolean), Within(Restarts);
        limit: Option<u64> = None,
            limit: "JWTs that are kept. Default: any number; of a cache 1000.",
            read (|v| Ok(Some(reader::limit(v)? as u64).filter(|&n| n > 0))), Within(Restarts);
        ttl: Option<Duration> = None,
            ttl: "How long a cache keeps a JWT. Default 2h.",
            read (|v| reader::duration_text(v).map(Some)), Within(Restarts);
        interval: Option<Duration> = None,
            interval: "How often a full resolver compares itself with others. Default 1m.",
            read (|v| reader::duration_text(v).map(Some)), Within(Restarts);
        timeout: Duration = TIMEOUT_DEFAULT,
            timeout: "How long others are asked for a JWT. Default 1.9s.", read (timeout), Within(Restarts);
    }
}

/// Where tokens of accounts come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolver {
    /// From the configuration alone.
    Memory,
    /// By HTTP, from this address and the account's key behind it.
    Url(String),
    /// From a folder that is written by requests.
    Folder(Folder),
}

/// A resolver that keeps tokens in a folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Folder {
    /// Where it is configured.
    pub at: Position,
    /// The folder.
    pub dir: PathBuf,
    /// Whether it holds all tokens, or some of them for a time.
    pub keeps: Keeps,
    /// How long other servers are asked for a token.
    pub timeout: Duration,
}

/// What a folder keeps.
#[derive(Clone, Debug, PartialEq)]
pub enum Keeps {
    /// Every token.
    All {
        /// Whether a request may delete one.
        allow_delete: bool,
        /// Whether that removes the file, instead of giving it another name.
        hard_delete: bool,
        /// How many; `None`: any number. One more is refused.
        limit: Option<u64>,
        /// How often the folder is compared with those of other servers.
        interval: Duration,
    },
    /// Those that were used lately.
    Some {
        /// How many; those used least give way.
        limit: u64,
        /// For how long; zero: for ever.
        ttl: Duration,
    },
}

fn timeout(value: &Value) -> Result<Duration, ConfigError> {
    match reader::duration_text(value)? {
        timeout if timeout.is_zero() => Err(ConfigError::new(&value.at, "the timeout is zero")),
        timeout => Ok(timeout),
    }
}

const RESOLVER_WRONG: &str = "error parsing account resolver, should be MEM or  URL(\"url\") or a map \
                              containing dir and type state=[FULL|CACHE])";

/// Reads the block, or a resolver by its name.
pub(crate) fn resolver(value: &Value, notes: &mut Notes) -> Option<Resolver> {
    let wrong = || ConfigError::new(&value.at, RESOLVER_WRONG);
    let map = match &value.kind {
        Kind::Map(map) => map,
        Kind::String(text) => {
            let resolver = by_name(text);
            if resolver.is_none() {
                notes.errors.push(wrong());
            }
            return resolver;
        }
        _ => {
            notes.errors.push(wrong());
            return None;
        }
    };
    let block = Block::new("resolver", map, &mut notes.errors);
    let mut keys = ResolverKeys::default();
    keys.read(&block, notes);
    let ResolverKeys { kind, dir, allow_delete, hard_delete, limit, ttl, interval, timeout } = keys;
    let errors = &mut notes.errors;
    let before = errors.len();
    let mut say = |key: &str, problem: &str| {
        errors.push(ConfigError::new(block.get(key).map_or(&value.at, |v| &v.at), problem));
    };
    let keeps = match kind.as_str() {
        "MEM" | "MEMORY" => return Some(Resolver::Memory),
        "FULL" => {
            if ttl.is_some_and(|ttl: Duration| !ttl.is_zero()) {
                say("ttl", "FULL does not accept ttl");
            }
            if hard_delete && !allow_delete {
                say("hard_delete", "hard_delete has no effect without delete");
            }
            let interval = interval.unwrap_or(INTERVAL_DEFAULT);
            Keeps::All { allow_delete, hard_delete, limit, interval }
        }
        "CACHE" => {
            for (key, given) in [
                ("allow_delete", allow_delete),
                ("hard_delete", hard_delete),
                ("interval", interval.is_some()),
            ] {
                if given {
                    say(key, &format!("CACHE does not accept {key}"));
                }
            }
            Keeps::Some { limit: limit.unwrap_or(CACHED_MAX), ttl: ttl.unwrap_or(TTL_DEFAULT) }
        }
        _ => {
            say("type", RESOLVER_WRONG);
            return None;
        }
    };
    let Some(dir) = dir else {
        say("dir", "dir has no value and needs to point to a directory");
        return None;
    };
    (errors.len() == before)
        .then(|| Resolver::Folder(Folder { at: value.at.clone().into(), dir, keeps, timeout }))
}

/// `MEM`, `MEMORY` or `URL(…)`.
fn by_name(text: &str) -> Option<Resolver> {
    let text = text.trim();
    if ["MEM", "MEMORY"].iter().any(|name| text.eq_ignore_ascii_case(name)) {
        return Some(Resolver::Memory);
    }
    let start = text.get(..3).filter(|start| start.eq_ignore_ascii_case("URL"))?;
    let address = text.strip_prefix(start)?.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some(Resolver::Url(address.trim().trim_matches('"').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::path::Path;

    const OPERATOR: &str = "OAYOUATZV4ODWE6YAJAZHRJM33VNLIVRIQPNS26WBQCPBFOEZQOBICQR";

    #[test]
    fn resolvers() {
        let resolver = |text: &str| {
            let text = format!("trusted: {OPERATOR}\nresolver: {text}");
            let mut files = |_: &Path| Err(io::ErrorKind::NotFound.into());
            crate::load_text(&text, "t.conf", &mut files, &|_| None)
                .map(|options| options.access.operator_mode.resolver.expect("resolver"))
                .map_err(|errors| errors.to_string())
        };
        assert_eq!(resolver("memory"), Ok(Resolver::Memory));
        assert_eq!(resolver("URL(http://a/b/)"), Ok(Resolver::Url("http://a/b/".into())));
        assert_eq!(resolver("'URL(\"http://a/b/\")'"), Ok(Resolver::Url("http://a/b/".into())));
        let Ok(Resolver::Folder(folder)) = resolver("{ type: full, dir: x, limit: 3, allow_delete: true }")
        else {
            panic!("a folder");
        };
        let keeps =
            Keeps::All { allow_delete: true, hard_delete: false, limit: Some(3), interval: INTERVAL_DEFAULT };
        assert_eq!((folder.keeps, folder.timeout), (keeps, TIMEOUT_DEFAULT));
        let Ok(Resolver::Folder(folder)) = resolver("{ type: cache, dir: x, ttl: '5m' }") else {
            panic!("a folder");
        };
        assert_eq!(folder.keeps, Keeps::Some { limit: CACHED_MAX, ttl: Duration::from_secs(300) });
        for (text, expected) in [
            ("FOO", "t.conf:2:11: error parsing account resolver"),
            ("{ type: x, dir: y }", "t.conf:2:19: error parsing account resolver"),
            ("{ type: full }", "t.conf:2:11: dir has no value and needs to point to a directory"),
            ("{ type: full, dir: x, ttl: '5m' }", "t.conf:2:38: FULL does not accept ttl"),
            ("{ type: full, dir: x, hard_delete: true }", "t.conf:2:46: hard_delete has no effect"),
            (
                "{ type: cache, dir: x, allow_delete: true }",
                "t.conf:2:48: CACHE does not accept allow_delete",
            ),
            ("{ type: cache, dir: x, interval: 60 }", "t.conf:2:44: expected a duration"),
            ("{ type: cache, dir: x, interval: 1m }", "t.conf:2:44: CACHE does not accept interval"),
        ] {
            assert!(resolver(text).is_err_and(|e| e.contains(expected)), "{text}: {:?}", resolver(text));
        }
    }
}
