//! A firewall: rules in order, the first that matches decides.
//!
//! Each rule is a flow, so that no packet waits for the controller. ARP and the messages by which IPv6 finds neighbours pass
//! unless a rule denies them, because nothing works without.

use heddle_flow::Match;
use heddle_openflow::Body;
use heddle_openflow::text::{parse_match, print_match};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ConfigError;
use crate::app::{App, Outgoing, Switch, Tables};

/// Priority of the first rule; each other has one less.
const FIRST: u16 = 60_000;
/// Most rules.
const MAX_RULES: usize = 50_000;
/// What passes unless a rule denies it.
const ALWAYS: [&str; 3] = ["arp", "icmp6,icmp_type=135", "icmp6,icmp_type=136"];

/// A firewall's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether packets pass that no rule matches.
    #[serde(default)]
    pub default: Verdict,
    /// The rules, as `allow tcp,nw_dst=10.0.0.1,tp_dst=80` or `deny udp`.
    #[serde(default)]
    pub rules: Vec<String>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It goes on.
    Allow,
    /// It is dropped.
    #[default]
    Deny,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What becomes of packets.
    pub verdict: Verdict,
    /// Which.
    pub matching: Match,
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// It does not begin with `allow` or `deny`, or what follows is no match.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let wrong = |why: String| ConfigError::Rule(text.to_owned(), why);
        let (verdict, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let verdict = match verdict {
            "allow" => Verdict::Allow,
            "deny" => Verdict::Deny,
            _ => return Err(wrong("it begins with neither allow nor deny".into())),
        };
        let matching = parse_match(rest.trim()).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { verdict, matching })
    }
}

/// The app.
pub struct Firewall {
    place: Tables,
    default: Verdict,
    rules: Vec<Rule>,
}

impl Firewall {
    /// A firewall of these rules.
    ///
    /// # Errors
    /// A rule is wrong, or there are too many.
    pub fn new(place: Tables, config: &Config) -> Result<Self, ConfigError> {
        if config.rules.len() > MAX_RULES {
            return Err(ConfigError::Range("a firewall has at most 50000 rules"));
        }
        let rules = config.rules.iter().map(|text| Rule::parse(text)).collect::<Result<_, _>>()?;
        Ok(Self { place, default: config.default, rules })
    }
}

impl App for Firewall {
    fn connected(&mut self, switch: &Switch, _now_ms: u64) -> Vec<Outgoing> {
        let flow = |priority, matching: Match, verdict| {
            let flow = self.place.flow(priority, matching, Vec::new(), verdict == Verdict::Allow);
            Outgoing::to(switch.datapath_id, Body::FlowMod(flow))
        };
        let always = ALWAYS.iter().filter_map(|text| parse_match(text).ok());
        let rules = self.rules.iter().zip((0..=FIRST).rev());
        rules
            .map(|(rule, priority)| flow(priority, rule.matching, rule.verdict))
            .chain(always.map(|matching| flow(1, matching, Verdict::Allow)))
            .chain([flow(0, Match::default(), self.default)])
            .collect()
    }

    fn received(&mut self, _switch: &Switch, _body: &Body, _now_ms: u64) -> Vec<Outgoing> {
        Vec::new()
    }

    fn state(&self, _now_ms: u64) -> Option<(&'static str, Value)> {
        let word = |verdict| if verdict == Verdict::Allow { "allow" } else { "deny" };
        let text = |rule: &Rule| format!("{} {}", word(rule.verdict), print_match(&rule.matching));
        let rules: Vec<String> = self.rules.iter().map(text).collect();
        Some(("firewall", json!({ "default": word(self.default), "rules": rules })))
    }
}
