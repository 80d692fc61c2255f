//! Tokens as tables, in the well-known layout.

mod account;
mod rights;

use super::args::values::show_time;
use super::table::Table;
use dialtone_identity::jwt::authorization::AuthorizationResponse;
use dialtone_identity::jwt::claims::{Activation, ExportKind, Operator, User, UserLimits};
use dialtone_identity::jwt::{Body, DecodedJwt};

/// Names of keys, for people: `name_of(key)` is empty where none is known.
pub type Names<'a> = &'a dyn Fn(&str) -> String;

/// A token as one or more tables.
pub fn describe(token: &DecodedJwt, names: Names<'_>) -> String {
    match &token.body {
        Body::Operator(body) => operator(token, body, names),
        Body::Account(body) => account::account(token, body, names),
        Body::User(body) => user(token, body, names),
        Body::Activation(body) => activation(token, body, names),
        Body::AuthorizationRequest(request) => {
            let mut table = Table::new("Authorization Request");
            standard(&mut table, "User ID", token, names);
            table.row_if("Server", &request.server.name);
            table.row_if("Client", &request.client.host);
            table.render()
        }
        Body::AuthorizationResponse(body) => response(token, body, names),
    }
}

/// What each token says.
fn standard(table: &mut Table, label: &str, token: &DecodedJwt, names: Names<'_>) {
    table.row_if("Name", &token.name);
    table.row([label, &token.subject.to_string()]);
    let issuer = token.issuer.to_string();
    table.row(["Issuer ID", &named(&issuer, names)]);
    if let (Some(account), Body::User(_) | Body::Activation(_)) = (token.account_key(), &token.body)
        && account != issuer
    {
        table.row(["Issuer Account", &named(&account, names)]);
    }
    table.row(["Issued", &show_time(token.issued_at)]);
    if let Some(at) = token.not_before {
        table.row(["Starts", &show_time(at)]);
    }
    table.row(["Expires", &token.expires.map(show_time).unwrap_or_default()]);
    table.list("Tags", &token.tags);
}

fn named(key: &str, names: Names<'_>) -> String {
    let name = names(key);
    if name.is_empty() { key.to_owned() } else { format!("{key} / {name}") }
}

fn yes_no(value: bool) -> &'static str {
    if value { "Yes" } else { "No" }
}

fn true_false(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// `Stream` or `Service`.
fn titled(kind: ExportKind) -> &'static str {
    match kind {
        ExportKind::Stream => "Stream",
        ExportKind::Service => "Service",
    }
}

fn operator(token: &DecodedJwt, operator: &Operator, names: Names<'_>) -> String {
    let mut table = Table::new("Operator Details");
    standard(&mut table, "Operator ID", token, names);
    table.row_if("Account JWT Server", &operator.account_server_url);
    table.list("Operator Service URLs", &operator.operator_service_urls);
    if !operator.system_account.is_empty() {
        table.row(["System Account", &named(&operator.system_account, names)]);
    }
    table.row_if("Server Version", &operator.assert_server_version);
    table.row(["Require Signing Keys", if operator.strict_signing_key_usage { "true" } else { "false" }]);
    table.line();
    table.list("Signing Keys", &operator.signing_keys);
    table.render()
}

fn user(token: &DecodedJwt, user: &User, names: Names<'_>) -> String {
    let mut table = Table::new("User");
    standard(&mut table, "User ID", token, names);
    if user.limits == UserLimits::default() {
        table.row(["Issuer Scoped", "Yes"]);
        return table.render();
    }
    table.row(["Bearer Token", yes_no(user.limits.bearer_token)]);
    if user.limits.proxy_required {
        table.row(["Proxy Required", "Yes"]);
    }
    rights::permissions(&mut table, &user.limits.permissions);
    table.line();
    rights::limits(&mut table, &user.limits);
    table.line();
    table.list("Allowed Connection Types", &user.limits.allowed_connection_types);
    table.render()
}

fn activation(token: &DecodedJwt, activation: &Activation, names: Names<'_>) -> String {
    let mut table = Table::new("Activation");
    standard(&mut table, "Account ID", token, names);
    table.line();
    table.row(["Import Type", activation.kind.map_or("Unknown", titled)]);
    table.row(["Import Subject", &activation.subject]);
    table.render()
}

fn response(token: &DecodedJwt, response: &AuthorizationResponse, names: Names<'_>) -> String {
    let mut table = Table::new("Authorization Response");
    standard(&mut table, "User ID", token, names);
    table.row_if("Error", &response.error);
    table.row_if("Server", &token.audience);
    table.render()
}
