//! Running groups.

use std::sync::Arc;

use heddle_openflow::group::GroupKind;
use heddle_openflow::packet::reason;

use super::action_set::{in_order, merge};
use super::{MAX_DEPTH, Translation};
use crate::decision::Credit;
use crate::trace::Kind;

impl Translation<'_> {
    /// Runs the buckets of a group that take the packet, each on a copy and as an action set.
    pub(super) fn group(&mut self, id: u32) {
        if self.depth >= MAX_DEPTH {
            return self.fail("too many groups within each other");
        }
        let snapshot = Arc::clone(&self.stay.snapshot);
        let Some(group) = snapshot.groups.get(&id) else { return self.drop_because("no such group") };
        self.kept.credits.push(Credit::Flow(Arc::clone(&group.stats)));
        let mut hash = 0;
        if group.kind == GroupKind::Select {
            let looked_at;
            (hash, looked_at) = group.hash(&self.key);
            self.look(&looked_at);
        }
        let chosen = group.chosen(&snapshot, hash);
        if chosen.is_empty() {
            return self.drop_because("no live bucket");
        }
        for index in chosen {
            if self.over() {
                return;
            }
            self.explain(Kind::Detail, || format!("using bucket {index}"));
            self.kept.credits.push(Credit::Flow(Arc::clone(&group.bucket_stats[index])));
            let mut set = Vec::new();
            merge(&mut set, &group.buckets[index].actions);
            let set = in_order(set);
            let (outer, before) = (std::mem::take(&mut self.stay.action_set), self.stay.reason);
            self.because_of(reason::GROUP);
            self.on_a_copy(|this| {
                this.apply(&set);
                this.freeze_rest();
            });
            (self.stay.action_set, self.stay.reason) = (outer, before);
        }
    }
}
