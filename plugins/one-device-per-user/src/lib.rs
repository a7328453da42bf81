#![doc = include_str!("../README.md")]

use vpnhost_plugin_sdk::model::Identity;
use vpnhost_plugin_sdk::policy::{Authorization, PeerClaim, Policy};
use vpnhost_plugin_sdk::{Configure, SettingKind, SettingProblem, SettingSpec, Settings, kv};

const DAY: u64 = 86_400;

/// Remembers each user's device.
#[derive(Debug, PartialEq, Eq)]
pub struct OneDevicePerUser {
    forget_days: u32,
}

impl Policy for OneDevicePerUser {
    fn name(&self) -> &str {
        "one-device-per-user"
    }

    /// Who may come in is left to the others.
    fn authorize_peer(&self, claim: &PeerClaim) -> Option<Authorization> {
        let user = claim.peer_id.to_string();
        let Some(device) = device(claim) else {
            let is_second = claim.other_sas > 0 && !claim.initial_contact;
            return is_second.then(|| Authorization::refuse(format!("{user} is up from another device")));
        };
        let key = key(&user);
        let known = kv::get_text(&key);
        let (seen, bound) = known.as_deref().and_then(|it| it.split_once(' ')).unwrap_or_default();
        let days = claim.unix_secs.saturating_sub(seen.parse().unwrap_or(0)) / DAY;
        if !bound.is_empty() && bound != device && days < self.forget_days.into() {
            let short: String = bound.chars().take(12).collect();
            return Some(Authorization::refuse(format!(
                "{user} is bound to another device, {short}, seen {days} days ago"
            )));
        }
        // Once a day is enough, and wears no disk out.
        if bound != device || days > 0 {
            let value = format!("{} {device}", claim.unix_secs);
            let kept = kv::set(&key, &value).or_else(|_| {
                self.forget(claim.unix_secs);
                kv::set(&key, &value)
            });
            let full = |refused| Authorization::refuse(format!("no room to remember {user}: {refused}"));
            return kept.err().map(full);
        }
        None
    }
}

impl OneDevicePerUser {
    /// Makes room: of the first devices in the store those go that have not come for long.
    fn forget(&self, unix_secs: u64) {
        for key in kv::keys("device/") {
            let seen = kv::get_text(&key).and_then(|it| it.split_once(' ')?.0.parse::<u64>().ok());
            if unix_secs.saturating_sub(seen.unwrap_or(0)) / DAY >= self.forget_days.into() {
                kv::delete(&key);
            }
        }
    }
}

/// A store's key is at most 128 octets long: of a longer name its end counts, and a sum of the whole.
fn key(user: &str) -> String {
    let sum = user
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |sum, octet| (sum ^ u64::from(octet)).wrapping_mul(0x100_0000_01b3));
    match user.len() {
        0..=120 => format!("device/{user}"),
        long => format!("device/{sum:016x} {}", user.get(long - 90..).unwrap_or_default()),
    }
}

fn device(claim: &PeerClaim) -> Option<String> {
    let certificate = claim.certificate.as_ref().map(|certificate| certificate.sha256.clone());
    // Some say where they are there, and not who.
    let names = |id: &&Identity| !matches!(id, Identity::Ipv4(_) | Identity::Ipv6(_));
    let said = claim.eap.as_ref().map(|eap| &eap.claimed_id).filter(names).map(ToString::to_string);
    certificate.filter(|digest| !digest.is_empty()).or(said)
}

impl Configure for OneDevicePerUser {
    const SETTINGS: &'static [SettingSpec] = &[SettingSpec::optional(
        "forget_days",
        SettingKind::Integer,
        "until another device may come (default 30)",
    )];

    fn configure(settings: &Settings) -> Result<Self, Vec<SettingProblem>> {
        let mut problems = Vec::new();
        let forget_days = settings.within("forget_days", 1..=3_650, &mut problems).unwrap_or(30);
        if problems.is_empty() { Ok(Self { forget_days }) } else { Err(problems) }
    }
}

vpnhost_plugin_sdk::export_policy!(OneDevicePerUser: authorize_peer);

#[cfg(test)]
mod tests {
    use vpnhost_plugin_sdk::fixtures;

    use super::*;

    const TODAY: u64 = 1_795_564_800;

    fn asked(device: &str, day: u64) -> Option<Authorization> {
        let mut claim = fixtures::peer_claim(TODAY + day * DAY, 0);
        let mut certificate = fixtures::peer_certificate(&[]);
        certificate.sha256 = device.to_owned();
        claim.certificate = Some(certificate);
        OneDevicePerUser { forget_days: 30 }.authorize_peer(&claim)
    }

    #[test]
    fn the_first_device_is_the_users_until_it_has_not_come_for_long() {
        assert_eq!(asked("phone", 0), None);
        let why = "carol@example.org is bound to another device, phone, seen 3 days ago";
        assert_eq!(asked("laptop", 3), Some(Authorization::refuse(why)));
        assert_eq!(asked("phone", 20), None);
        assert!(asked("laptop", 40).is_some(), "it was seen 20 days ago");
        assert_eq!(asked("laptop", 51), None);
        assert!(asked("phone", 52).is_some(), "the laptop is the device now");
    }

    #[test]
    fn a_long_name_has_a_device_too() {
        let user = |end: char| format!("C=CH, O={}, CN=carol{end}", "Example ".repeat(20));
        assert!(key(&user('a')).len() <= 128 && key(&user('a')) != key(&user('b')));
    }

    #[test]
    fn who_shows_no_device_may_be_up_once() {
        let policy = OneDevicePerUser { forget_days: 30 };
        let mut claim = fixtures::peer_claim(TODAY, 0);
        assert_eq!(policy.authorize_peer(&claim), None);
        claim.other_sas = 1;
        let refusal = Authorization::refuse("carol@example.org is up from another device");
        assert_eq!(policy.authorize_peer(&claim), Some(refusal));
        claim.initial_contact = true;
        assert_eq!(policy.authorize_peer(&claim), None, "it has lost the first");
    }
}
