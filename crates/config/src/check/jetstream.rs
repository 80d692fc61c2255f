//! What must hold of JetStream together with the rest.

use crate::blocks::reader::Errors;
use crate::error::{ConfigError, ErrorKind, Location};
use crate::options::Options;

/// Checks it.
pub(super) fn check(options: &Options, place: &dyn Fn(&str) -> Location, errors: &mut Errors) {
    let Some(own) = &options.jetstream else { return };
    let mut say = |problem: String| errors.push(ConfigError::new(&own.at, problem));
    if options.operation.staples.store_dir.is_some() && own.store_dir.is_some() {
        say("Duplicate 'store_dir' configuration".into());
    }
    if let Some(domain) = &own.domain {
        let is_part = |c: char| !c.is_whitespace() && !c.is_control() && !".*>/\\".contains(c);
        if !domain.chars().all(is_part) {
            say("invalid domain name: may not contain ., * or >".into());
        }
    }
    for (block, is_there) in [
        ("cluster", options.cluster.as_ref().is_some_and(|own| own.is_on())),
        ("gateway", options.gateway.is_some()),
    ] {
        if is_there {
            let problem = format!(
                "`jetstream` cannot be carried out together with `{block}`: replication of streams is not part of this version"
            );
            let error = ConfigError::new(&place(block), problem).kind(ErrorKind::NotSupported);
            errors.push(error.help(
                "take one of them out, or connect this server as a leaf node, with a domain of its own",
            ));
        }
    }
}
