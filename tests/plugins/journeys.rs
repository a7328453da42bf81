//! The policies that rank paths, on one journey: how they differ is a table, which `plugins/README.md` shows.

use std::collections::BTreeSet;
use std::path::Path;

use vpnhost_plugin_sdk::fixtures::journey::{self, Journey, Travelled};
use vpnhost_policy::Policy;
use vpnhost_policy_standard::Standard;

use crate::load;

/// The built-in policy and the components, with their defaults.
fn travel(journey: &Journey) -> Vec<(&'static str, Travelled)> {
    let boxed = ["lowest-rtt", "cheapest", "sticky"].map(|name| (name, load(name, &[]).unwrap()));
    let mut travelled = vec![("standard", journey.travel(&Standard))];
    travelled.extend(boxed.iter().map(|(name, policy)| (*name, journey.travel(policy as &dyn Policy))));
    travelled
}

fn of<'a>(travelled: &'a [(&'static str, Travelled)], name: &str) -> &'a Travelled {
    travelled.iter().find(|(it, _)| *it == name).map(|(_, it)| it).unwrap()
}

#[test]
fn each_policy_takes_its_own_way_through_the_same_hour_and_the_readme_tells_it() {
    let travelled = travel(&journey::commute());
    let mut table =
        "| policy | moves | metered s | dark s | RTT ms | loss ‰ | asked | way |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n".to_owned();
    for (name, it) in &travelled {
        table += &format!(
            "| `{name}` | {} | {} | {} | {} | {} | {} | {it} |\n",
            it.moves(),
            it.metered_secs,
            it.dark_secs,
            it.mean_rtt_ms(),
            it.mean_loss_permille(),
            it.questions,
        );
    }
    println!("{table}");
    let ways: BTreeSet<String> = travelled.iter().map(|(_, it)| it.to_string()).collect();
    assert_eq!(ways.len(), travelled.len(), "two went the same way");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("plugins/README.md")).unwrap();
    assert!(readme.contains(&table), "plugins/README.md shows another table:\n{table}");
}

#[test]
fn each_policy_is_the_best_at_what_it_is_for() {
    let travelled = travel(&journey::commute());
    let least = |name: &str, what: fn(&Travelled) -> u64| {
        let own = what(of(&travelled, name));
        let others = travelled.iter().filter(|(it, _)| *it != name);
        others.map(|(_, it)| what(it)).all(|other| own < other)
    };
    assert!(least("lowest-rtt", Travelled::mean_rtt_ms));
    assert!(least("cheapest", |it| it.metered_secs.into()));
    assert!(least("sticky", |it| it.moves() as u64));
    // No policy loses more than what nothing tells of: the seconds until silence is suspect.
    assert!(travelled.iter().all(|(_, it)| it.dark_secs <= 20), "{travelled:?}");
}
