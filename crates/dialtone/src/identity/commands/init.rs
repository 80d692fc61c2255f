//! An operator with all that a server and a client need.

use super::operator::with_system_account;
use crate::identity::args::Call;
use crate::identity::args::values::now;
use crate::identity::session::{Places, Session};
use crate::identity::store::{Signed, Store};
use anyhow::{Result, ensure};
use dialtone_identity::jwt::account::{Account, AccountLimits};
use dialtone_identity::jwt::claims::{Operator, User, UserLimits};
use dialtone_identity::jwt::encode::Draft;
use dialtone_identity::nkey::Kind;

/// The name of the system account.
pub const SYSTEM_ACCOUNT: &str = "SYS";
const SERVICE_URL_DEFAULT: &str = "nats://localhost:4222";

/// `init NAME`
pub fn init(call: &Call) -> Result<()> {
    let name = call.required(0, "a name")?;
    ensure!(name != SYSTEM_ACCOUNT, "`{SYSTEM_ACCOUNT}` is the name of the system account");
    let places = Places::of(call)?;
    let store = Store::create(&places.stores, name)?;
    let session = Session::new(store, places);
    let operator = session.keys.generate(Kind::Operator)?;
    let signing = session.keys.generate(Kind::Operator)?;
    let mut urls = call.list("--service-url");
    if urls.is_empty() {
        urls.push(SERVICE_URL_DEFAULT.to_owned());
    }
    let claims = Operator {
        signing_keys: vec![signing.public().to_string()],
        operator_service_urls: urls,
        ..Operator::default()
    };
    let draft = Draft::new(operator.public(), name, claims);
    session.store.write_operator(&draft.sign(&operator, now())?, Signed::Stays)?;
    println!("operator        {name} ({})", operator.public());
    let (account, creds) = with_system_account(call, &session, SYSTEM_ACCOUNT)?;
    println!("system account  {SYSTEM_ACCOUNT} ({account})");
    println!("  user sys      {}", creds.display());

    let account = session.keys.generate(Kind::Account)?;
    // Users are signed by a signing key, so that those of accounts can be the only keys that sign.
    let signing = session.keys.generate(Kind::Account)?;
    let signing_keys = [(signing.public().to_string(), None)].into();
    let claims = Account { limits: AccountLimits::unlimited(), signing_keys, ..Account::default() };
    session.write_account(call, &Draft::new(account.public(), name, claims))?;
    println!("account         {name} ({})", account.public());
    let user = session.keys.generate(Kind::User)?;
    let claims = User { limits: UserLimits::unlimited(), issuer_account: account.public().to_string() };
    let text = Draft::new(user.public(), name, claims).sign(&signing, now())?;
    session.store.write_user(name, name, &text)?;
    if let Some(file) = session.write_creds(name, name)? {
        println!("  user {name:8} {}", file.display());
    }
    println!(
        "\nnext:\n  dialtone identity config --output server.conf   then   dialtone -c server.conf\n  \
         dialtone identity add user bob --account {name}\n  dialtone identity --help"
    );
    Ok(())
}
