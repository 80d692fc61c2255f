//! Where an endpoint's options come from: a query of HTTP, or the JSON body of a system request.

use super::json_syntax;
use super::query::{Query, Window};
use serde_json::{Map, Value};

/// Something that cannot be understood, in the official words.
#[derive(Debug)]
pub(crate) struct Bad(pub(crate) String);

/// What an option is called: in a query, and in a body. Empty: it is not there.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    query: &'static str,
    body: &'static str,
}

/// An option with different names in a query and in a body.
pub(crate) const fn named(query: &'static str, body: &'static str) -> Name {
    Name { query, body }
}

/// An option with one name.
pub(crate) const fn same(name: &'static str) -> Name {
    named(name, name)
}

/// An option of system requests only.
pub(crate) const fn by_request(body: &'static str) -> Name {
    named("", body)
}

/// How much is shown of subscriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Subs {
    /// How many.
    #[default]
    No,
    /// Their subjects.
    Subjects,
    /// Everything.
    Details,
}

/// Where options are read from.
pub(crate) trait Source {
    /// A text; empty if it is not there.
    fn text(&self, name: Name) -> Result<String, Bad>;
    /// A switch; off if it is not there.
    fn flag(&self, name: Name) -> Result<bool, Bad>;
    /// A number; 0 if it is not there.
    fn integer(&self, name: Name) -> Result<i64, Bad>;
    /// The same, not negative.
    fn unsigned(&self, name: Name) -> Result<u64, Bad>;
    /// Texts; none if it is not there.
    fn list(&self, name: Name) -> Result<Vec<String>, Bad>;
    /// What is shown of subscriptions.
    fn subs(&self) -> Result<Subs, Bad>;
    /// Which connections: 0 open, 1 closed, 2 both.
    fn state(&self) -> Result<i64, Bad>;

    /// A part of a list; what is not positive is the default.
    fn window(&self, limit_default: usize) -> Result<Window, Bad> {
        let positive = |n: i64| usize::try_from(n).ok().filter(|&n| n > 0);
        Ok(Window {
            offset: positive(self.integer(same("offset"))?).unwrap_or(0),
            limit: positive(self.integer(same("limit"))?).unwrap_or(limit_default),
        })
    }
}

impl Source for Query {
    fn text(&self, name: Name) -> Result<String, Bad> {
        Ok(self.value(name.query).to_owned())
    }

    fn flag(&self, name: Name) -> Result<bool, Bad> {
        match self.value(name.query) {
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            other => Err(bad_parameter("boolean", name.query, "ParseBool", other)),
        }
    }

    fn integer(&self, name: Name) -> Result<i64, Bad> {
        match self.value(name.query) {
            "" => Ok(0),
            text => text.parse().map_err(|_| bad_parameter("int", name.query, "Atoi", text)),
        }
    }

    fn unsigned(&self, name: Name) -> Result<u64, Bad> {
        match self.value(name.query) {
            "" => Ok(0),
            text => text.parse().map_err(|_| bad_parameter("uint64", name.query, "ParseUint", text)),
        }
    }

    fn list(&self, _: Name) -> Result<Vec<String>, Bad> {
        // No list can be asked for by a query.
        Ok(Vec::new())
    }

    fn subs(&self) -> Result<Subs, Bad> {
        match self.value("subs") {
            text if text.eq_ignore_ascii_case("detail") => Ok(Subs::Details),
            _ if self.flag(same("subs"))? => Ok(Subs::Subjects),
            _ => Ok(Subs::No),
        }
    }

    fn state(&self) -> Result<i64, Bad> {
        match self.value("state").to_ascii_lowercase().as_str() {
            "" | "open" => Ok(0),
            "closed" => Ok(1),
            "any" | "all" => Ok(2),
            other => Err(Bad(format!("Error decoding state for {other}"))),
        }
    }
}

fn bad_parameter(kind: &str, name: &str, function: &str, value: &str) -> Bad {
    let digits = value.len() > 18 && value.bytes().all(|b| b.is_ascii_digit());
    let out_of_range = function != "ParseBool" && digits;
    let why = if out_of_range { "value out of range" } else { "invalid syntax" };
    Bad(format!("Error decoding {kind} for '{name}': strconv.{function}: parsing {value:?}: {why}"))
}

