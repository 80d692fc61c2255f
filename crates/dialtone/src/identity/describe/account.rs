//! An account as tables: itself, and one each for exports, imports, mappings, revocations and roles.

use super::rights::{above_zero, bytes, limits, number, permissions, size};
use super::{Names, named, standard, titled, true_false, yes_no};
use crate::identity::args::values::show_time;
use crate::identity::table::Table;
use dialtone_identity::jwt::DecodedJwt;
use dialtone_identity::jwt::account::{Account, AccountLimits, Export, Import, JetStreamLimits, Role};
use dialtone_identity::jwt::claims::{ExportKind, Limit};

pub fn account(token: &DecodedJwt, account: &Account, names: Names<'_>) -> String {
    let mut tables = vec![details(token, account, names)];
    if !account.exports.is_empty() {
        tables.extend(exports(&account.exports));
    }
    if !account.imports.is_empty() {
        tables.push(imports(&account.imports, names));
    }
    if !account.mappings.is_empty() {
        tables.push(mappings(account));
    }
    tables.extend(revocations(account, names));
    tables.extend(account.signing_keys.values().flatten().map(role));
    tables.join("\n")
}

fn details(token: &DecodedJwt, account: &Account, names: Names<'_>) -> String {
    let mut table = Table::new("Account Details");
    standard(&mut table, "Account ID", token, names);
    table.line();
    table.row_if("Description", &account.description);
    table.row_if("Info Url", &account.info_url);
    table.line();
    table.list("Signing Keys", account.signing_keys.keys());
    table.line();
    table.list("Auth Callout Users", &account.authorization.auth_users);
    table
        .list("Allowed Accounts", account.authorization.allowed_accounts.iter().map(|key| named(key, names)));
    table.row_if("Encrypt For", &account.authorization.xkey);
    table.line();
    let of = &account.limits;
    table.row(["Max Connections", &number(of.conn)]);
    let leaf = if of.leaf == Limit::AtMost(0) { "Not Allowed".to_owned() } else { number(of.leaf) };
    table.row(["Max Leaf Node Connections", &leaf]);
    table.row(["Max Data", &bytes(of.data)]);
    table.row(["Max Exports", &number(of.exports)]);
    table.row(["Max Imports", &number(of.imports)]);
    table.row(["Max Msg Payload", &bytes(of.payload)]);
    table.row(["Max Subscriptions", &number(of.subs)]);
    table.row(["Exports Allows Wildcards", true_false(of.wildcards)]);
    table.row(["Disallow Bearer Token", true_false(of.disallow_bearer)]);
    permissions(&mut table, &account.default_permissions);
    table.line();
    jetstream(&mut table, of);
    table.line();
    if account.imports.is_empty() {
        table.row(["Imports", "None"]);
    }
    if account.exports.is_empty() {
        table.row(["Exports", "None"]);
    }
    if !account.revocations.is_empty() {
        table.line();
        table.row(["Revocations", &account.revocations.len().to_string()]);
    }
    table.line();
    match &account.trace {
        None => table.row(["Tracing Context", "Disabled"]),
        Some(trace) => {
            table.row(["Tracing Context", "Enabled"]);
            table.row(["Subject", &trace.dest]);
            let sampling = if trace.sampling == 0 { 100 } else { trace.sampling };
            table.row(["Sampling", &format!("{sampling}%")]);
        }
    }
    table.row_if("Cluster Traffic", &account.cluster_traffic);
    table.render()
}

fn jetstream(table: &mut Table, limits: &AccountLimits) {
    let is_on = |l: &JetStreamLimits| [l.mem_storage, l.disk_storage].iter().any(|s| *s != Limit::AtMost(0));
    if limits.tiered_limits.is_empty() {
        if is_on(&limits.jetstream) {
            table.row(["Jetstream", "Enabled"]);
            streams(table, &limits.jetstream);
        } else {
            table.row(["Jetstream", "Disabled"]);
        }
        return;
    }
    for (tier, limits) in &limits.tiered_limits {
        table.line();
        table.row(["Jetstream Tier", tier]);
        streams(table, limits);
    }
}

fn streams(table: &mut Table, limits: &JetStreamLimits) {
    let storage = |limit: Limit| match limit {
        Limit::Unlimited => "Unlimited".to_owned(),
        Limit::AtMost(0) => "Disabled".to_owned(),
        Limit::AtMost(limit) => size(limit),
    };
    table.row(["Max Disk Storage", &storage(limits.disk_storage)]);
    table.row(["Max Mem Storage", &storage(limits.mem_storage)]);
    table.row(["Max Streams", &above_zero(limits.streams, |n| n.to_string())]);
    table.row(["Max Consumers", &above_zero(limits.consumer, |n| n.to_string())]);
    let pending = match limits.max_ack_pending {
        Limit::AtMost(limit) if limit > 0 => limit.to_string(),
        _ => "Consumer Setting".to_owned(),
    };
    table.row(["Max Ack Pending", &pending]);
    let required = if limits.max_bytes_required { "required" } else { "optional" };
    table.row(["Max Bytes", &format!("{required} (Stream setting)")]);
    table.row(["Max Memory Stream", &above_zero(limits.mem_max_stream_bytes, |n| bytes(Limit::AtMost(n)))]);
    table.row(["Max Disk Stream", &above_zero(limits.disk_max_stream_bytes, |n| bytes(Limit::AtMost(n)))]);
}

