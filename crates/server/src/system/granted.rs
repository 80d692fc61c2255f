//! What every account has of the system account without having asked for it: services that it offers to all, found by
//! anyone under a subject that names no account.

use crate::accounts::Accounts;
use dialtone_broker::account::{Account, GLOBAL};
use dialtone_broker::sharing::{ServiceExport, ServiceImport};
use dialtone_config::sharing::{Export, ResponseType};
use dialtone_subject::Filter;
use std::sync::{Arc, LazyLock};

/// A service of the system account.
struct GrantedService {
    subject: &'static str,
    response: ResponseType,
    /// What it is called in the other accounts, and in the system account itself.
    tenants: &'static [&'static str],
    system: &'static [&'static str],
    /// It may know who asks.
    share: bool,
}

const GRANTED: [GrantedService; 4] = [
    GrantedService {
        subject: "$SYS.REQ.ACCOUNT.*.CONNZ",
        response: ResponseType::Stream,
        tenants: &["$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.SERVER.PING.CONNZ"],
        system: &[],
        share: false,
    },
    GrantedService {
        subject: "$SYS.REQ.ACCOUNT.*.STATZ",
        response: ResponseType::Stream,
        tenants: &["$SYS.REQ.ACCOUNT.PING.STATZ"],
        system: &[],
        share: false,
    },
    GrantedService {
        subject: "$SYS.REQ.USER.*.INFO",
        response: ResponseType::Single,
        tenants: &["$SYS.REQ.USER.INFO"],
        system: &["$SYS.REQ.USER.INFO"],
        share: true,
    },
    // Who imports it may ask how many subscriptions its account has.
    GrantedService {
        subject: "$SYS.DEBUG.SUBSCRIBERS",
        response: ResponseType::Single,
        tenants: &[],
        system: &[],
        share: false,
    },
];

/// One of each for the whole process, so that an import is found to be the same when it is given again.
static EXPORTS: LazyLock<[Arc<ServiceExport>; GRANTED.len()]> = LazyLock::new(|| {
    GRANTED.each_ref().map(|granted| {
        let subject = Filter::parse(granted.subject).expect("the table has valid subjects");
        let export = ServiceExport { response: granted.response, ..ServiceExport::new(subject) };
        Arc::new(export)
    })
});

/// What JetStream is asked by. This server has none, but another one of its cluster may.
const JETSTREAM: &str = "$JS.API.>";

/// Not part of [`EXPORTS`]: as officially, it is not shown as an export.
static JETSTREAM_EXPORT: LazyLock<Arc<ServiceExport>> =
    LazyLock::new(|| Arc::new(ServiceExport::new(Filter::parse(JETSTREAM).expect("it is a valid subject"))));

/// Gives an account what it is to have.
pub(super) fn grant_services(account: &Account, system: &Arc<Account>, _has_jetstream: bool) {
    account.set_granted_services(of_every_account(account, system));
}

/// The same in a cluster in which those who are in no account may ask the JetStream of another server.
pub(super) fn grant_services_in_open_cluster(account: &Account, system: &Arc<Account>, has_jetstream: bool) {
    grant_services_in_cluster(account, system, has_jetstream || *account.name == *GLOBAL);
}

/// Gives an account what it is to have in a cluster: with JetStream it may ask that of another server.
pub(super) fn grant_services_in_cluster(account: &Account, system: &Arc<Account>, has_jetstream: bool) {
    let mut services = of_every_account(account, system);
    if has_jetstream
        && account.id != system.id
        && let Ok(mut import) = ServiceImport::new(system, JETSTREAM_EXPORT.clone(), JETSTREAM, JETSTREAM)
    {
        import.share = true;
        services.push(import);
    }
    account.set_granted_services(services);
}

fn of_every_account(account: &Account, system: &Arc<Account>) -> Vec<ServiceImport> {
    let is_system = account.id == system.id;
    let imports = GRANTED.iter().zip(EXPORTS.iter()).flat_map(|(granted, export)| {
        let subject = granted.subject.replace('*', &account.name);
        let locals = if is_system { granted.system } else { granted.tenants };
        locals.iter().filter_map(move |local| {
            // Subjects without wildcards fit together.
            let mut import = ServiceImport::new(system, export.clone(), &subject, local).ok()?;
            import.share = granted.share;
            import.includes_server = true;
            Some(import)
        })
    });
    imports.collect()
}

/// The services that the system account offers to all, but for those that its own configuration speaks of.
pub(crate) fn exports(
    accounts: &Accounts,
    account: &Account,
    own: &[Export],
) -> Vec<(&'static str, ResponseType)> {
    if accounts.system().is_none_or(|system| system.id != account.id) {
        return Vec::new();
    }
    let granted = GRANTED.iter().filter(|granted| own.iter().all(|export| export.subject != granted.subject));
    granted.map(|granted| (granted.subject, granted.response)).collect()
}
