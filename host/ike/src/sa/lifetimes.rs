//! When Child SAs are replaced: asked for each that is set up, one after the other.

use std::time::Duration;

use vpnhost_model::{Lifetime, Now};
use vpnhost_policy::Answer;

use crate::host::Host;
use crate::output::Output;
use crate::question::plan_lifetimes;
use crate::sa::IkeSa;
use crate::work::{AnsweredBy, Track};

impl IkeSa {
    /// Has the lifetimes of a Child SA planned that was set up since. Until then those of the configuration hold.
    pub(crate) fn plan_lifetimes(&mut self, host: &mut Host, now: Now) {
        if self.waits.contains_key(&Track::Lifetimes) {
            return;
        }
        let Some(established) = self.established() else { return };
        let Some(child) = established.estate.children.values().find(|child| !child.is_planned) else {
            return;
        };
        let (id, question) = (child.id, plan_lifetimes::question(now, self, child));
        let Some(established) = self.established_mut() else { return };
        if let Some(question) = question {
            established.planning = Some(id);
            self.ask(host, now, Track::Lifetimes, question);
        } else {
            // Nothing of it is configured any more: its lifetimes stay.
            established.estate.children.get_mut(&id).into_iter().for_each(|child| child.is_planned = true);
            self.plan_lifetimes(host, now);
        }
    }

    /// Puts what was planned into effect, and goes on with the next.
    pub(crate) fn apply_lifetimes(
        &mut self,
        host: &mut Host,
        now: Now,
        answer: Option<Answer>,
        by: AnsweredBy,
    ) {
        let why = answer.as_ref().and_then(Answer::why).map(str::to_owned);
        let Some(established) = self.established_mut() else { return };
        // Other policies are asked meanwhile: the answer was their predecessors'.
        let Some(id) = established.planning.take() else { return self.plan_lifetimes(host, now) };
        // It may be gone by now.
        if let Some(child) = established.estate.children.get_mut(&id) {
            child.is_planned = true;
            let planned = plan_lifetimes::planned(answer, child.configured).unwrap_or(child.configured);
            let (index, before) = (child.index, std::mem::replace(&mut child.lifetime, planned));
            if planned != before {
                let name = established.connection.children.get(index).map(|config| config.name.clone());
                let changes = changes(&before, &planned, why.as_deref());
                host.output(Output::LimitChildSa(id, planned));
                self.set_child_timer(host, id);
                self.decided(host, "plan_lifetimes", by, format!("{}: {changes}", name.unwrap_or_default()));
            }
        }
        self.plan_lifetimes(host, now);
    }
}

/// Tells people what is another.
fn changes(old: &Lifetime, new: &Lifetime, why: Option<&str>) -> String {
    let age = |age: Option<Duration>| age.map_or_else(|| "never".to_owned(), |age| format!("{age:?}"));
    let amount = |octets: Option<u64>| {
        octets.map_or_else(|| "never".to_owned(), |octets| format!("{} MiB", octets >> 20))
    };
    let count = |count: Option<u64>| count.map_or_else(|| "never".to_owned(), |count| count.to_string());
    let texts = |it: &Lifetime| {
        [
            ("rekey", age(it.rekey_after)),
            ("rekey_bytes", amount(it.rekey_bytes)),
            ("rekey_packets", count(it.rekey_packets)),
        ]
    };
    let pairs = texts(old).into_iter().zip(texts(new)).filter(|((_, old), (_, new))| old != new);
    let changes: Vec<String> = pairs.map(|((name, old), (_, new))| format!("{name} {old} → {new}")).collect();
    changes.join(", ") + &why.map_or_else(String::new, |why| format!(" ({why})"))
}