fn exports(exports: &[Export]) -> Vec<String> {
    let mut table = Table::new("Exports");
    table.row([
        "Name",
        "Type",
        "Subject",
        "Account Token Position",
        "Public",
        "Revocations",
        "Tracking",
        "Allow Trace",
    ]);
    table.line();
    for export in exports {
        let is_service = export.kind == ExportKind::Service;
        let responses = match export.response_type.as_str() {
            "" | "Singleton" => String::new(),
            other => format!(" [{other}]"),
        };
        let position = match export.account_token_position {
            0 => "-".to_owned(),
            position => position.to_string(),
        };
        let tracking = match (&export.service_latency, is_service) {
            (_, false) => "N/A".to_owned(),
            (None, true) => "-".to_owned(),
            (Some(latency), true) if latency.sampling == 0 => format!("{} (headers)", latency.results),
            (Some(latency), true) => format!("{} ({}%)", latency.results, latency.sampling),
        };
        table.row([
            &export.name,
            &format!("{}{responses}", titled(export.kind)),
            &export.subject,
            &position,
            yes_no(!export.token_req),
            &export.revocations.len().to_string(),
            &tracking,
            if is_service { yes_no(export.allow_trace) } else { "N/A" },
        ]);
    }
    let mut tables = vec![table.render()];
    let told: Vec<&Export> = exports
        .iter()
        .filter(|export| !export.description.is_empty() || !export.info_url.is_empty())
        .collect();
    if !told.is_empty() {
        let mut table = Table::new("Exports - Descriptions");
        table.row(["Name", "Description", "Info Url"]);
        table.line();
        for export in told {
            table.row([&export.name, &export.description, &export.info_url]);
        }
        tables.push(table.render());
    }
    tables
}

fn imports(imports: &[Import], names: Names<'_>) -> String {
    let mut table = Table::new("Imports");
    table.row(["Name", "Type", "Remote", "Local", "Expires", "From Account", "Public", "Allow Trace"]);
    table.line();
    for import in imports {
        // In the old form of a service the exporter's subject is the one it is sent to.
        let is_service = import.kind == ExportKind::Service;
        let (remote, local) = match (is_service, import.to.is_empty()) {
            (true, false) => (&import.to, &import.subject),
            _ => (&import.subject, &import.local_subject),
        };
        let expires = match (import.token.is_empty(), dialtone_identity::jwt::decode(&import.token)) {
            (true, _) => String::new(),
            (false, Ok(token)) => token.expires.map(show_time).unwrap_or_default(),
            (false, Err(problem)) => format!("error decoding: {problem}"),
        };
        table.row([
            &import.name,
            titled(import.kind),
            remote,
            local,
            &expires,
            &named(&import.account, names),
            yes_no(import.token.is_empty()),
            if is_service { "N/A" } else { yes_no(import.allow_trace) },
        ]);
    }
    table.render()
}

fn mappings(account: &Account) -> String {
    let mut table = Table::new("Mappings");
    table.row(["From", "To", "Weight (%)", "Cluster"]);
    table.line();
    for (from, list) in &account.mappings {
        for (at, mapping) in list.iter().enumerate() {
            let weight = if mapping.weight == 0 { 100 } else { mapping.weight };
            table.row([
                if at == 0 { from } else { "" },
                &mapping.subject,
                &weight.to_string(),
                &mapping.cluster,
            ]);
        }
    }
    table.render()
}

fn revocations(account: &Account, names: Names<'_>) -> Option<String> {
    let of_exports = account.exports.iter().flat_map(|export| {
        export.revocations.iter().map(move |(key, at)| (format!("activation of {}", export.subject), key, at))
    });
    let of_users = account.revocations.iter().map(|(key, at)| ("user".to_owned(), key, at));
    let mut all = of_users.chain(of_exports).peekable();
    all.peek()?;
    let mut table = Table::new("Revocations");
    table.row(["What", "Key", "Issued By"]);
    table.line();
    for (what, key, at) in all {
        table.row([&what, &named(key, names), &show_time(*at)]);
    }
    Some(table.render())
}

fn role(role: &Role) -> String {
    let mut table = Table::new("Scoped Signing Key - Details");
    table.row(["Key", &role.key]);
    table.row(["Role", &role.role]);
    table.row(["Description", &role.description]);
    permissions(&mut table, &role.template.permissions);
    limits(&mut table, &role.template);
    table.row(["Bearer Token", yes_no(role.template.bearer_token)]);
    table.line();
    table.list("Allowed Connection Types", &role.template.allowed_connection_types);
    table.render()
}
