//! What the machine runs on, as the kernel tells it in `/sys/class/power_supply`.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use vpnhost_policy::{Power, PowerSource};

use crate::limits;

/// Where Linux shows the power supplies, each as a directory.
const SUPPLIES: &str = "/sys/class/power_supply";

/// Tells what the machine runs on, now and whenever that is another. A machine that has no power supply to look at is not
/// looked at again.
pub(crate) fn watch() -> mpsc::Receiver<Power> {
    watch_in(PathBuf::from(SUPPLIES))
}

fn watch_in(supplies: PathBuf) -> mpsc::Receiver<Power> {
    let (told, power) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut known = Power::UNKNOWN;
        loop {
            let supplies = supplies.clone();
            // A battery may take its time to answer.
            let Ok(power) = tokio::task::spawn_blocking(move || read(&supplies)).await else { return };
            if power != known && told.send(power).await.is_err() {
                return;
            }
            if power == Power::UNKNOWN && known == Power::UNKNOWN {
                return;
            }
            known = power;
            tokio::select! {
                () = told.closed() => return,
                () = tokio::time::sleep(limits::POWER_INTERVAL) => {}
            }
        }
    });
    power
}

/// Reads the machine's supplies; those of a mouse or a headset say nothing.
fn read(supplies: &Path) -> Power {
    let Ok(entries) = fs::read_dir(supplies) else { return Power::UNKNOWN };
    let (mut on_mains, mut discharging, mut charges) = (false, false, Vec::new());
    for entry in entries.flatten().take(limits::POWER_SUPPLIES) {
        let text = |name: &str| text(&entry.path().join(name));
        if text("scope").as_deref() == Some("Device") {
            continue;
        }
        match text("type").as_deref() {
            Some("Battery" | "UPS") => {
                discharging |= text("status").as_deref() == Some("Discharging");
                charges.push(text("capacity").and_then(|capacity| capacity.parse::<u8>().ok()));
            }
            Some(_) => on_mains |= text("online").is_some_and(|online| online != "0"),
            None => {}
        }
    }
    let source = match (on_mains, discharging) {
        (true, _) => PowerSource::MAINS,
        (false, true) => PowerSource::BATTERY,
        (false, false) if charges.is_empty() => PowerSource::UNKNOWN,
        // Charging or full: something feeds it.
        (false, false) => PowerSource::MAINS,
    };
    let known: Vec<u32> = charges.into_iter().flatten().map(|percent| u32::from(percent.min(100))).collect();
    let sum: u32 = known.iter().sum();
    let mean = u32::try_from(known.len()).ok().and_then(|count| sum.checked_div(count));
    Power { source, battery_percent: mean.and_then(|percent| u8::try_from(percent).ok()) }
}

fn text(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(limits::POWER_TEXT).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Supplies(tempfile::TempDir);

    impl Supplies {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        fn with(self, name: &str, facts: &[(&str, &str)]) -> Self {
            self.set(name, facts);
            self
        }

        fn set(&self, name: &str, facts: &[(&str, &str)]) {
            fs::create_dir_all(self.path().join(name)).unwrap();
            for (fact, text) in facts {
                fs::write(self.path().join(name).join(fact), format!("{text}\n")).unwrap();
            }
        }
    }

    fn power(source: PowerSource, battery_percent: Option<u8>) -> Power {
        Power { source, battery_percent }
    }

    #[test]
    fn a_laptop_runs_on_its_battery_once_it_is_unplugged() {
        let battery = [("type", "Battery"), ("status", "Discharging"), ("capacity", "42")];
        let laptop = Supplies::new().with("BAT0", &battery).with("AC", &[("type", "Mains"), ("online", "0")]);
        assert_eq!(read(laptop.path()), power(PowerSource::BATTERY, Some(42)));
        // A weak charger: the battery shrinks all the same.
        laptop.set("AC", &[("online", "1")]);
        assert_eq!(read(laptop.path()), power(PowerSource::MAINS, Some(42)));
    }

    #[test]
    fn a_battery_that_is_full_is_fed_by_something() {
        let phone =
            Supplies::new().with("battery", &[("type", "Battery"), ("status", "Full"), ("capacity", "100")]);
        assert_eq!(read(phone.path()), power(PowerSource::MAINS, Some(100)));
    }

    #[test]
    fn the_battery_of_a_mouse_says_nothing_of_the_machine() {
        let mouse = [("type", "Battery"), ("scope", "Device"), ("status", "Discharging"), ("capacity", "5")];
        let desktop = Supplies::new().with("hid", &mouse).with("odd", &[]);
        assert_eq!(read(desktop.path()), Power::UNKNOWN);
        assert_eq!(read(Path::new("/nonexistent")), Power::UNKNOWN);
    }

    #[tokio::test]
    async fn what_the_machine_runs_on_is_told_at_the_start_and_nothing_where_there_is_nothing_to_tell() {
        let supplies = Supplies::new().with("AC", &[("type", "Mains"), ("online", "1")]);
        let mut told = watch_in(supplies.path().to_owned());
        assert_eq!(told.recv().await, Some(power(PowerSource::MAINS, None)));
        assert_eq!(watch_in(PathBuf::from("/nonexistent")).recv().await, None);
    }
}