/// The body of a system request.
pub(crate) struct Body {
    fields: Map<String, Value>,
    /// What the official server calls these options, and those inside that are the endpoint's own: its errors do.
    all: &'static str,
    own: &'static str,
}

impl Body {
    /// Reads a body; an empty one has no fields. `name` is the endpoint's as the official server writes it: `Connz`.
    pub(crate) fn read(payload: &[u8], all: &'static str, own: &'static str) -> Result<Self, Bad> {
        let empty = |fields| Self { fields, all, own };
        if payload.is_empty() {
            return Ok(empty(Map::new()));
        }
        if let Some(problem) = json_syntax::problem(payload) {
            return Err(Bad(problem));
        }
        match serde_json::from_slice(payload) {
            Ok(Value::Object(fields)) => Ok(empty(fields)),
            Ok(Value::Null) => Ok(empty(Map::new())),
            Ok(other) => Err(Bad(format!(
                "json: cannot unmarshal {} into Go value of type server.{all}",
                kind(&other)
            ))),
            Err(problem) => Err(Bad(problem.to_string())),
        }
    }

    /// A field in any case; the last counts.
    fn find(&self, name: &str) -> Option<&Value> {
        let found = self.fields.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    fn wrong(&self, owner: &str, name: &str, value: &Value, wanted: &str) -> Bad {
        let shown = match value {
            Value::Number(number) if matches!(wanted, "int" | "uint64") => format!("number {number}"),
            other => kind(other).to_owned(),
        };
        // A request without options of its own is named by what it has.
        let all = if self.all.is_empty() { String::new() } else { format!("{}.", self.all) };
        Bad(format!(
            "json: cannot unmarshal {shown} into Go struct field {all}{owner}.{name} of type {wanted}"
        ))
    }

    /// A text among those options that say which servers answer.
    pub(crate) fn filter_text(&self, name: &str) -> Result<String, Bad> {
        self.text_of(FILTER, name)
    }

    /// A switch among them.
    pub(crate) fn filter_flag(&self, name: &str) -> Result<bool, Bad> {
        self.flag_of(FILTER, name)
    }

    /// Texts among them.
    pub(crate) fn filter_list(&self, name: &str) -> Result<Vec<String>, Bad> {
        self.list_of(FILTER, name)
    }

    fn text_of(&self, owner: &str, name: &str) -> Result<String, Bad> {
        match self.find(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => {
                Err(self.wrong(owner, name, other, if name == "sort" { "server.SortOpt" } else { "string" }))
            }
        }
    }

    fn flag_of(&self, owner: &str, name: &str) -> Result<bool, Bad> {
        match self.find(name) {
            None => Ok(false),
            Some(Value::Bool(on)) => Ok(*on),
            Some(other) => Err(self.wrong(owner, name, other, "bool")),
        }
    }

    fn list_of(&self, owner: &str, name: &str) -> Result<Vec<String>, Bad> {
        let list = match self.find(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(list)) => list,
            Some(other) => return Err(self.wrong(owner, name, other, "[]string")),
        };
        let text = |value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            other => Err(self.wrong(owner, name, other, "string")),
        };
        list.iter().map(text).collect()
    }
}

/// What the official server calls the options that say which servers answer.
const FILTER: &str = "EventFilterOptions";

impl Source for Body {
    fn text(&self, name: Name) -> Result<String, Bad> {
        self.text_of(self.own, name.body)
    }

    fn flag(&self, name: Name) -> Result<bool, Bad> {
        self.flag_of(self.own, name.body)
    }

    fn integer(&self, name: Name) -> Result<i64, Bad> {
        let Some(value) = self.find(name.body) else { return Ok(0) };
        value.as_i64().ok_or_else(|| self.wrong(self.own, name.body, value, "int"))
    }

    fn unsigned(&self, name: Name) -> Result<u64, Bad> {
        let Some(value) = self.find(name.body) else { return Ok(0) };
        value.as_u64().ok_or_else(|| self.wrong(self.own, name.body, value, "uint64"))
    }

