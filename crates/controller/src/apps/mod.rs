//! The apps that come with the program, and how a configuration names them.

mod firewall;
mod frames;
mod learning_switch;
mod load_balancer;
mod mac_table;
mod monitor;
mod router;

pub use firewall::{Firewall, Rule};
pub use learning_switch::LearningSwitch;
pub use load_balancer::{Backend, LoadBalancer, Service};
pub use monitor::Monitor;
pub use router::{Prefix, Route, Router, Subnets};
use serde::Deserialize;

use crate::app::{App, Tables};

/// An app in a configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Config {
    /// A learning switch.
    Learning,
    /// A firewall.
    Firewall(firewall::Config),
    /// Routers.
    Router(router::Config),
    /// A load balancer.
    LoadBalancer(load_balancer::Config),
    /// Counters over time.
    Monitor(monitor::Config),
}

/// Why a configuration makes no apps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A rule of a firewall is wrong.
    #[error("rule {0:?}: {1}")]
    Rule(String, String),
    /// There is no table left.
    #[error("there are more apps than the 250 tables that they could have")]
    TooMany,
    /// A number is out of its range.
    #[error("{0}")]
    Range(&'static str),
}

/// The apps of a configuration, as a chain: what one lets pass goes on to the next. Those that have no flows have no table.
///
/// # Errors
/// What is wrong, by name.
pub fn chain(configs: &[Config]) -> Result<Vec<Box<dyn App>>, ConfigError> {
    let with_table = |config: &&Config| !matches!(config, Config::Monitor(_));
    let tables = configs.iter().filter(with_table).count();
    if tables > 250 {
        return Err(ConfigError::TooMany);
    }
    let mut own = 0u8;
    let mut apps: Vec<Box<dyn App>> = Vec::with_capacity(configs.len());
    for config in configs {
        let next = (usize::from(own) + 1 < tables).then_some(own + 1);
        let place = Tables { own, next };
        own += u8::from(with_table(&config));
        apps.push(match config {
            Config::Learning => Box::new(LearningSwitch::default().in_tables(place)),
            Config::Firewall(config) => Box::new(Firewall::new(place, config)?),
            Config::Router(config) => Box::new(Router::new(place, config)),
            Config::LoadBalancer(config) => Box::new(LoadBalancer::new(place, config)?),
            Config::Monitor(config) => Box::new(Monitor::new(config)?),
        });
    }
    Ok(apps)
}
