//! What every account has of the system account without having asked for it: services that it offers to all, found by
//! anyone under a subject that names no account.

use crate::accounts::Accounts;
use crate::asked_here::SUBSCRIBED;
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

/// What [`SUBSCRIBED`] is called in the accounts.
const SUBSCRIBED_LOCAL: &str = "$SYS.REQ.USER.SUBSCRIBED";

/// Not shown as an export either: the official server has none.
static SUBSCRIBED_EXPORT: LazyLock<Arc<ServiceExport>> =
    LazyLock::new(|| Arc::new(ServiceExport::new(Filter::parse(SUBSCRIBED).expect("it is a valid subject"))));

/// What accounts have of the system account beside what all have everywhere.
#[derive(Clone, Copy)]
pub(super) struct InCluster {
    /// There are other servers, whose JetStream an account with JetStream may ask.
    pub is_clustered: bool,
    /// Those who are in no account may, too.
    pub is_open: bool,
    /// Subscriptions are acknowledged.
    pub acknowledges: bool,
}

/// Gives an account what it is to have.
pub(super) fn grant_services(
    account: &Account,
    system: &Arc<Account>,
    has_jetstream: bool,
    beside: InCluster,
) {
    let mut services = of_every_account(account, system);
    let subscribed = SUBSCRIBED.replace('*', &account.name);
    if beside.acknowledges
        && let Ok(mut import) =
            ServiceImport::new(system, SUBSCRIBED_EXPORT.clone(), &subscribed, SUBSCRIBED_LOCAL)
    {
        import.share = true;
        import.includes_server = true;
        services.push(import);
    }
    if beside.is_clustered
        && (has_jetstream || (beside.is_open && *account.name == *GLOBAL))
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