    fn list(&self, name: Name) -> Result<Vec<String>, Bad> {
        self.list_of(self.own, name.body)
    }

    fn subs(&self) -> Result<Subs, Bad> {
        let subjects = self.flag(same("subscriptions"))?;
        let details = self.flag(same("subscriptions_detail"))?;
        Ok(match (details, subjects) {
            (true, _) => Subs::Details,
            (false, true) => Subs::Subjects,
            (false, false) => Subs::No,
        })
    }

    fn state(&self) -> Result<i64, Bad> {
        let Some(value) = self.find("state") else { return Ok(0) };
        value.as_i64().ok_or_else(|| self.wrong(self.own, "state", value, "server.ConnState"))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(text)
    }

    #[test]
    fn a_query_is_read() {
        assert!(query("a=1").flag(same("a")).is_ok_and(|on| on));
        let Err(Bad(why)) = query("b=x%20y+z").integer(same("b")) else { panic!("refused") };
        assert_eq!(why, "Error decoding int for 'b': strconv.Atoi: parsing \"x y z\": invalid syntax");
        assert!(query("offset=99999999999999999999").window(1).is_err());
    }

    /// GHSA-q59r-vq66-pxc2: extremes of offset and limit do not add up to something else.
    #[test]
    fn windows_of_any_size() {
        for (text, expected) in [
            ("offset=9223372036854775807&limit=9223372036854775807", 0),
            ("offset=-1&limit=-5", 3),
            ("offset=1&limit=9223372036854775807", 2),
            ("limit=2", 2),
        ] {
            let window = query(text).window(1024).unwrap_or(Window { offset: 9, limit: 9 });
            assert_eq!(window.of([1, 2, 3]).len(), expected, "{text}");
        }
        let body = Body::read(br#"{"offset":9223372036854775807,"limit":9223372036854775807}"#, "X", "Y");
        assert!(body.is_ok_and(|b| b.window(1).is_ok_and(|w| w.of([1, 2, 3]).is_empty())));
    }

    #[track_caller]
    fn check<T>(body: &str, read: impl Fn(&Body) -> Result<T, Bad>, expected: &str) {
        let result = Body::read(body.as_bytes(), "ConnzEventOptions", "ConnzOptions").and_then(|b| read(&b));
        assert_eq!(result.err().map(|Bad(why)| why).unwrap_or_default(), expected, "{body}");
    }

    /// As the official server answers them: scenario system-request-errors.
    #[test]
    fn a_body_of_the_wrong_type() {
        let field = "json: cannot unmarshal";
        let own = "into Go struct field ConnzEventOptions.ConnzOptions";
        let filter = "into Go struct field ConnzEventOptions.EventFilterOptions";
        check("[1]", |_| Ok(()), &format!("{field} array into Go value of type server.ConnzEventOptions"));
        check(r#"{"limit":"x"}"#, |b| b.window(1), &format!("{field} string {own}.limit of type int"));
        check(r#"{"limit":1.5}"#, |b| b.window(1), &format!("{field} number 1.5 {own}.limit of type int"));
        check(
            r#"{"cid":-1}"#,
            |b| b.unsigned(same("cid")),
            &format!("{field} number -1 {own}.cid of type uint64"),
        );
        check(r#"{"acc":5}"#, |b| b.text(same("acc")), &format!("{field} number {own}.acc of type string"));
        check(
            r#"{"auth":"x"}"#,
            |b| b.flag(same("auth")),
            &format!("{field} string {own}.auth of type bool"),
        );
        check(
            r#"{"state":"x"}"#,
            |b| b.state(),
            &format!("{field} string {own}.state of type server.ConnState"),
        );
        check(
            r#"{"tags":"x"}"#,
            |b| b.filter_list("tags"),
            &format!("{field} string {filter}.tags of type []string"),
        );
        check(
            r#"{"tags":[1]}"#,
            |b| b.filter_list("tags"),
            &format!("{field} number {filter}.tags of type string"),
        );
        check(r#"{"Limit":1,"LIMIT":2,"limit":null}"#, |b| b.window(1), "");
    }
}
